"""No value of any attribute of a radiograph keeps its results from being made, and identifiers stay as they are."""

import struct
from io import BytesIO

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom._dicom_dict import DicomDictionary
from pydicom.tag import Tag

from app.dicom_objects.source_image import read_source
from app.imaging.dicom.file import silence
from app.imaging.radiograph import DecodeLimits
from tests.factories import chest_dicom
from tests.unit.dicom_objects.reports import all_objects

FEW, MANY = 200, 20_000
NOT_EXPLAINED = (Phase.reuse, Phase.generate, Phase.shrink)
GROUPS = (0x0008, 0x0010, 0x0012, 0x0018, 0x0020, 0x0028, 0x0032, 0x0040, 0x2050)
SIZE = (Tag("Rows"), Tag("Columns"))  # a report needs them, and so does decoding, before it
REFERRED = tuple(Tag(f"{level}UID") for level in ("StudyInstance", "SeriesInstance", "SOPInstance", "SOPClass"))
ATTRIBUTES = {
    tag: vr
    for tag, (vr, *_) in DicomDictionary.items()
    if tag >> 16 in GROUPS and tag & 0xFFFF and tag not in {*SIZE, *REFERRED} and " " not in vr and vr != "NONE"
}
CHARACTER_SET = int(Tag("SpecificCharacterSet"))
IDENTIFIERS = tuple(
    Tag(name)
    for name in ("PatientID", "PatientName", "AccessionNumber", "StudyInstanceUID", "StudyID", "PatientBirthDate")
)
COPIED = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "PatientAge", "PatientWeight", "StudyDate",
    "StudyTime", "AccessionNumber", "StudyID", "SpecificCharacterSet", "TimezoneOffsetFromUTC", "PatientOrientation",
    "WindowCenter", "WindowWidth", "RescaleSlope", "RescaleIntercept", "VOILUTFunction", "VOILUTSequence",
    "ModalityLUTSequence", "PixelSpacing", "PixelAspectRatio", "PresentationLUTShape", "ShutterShape",
    "ShutterLeftVerticalEdge", "LossyImageCompression", "LossyImageCompressionRatio", "OtherPatientIDsSequence",
    "ReferencedRequestSequence",
)  # fmt: skip
VALUES = st.one_of(
    st.sampled_from([b"", b"U", b"00000000", b"93000", b"Doe\\John", b"\x01\x02\x03", b"NaN", b"1e999", b"LEFT\\FOOT"]),
    st.sampled_from([b"ISO_IR 203", b"\\ISO 2022 IR 87", b"M\xfcller", b"-9999", b"CIRCULAR\\RECTANGULAR", b"0\\0"]),
    st.from_regex(rb"[0-9.eE+\\ -]{1,20}", fullmatch=True),
    st.binary(max_size=40),
)


def element(tag: int, vr: str, value: bytes) -> bytes:
    """Explicit VR Little Endian, whatever the value, and without padding."""
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr.encode()
    if vr in {"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"}:
        return head + struct.pack("<HL", 0, len(value)) + value
    return head + struct.pack("<H", len(value)) + value


def elements_of(film: bytes) -> tuple[bytes, dict[int, bytes]]:
    """The head of a file, and its elements by tag."""
    dataset = dcmread(BytesIO(film))
    start = film.index(struct.pack("<HH", 0x0008, 0x0016))
    raw = [dataset.get_item(tag) for tag in dataset.keys()]  # noqa: SIM118 - iterating a data set decodes its values
    encoded = {int(item.tag): element(int(item.tag), item.VR, item.value) for item in raw}
    return film[:start], encoded


HEAD, ELEMENTS = elements_of(chest_dicom(AccessionNumber="A1", StudyID="S1", PatientBirthDate="19700101"))


def film_with(changes: dict[int, tuple[str, bytes]]) -> bytes:
    encoded = ELEMENTS | {tag: element(tag, vr, value) for tag, (vr, value) in changes.items()}
    return HEAD + b"".join(encoded[tag] for tag in sorted(encoded))


def changes_of(tags: list[int]) -> st.SearchStrategy[dict[int, tuple[str, bytes]]]:
    """Some attributes with any value, mostly in their own VR."""

    def value(tag: int) -> st.SearchStrategy[tuple[str, bytes]]:
        own = ATTRIBUTES[tag]
        if tag == CHARACTER_SET:  # pydicom cannot read a file where this is no text
            return st.tuples(st.just(own), VALUES)
        return st.tuples(st.sampled_from([own, own, own, "UN", "US", "SQ", "LO"]), VALUES)

    return st.lists(st.sampled_from(tags), min_size=1, max_size=3, unique=True).flatmap(
        lambda chosen: st.fixed_dictionaries({tag: value(tag) for tag in chosen})
    )


ANY = st.one_of(changes_of(sorted(ATTRIBUTES)), changes_of([int(Tag(name)) for name in COPIED]))


def check(changes: dict[int, tuple[str, bytes]]) -> None:
    film = film_with(changes)
    with silence():
        source = read_source(film, DecodeLimits())
        for made in all_objects(film).values():
            written = dcmread(BytesIO(made))
            for tag in IDENTIFIERS:
                original, copy = source.get_item(tag), written.get_item(tag)
                if original.VR in {"LO", "SH", "PN", "UI", "DA", "UN"}:
                    assert (copy.value or b"").rstrip(b" \0") == (original.value or b"").rstrip(b" \0")


@given(ANY)
@settings(max_examples=FEW, phases=NOT_EXPLAINED, suppress_health_check=[HealthCheck.too_slow])
def test_any_value_of_any_attribute_leaves_all_objects_possible(changes):
    check(changes)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@given(ANY)
@settings(max_examples=MANY, phases=NOT_EXPLAINED, suppress_health_check=[HealthCheck.too_slow])
def test_many_values_of_any_attribute_leave_all_objects_possible(changes):
    check(changes)
