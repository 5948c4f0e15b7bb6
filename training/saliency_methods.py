"""Saliency methods behind one interface: patch evidence, post-hoc methods of libraries, trivial baselines."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, cast

import numpy as np
import torch
from captum.attr import IntegratedGradients, Occlusion
from numpy.typing import NDArray
from pytorch_grad_cam import EigenCAM, GradCAM, GradCAMPlusPlus, HiResCAM, LayerCAM
from pytorch_grad_cam.base_cam import BaseCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn
from torch.nn import functional

from app.patchnet.grid import Lattice, cut_patches
from app.patchnet.model import PatchNet
from app.patchnet.saliency import interpolate_evidence, patch_grid, shift_averaged_map

Maps = NDArray[np.float32]

_AUTHORS_BATCH = 4
_CELL = 8
_SMOOTH_SIDE = 128
_SMOOTH_SHARE = 96 / 512
"""Sigma of the Gaussian as share of the image's side: 1.5 patches of 64 px in 512 px, chosen on validation data."""


SMOOTHED = ", smoothed"
"""Suffix of the names of smoothed maps."""


class Explainer(Protocol):
    """One or several methods that share their forward passes."""

    @property
    def names(self) -> tuple[str, ...]:
        """The methods' names in the report."""
        ...

    def maps(self, image: Tensor, findings: Sequence[int]) -> dict[str, Maps]:
        """Maps of one image [1, S, S] for F columns: name → [F, h, w], higher is more evidence."""
        ...


def smoothed(maps: Maps) -> Maps:
    """Positive evidence blurred by a Gaussian: [F, h, w] → [F, 128, 128].

    Pixels beyond the border are zero, which favours the centre of the image: part of the effect is a centre prior, as
    smoothed noise shows.
    """
    positive = torch.from_numpy(maps).clamp(min=0)[None]
    size = (_SMOOTH_SIDE, _SMOOTH_SIDE)
    even = functional.interpolate(positive, size=size, mode="bilinear", antialias=True)[0].numpy()
    sigma = _SMOOTH_SHARE * _SMOOTH_SIDE
    return np.asarray(gaussian_filter(even, sigma, mode="constant", truncate=2.5, axes=(1, 2)), dtype=np.float32)


@dataclass(frozen=True)
class WithSmoothed:
    """The maps of some methods and their smoothed versions, from the same passes."""

    explainer: Explainer

    @property
    def names(self) -> tuple[str, ...]:
        """The methods, then ``…, smoothed`` of each."""
        return (*self.explainer.names, *(name + SMOOTHED for name in self.explainer.names))

    def maps(self, image: Tensor, findings: Sequence[int]) -> dict[str, Maps]:
        """See ``Explainer``."""
        found = self.explainer.maps(image, findings)
        return found | {name + SMOOTHED: smoothed(maps) for name, maps in found.items()}


