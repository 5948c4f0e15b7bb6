"""The size of an image in pixels: limits that are checked before decoding, and a warning for a low resolution."""

from app.errors import ImageTooLarge, NotAChestRadiograph, UnreadableImage
from app.imaging.radiograph import DecodeLimits, ImageWarning

LOW_RESOLUTION_BELOW = 256
"""Pixels of the shorter side."""


def require_size(rows: int, columns: int, limits: DecodeLimits) -> None:
    """Check the size of an image before it is decoded.

    Raises UnreadableImage for an empty image, ImageTooLarge for more than ``limits.pixels``, and NotAChestRadiograph
    for an image that is too small to show a chest.
    """
    if rows < 1 or columns < 1:
        raise UnreadableImage(f"an image of {rows} rows × {columns} columns has no extent")
    if rows * columns > limits.pixels:
        raise ImageTooLarge(f"{rows} rows × {columns} columns exceed the limit of {limits.pixels} pixels")
    if min(rows, columns) < limits.smallest_side:
        raise NotAChestRadiograph(
            f"an image of {rows} rows × {columns} columns is too small; "
            f"accepted are at least {limits.smallest_side} on each side"
        )


def size_warnings(rows: int, columns: int) -> tuple[ImageWarning, ...]:
    """A warning for an image whose resolution is far below that of the model."""
    if min(rows, columns) >= LOW_RESOLUTION_BELOW:
        return ()
    detail = (
        f"the image has only {rows} × {columns} pixels; small findings cannot be seen, and results are less reliable"
    )
    return (ImageWarning("low_resolution", detail),)
