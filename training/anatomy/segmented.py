"""A segmenter's masks of radiographs, as the service makes them."""

from dataclasses import dataclass

import torch
from torch import Tensor

from app.anatomy.artifact import StoredSegmenter
from app.anatomy.masks import SIDE, Masks, masks_of, segmenter_input
from app.anatomy.segmenter import Segmenter
from app.anatomy.zones import ZoneMap, zone_map
from app.patchnet.preprocessing import resize_square


@dataclass(frozen=True)
class Reader:
    """Reads the anatomy of model images [1, S, S] of any side."""

    network: Segmenter
    image_size: int

    @classmethod
    def of(cls, stored: StoredSegmenter) -> "Reader":
        """The reader of an artifact."""
        return cls(stored.network(), stored.manifest.image_size)

    @torch.inference_mode()
    def masks(self, image: Tensor) -> Masks:
        """Lungs and heart."""
        return masks_of(self.network(segmenter_input(image, self.image_size)), self.image_size)

    def zones(self, image: Tensor, masks: Masks) -> ZoneMap:
        """The zones of an image with known masks."""
        return zone_map(masks, resize_square(image, SIDE)[0].numpy())