@dataclass(frozen=True)
class PatchEvidence:
    """The patch model's own evidence: the grid of the decision, and maps of some offsets and strides.

    A map with a stride approximates the map of offset 1 from every stride-th origin. Its positive part is a method of
    its own, because leaving out evidence against a finding changes the range that a threshold divides. The smoothed map
    uses the probabilities of the first stride's map instead of the logits, so that one patch of high confidence does
    not dominate.

    The scaled map of a finding is the raw map times a positive number, with the same hits and IoU. Only the authors'
    code, which mixes up shifts when it scales them in batches of four, gives a different map.
    """

    network: PatchNet
    offsets: tuple[int, ...] = (16,)
    strides: tuple[int, ...] = (15,)
    chunk: int = 128

    @property
    def names(self) -> tuple[str, ...]:
        """Grid, maps of offsets and strides, a smoothed map, the authors' border and scaling at the first offset."""
        smooth = tuple(f"patch, offset {offset}" for offset in self.offsets)
        odd = tuple(f"patch, stride {stride}{part}" for stride in self.strides for part in ("", ", positive"))
        probability = ("patch probability" + SMOOTHED,) if self.strides else ()
        return ("patch grid", *smooth, *odd, *probability, "patch, authors' border", "patch, authors' scaling")

    @torch.inference_mode()
    def maps(self, image: Tensor, findings: Sequence[int]) -> dict[str, Maps]:
        """See ``Explainer``; in logits, the grid [F, P, P], the others [F, S, S]."""
        columns = list(findings)
        size, patch = self.network.image_size, self.network.patch_size
        found = {"patch grid": patch_grid(self.network.patch_logits(image[None]))[0, columns]}
        for offset in self.offsets:
            lattice = Lattice.regular(size, patch, offset)
            evidence = self._evidence(image, lattice)
            found[f"patch, offset {offset}"] = shift_averaged_map(evidence[:, columns], lattice)
            if offset == self.offsets[0]:
                found["patch, authors' border"] = shift_averaged_map(evidence[:, columns], lattice, border="zero")
                mixed = mix_up_shifts(evidence, lattice)[:, columns]
                found["patch, authors' scaling"] = shift_averaged_map(mixed, lattice, border="zero")
        for stride in self.strides:
            full = Lattice.regular(size, patch, offset=1)
            thinned = full.thinned(stride)
            evidence = interpolate_evidence(self._evidence(image, thinned)[:, columns], thinned, full)
            found[f"patch, stride {stride}"] = shift_averaged_map(evidence, full)
            found[f"patch, stride {stride}, positive"] = found[f"patch, stride {stride}"].clamp(min=0)
            if stride == self.strides[0]:
                found["patch probability" + SMOOTHED] = torch.from_numpy(
                    smoothed(found[f"patch, stride {stride}"].sigmoid().numpy())
                )
        return {name: saliency_map.numpy() for name, saliency_map in found.items()}

    def _evidence(self, image: Tensor, lattice: Lattice) -> Tensor:
        starts = torch.tensor(lattice.starts)
        origins = torch.cartesian_prod(starts, starts)
        patches = (cut_patches(image, lattice.patch_size, part) for part in origins.split(self.chunk))
        return torch.cat([self.network.backbone(part) for part in patches])


