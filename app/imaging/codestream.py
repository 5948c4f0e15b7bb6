"""The size of a compressed frame, read from its header without decoding it."""

from dataclasses import dataclass

_J2K_START = b"\xff\x4f\xff\x51"  # SOC and SIZ: ISO 15444-1 section A.4.1, A.5.1
_JPEG_START = b"\xff\xd8"
END = b"\xff\xd9"
"""EOC of JPEG 2000, EOI of JPEG and JPEG-LS."""
_JP2_HEADER_SEARCHED = 4096
_STANDALONE_MARKERS = frozenset({0x01, *range(0xD0, 0xD8)})
# SOF0…SOF15 without DHT, JPG and DAC (ISO 10918-1 table B.1), and SOF55 of JPEG-LS (ISO 14495-1 table C.1).
_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}


@dataclass(frozen=True)
class FrameSize:
    """Rows, columns and samples per pixel in a frame's own header."""

    rows: int
    columns: int
    samples: int


def jpeg_size(data: bytes) -> FrameSize | None:
    """The size in a JPEG or JPEG-LS stream's frame header; None where there is none (ISO 10918-1 section B.2.2)."""
    position = len(_JPEG_START)
    while position + 10 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
        elif marker in _STANDALONE_MARKERS:
            position += 2
        elif marker in _FRAME_MARKERS:
            rows = int.from_bytes(data[position + 5 : position + 7], "big")
            columns = int.from_bytes(data[position + 7 : position + 9], "big")
            return FrameSize(rows, columns, data[position + 9])
        else:
            position += 2 + max(2, int.from_bytes(data[position + 2 : position + 4], "big"))
    return None


def j2k_size(data: bytes) -> FrameSize | None:
    """The size in the SIZ segment of a JPEG 2000 codestream, bare or in a JP2 file (ISO 15444-1 section A.5.1)."""
    start = data.find(_J2K_START, 0, _JP2_HEADER_SEARCHED)
    if start < 0 or len(data) < start + 42:
        return None
    width, height, left, top = (int.from_bytes(data[at : at + 4], "big") for at in range(start + 8, start + 24, 4))
    return FrameSize(height - top, width - left, int.from_bytes(data[start + 40 : start + 42], "big"))


def frame_size(data: bytes) -> FrameSize | None:
    """The size in the header of a JPEG, JPEG-LS or JPEG 2000 frame; None for other bytes."""
    return jpeg_size(data) if data.startswith(_JPEG_START) else j2k_size(data)
