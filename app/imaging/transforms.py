"""The grayscale transformations of a data set: from its attributes to the types of ``app.imaging.grayscale``."""

from collections.abc import Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from app.imaging.grayscale import LookupTable, Rescale, VoiFunction, Window

_VOI_FUNCTIONS: dict[str, VoiFunction] = {
    "LINEAR": "LINEAR",
    "LINEAR_EXACT": "LINEAR_EXACT",
    "SIGMOID": "SIGMOID",
}
_HALF_OF_16_BIT = 0x8000


def modality_transform(dataset: Dataset) -> Rescale | LookupTable:
    """Modality LUT Sequence, else Rescale Slope and Intercept, else identity (PS3.3 C.11.1)."""
    table = _first_item(dataset, "ModalityLUTSequence")
    if table is not None:
        return _lookup_table(table, signed=_is_signed(dataset))
    slope = _first_number(dataset, "RescaleSlope")
    intercept = _first_number(dataset, "RescaleIntercept")
    # A slope of 0 would erase the image; some devices write 0 for "none".
    return Rescale(slope or 1.0, intercept or 0.0)


def voi_transform(dataset: Dataset) -> Window | LookupTable | None:
    """The first VOI LUT, else the first window, else None (PS3.3 C.11.2.1.1: alternatives; the first is the default).

    The window can be invalid; see ``Window.is_valid``.
    """
    table = _first_item(dataset, "VOILUTSequence")
    if table is not None:
        # Its input is the output of the modality step, which is signed with a negative intercept.
        negative = (_first_number(dataset, "RescaleIntercept") or 0.0) < 0
        return _lookup_table(table, signed=_is_signed(dataset) or negative)
    center = _first_number(dataset, "WindowCenter")
    width = _first_number(dataset, "WindowWidth")
    if center is None or width is None:
        return None
    function = str(dataset.get("VOILUTFunction") or "LINEAR").strip().upper()
    return Window(center, width, _VOI_FUNCTIONS.get(function, "LINEAR"))


def is_inverted(dataset: Dataset) -> bool:
    """Whether low values are displayed bright: MONOCHROME1 or Presentation LUT Shape INVERSE.

    Both mean the same and occur together in DX objects (PS3.3 C.8.11.3.1.2), so both at once invert once.
    """
    shape = str(dataset.get("PresentationLUTShape") or "").strip().upper()
    photometric = str(dataset.get("PhotometricInterpretation") or "").strip().upper()
    return photometric == "MONOCHROME1" or shape == "INVERSE"


def padding_range(dataset: Dataset) -> tuple[int, int] | None:
    """Lowest and highest stored value of padding (PS3.3 C.7.5.1.1.2); None without padding."""
    value = _integer(dataset, "PixelPaddingValue")
    if value is None:
        return None
    limit = _integer(dataset, "PixelPaddingRangeLimit")
    other = value if limit is None else limit
    return min(value, other), max(value, other)


def _lookup_table(item: Dataset, *, signed: bool) -> LookupTable:
    """A LUT from its Descriptor (number of entries with 0 for 65536, first input, bits) and Data (PS3.3 C.11.1.1)."""
    count, first, bits = (int(number) for number in item["LUTDescriptor"].value)
    if signed and first >= _HALF_OF_16_BIT:
        first -= 2 * _HALF_OF_16_BIT
    count = (count & 0xFFFF) or 2 * _HALF_OF_16_BIT
    entries = _lut_data(item["LUTData"].value, count, little_endian=bool(item.original_encoding[1]))
    if not 1 <= bits <= 16 or len(entries) != count:
        raise ValueError("the descriptor of a lookup table does not match its data")
    return LookupTable(first, bits, entries.astype(np.float64))


def _lut_data(value: bytes | int | Sequence[int], count: int, *, little_endian: bool) -> NDArray[np.uint16]:
    """Entries [count] of LUT Data: OW bytes, US numbers, or 8-bit entries packed two to a word."""
    if isinstance(value, bytes):
        words = np.frombuffer(value, dtype="<u2" if little_endian else ">u2").astype(np.uint16)
    else:
        numbers = [value] if isinstance(value, int) else list(value)
        words = np.array(numbers, dtype=np.int64).astype(np.uint16)
    if len(words) == (count + 1) // 2 and count > 1:
        words = np.frombuffer(words.astype("<u2").tobytes(), dtype=np.uint8).astype(np.uint16)
    return words[:count]


def _first_item(dataset: Dataset, keyword: str) -> Dataset | None:
    sequence: Sequence[Dataset] = dataset.get(keyword) or ()
    return sequence[0] if sequence else None


def _first_number(dataset: Dataset, keyword: str) -> float | None:
    value = cast(object, dataset.get(keyword))
    if isinstance(value, MultiValue):
        value = next(iter(cast("MultiValue[object]", value)), None)
    return None if value is None or value == "" else float(str(value))


def _integer(dataset: Dataset, keyword: str) -> int | None:
    number = _first_number(dataset, keyword)
    return None if number is None else int(number)


def _is_signed(dataset: Dataset) -> bool:
    return dataset.get("PixelRepresentation") == 1
