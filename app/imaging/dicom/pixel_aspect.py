"""The proportions of a pixel (PS3.3 C.7.6.3.1.7)."""

from app.imaging.dicom.attributes import Attributes
from app.imaging.square_pixels import LARGEST_ASPECT

_SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")


def pixel_aspect(attributes: Attributes) -> float:
    """Height of a pixel divided by its width: by Pixel Aspect Ratio, else by a pixel spacing, else 1."""
    for keyword in ("PixelAspectRatio", *_SPACINGS):
        numbers = attributes.numbers(keyword)
        if not numbers:
            continue
        if len(numbers) == 2 and min(numbers) > 0 and max(numbers) <= LARGEST_ASPECT * min(numbers):
            return numbers[0] / numbers[1]
        attributes.ignore(keyword)
    return 1.0
