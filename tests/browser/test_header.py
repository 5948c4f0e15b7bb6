"""What the page reads from the DICOM file itself: patient, study, orientation and lengths."""

import warnings

import pytest
from playwright.sync_api import expect
from pydicom import Dataset, Sequence, uid

from tests.browser.conftest import box_of, centre, frame, open_radiograph, pixels
from tests.factories import chest_dataset, chest_dicom, write_dicom

pytestmark = pytest.mark.integration

READ = """async bytes => { const {readDicomHeader} = await import("/viewer/dicom_header.js");
  return readDicomHeader(new Blob([new Uint8Array(bytes)])); }"""
ATTRIBUTES = {
    "StudyDate": "20240229", "PatientName": "Doe^Jane^Ann", "PatientID": "P-17", "PatientBirthDate": "19700102",
    "PatientSex": "F", "Laterality": "L", "ViewPosition": "AP", "PatientOrientation": ["L", "F"],
    "PixelSpacing": [0.25, 0.5],
}  # fmt: skip
SHOWN = {
    "studyDate": "20240229", "patientName": "Doe^Jane^Ann", "patientId": "P-17", "birthDate": "19700102", "sex": "F",
    "laterality": "L", "viewPosition": "AP", "patientOrientation": "L\\F", "pixelSpacing": "0.25\\0.5",
    "rows": 113, "columns": 127,
}  # fmt: skip


def read(page, content: bytes):
    return page.evaluate(READ, list(content))


def with_sequences(*, undefined: bool) -> Dataset:
    """A data set with nested sequences and an unknown private element before what the page reads."""
    dataset = chest_dataset(**ATTRIBUTES)
    inner = Dataset()
    inner.PatientName = "Wrong^Name"
    outer = Dataset()
    outer.PatientID = "WRONG"
    outer.add_new(0x00081140, "SQ", Sequence([inner, inner]))
    dataset.add_new(0x00081140, "SQ", Sequence([outer, Dataset()]))
    dataset.add_new(0x00090010, "LO", "PRIVATE")
    dataset.add_new(0x00091001, "UN", b"\x01\x02\x03\x04")
    for sequence in (dataset[0x00081140], outer[0x00081140]):
        sequence.is_undefined_length = undefined
    outer.is_undefined_length_sequence_item = inner.is_undefined_length_sequence_item = undefined
    return dataset


def test_the_header_is_read_in_every_transfer_syntax_and_past_sequences(page):
    for syntax in (
        uid.ExplicitVRLittleEndian,
        uid.ImplicitVRLittleEndian,
        uid.ExplicitVRBigEndian,
        uid.DeflatedExplicitVRLittleEndian,
    ):
        for undefined in (False, True):
            assert read(page, write_dicom(with_sequences(undefined=undefined), syntax)) == SHOWN, (syntax, undefined)


def test_a_header_without_preamble_and_file_meta_is_read(page):
    for syntax in (uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian):
        whole = write_dicom(chest_dataset(**ATTRIBUTES), syntax)
        assert read(page, whole[whole.index(b"\x08\x00\x16\x00", 140) :]) == SHOWN, syntax


def test_a_damaged_header_gives_what_was_readable_and_never_an_error(page):
    whole = write_dicom(chest_dataset(**ATTRIBUTES))
    start = whole.index(b"Doe^Jane")
    for end in (0, 1, 131, 133, 200, 300, start - 3, start + 20):
        read(page, whole[:end])
    assert read(page, whole[: start + 20]) == {"studyDate": "20240229", "patientName": "Doe^Jane^Ann"}
    assert read(page, b"\x89PNG\r\n\x1a\n" + bytes(200)) is None
    noise = bytes(range(256)) * 40
    read(page, bytes(128) + b"DICM" + noise)
    read(
        page, bytes(128) + b"DICM" + bytes([8, 0, 0x40, 0x11, 83, 81, 0, 0, 255, 255, 255, 255]) * 500
    )  # nested forever


