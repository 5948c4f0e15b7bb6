"""Attributes of the source are copied byte for byte, whatever their character set."""

import struct
from io import BytesIO

import pytest
from pydicom import dcmread
from pydicom.tag import Tag

from app.dicom_objects.attributes import items, numbers, texts, words
from app.dicom_objects.source_image import read_source
from app.errors import NoSourceObject
from app.imaging.dicom.file import silence
from app.imaging.radiograph import DecodeLimits
from tests.factories import chest_dataset, chest_dicom, write_dicom
from tests.unit.dicom_objects.reports import all_objects
from tests.unit.dicom_objects.test_any_attribute import film_with

KINDS = ("sr", "sc", "gsps")
TEXTS = {
    "Latin 1": (b"ISO_IR 100", "Müller^Jürgen".encode("latin-1")),
    "Latin 9": (b"ISO_IR 203", "Šimek^Œuvre€".encode("iso8859-15")),
    "declared UTF-8, written Latin 1": (b"ISO_IR 192", "Müller^Jürgen".encode("latin-1")),
    "declared Latin 1, written UTF-8": (b"ISO_IR 100", "Müller^Jürgen".encode()),
    "UTF-8": (b"ISO_IR 192", "Ξένος^Ζωή".encode()),
    "Cyrillic": (b"ISO_IR 144", "Жук^Анна".encode("iso8859-5")),
    "Greek": (b"ISO_IR 126", "Ξένος^Ζωή".encode("iso8859-7")),
    "Thai": (b"ISO_IR 166", "สมชาย".encode("tis-620")),
    "Chinese": (b"GB18030", "王^小东".encode("gb18030")),
    "Korean with escapes": (b"\\ISO 2022 IR 149", b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7"),
    "Japanese with escapes": (b"\\ISO 2022 IR 87", b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B"),
    "escapes without a declaration": (None, b"\x1b$B;3ED\x1b(B"),
    "no declaration": (None, "Müller".encode("latin-1")),
    "an unknown term": (b"LATIN-1", "Müller".encode("latin-1")),
}


def copied(made: bytes, keyword: str | int) -> bytes | None:
    with silence():
        dataset = dcmread(BytesIO(made))
    return dataset.get_item(Tag(keyword)).value if Tag(keyword) in dataset else None


def character_set(made: bytes) -> list[str]:
    with silence():
        return texts(dcmread(BytesIO(made)), "SpecificCharacterSet")


@pytest.mark.parametrize("name", TEXTS)
def test_names_and_identifiers_keep_their_bytes_and_character_set(name):
    terms, text = TEXTS[name]
    changes = {
        int(Tag("PatientName")): ("PN", text + b" " * (len(text) % 2)),
        int(Tag("PatientID")): ("LO", text + b" " * (len(text) % 2)),
        int(Tag("AccessionNumber")): ("SH", text[:16] + b" " * (len(text[:16]) % 2)),
    }
    declaration = {} if terms is None else {int(Tag("SpecificCharacterSet")): ("CS", terms + b" " * (len(terms) % 2))}
    for made in all_objects(film_with(changes | declaration)).values():
        for tag, (_, value) in changes.items():
            assert copied(made, tag).rstrip() == value.rstrip()
        assert character_set(made) == ([] if terms is None else terms.decode().split("\\"))


def test_an_unknown_character_set_is_left_out_where_all_bytes_are_ascii():
    for made in all_objects(chest_dicom(SpecificCharacterSet="ISO_IR 999", PatientName="Plain^Name")).values():
        assert copied(made, "SpecificCharacterSet") is None
        assert copied(made, "PatientName").rstrip() == b"Plain^Name"


def test_contradicting_character_sets_are_reduced_to_the_one_that_was_used():
    film = chest_dicom(SpecificCharacterSet=["ISO_IR 192", "ISO 2022 IR 87"], PatientName="山田^太郎")
    for made in all_objects(film).values():
        assert character_set(made) == ["ISO_IR 192"]
        assert copied(made, "PatientName").rstrip() == "山田^太郎".encode()


@pytest.mark.parametrize(
    ("keyword", "vr", "value"),
    [
        ("PatientSex", "CS", b"U "),
        ("PatientBirthDate", "DA", b"00000000"),
        ("StudyTime", "TM", b"93000 "),
        ("PatientName", "PN", b"Doe\\John"),
        ("StudyInstanceUID", "UI", b"1.2.03"),
    ],
)
def test_invalid_identifying_values_are_copied_as_they_are(keyword, vr, value):
    for made in all_objects(film_with({int(Tag(keyword)): (vr, value)})).values():
        assert copied(made, keyword).rstrip(b" \0") == value.rstrip()


@pytest.mark.parametrize(("keyword", "vr", "value"), [("PatientAge", "AS", b"45"), ("PatientWeight", "DS", b"heavy ")])
def test_invalid_optional_values_are_left_out(keyword, vr, value):
    for made in all_objects(film_with({int(Tag(keyword)): (vr, value)})).values():
        assert copied(made, keyword) is None


def test_items_of_sequences_keep_their_bytes():
    dataset = chest_dataset(SpecificCharacterSet="ISO_IR 100")
    other = type(dataset)()
    other.PatientID, other.IssuerOfPatientID = "Ä-1", "Zürich"
    dataset.OtherPatientIDsSequence = [other]
    for made in all_objects(write_dicom(dataset)).values():
        (item,) = dcmread(BytesIO(made)).OtherPatientIDsSequence
        assert (item.PatientID, item.IssuerOfPatientID) == ("Ä-1", "Zürich")


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.2"])
def test_every_encoding_of_the_source_gives_the_same_objects(syntax):
    dataset = chest_dataset(AccessionNumber="A1", WindowCenter=2000, WindowWidth=3000)
    assert all_objects(write_dicom(dataset, syntax)) == all_objects(write_dicom(dataset))


def test_a_value_in_another_vr_is_not_taken_for_text():
    source = read_source(film_with({int(Tag("PatientAge")): ("SQ", b"\1\2\3\4")}), DecodeLimits())
    assert texts(source, "PatientAge") == []
    assert items(source, "PatientAge") == []


@pytest.mark.parametrize(("value", "expected"), [(b"1\\2.5", [1.0, 2.5]), (b"NaN", []), (b"1e999", []), (b"1,5", [])])
def test_numbers_are_finite_or_absent(value, expected):
    source = read_source(film_with({int(Tag("WindowCenter")): ("DS", value)}), DecodeLimits())
    assert numbers(source, "WindowCenter") == expected


def test_words_of_an_odd_length_lose_the_incomplete_one():
    value = struct.pack("<H", 7) + b"\1"
    source = read_source(film_with({int(Tag("ShutterPresentationValue")): ("US", value)}), DecodeLimits())
    assert words(source, "ShutterPresentationValue").tolist() == [7]


def test_an_object_without_the_uids_of_a_reference_is_refused():
    with pytest.raises(NoSourceObject, match="SeriesInstanceUID"):
        read_source(chest_dicom(SeriesInstanceUID=None), DecodeLimits())
