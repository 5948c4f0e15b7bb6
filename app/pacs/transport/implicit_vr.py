"""Explicit to Implicit VR Little Endian, without decoding any value (PS3.5 section 7.1).

pydicom decodes text when it changes the encoding, and replaces bytes that do not match the declared character set. Some
archives accept only Implicit VR, and identifiers must reach them unchanged.
"""

import struct

from pydicom.valuerep import EXPLICIT_VR_LENGTH_32

_ITEM, _ITEM_END, _SEQUENCE_END = (struct.pack("<HH", 0xFFFE, element) for element in (0xE000, 0xE00D, 0xE0DD))
_UNDEFINED = 0xFFFFFFFF


def as_implicit_vr(data_set: bytes) -> bytes:
    """The data set in Implicit VR Little Endian; it is given in Explicit VR Little Endian, without meta group.

    Raises ValueError if it is compressed or truncated.
    """
    try:
        converted, _ = _data_set(data_set, 0, len(data_set))
    except struct.error:
        raise ValueError("the data set is truncated") from None
    return converted


def _data_set(source: bytes, start: int, end: int) -> tuple[bytes, int]:
    """The converted elements up to ``end`` or an item delimiter, and the position behind them."""
    converted = bytearray()
    while start < end:
        tag = source[start : start + 4]
        if tag == _ITEM_END:
            return bytes(converted), start + 8
        vr = source[start + 4 : start + 6].decode("ascii", "replace")
        if vr in EXPLICIT_VR_LENGTH_32:
            (length,) = struct.unpack_from("<L", source, start + 8)
            start += 12
        else:
            (length,) = struct.unpack_from("<H", source, start + 6)
            start += 8
        if vr == "SQ":
            value, start = _sequence(source, start, length)
        elif length == _UNDEFINED or start + length > end:
            raise ValueError("the data set is compressed, or truncated")
        else:
            value, start = source[start : start + length], start + length
        converted += tag + struct.pack("<L", len(value)) + value
    return bytes(converted), start


def _sequence(source: bytes, start: int, length: int) -> tuple[bytes, int]:
    """The converted items of a sequence, all of defined length, and the position behind them."""
    end = len(source) if length == _UNDEFINED else start + length
    items = bytearray()
    while start < end:
        tag, (size,) = source[start : start + 4], struct.unpack_from("<L", source, start + 4)
        start += 8
        if tag == _SEQUENCE_END:
            break
        value, start = _data_set(source, start, len(source) if size == _UNDEFINED else start + size)
        items += _ITEM + struct.pack("<L", len(value)) + value
    return bytes(items), start
