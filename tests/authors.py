"""The model of the paper's authors, as their repository defines it, and its checkpoint, to compare with."""

from io import BytesIO

import torch
from torch import Tensor, nn
from torchvision.models import get_model


class AuthorsModel(nn.Module):
    """EfficientNetV2-S over patches of one channel, and the mean of the logits of the patches."""

    def __init__(self, patch_size: int, backbone: str = "efficientnet_v2_s") -> None:
        super().__init__()
        self.baseBackbone = get_model(backbone, num_classes=14)
        first = self.baseBackbone.features[0][0]
        self.baseBackbone.features[0][0] = nn.Conv2d(1, first.out_channels, 3, stride=2, padding=1, bias=False)
        self.patch_size = patch_size

    def forward(self, images: Tensor) -> Tensor:
        rows = images.unfold(2, self.patch_size, self.patch_size).unfold(3, self.patch_size, self.patch_size)
        patches = rows.permute(0, 2, 3, 1, 4, 5).reshape(-1, 1, self.patch_size, self.patch_size)
        logits = self.baseBackbone(patches)
        return torch.stack(torch.split(logits, len(logits) // len(images))).mean(dim=1)


def authors_model(patch_size: int = 64, backbone: str = "efficientnet_v2_s", seed: int = 3) -> AuthorsModel:
    """A model with random weights, and batch norms as after some training: their statistics are not 0 and 1."""
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    model = AuthorsModel(patch_size, backbone).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
    return model


def authors_checkpoint(model: AuthorsModel) -> bytes:
    """The file of their training: the state dict of the compiled module."""
    stream = BytesIO()
    torch.save({f"_orig_mod.{key}": value for key, value in model.state_dict().items()}, stream)
    return stream.getvalue()
