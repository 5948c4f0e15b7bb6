"""The gray scale of a presentation state: that of the source, as PS3.4 N.2 and PS3.3 C.11 carry it.

A presentation state replaces the transformations of its image, also by leaving them out. It therefore repeats what the
image has and can be used, with one VOI transformation at most, and leaves out what no viewer can use.
"""

import numpy as np
from numpy.typing import NDArray
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from app.dicom_objects.attributes import first_text, items, numbers, text_bytes, texts, words

_LONGEST_DS, _LONGEST_LO = 16, 64
_ALL_ENTRIES, _HALF = 0x10000, 0x8000
_LEAST_LUT_BITS, _MOST_LUT_BITS = 8, 16
_RESCALE_TYPES = frozenset({"OD", "HU", "US", "MGML", "Z_EFF", "ED", "EDW", "HU_MOD", "PCT"})  # PS3.3 C.11.1.1.2
_VOI_FUNCTIONS = frozenset({"LINEAR", "LINEAR_EXACT", "SIGMOID"})
_SHUTTER_SHAPES = {
    "RECTANGULAR": {
        "ShutterLeftVerticalEdge": 1, "ShutterRightVerticalEdge": 1,
        "ShutterUpperHorizontalEdge": 1, "ShutterLowerHorizontalEdge": 1,
    },
    "CIRCULAR": {"CenterOfCircularShutter": 2, "RadiusOfCircularShutter": 1},
}  # fmt: skip
_FEWEST_VERTICES = 3


def copy_grayscale(source: Dataset, state: Dataset) -> None:
    """Set Modality LUT, Softcopy VOI LUT, Presentation LUT and Display Shutter of a presentation state."""
    _copy_modality_lut(source, state)
    _copy_voi(source, state)
    state.PresentationLUTShape = "INVERSE" if _is_inverted(source) else "IDENTITY"
    _copy_shutter(source, state)


def _copy_modality_lut(source: Dataset, state: Dataset) -> None:
    """PS3.3 C.11.1: a table, else slope and intercept where both are there."""
    for item in items(source, "ModalityLUTSequence")[:1]:
        table = _lookup_table(item, signed=_is_signed(source))
        if table is not None:
            table.ModalityLUTType = _short_text(item, "ModalityLUTType") or "US"
            state.ModalityLUTSequence = [table]
            return
    slope, intercept = _decimal(source, "RescaleSlope"), _decimal(source, "RescaleIntercept")
    if slope is not None and intercept is not None and float(slope) != 0:
        kind = first_text(source, "RescaleType")
        state.RescaleSlope, state.RescaleIntercept = slope, intercept
        state.RescaleType = kind if kind in _RESCALE_TYPES else "US"


def _copy_voi(source: Dataset, state: Dataset) -> None:
    """PS3.3 C.11.8: the first table that can be used, else the first window; alternatives are no part of a state."""
    voi = _voi_table(source) or _window(source)
    if voi is not None:
        state.SoftcopyVOILUTSequence = [voi]


def _voi_table(source: Dataset) -> Dataset | None:
    for item in items(source, "VOILUTSequence")[:1]:
        table = _lookup_table(item, signed=_is_signed(source))
        if table is not None:
            voi = Dataset()
            voi.VOILUTSequence = [table]
            return voi
    return None


def _window(source: Dataset) -> Dataset | None:
    center, width = _decimal(source, "WindowCenter"), _decimal(source, "WindowWidth")
    function = first_text(source, "VOILUTFunction").upper()
    narrowest = 1.0 if function in {"", "LINEAR"} else np.nextafter(0, 1)  # PS3.3 C.11.2.1.2, C.11.2.1.3
    if center is None or width is None or float(width) < narrowest:
        return None
    voi = Dataset()
    voi.WindowCenter, voi.WindowWidth = center, width
    if explanation := _short_text(source, "WindowCenterWidthExplanation"):
        voi.WindowCenterWidthExplanation = explanation
    if function in _VOI_FUNCTIONS:
        voi.VOILUTFunction = function
    return voi


def _lookup_table(item: Dataset, *, signed: bool) -> Dataset | None:
    """A lookup table with its values as they are; None where the descriptor does not fit the data (PS3.3 C.11.1.1).

    ``signed`` is the sign of its input, where the encoding of the item does not name it.
    """
    descriptor, entries = words(item, "LUTDescriptor"), words(item, "LUTData")
    if len(descriptor) != 3:
        return None
    count, first, bits = int(descriptor[0]) or _ALL_ENTRIES, int(descriptor[1]), int(descriptor[2])
    if not _LEAST_LUT_BITS <= bits <= _MOST_LUT_BITS or len(entries) not in {count, (count + 1) // 2}:
        return None
    table = Dataset()
    vr = item.get_item(Tag("LUTDescriptor")).VR
    signed = vr == "SS" or (signed and vr != "US")
    values = [int(descriptor[0]), first - _ALL_ENTRIES if signed and first >= _HALF else first, bits]
    if signed:
        values[0] = values[0] - _ALL_ENTRIES if values[0] >= _HALF else values[0]
    table.add(DataElement(Tag("LUTDescriptor"), "SS" if signed else "US", values))
    table.add(DataElement(Tag("LUTData"), "OW", entries.astype("<u2").tobytes()))
    if explanation := _short_text(item, "LUTExplanation"):
        table.LUTExplanation = explanation
    return table


def _is_signed(source: Dataset) -> bool:
    return words(source, "PixelRepresentation")[:1].tolist() == [1]


def _is_inverted(source: Dataset) -> bool:
    """Whether low values are bright, which a state expresses by its Presentation LUT (PS3.3 C.11.6.1.2)."""
    shape = first_text(source, "PresentationLUTShape").upper()
    return first_text(source, "PhotometricInterpretation").upper() == "MONOCHROME1" or shape == "INVERSE"


def _copy_shutter(source: Dataset, state: Dataset) -> None:
    """PS3.3 C.7.6.11: the shapes that are complete."""
    shapes: list[str] = []
    for shape in dict.fromkeys(texts(source, "ShutterShape")):
        edges = {name: numbers(source, name) for name in _SHUTTER_SHAPES.get(shape, {})}
        complete = bool(edges) and all(len(edges[name]) == count for name, count in _SHUTTER_SHAPES[shape].items())
        if shape == "POLYGONAL":
            edges = {"VerticesOfThePolygonalShutter": numbers(source, "VerticesOfThePolygonalShutter")}
            complete = len(*edges.values()) >= 2 * _FEWEST_VERTICES and len(*edges.values()) % 2 == 0
        if complete:
            shapes.append(shape)
            for name, values in edges.items():
                setattr(state, name, [round(value) for value in values])
    if shapes:
        state.ShutterShape = shapes
        shade: NDArray[np.uint16] = words(source, "ShutterPresentationValue")
        state.ShutterPresentationValue = int(shade[0]) if len(shade) == 1 else 0


def _decimal(source: Dataset, keyword: str) -> str | None:
    """The first value of a DS attribute as it is written; None where it is not a finite number."""
    values = numbers(source, keyword)
    text = first_text(source, keyword)
    return text if values and len(text) <= _LONGEST_DS else None


def _short_text(source: Dataset, keyword: str) -> str:
    """The first value of a text attribute where it is ASCII, which all character sets contain; else empty."""
    value = text_bytes(source, keyword) or b""
    longest = 16 if dictionary_VR(Tag(keyword)) in {"CS", "SH"} else _LONGEST_LO
    return first_text(source, keyword)[:longest] if value.isascii() and b"\x1b" not in value else ""
