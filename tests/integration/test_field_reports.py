"""Radiographs from the field: every kind of result is made, valid where the radiograph is, and true to it."""

import re
import subprocess
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.tag import Tag

from app.imaging.dicom.file import silence
from tests.integration.test_report import KINDS, objects
from tests.programs import installed
from tests.unit.dicom_objects.test_presentation_state import rendered

pytestmark = [pytest.mark.integration, pytest.mark.reference_data]

NAMES = (
    "F01-gsps-of-monochrome1", "F02-gsps-of-12-bit-voi-lut", "F03-gsps-of-voi-lut-and-window",
    "F04-gsps-of-two-windows", "F05-gsps-500-VOILUTFunction-empty", "F05-gsps-500-slope-only",
    "F05-gsps-500-two-windows-one-explanation", "F05-gsps-500-window-NaN", "F06-report-500-PatientBirthDate-00000000",
    "F06-report-500-PatientName-backslash", "F06-report-500-PatientOrientation-weird", "F06-report-500-PatientSex-U",
    "F06-report-500-StudyTime-93000-no-leading-zero", "F06-report-500-US-of-3-bytes-0018-1405-like",
    "F10-name-ISO-IR-203-latin9", "F10-name-declared-UTF-8-bytes-latin1",
    "F11-objects-BurnedInAnnotation-YES-RecognizableVisualFeatures-", "F11-objects-PatientOrientation-absent-lateral",
)  # fmt: skip
OTHERS = (
    "F07-bodypart-CHEST_AP_PORTABLE", "F07-bodypart-CHEST_PA", "F07-bodypart-TORAX-accent",
    "F07b-bodypart-CHEST_TO_PORTABLE", "F07b-bodypart-POITRINE", "F09-predict-422-NumberOfFrames-1-0",
    "F09-predict-422-WC-comma-15000-0", "F12-padding-SS-on-unsigned-no-window", "F13-voi-lut-says-16-holds-12",
    "F15-rgb-gray-film-leftover-window", "F16-every-second-column-aspect-2-1", "F18-SV1-20-zero-bytes-after-EOI",
    "F18-wrong-BOT-offset", "F19-dx-for-processing", "F20-view-LEFT_LATERAL", "F21-sop-uid-leading-zero",
)  # fmt: skip
SHOWN_BY_DCMTK = [name for name in NAMES if "NaN" not in name and "backslash" not in name]  # it refuses these itself
REFUSED_BY_DSRDUMP = ("F21-sop-uid-leading-zero",)  # references keep the UID of the radiograph, which is invalid
IDENTIFIERS = ("PatientID", "PatientName", "AccessionNumber", "StudyInstanceUID", "StudyID", "PatientBirthDate")
KNOWN_VALUE = re.compile(
    r"for value 3 of attribute <LUT Descriptor>"  # see the unit tests of presentation states
    r"|maximum LUT Data value is"  # a table of 16 bits that holds 12, which the state applies as the radiograph does
    r"|Leading zeroes"  # in the UID of the radiograph, to which results refer
)


@pytest.fixture(params=[*NAMES, *(pytest.param(name, marks=pytest.mark.thorough) for name in OTHERS)])
def radiograph(request, shared) -> Path:
    return shared / "field" / f"{request.param}.dcm"


def made_of(client, radiograph: Path) -> dict[str, bytes]:
    """One object of each kind; pictures of a finding that every radiograph has evidence for."""
    made = objects(client, radiograph.read_bytes(), KINDS, **{"class": "Lung Opacity"})
    return dict(zip(KINDS, made, strict=True))


def errors_of(tool: str, *files: Path) -> set[str]:
    """What a tool says of values: those of a radiograph may come back in its results."""
    done = subprocess.run([installed(tool), *files], check=False, capture_output=True)
    lines = (done.stdout + done.stderr).decode("latin-1").splitlines()
    return {line for line in lines if re.match(r"Error|[EF]:", line) and not KNOWN_VALUE.search(line)}


def test_every_kind_is_made_with_the_bytes_of_the_identifiers_and_no_new_error(client, radiograph, tmp_path):
    known = {tool: errors_of(tool, radiograph) for tool in ("dciodvfy", "dcentvfy")}
    files = {kind: tmp_path / f"{kind}.dcm" for kind in KINDS}
    with silence():
        source = dcmread(radiograph, stop_before_pixels=True)
        for kind, content in made_of(client, radiograph).items():
            files[kind].write_bytes(content)
            made = dcmread(files[kind])
            for name in IDENTIFIERS:
                original = source.get_item(Tag(name)).value or b""
                assert (made.get_item(Tag(name)).value or b"").rstrip(b" \0") == original.rstrip(b" \0")
            assert errors_of("dciodvfy", files[kind]) - known["dciodvfy"] == set()
    assert errors_of("dcentvfy", radiograph, *files.values()) - known["dcentvfy"] == set()
    if radiograph.stem not in REFUSED_BY_DSRDUMP:
        assert errors_of("dsrdump", files["sr"]) == set()


@pytest.mark.parametrize("name", SHOWN_BY_DCMTK)
def test_a_presentation_state_leaves_the_gray_values_as_they_are(client, shared, tmp_path, name):
    radiograph = (shared / "field" / f"{name}.dcm").read_bytes()
    (state,) = objects(client, radiograph, "gsps")
    alone, through = rendered(tmp_path, radiograph), rendered(tmp_path, radiograph, state)
    assert abs(alone - through).max() <= 1


def test_facts_of_the_radiograph_are_those_of_its_captures(client, shared):
    name = "F11-objects-BurnedInAnnotation-YES-RecognizableVisualFeatures-"
    made = dcmread(BytesIO(made_of(client, shared / "field" / f"{name}.dcm")["sc"]))
    assert (made.BurnedInAnnotation, made.RecognizableVisualFeatures) == ("YES", "YES")
    assert (made.LossyImageCompression, made.LossyImageCompressionRatio) == ("01", 12)
    assert made.LossyImageCompressionMethod == "ISO_10918_1"


def test_a_patient_orientation_is_never_invented(client, shared):
    for name in ("F11-objects-PatientOrientation-absent-lateral", "F06-report-500-PatientOrientation-weird"):
        content = made_of(client, shared / "field" / f"{name}.dcm")["sc"]
        assert not dcmread(BytesIO(content)).PatientOrientation
