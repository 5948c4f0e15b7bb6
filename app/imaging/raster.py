"""The PNG and JPEG reader. Size and colour type are checked in the header before any pixel is decoded.

Gray levels: 8-bit files span 0 … 255; 16-bit files are displayed with the range of their values, because most hold 12
unscaled bits. Transparent pixels are blended over black, the background of a radiograph. The EXIF orientation is
applied, as viewers do, and pixels are made square.
"""

import struct
import warnings

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.errors import ImageTooLarge, NotAChestRadiograph, UnreadableImage
from app.imaging.ancillary import Essentials, jpeg_essentials, opened, png_essentials
from app.imaging.codestream import FrameSize, jpeg_size
from app.imaging.grayscale import gray_of_rgb
from app.imaging.radiograph import DecodeLimits, ImageFacts, ImageFormat, ImageWarning, Radiograph
from app.imaging.size import require_size, size_warnings
from app.imaging.square_pixels import with_square_pixels

_FAILURES = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
)
_PNG_HEADER_END = 24  # of the part with the size; bit depth and colour type follow
_RGB, _GRAY_ALPHA, _RGB_ALPHA = 2, 4, 6  # colour types
_SIXTEEN_BIT_MODES = ("I;16", "I;16B", "I")
_COLOUR_REFUSAL = "a colour image is not accepted; accepted are gray images, also stored as equal colour channels"


