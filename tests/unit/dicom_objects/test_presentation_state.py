"""A presentation state shows the same gray values as its image alone, and outlines whose labels can be read."""

import re
import subprocess
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset

from app.dicom_objects.graphic_labels import Box
from app.dicom_objects.presentation_state import presentation_state
from app.imaging.dicom.file import silence
from tests.factories import chest_dataset, chest_dicom, film, write_dicom
from tests.programs import installed
from tests.unit.dicom_objects.reports import PATCHES, USUAL, finding, report_of

# A state may hold tables of 8 to 16 bits (PS3.3 C.11.2.1.1); dciodvfy knows 8 and 16 alone.
ALLOWED = {
    f"Error - Unrecognized enumerated value <{bits:#x}> for value 3 of attribute <LUT Descriptor>"
    for bits in range(9, 16)
}


def state_of(content: bytes, *findings) -> bytes:
    with silence():
        report = report_of(content, *findings)
        return presentation_state(report, report.positives)


def rendered(folder, image: bytes, state: bytes | None = None) -> np.ndarray:
    """What DCMTK shows: 8 bits, from the image alone or through a state."""
    (folder / "image.dcm").write_bytes(image)
    command = [installed("dcmp2pgm"), folder / "image.dcm", folder / "shown.pgm"]
    if state is not None:
        (folder / "state.dcm").write_bytes(state)
        command[1:1] = ["-p", folder / "state.dcm"]
    subprocess.run(command, check=True, capture_output=True)
    return np.asarray(Image.open(folder / "shown.pgm")).astype(int)


def lookup_table(bits: int, entries: int = 4096, first: int = 0, depth: int | None = None) -> Dataset:
    table = Dataset()
    values = np.linspace(0, 2 ** (depth or bits) - 1, entries) ** 1.0
    table.add_new("LUTDescriptor", "US", [entries % 65536, first, bits])
    table.add_new("LUTData", "OW", np.rint(values).astype("<u2").tobytes())
    return table


