"""The compressed frame of an object with one frame, read as leniently as viewers do (PS3.5 section A.4).

Offset tables are not needed for one frame and are often wrong, so they are skipped. All fragments belong to the frame.
"""

from app.errors import UnreadableImage
from app.imaging.codestream import END, frame_size

_ITEM = b"\xfe\xff\x00\xe0"
_SEQUENCE_DELIMITER = b"\xfe\xff\xdd\xe0"
_HEADER = 8


def single_frame(pixel_data: bytes) -> bytes:
    """The concatenated fragments after the Basic Offset Table, which can be empty, wrong or missing.

    Raises UnreadableImage where there is no fragment.
    """
    fragments = _fragments(pixel_data)
    if fragments and frame_size(fragments[0]) is None:
        fragments = fragments[1:]
    if not fragments:
        raise UnreadableImage("the pixel data hold no compressed frame")
    return b"".join(fragments)


def without_trailer(codestream: bytes) -> bytes | None:
    """A JPEG, JPEG-LS or JPEG 2000 codestream up to its end marker; None where that is missing."""
    end = codestream.rfind(END)
    return None if end < 0 else codestream[: end + len(END)]


def _fragments(pixel_data: bytes) -> list[bytes]:
    """The values of the items, up to the delimiter or the end of the data."""
    fragments: list[bytes] = []
    position = 0
    while pixel_data[position : position + len(_ITEM)] == _ITEM:
        length = int.from_bytes(pixel_data[position + len(_ITEM) : position + _HEADER], "little")
        fragments.append(pixel_data[position + _HEADER : position + _HEADER + length])
        position += _HEADER + length
    if position < len(pixel_data) and pixel_data[position : position + 4] != _SEQUENCE_DELIMITER:
        raise UnreadableImage("the fragments of the compressed frame are damaged")
    return fragments