def decode_raster(data: bytes, kind: ImageFormat, limits: DecodeLimits) -> Radiograph:
    """Decode a PNG or JPEG file of 8- or 16-bit gray levels into display-ready pixels.

    Raises UnreadableImage, ImageTooLarge (from the header alone) or NotAChestRadiograph (colour, CMYK, animation).
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return _decode(data, kind, limits)
        except (Image.DecompressionBombError, MemoryError):
            raise ImageTooLarge(f"decoding the {kind.upper()} image needs more memory than is allowed") from None
        except _FAILURES:
            raise UnreadableImage(f"the {kind.upper()} image is damaged or truncated") from None


def _decode(data: bytes, kind: ImageFormat, limits: DecodeLimits) -> Radiograph:
    claimed = _png_size(data) if kind == "png" else jpeg_size(data)
    if claimed is None:
        raise UnreadableImage(f"the {kind.upper()} image has no readable header")
    require_size(claimed.rows, claimed.columns, limits)
    essentials = png_essentials(data) if kind == "png" else jpeg_essentials(data)
    if essentials.is_animated:
        raise NotAChestRadiograph("an animated image is not accepted; accepted are images of a single frame")
    if kind == "png" and _is_deep(data):
        gray = _deep_gray(essentials, data[_PNG_HEADER_END + 1])
    else:
        gray = _gray(essentials, kind, limits)
    squared = with_square_pixels(gray, essentials.aspect, limits.pixels)
    pixels = np.ascontiguousarray(turn_upright(squared.pixels, essentials.orientation))
    rows, columns = pixels.shape
    notes = _warnings(essentials.orientation) + size_warnings(rows, columns) + squared.warnings
    return Radiograph(pixels, ImageFacts(kind, rows, columns), notes)


def _png_size(data: bytes) -> FrameSize | None:
    """The size in the IHDR chunk, which comes first (PNG, third edition, section 11.2.1)."""
    if len(data) < _PNG_HEADER_END + 2 or data[12:16] != b"IHDR":
        return None
    columns, rows = struct.unpack(">II", data[16:24])
    return FrameSize(rows, columns, 1)


def _is_deep(png: bytes) -> bool:
    """Whether a PNG file stores colour or alpha in 16 bits (PNG, third edition, section 11.2.1)."""
    depth, colour_type = png[_PNG_HEADER_END], png[_PNG_HEADER_END + 1]
    return depth == 16 and colour_type in {_RGB, _GRAY_ALPHA, _RGB_ALPHA}


def _gray(essentials: Essentials, kind: ImageFormat, limits: DecodeLimits) -> NDArray[np.float32]:
    """Displayed values [H, W] in [0, 1] of an image of any mode of PNG and JPEG; colour is refused."""
    with opened(essentials, kind) as image:
        require_size(image.height, image.width, limits)
        if image.mode == "CMYK":
            raise NotAChestRadiograph("a CMYK image is not accepted; accepted are gray images")
        if image.mode in _SIXTEEN_BIT_MODES:
            return _full_range(np.asarray(image).astype(np.float32))
        has_alpha = image.mode in {"LA", "RGBA"} or "transparency" in image.info
        samples = np.asarray(image.convert("RGBA" if has_alpha else "RGB" if image.mode != "L" else "L"))
    if samples.ndim == 2:
        return samples.astype(np.float32) / np.float32(255)
    displayed = _required_gray(samples[:, :, :3]).astype(np.float32) / np.float32(255)
    return displayed * _opacity(samples[:, :, 3]) if has_alpha else displayed


def _deep_gray(essentials: Essentials, colour_type: int) -> NDArray[np.float32]:
    """Displayed values [H, W] in [0, 1] of a PNG file with 16 bits for each colour or alpha.

    Pillow keeps 8 bits of these. Its raw modes for big and for little endian samples take the high and the low byte of
    the same data; gray and alpha of 16 bits are read as four samples of 8.
    """
    if colour_type == _GRAY_ALPHA:
        parts = _samples(essentials, "RGBA")
        high, low, alpha = parts[:, :, 0], parts[:, :, 1], parts[:, :, 2]
        return _full_range(_joined(high, low).astype(np.float32)) * _opacity(alpha)
    mode = "RGB" if colour_type == _RGB else "RGBA"
    high, low = _samples(essentials, f"{mode};16B"), _samples(essentials, f"{mode};16L")
    displayed = _full_range(_required_gray(_joined(high[:, :, :3], low[:, :, :3])).astype(np.float32))
    return displayed if colour_type == _RGB else displayed * _opacity(high[:, :, 3])


def _samples(essentials: Essentials, raw_mode: str) -> NDArray[np.uint8]:
    with opened(essentials, "png") as image:
        image.tile = [tile._replace(args=raw_mode) for tile in image.tile]
        return np.asarray(image)


def _joined(high: NDArray[np.uint8], low: NDArray[np.uint8]) -> NDArray[np.uint16]:
    return (high.astype(np.uint16) << 8 | low).astype(np.uint16)


def _required_gray(samples: NDArray[np.uint8] | NDArray[np.uint16]) -> NDArray[np.integer]:
    gray = gray_of_rgb(samples)
    if gray is None:
        raise NotAChestRadiograph(_COLOUR_REFUSAL)
    return gray


def _opacity(alpha: NDArray[np.uint8]) -> NDArray[np.float32]:
    return alpha.astype(np.float32) / np.float32(255)


def _full_range(values: NDArray[np.float32]) -> NDArray[np.float32]:
    low, high = values.min(), values.max()
    return (values - low) / max(high - low, np.float32(1))


def turn_upright(pixels: NDArray[np.float32], orientation: int) -> NDArray[np.float32]:
    """Pixels [H, W] turned by an EXIF orientation; values outside 1 … 8 count as 1 (Exif 2.32 section 4.6.4)."""
    if orientation in {5, 6, 7, 8}:
        pixels = pixels.T
    if orientation in {2, 3, 6, 7}:
        pixels = pixels[:, ::-1]
    if orientation in {3, 4, 7, 8}:
        pixels = pixels[::-1]
    return pixels


def _warnings(orientation: int) -> tuple[ImageWarning, ...]:
    if orientation in range(2, 9):
        return (
            ImageWarning("orientation_applied", "the image was rotated or mirrored according to its EXIF orientation"),
        )
    return ()