@pytest.mark.parametrize(
    ("declared", "stored", "expected"),
    [
        ("ISO_IR 100", "Müller^Jörg".encode("latin-1"), "Müller^Jörg"),
        ("ISO_IR 192", "Müller^Łukasz".encode(), "Müller^Łukasz"),
        ("ISO_IR 192", "Müller^Jörg".encode("latin-1"), "Müller^Jörg"),  # declared wrongly
        ("ISO_IR 144", "Люк".encode("iso-8859-5"), "Люк"),
        ("ISO_IR 203", "Œuvre^€".encode("iso-8859-15"), "Œuvre^€"),
        ("GB18030", "王^小东".encode("gb18030"), "王^小东"),
        ("\\ISO 2022 IR 87", b"Yamada^Tarou=" + "山田^太郎".encode("iso2022_jp"), "Yamada^Tarou=山田^太郎"),
        ("\\ISO 2022 IR 149", b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7", "Hong^Gildong=洪^吉洞"),
        (None, b"Plain^Name", "Plain^Name"),
    ],
)
def test_names_are_decoded_by_the_declared_character_set(page, declared, stored, expected):
    stored += b" " * (len(stored) % 2)
    placeholder = "x" * len(stored)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        content = chest_dicom(PatientName=placeholder)
    element = b"" if declared is None else b"\x08\x00\x05\x00CS" + _sized(declared.encode())
    content = content.replace(placeholder.encode(), stored)
    place = content.index(b"\x08\x00\x16\x00UI", 140)  # SOP Class UID, the first element of the data set
    assert read(page, content[:place] + element + content[place:])["patientName"] == expected


def _sized(value: bytes) -> bytes:
    value += b" " * (len(value) % 2)
    return len(value).to_bytes(2, "little") + value


def test_patient_date_laterality_and_view_are_shown_as_text_and_sent_nowhere(page):
    script = "<img src=x onerror=alert(1)>"
    open_radiograph(page, chest_dicom(**{**ATTRIBUTES, "PatientID": script}))
    patient, study = page.locator(".corner.patient").first, page.locator(".corner.study").first
    assert patient.locator("span").all_inner_texts() == ["Doe, Jane Ann", script, "born 1970-01-02 · F"]
    assert study.locator("span").all_inner_texts() == ["2024-02-29", "AP · laterality L"]
    assert page.locator("img").count() == 0
    assert not any("Doe" in url or "P-17" in url for url in page.requests)


@pytest.mark.thorough
def test_the_ruler_measures_in_millimetres_where_the_spacing_is_known(page):
    geometry = """async ([header, image, ends]) => { const g = await import("/viewer/geometry.js");
      const spacing = g.spacingOf(header, image); return [spacing?.plane ?? null, g.lengthOf(ends, spacing)]; }"""
    image, ends = {"rows": 100, "columns": 200}, [[0, 0], [30, 40]]

    def measured(**header):
        return page.evaluate(geometry, [header, image, ends])

    assert measured(pixelSpacing="0.5\\0.5") == ["detector", 25]
    assert measured(pixelSpacing="0.4\\0.4", imagerPixelSpacing="0.5\\0.5") == ["patient", 20]
    assert measured(imagerPixelSpacing="1\\2") == ["detector", pytest.approx((60**2 + 40**2) ** 0.5)]
    assert measured(pixelSpacing="0.5\\0.5", rows=200, columns=400) == ["detector", 50]  # the service reduced the image
    for unusable in ("0\\0", "x", "0.5", "1e9\\1e9", "-1\\-1"):
        assert measured(pixelSpacing=unusable) == [None, 50]

    open_radiograph(page, chest_dicom())
    expect(page.locator("#tool-ruler")).to_be_disabled()
    open_radiograph(page, chest_dicom(PixelSpacing=[0.2, 0.2]), "spacing.dcm")
    page.click("#tool-ruler")
    without = frame(page).screenshot()
    x, y = centre(page)
    page.mouse.move(x - 50, y)
    page.mouse.down()
    page.mouse.move(x + 50, y, steps=3)
    page.mouse.up()
    page.mouse.move(5, 5)
    page.wait_for_timeout(120)
    assert frame(page).screenshot() != without
    frame(page).focus()
    page.keyboard.press("Delete")
    page.mouse.move(5, 5)
    page.wait_for_timeout(120)


@pytest.mark.thorough
def test_rotating_and_flipping_move_the_image_its_patches_and_its_orientation_letters(page):
    open_radiograph(page, chest_dicom(PatientOrientation=["L", "F"]))

    def letters() -> str:
        page.wait_for_timeout(120)
        return "".join(page.locator(f".edge.{edge}").first.inner_text() for edge in ("left", "right", "top", "bottom"))

    def patch_at_top_left() -> str:
        left, top, width, height = box_of(page)
        page.mouse.move(left + width / 2 - height * 0.4, top + height * 0.09)
        return page.locator("#cell").inner_text().split(":")[0]

    upright = pixels(page)
    assert (letters(), patch_at_top_left()) == ("RLHF", "row 1, column 1")
    page.click("#rotate")  # clockwise: the lower left corner comes to the top left
    assert (letters(), patch_at_top_left()) == ("FHRL", "row 8, column 1")
    page.click("#flip-view")
    assert letters() == "HFRL"
    page.click("#flip-view")
    for _ in range(3):
        page.click("#rotate")
    assert pixels(page) == upright
    page.click("#flip-view")
    assert (letters(), patch_at_top_left()) == ("LRHF", "row 1, column 8")


@pytest.mark.thorough
def test_the_zoom_and_the_window_are_shown_as_figures(page):
    open_radiograph(page, chest_dicom())
    figures = page.locator(".corner.figures").first
    expect(figures).to_contain_text("Zoom")
    before = figures.inner_text()
    page.mouse.move(*centre(page))
    page.mouse.wheel(0, -400)
    expect(figures).not_to_have_text(before)
    page.locator("#width").fill("40")
    expect(figures).to_contain_text("L 50 W 40")
