"""From the segmenter's logits of an image and of its mirror image to the masks of lungs and heart."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.anatomy.components import Mask, largest_component
from app.anatomy.segmenter import CLASSES, HEART, LEFT_LUNG, MIRRORED, RIGHT_LUNG, class_map
from app.patchnet.preprocessing import resize_square

SIDE = 256
"""Side of the masks, pixels: the resolution of zones and of measured lengths."""


@dataclass(frozen=True)
class Masks:
    """Lungs and heart in the analysed square.

    ``classes`` [S, S] uint8 holds the class of each pixel, without detached pieces. By class: ``whole_shares`` is the
    share of its pixels in its largest piece, ``agreement`` the Dice overlap of the mask from the image with that from
    the mirror image, ``certainty`` the mean probability of the class over its mask. 0 where a mask is empty.
    """

    classes: NDArray[np.uint8]
    whole_shares: tuple[float, ...]
    agreement: tuple[float, ...]
    certainty: tuple[float, ...]

    @cached_property
    def right_lung(self) -> Mask:
        """[S, S]; the patient's right lung, on the left of the image."""
        return self.classes == RIGHT_LUNG

    @cached_property
    def left_lung(self) -> Mask:
        """[S, S]."""
        return self.classes == LEFT_LUNG

    @cached_property
    def heart(self) -> Mask:
        """[S, S]."""
        return self.classes == HEART


def segmenter_input(image: Tensor, image_size: int) -> Tensor:
    """The two inputs of the segmenter for one model image [1, H, H]: the image and its mirror image, [2, 1, S, S]."""
    small = resize_square(image, image_size)
    return torch.stack((small, small.flip(-1)))


def masks_of(logits: Tensor, image_size: int) -> Masks:
    """Masks from the segmenter's logits of ``segmenter_input``, [2, 4 · (S / 2)²].

    The probabilities of both images are averaged, so that mirroring an image exactly mirrors its masks.
    """
    enlarged = torch.nn.functional.interpolate(
        class_map(logits, image_size), (SIDE, SIDE), mode="bilinear", align_corners=False
    )  # [2, 4, SIDE, SIDE]
    direct, mirrored = enlarged[0], enlarged[1].flip(-1)[MIRRORED]
    mean = (direct + mirrored) / 2
    raw = mean.argmax(dim=0).numpy().astype(np.uint8)
    organs = range(1, len(CLASSES))
    classes, whole_shares, certainty = np.zeros_like(raw), [1.0], [1.0]
    for organ in organs:
        every = raw == organ
        kept = largest_component(every)
        classes[kept] = organ
        whole_shares.append(float(kept.sum() / max(1, every.sum())))
        certainty.append(float(mean[organ].numpy()[kept].mean()) if kept.any() else 0.0)
    one, other = direct.argmax(dim=0).numpy(), mirrored.argmax(dim=0).numpy()
    agreement = [1.0, *(dice(one == organ, other == organ) for organ in organs)]
    return Masks(classes, tuple(whole_shares), tuple(agreement), tuple(certainty))


def dice(one: Mask, other: Mask) -> float:
    """Twice the overlap of two masks over the sum of their sizes; 0 where one of them is empty."""
    total = int(one.sum()) + int(other.sum())
    return 2 * int((one & other).sum()) / total if total else 0.0