GRAYSCALES = {
    "nothing": {},
    "MONOCHROME1": {"PhotometricInterpretation": "MONOCHROME1", "WindowCenter": 2000, "WindowWidth": 3500},
    "DX with shape INVERSE": {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"},
    "a window": {"WindowCenter": 1500, "WindowWidth": 1700},
    "three windows": {
        "WindowCenter": [1500, 900, 800],
        "WindowWidth": [1700, 2000, 1000],
        "WindowCenterWidthExplanation": ["NORMAL", "HARDER", "SOFTER"],
    },
    "two windows, one explanation": {
        "WindowCenter": [1500, 900],
        "WindowWidth": [1700, 2000],
        "WindowCenterWidthExplanation": "NORMAL",
    },
    "an empty VOI LUT function": {"WindowCenter": 1500, "WindowWidth": 1700, "VOILUTFunction": ""},
    "a slope without an intercept": {"RescaleSlope": 2, "WindowCenter": 1500, "WindowWidth": 1700},
    "slope and intercept": {"RescaleSlope": 2, "RescaleIntercept": -500, "WindowCenter": 2500, "WindowWidth": 3000},
    "a modality LUT": {"ModalityLUTSequence": [lookup_table(12)], "WindowCenter": 1500, "WindowWidth": 1700},
    **{f"a VOI LUT of {bits} bits": {"VOILUTSequence": [lookup_table(bits)]} for bits in (8, 10, 12, 14, 15, 16)},
    "a VOI LUT from 500": {"VOILUTSequence": [lookup_table(12, 3000, 500)]},
    "a VOI LUT and a window": {
        "VOILUTSequence": [lookup_table(12)], "WindowCenter": 900, "WindowWidth": 500,
    },
    "two VOI LUTs": {"VOILUTSequence": [lookup_table(12), lookup_table(10)]},
    "a rectangular shutter": {
        "ShutterShape": "RECTANGULAR", "ShutterLeftVerticalEdge": 10, "ShutterRightVerticalEdge": 110,
        "ShutterUpperHorizontalEdge": 8, "ShutterLowerHorizontalEdge": 100,
    },
    "pixels twice as high as wide": {"PixelAspectRatio": [2, 1]},
    "a pixel spacing": {"ImagerPixelSpacing": [0.2, 0.2], "WindowCenter": 1500, "WindowWidth": 1700},
}  # fmt: skip
UNUSABLE = {
    "a window that is no number": {"WindowCenter": "NaN", "WindowWidth": "NaN"},
    "a window without width": {"WindowCenter": 1500, "WindowWidth": 0},
    "a slope of nothing": {"RescaleSlope": 0, "RescaleIntercept": 0},
    "a VOI LUT that is too short": {"VOILUTSequence": [lookup_table(12, 4096)]},
}


@pytest.mark.parametrize("attributes", GRAYSCALES.values(), ids=list(GRAYSCALES))
@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
def test_the_state_shows_the_gray_values_of_its_image(tmp_path, attributes, signed):
    stored = film().astype(np.int16) if signed else film()
    image = write_dicom(chest_dataset(stored, **attributes))
    state = state_of(image)
    alone, through = rendered(tmp_path, image), rendered(tmp_path, image, state)
    assert np.ptp(alone) > 30
    assert np.abs(alone - through).max() <= 1


def test_a_table_that_says_16_and_holds_12_bits_stays_as_dark_as_in_the_image(tmp_path):
    image = write_dicom(chest_dataset(VOILUTSequence=[lookup_table(16, depth=12)]))
    assert np.abs(rendered(tmp_path, image) - rendered(tmp_path, image, state_of(image))).max() <= 1


@pytest.mark.parametrize("attributes", UNUSABLE.values(), ids=list(UNUSABLE))
def test_what_cannot_be_used_is_left_out(tmp_path, attributes):
    with silence():
        dataset = chest_dataset(**attributes)
    if "VOILUTSequence" in attributes:
        dataset.VOILUTSequence[0].LUTData = b"\0\0" * 100
    image = write_dicom(dataset)
    assert np.ptp(rendered(tmp_path, image, state_of(image))) > 30
    written = dcmread(BytesIO(state_of(image)))
    assert not {"SoftcopyVOILUTSequence", "RescaleSlope"} & set(written.dir())


PACKED = "a VOI LUT of 8 bits"  # in words, which dciodvfy does not know


@pytest.mark.parametrize("attributes", [GRAYSCALES[name] for name in GRAYSCALES if name != PACKED])
def test_the_state_is_valid(tmp_path, attributes):
    path = tmp_path / "state.dcm"
    path.write_bytes(state_of(write_dicom(chest_dataset(StudyDate="20260102", **attributes))))
    for tool in ("dciodvfy", "dcmpschk"):
        done = subprocess.run([installed(tool), path], check=False, capture_output=True, text=True)
        said = re.findall(r"^(?:Error|[EF]:).*", done.stdout + done.stderr, re.MULTILINE)
        assert [line for line in said if line not in ALLOWED] == []


def annotations(state: bytes) -> dict[str, Dataset]:
    return {item.GraphicLayer: item for item in dcmread(BytesIO(state)).GraphicAnnotationSequence}


def boxes(state: bytes) -> list[Box]:
    texts = [item.TextObjectSequence[0] for item in annotations(state).values()]
    return [Box(*text.BoundingBoxTopLeftHandCorner, *text.BoundingBoxBottomRightHandCorner) for text in texts]


def test_each_positive_finding_but_no_finding_has_a_layer_strongest_first():
    state = state_of(chest_dicom(), finding(0, 0.9, 0.5, PATCHES), *USUAL[1:])
    layers = dcmread(BytesIO(state)).GraphicLayerSequence
    assert [layer.GraphicLayerDescription for layer in layers] == ["Intended use", "Pleural Effusion", "Cardiomegaly"]
    outlines = annotations(state)["MPN1"].GraphicObjectSequence
    assert [list(outline.GraphicData[:2]) for outline in outlines] == [[100.0, 80.0], [12.5, 0.0]]


def test_labels_lie_within_the_image_and_never_overlap():
    findings = [finding(column, 0.9, 0.5, PATCHES) for column in range(1, 12)]
    placed = boxes(state_of(chest_dicom(), *findings))
    assert len(placed) == 12
    for number, box in enumerate(placed):
        assert 1 <= box.left < box.right <= 127
        assert 1 <= box.top < box.bottom <= 113
        assert not any(box.overlaps(other) for other in placed[:number])


def test_a_radiograph_without_positive_findings_has_the_notice_alone():
    assert list(annotations(state_of(chest_dicom(), finding(2, 0.1, 0.5)))) == ["MPNNOTICE"]
