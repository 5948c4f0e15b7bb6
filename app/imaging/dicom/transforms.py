"""The grayscale transformations of a data set: from its attributes to the types of ``app.imaging.grayscale``."""

from typing import cast

import numpy as np
from numpy.typing import NDArray
from pydicom.tag import Tag

from app.imaging.dicom.attributes import Attributes
from app.imaging.grayscale import LookupTable, Rescale, VoiFunction, Window

_VOI_FUNCTIONS: dict[str, VoiFunction] = {
    "LINEAR": "LINEAR",
    "LINEAR_EXACT": "LINEAR_EXACT",
    "SIGMOID": "SIGMOID",
}
_WORDS = 0x10000  # values of 16 bits
_LUT_DATA = Tag("LUTData")


def modality_transform(attributes: Attributes) -> Rescale | LookupTable:
    """Modality LUT Sequence, else Rescale Slope and Intercept, else identity (PS3.3 C.11.1)."""
    table = _first_table(attributes, "ModalityLUTSequence", signed=_is_signed(attributes))
    if table is not None:
        return table
    # A slope of 0 would erase the image; some devices write 0 for "none".
    return Rescale(attributes.number("RescaleSlope") or 1.0, attributes.number("RescaleIntercept") or 0.0)


def voi_transform(attributes: Attributes) -> Window | LookupTable | None:
    """The first VOI LUT, else the first window, else None (PS3.3 C.11.2.1.1: alternatives; the first is the default).

    The window can be invalid; see ``Window.is_valid``.
    """
    # The input is the output of the modality step, which is signed with a negative intercept.
    negative = (attributes.number("RescaleIntercept") or 0.0) < 0
    table = _first_table(attributes, "VOILUTSequence", signed=_is_signed(attributes) or negative)
    if table is not None:
        return table
    centers, widths = attributes.numbers("WindowCenter"), attributes.numbers("WindowWidth")
    if not centers or not widths:
        return None
    return Window(centers[0], widths[0], _voi_function(attributes))


def is_inverted(attributes: Attributes) -> bool:
    """Whether low values are displayed bright: MONOCHROME1 or Presentation LUT Shape INVERSE.

    Both mean the same and occur together in DX objects (PS3.3 C.8.11.3.1.2), so both at once invert once.
    """
    photometric = attributes.text("PhotometricInterpretation").upper()
    return photometric == "MONOCHROME1" or attributes.text("PresentationLUTShape").upper() == "INVERSE"


def padding_range(attributes: Attributes) -> tuple[int, int] | None:
    """Lowest and highest stored value of padding (PS3.3 C.7.5.1.1.2); None without padding.

    The values are interpreted by Pixel Representation, also where their own value representation differs.
    """
    value = attributes.integer("PixelPaddingValue")
    if value is None:
        return None
    limit = attributes.integer("PixelPaddingRangeLimit")
    ends = [_as_stored(attributes, end) for end in (value, value if limit is None else limit)]
    return min(ends), max(ends)


def _as_stored(attributes: Attributes, value: int) -> int:
    """A value of 16 bits in the range of stored values: signed or unsigned as the pixels are."""
    if not _is_signed(attributes):
        return value + (1 << (attributes.integer("BitsAllocated") or 16)) if -_WORDS // 2 <= value < 0 else value
    span = 1 << (attributes.integer("BitsStored") or 16)
    if value >= _WORDS // 2:
        value -= _WORDS
    return value - span if span // 2 <= value < span else value


def _voi_function(attributes: Attributes) -> VoiFunction:
    name = attributes.text("VOILUTFunction").upper()
    if name and name not in _VOI_FUNCTIONS:
        attributes.ignore("VOILUTFunction")
    return _VOI_FUNCTIONS.get(name, "LINEAR")


def _first_table(attributes: Attributes, keyword: str, *, signed: bool) -> LookupTable | None:
    """The table of the first item of a sequence; None where there is none or it is malformed."""
    items = attributes.items(keyword)
    if not items:
        return None
    table = _lookup_table(items[0], signed=signed)
    if table is None:
        attributes.ignore(keyword)
    return table


def _lookup_table(item: Attributes, *, signed: bool) -> LookupTable | None:
    """A LUT from its Descriptor (number of entries with 0 for 65536, first input, bits) and Data (PS3.3 C.11.1.1)."""
    descriptor = [int(number) for number in item.numbers("LUTDescriptor")]
    if len(descriptor) != 3:
        return None
    count, first, bits = descriptor
    first = first - _WORDS if signed and first >= _WORDS // 2 else first if signed else first % _WORDS
    count = count % _WORDS or _WORDS
    entries = _lut_data(item, count)
    if not 1 <= bits <= 16 or len(entries) != count:
        return None
    return LookupTable(first, bits, entries.astype(np.float64))


def _lut_data(item: Attributes, count: int) -> NDArray[np.uint16]:
    """Entries of LUT Data, ``count`` of them if the data suffice: words, or 8-bit entries packed two to a word."""
    value = cast(object, item.dataset.get_item(_LUT_DATA).value) if _LUT_DATA in item.dataset else b""
    if isinstance(value, bytes):
        order = "<u2" if item.is_little_endian else ">u2"
        words = np.frombuffer(value[: len(value) // 2 * 2], dtype=order).astype(np.uint16)
    else:
        words = np.array(item.numbers("LUTData"), dtype=np.int64).astype(np.uint16)
    if len(words) == (count + 1) // 2 and count > 1:
        words = np.frombuffer(words.astype("<u2").tobytes(), dtype=np.uint8).astype(np.uint16)
    return words[:count]


def _is_signed(attributes: Attributes) -> bool:
    return attributes.integer("PixelRepresentation") == 1
