"""Detect the format of an image file from its bytes alone: a declared content type is never trusted."""

from app.errors import UnreadableImage
from app.imaging.radiograph import ImageFormat

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_JPEG_SIGNATURE = b"\xff\xd8\xff"
_DICOM_PREFIX = b"DICM"
PREAMBLE_LENGTH = 128

# First bytes of a data set without preamble: group 0002 or 0008 and a low element number. Big endian has no group 0002,
# because PS3.10 section 7.1 fixes the file meta information to little endian.
_BARE_STARTS = (b"\x02\x00", b"\x08\x00", b"\x00\x08")
_BARE_MINIMUM = 12


def sniff(data: bytes) -> ImageFormat:
    """The format of an image file. Raises UnreadableImage unless it is DICOM, PNG or JPEG.

    DICOM is checked first, because its preamble can hold the start of another format (PS3.10 section 7.1).
    """
    if has_preamble(data):
        return "dicom"
    if data.startswith(_PNG_SIGNATURE):
        return "png"
    if data.startswith(_JPEG_SIGNATURE):
        return "jpeg"
    if _starts_like_bare_data_set(data):
        return "dicom"
    raise UnreadableImage("the file is neither DICOM, PNG nor JPEG; only these are accepted")


def has_preamble(data: bytes) -> bool:
    """Whether the file starts with a preamble of 128 bytes and the prefix DICM (PS3.10 section 7.1)."""
    return data[PREAMBLE_LENGTH : PREAMBLE_LENGTH + len(_DICOM_PREFIX)] == _DICOM_PREFIX


def _starts_like_bare_data_set(data: bytes) -> bool:
    if len(data) < _BARE_MINIMUM or not data.startswith(_BARE_STARTS):
        return False
    element = data[2:4]
    return 0 in element and max(element) < 0x80  # elements of these groups are below 0x80, or end in 00
