"""Radiographs with any value in any attribute: valid, malformed, of another value representation, of odd length."""

import struct
from collections.abc import Sequence
from io import BytesIO

from hypothesis import strategies as st
from pydicom import dcmread
from pydicom._dicom_dict import DicomDictionary
from pydicom.tag import Tag

from tests.factories import chest_dicom

Changes = dict[int, tuple[str, bytes]]
"""Value representation and bytes by tag."""

_GROUPS = (0x0008, 0x0010, 0x0012, 0x0018, 0x0020, 0x0028, 0x0032, 0x0040, 0x2050)
_LONG_VRS = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"})
ATTRIBUTES = {
    tag: vr.split(" or ")[0]
    for tag, (vr, *_) in DicomDictionary.items()
    if tag >> 16 in _GROUPS and tag & 0xFFFF and vr != "NONE"
}
"""The attributes of patient, study, series, equipment and image, and their value representations."""

CONSEQUENTIAL = tuple(
    int(Tag(name))
    for name in (
        "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "PatientAge", "PatientWeight", "StudyDate",
        "StudyTime", "AccessionNumber", "StudyID", "SpecificCharacterSet", "TimezoneOffsetFromUTC",
        "PatientOrientation", "WindowCenter", "WindowWidth", "RescaleSlope", "RescaleIntercept", "VOILUTFunction",
        "VOILUTSequence", "ModalityLUTSequence", "PixelSpacing", "PixelAspectRatio", "PresentationLUTShape",
        "ShutterShape", "ShutterLeftVerticalEdge", "LossyImageCompression", "LossyImageCompressionRatio",
        "OtherPatientIDsSequence", "ReferencedRequestSequence",
    )
)  # fmt: skip
"""Attributes that are copied to results, or that results depend on."""

DECISIVE = tuple(
    int(Tag(name))
    for name in (
        "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel",
        "PhotometricInterpretation", "PlanarConfiguration", "NumberOfFrames", "Modality", "BodyPartExamined",
        "ViewPosition", "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID",
        "SpecificCharacterSet",
    )
)  # fmt: skip
"""Attributes whose value can make a radiograph unacceptable."""

_VALUES = st.one_of(
    st.sampled_from([b"", b"U", b"00000000", b"93000", b"Doe\\John", b"\x01\x02\x03", b"NaN", b"1e999", b"LEFT\\FOOT"]),
    st.sampled_from([b"ISO_IR 203", b"\\ISO 2022 IR 87", b"M\xfcller", b"-9999", b"CIRCULAR\\RECTANGULAR", b"0\\0"]),
    st.from_regex(rb"[0-9.eE+\\ -]{1,20}", fullmatch=True),
    st.binary(max_size=40),
)
_OTHER_VRS = ("UN", "US", "SQ", "LO", "OB", "DS")


def changes_of(tags: Sequence[int]) -> st.SearchStrategy[Changes]:
    """One to three of the attributes with any value, mostly in their own value representation."""

    def value(tag: int) -> st.SearchStrategy[tuple[str, bytes]]:
        own = ATTRIBUTES[tag]
        return st.tuples(st.sampled_from([own] * len(_OTHER_VRS) + list(_OTHER_VRS)), _VALUES)

    return st.lists(st.sampled_from(tags), min_size=1, max_size=3, unique=True).flatmap(
        lambda chosen: st.fixed_dictionaries({tag: value(tag) for tag in chosen})
    )


def film_with(changes: Changes) -> bytes:
    """A chest radiograph of 113 × 127 pixels with other values, in order of their tags."""
    encoded = _ELEMENTS | {tag: _element(tag, vr, value) for tag, (vr, value) in changes.items()}
    return _HEAD + b"".join(encoded[tag] for tag in sorted(encoded))


def dataset_with(changes: Changes) -> bytes:
    """The data set of ``film_with``, without the file meta information."""
    return film_with(changes)[len(_HEAD) :]


def _element(tag: int, vr: str, value: bytes) -> bytes:
    """An element in Explicit VR Little Endian with any value, without padding."""
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr.encode()
    if vr in _LONG_VRS:
        return head + struct.pack("<HL", 0, len(value)) + value
    return head + struct.pack("<H", len(value)) + value


def _elements_of(film: bytes) -> tuple[bytes, dict[int, bytes]]:
    """The head of a file, and its elements by tag."""
    dataset = dcmread(BytesIO(film))
    start = film.index(struct.pack("<HH", 0x0008, 0x0016))
    raw = [dataset.get_item(tag) for tag in dataset.keys()]  # noqa: SIM118 - iterating a data set decodes its values
    return film[:start], {int(item.tag): _element(int(item.tag), item.VR, item.value) for item in raw}


_HEAD, _ELEMENTS = _elements_of(chest_dicom(AccessionNumber="A1", StudyID="S1", PatientBirthDate="19700101"))
