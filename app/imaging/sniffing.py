"""Which format bytes are in, judged by the bytes alone: what a caller declares is never trusted."""

from app.errors import UnreadableImage
from app.imaging.radiograph import ImageFormat

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_JPEG_SIGNATURE = b"\xff\xd8\xff"
_DICOM_PREFIX = b"DICM"
PREAMBLE_LENGTH = 128

# What a data set without preamble starts with: group 0002 or 0008, a low element number. Big endian has no group 0002,
# because PS3.10 section 7.1 fixes the meta group to little endian.
_BARE_STARTS = (b"\x02\x00", b"\x08\x00", b"\x00\x08")
_BARE_MINIMUM = 12


def sniff(data: bytes) -> ImageFormat:
    """The format of an image file. Raises UnreadableImage where it is neither DICOM, PNG nor JPEG.

    DICOM is tried first, because its preamble may hold the start of another format (PS3.10 section 7.1).
    """
    if has_preamble(data):
        return "dicom"
    if data.startswith(_PNG_SIGNATURE):
        return "png"
    if data.startswith(_JPEG_SIGNATURE):
        return "jpeg"
    if _starts_like_bare_data_set(data):
        return "dicom"
    raise UnreadableImage("the bytes are neither DICOM, PNG nor JPEG; one of these is accepted")


def has_preamble(data: bytes) -> bool:
    """Whether the 128 bytes of preamble and the prefix DICM come first (PS3.10 section 7.1)."""
    return data[PREAMBLE_LENGTH : PREAMBLE_LENGTH + len(_DICOM_PREFIX)] == _DICOM_PREFIX


def _starts_like_bare_data_set(data: bytes) -> bool:
    if len(data) < _BARE_MINIMUM or not data.startswith(_BARE_STARTS):
        return False
    element = data[2:4]
    return 0 in element and max(element) < 0x80  # elements of these groups are below 0x80, or end in 00