def mix_up_shifts(evidence: Tensor, lattice: Lattice) -> Tensor:
    """Patch logits [n², C] scaled as in the authors' code, in batches of four shifts: same shape.

    It multiplies [4, P², C] by [4, 1, 1, C], which broadcasts every shift against every probability, and reads the
    products as shifts: shift i gets the logits of shift 4 (i // 16) + i % 4, times the probabilities of shift
    4 (i // 16) + (i % 16) // 4.
    """
    cells = lattice.image_size // lattice.patch_size
    shifts = lattice.per_axis // cells
    grids = evidence.reshape(cells, shifts, cells, shifts, -1).permute(1, 3, 0, 2, 4).flatten(0, 1)  # [k², P, P, C]
    probabilities = grids.mean(dim=(1, 2)).sigmoid()
    index = torch.arange(len(grids))
    batch = _AUTHORS_BATCH * (index // _AUTHORS_BATCH**2)
    scale = probabilities[batch + index % _AUTHORS_BATCH**2 // _AUTHORS_BATCH]
    mixed = grids[batch + index % _AUTHORS_BATCH] * scale[:, None, None]
    return mixed.reshape(shifts, shifts, cells, cells, -1).permute(2, 0, 3, 1, 4).reshape(evidence.shape)


class ThinEigenCAM(EigenCAM):
    """Eigen-CAM with a thin singular value decomposition: the same projection, at a fraction of the cost."""

    def get_cam_image(self, *arguments: object) -> Maps:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Activations [B, K, h, w], the fourth argument, on their first principal component: [B, h, w]."""
        activations = cast("Maps", arguments[3])
        batch, channels, *plane = activations.shape
        points = np.nan_to_num(activations).reshape(batch, channels, -1).transpose(0, 2, 1)
        points = points - points.mean(axis=1, keepdims=True)
        axes = np.linalg.svd(points, full_matrices=False)[2]
        return (points @ axes[:, 0, :, None]).reshape(batch, *plane).astype(np.float32)


_ACTIVATION_MAPS: dict[str, type[BaseCAM]] = {
    "Grad-CAM": GradCAM,
    "Grad-CAM++": GradCAMPlusPlus,
    "Eigen-CAM": ThinEigenCAM,
    "HiResCAM": HiResCAM,
    "LayerCAM": LayerCAM,
}


@dataclass(frozen=True)
class ActivationMaps:
    """Class activation maps of the library ``grad-cam``, on the last spatial layer."""

    network: PatchNet
    names: tuple[str, ...] = tuple(_ACTIVATION_MAPS)

    @cached_property
    def _layer(self) -> nn.Module:
        return last_spatial_layer(self.network)

    def maps(self, image: Tensor, findings: Sequence[int]) -> dict[str, Maps]:
        """See ``Explainer``; from 0 to 1, [F, S, S]."""
        images = image[None].repeat(len(findings), 1, 1, 1)
        targets = [ClassifierOutputTarget(column) for column in findings]
        found: dict[str, Maps] = {}
        self.network.requires_grad_(False)
        self._layer.requires_grad_(True)  # the library needs gradients of this layer alone
        for name in self.names:
            with _ACTIVATION_MAPS[name](self.network, [self._layer]) as method:
                found[name] = np.asarray(method(images, targets), dtype=np.float32)  # pyright: ignore[reportArgumentType]
        return found


def last_spatial_layer(network: PatchNet) -> nn.Module:
    """The last module whose output has more than one row and column; in EfficientNet the last block."""
    seen: list[nn.Module] = []

    def keep(module: nn.Module, _: object, output: object) -> None:
        if isinstance(output, Tensor) and output.dim() == 4 and output.shape[-1] > 1:
            seen.append(module)

    hooks = [module.register_forward_hook(keep) for module in network.backbone.modules()]
    try:
        with torch.inference_mode():
            network.backbone(torch.zeros(1, 1, network.patch_size, network.patch_size))
    finally:
        for hook in hooks:
            hook.remove()
    return seen[-1]


@dataclass(frozen=True)
class Gradients:
    """Integrated gradients (captum) from a black image, summed over cells of 8 px, because single pixels are noise."""

    network: PatchNet
    steps: int = 8
    names: tuple[str, ...] = ("integrated gradients",)

    def maps(self, image: Tensor, findings: Sequence[int]) -> dict[str, Maps]:
        """See ``Explainer``; in logits, [F, S / 8, S / 8]."""
        self.network.requires_grad_(False)
        method = IntegratedGradients(self.network)
        images = image[None].repeat(len(findings), 1, 1, 1)
        given = method.attribute(images, target=list(findings), n_steps=self.steps, internal_batch_size=4)
        cells = functional.avg_pool2d(given.float(), _CELL) * _CELL**2
        return {self.names[0]: cells[:, 0].detach().numpy()}


@dataclass(frozen=True)
class Occluded:
    """Occlusion (captum): the fall of a finding's logit when a window turns black."""

    network: PatchNet
    window: int = 64
    stride: int = 64
    names: tuple[str, ...] = ("occlusion",)

    @torch.inference_mode()
    def maps(self, image: Tensor, findings: Sequence[int]) -> dict[str, Maps]:
        """See ``Explainer``; in logits, [F, S, S]."""
        method = Occlusion(self.network)
        found = [
            method.attribute(
                image[None],
                sliding_window_shapes=(1, self.window, self.window),
                strides=(1, self.stride, self.stride),
                target=column,
                perturbations_per_eval=8,
            )[0, 0]
            for column in findings
        ]
        return {self.names[0]: torch.stack(found).float().numpy()}


@dataclass(frozen=True)
class TrivialBaselines:
    """Maps that ignore the radiograph: noise, and a Gaussian at the centre (centre prior)."""

    seed: int = 0
    cells: int = 16
    names: tuple[str, ...] = ("random", "centre")

    def maps(self, image: Tensor, findings: Sequence[int]) -> dict[str, Maps]:
        """See ``Explainer``; from 0 to 1, [F, 16, 16]."""
        place = np.linspace(-1, 1, self.cells)
        bump = np.exp(-2 * (place[:, None] ** 2 + place[None, :] ** 2))
        film = zlib.crc32(image.numpy().tobytes())
        noise = np.random.default_rng((self.seed, film)).random((len(findings), self.cells, self.cells))
        return {
            "random": noise.astype(np.float32),
            "centre": np.repeat(bump[None], len(findings), axis=0).astype(np.float32),
        }
