"""PNG and JPEG files reduced to the parts that determine their pixels.

Text, previews, colour profiles and other ancillary data are dropped before decoding, however large or damaged they are.
Only the EXIF orientation and the proportions of a pixel are kept.
"""

from dataclasses import dataclass
from io import BytesIO

from PIL import Image, ImageFile

from app.imaging.square_pixels import LARGEST_ASPECT

_PNG_SIGNATURE = 8
_PNG_FRAME = 12  # length, type and checksum of a chunk
_PNG_KEPT = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})
_LARGEST_EXIF = 1 << 16
_EXIF_PREFIX = b"Exif\0\0"
_EXIF_ORIENTATION = 0x0112  # Exif 2.32 section 4.6.4
_UPRIGHT = 1
# APP1 … APP15 and COM, without APP14, which names the colour transformation (ISO 10918-1 table B.1).
_JPEG_DROPPED = frozenset(range(0xE1, 0xF0)) - {0xEE} | {0xFE}
_JPEG_EXIF = 0xE1
_JPEG_SCAN = 0xDA
_JPEG_STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})


@dataclass(frozen=True)
class Essentials:
    """A file without ancillary data, and what the ancillary data say.

    ``orientation`` is that of EXIF, 1 where none is readable; ``aspect`` is the height of a pixel divided by its width.
    """

    data: bytes
    orientation: int = _UPRIGHT
    is_animated: bool = False
    aspect: float = 1.0


def png_essentials(data: bytes) -> Essentials:
    """The critical chunks of a PNG file and its transparency (PNG, third edition, section 5.6)."""
    kept = [data[:_PNG_SIGNATURE]]
    orientation, is_animated, aspect = _UPRIGHT, False, 1.0
    position = _PNG_SIGNATURE
    while position + _PNG_FRAME <= len(data):
        length, kind = int.from_bytes(data[position : position + 4], "big"), data[position + 4 : position + 8]
        end = position + _PNG_FRAME + length
        if kind in _PNG_KEPT:
            kept.append(data[position:end])
        elif kind == b"eXIf" and length <= _LARGEST_EXIF:
            orientation = _orientation(_EXIF_PREFIX + data[position + 8 : end - 4])
        elif kind == b"pHYs":
            aspect = _aspect(data[position + 8 : position + 16])
        elif kind == b"acTL":
            is_animated = int.from_bytes(data[position + 8 : position + 12], "big") > 1
        if kind == b"IEND":
            break
        position = end
    return Essentials(b"".join(kept), orientation, is_animated, aspect)


def jpeg_essentials(data: bytes) -> Essentials:
    """The segments of a JPEG file that decoding needs (ISO 10918-1 section B.2)."""
    kept = [data[:2]]
    orientation = _UPRIGHT
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        if marker == _JPEG_SCAN:
            break
        length = 0 if marker in _JPEG_STANDALONE else int.from_bytes(data[position + 2 : position + 4], "big")
        segment = data[position : position + 2 + length]
        if marker == _JPEG_EXIF and segment[4:].startswith(_EXIF_PREFIX):
            orientation = _orientation(segment[4:])
        if marker not in _JPEG_DROPPED:
            kept.append(segment)
        position += len(segment)
    return Essentials(b"".join([*kept, data[position:]]), orientation)


def _aspect(densities: bytes) -> float:
    """Height of a pixel divided by its width, by the pixels per unit along x and y (PNG, third edition, 11.3.4.3)."""
    along_x, along_y = int.from_bytes(densities[:4], "big"), int.from_bytes(densities[4:], "big")
    is_usable = min(along_x, along_y) > 0 and max(along_x, along_y) <= LARGEST_ASPECT * min(along_x, along_y)
    return along_x / along_y if is_usable else 1.0


def _orientation(exif: bytes) -> int:
    """The orientation of an EXIF block; 1 where it is absent or unreadable."""
    block = Image.Exif()
    try:
        block.load(exif)
        value = block.get(_EXIF_ORIENTATION, _UPRIGHT)
    except Exception:  # noqa: BLE001 - Pillow raises many kinds of errors, and the block is ancillary
        return _UPRIGHT
    return value if isinstance(value, int) else _UPRIGHT


def opened(essentials: Essentials, kind: str) -> ImageFile.ImageFile:
    """Open a reduced file in Pillow. Raises what Pillow raises on damaged files."""
    return Image.open(BytesIO(essentials.data), formats=[kind])
