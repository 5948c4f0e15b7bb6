"""PatchNet: each patch is classified independently, and the mean of the patch logits is the decision."""

import torch
from torch import Tensor, nn


def split_patches(images: Tensor, patch_size: int) -> Tensor:
    """Split images into the plain grid of patches.

    [B, 1, S, S] → [B·P², 1, p, p], P = S // p, row-major within each image, images in order.

    Raises ValueError unless the images are square and the patch size divides their side.
    """
    batch, channels, rows, columns = images.shape
    if rows != columns or rows % patch_size:
        raise ValueError(f"patches of {patch_size} px do not tile an image of {rows} × {columns} px")
    side = rows // patch_size
    cells = images.reshape(batch, channels, side, patch_size, side, patch_size)  # [B, 1, P, p, P, p]
    return cells.permute(0, 2, 4, 1, 3, 5).reshape(-1, channels, patch_size, patch_size)


class PatchNet(nn.Module):
    """MedicalPatchNet: one shared backbone over all patches, and the mean of its logits.

    With ``patch_size == image_size`` it is the image-level classifier of the paper. Source: paper, "MedicalPatchNet".
    """

    def __init__(self, backbone: nn.Module, image_size: int = 512, patch_size: int = 64) -> None:
        """Wrap a backbone that maps [N, 1, p, p] to [N, C].

        Raises ValueError unless ``patch_size`` divides ``image_size``.
        """
        super().__init__()
        if patch_size < 1 or image_size % patch_size:
            raise ValueError(f"patches of {patch_size} px do not tile an image of {image_size} px")
        self.backbone = backbone
        self.image_size = image_size
        self.patch_size = patch_size

    @property
    def patches_per_side(self) -> int:
        """P: number of patches along one side of the image."""
        return self.image_size // self.patch_size

    def patch_logits(self, images: Tensor) -> Tensor:
        """Evidence of every patch: [B, 1, S, S] float in [0, 1] → [B, P², C] logits, row-major.

        Raises ValueError where the images do not have the model's size.
        """
        if tuple(images.shape[1:]) != (1, self.image_size, self.image_size):
            raise ValueError(f"expected [B, 1, {self.image_size}, {self.image_size}], got {list(images.shape)}")
        logits: Tensor = self.backbone(split_patches(images, self.patch_size))  # [B·P², C]
        return logits.reshape(images.shape[0], self.patches_per_side**2, -1)  # [B, P², C]

    def forward(self, images: Tensor) -> Tensor:
        """Global logits: [B, 1, S, S] → [B, C]."""
        return global_logits(self.patch_logits(images))


def global_logits(patch_logits: Tensor) -> Tensor:
    """The decision: the mean over patches, [B, P², C] → [B, C]."""
    return patch_logits.mean(dim=1)


def probabilities(patch_logits: Tensor) -> Tensor:
    """Sigmoid of the mean, [B, P², C] → [B, C] in (0, 1); never the mean of sigmoids."""
    return torch.sigmoid(global_logits(patch_logits))
