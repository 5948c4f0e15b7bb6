"""Secondary captures stand alone: they say what they show, and carry the facts of the radiograph."""

from io import BytesIO

import numpy as np
import pytest
from pydicom import dcmread

from app.dicom_objects.common import series_description
from app.dicom_objects.secondary_capture import secondary_captures
from app.imaging.dicom.file import silence
from tests.factories import chest_dicom
from tests.unit.dicom_objects.reports import PATCHES, USUAL, finding, report_of

PIXELS = np.full((2100, 1841), 0.5, np.float32)


def captures(content: bytes, *findings, pixels=PIXELS, transfer_syntax=None):
    with silence():
        report = report_of(content, *findings)
        made = secondary_captures(report, pixels, report.positives, 0.4, transfer_syntax)
        return [dcmread(BytesIO(file)) for file in made]


def test_each_positive_finding_but_no_finding_has_a_capture_strongest_first():
    made = captures(chest_dicom(), finding(0, 0.9, 0.5), *USUAL[1:])
    assert [capture.InstanceNumber for capture in made] == [1, 2]
    assert [capture.DerivationDescription for capture in made] == [
        "Patch evidence over the radiograph. Pleural Effusion 90 %: positive (balanced, from 30 %)",
        "Patch evidence over the radiograph. Cardiomegaly 35 %: positive (balanced, from 25 %)",
    ]
    assert {capture.SeriesDescription for capture in made} == {"AI evidence: Pleural Effusion and Cardiomegaly"}
    assert len({capture.SeriesInstanceUID for capture in made}) == 1
    assert all("Research use only" in capture.ImageComments for capture in made)


def test_the_caption_is_burned_in_below_the_radiograph():
    (capture,) = captures(chest_dicom(), finding(2, 0.9, 0.5, PATCHES))
    radiograph, band = capture.pixel_array[:1024], capture.pixel_array[1024:]
    assert radiograph.shape[1] == 898
    assert capture.BurnedInAnnotation == "YES"
    assert (band == 255).all(axis=2).any()
    assert capture.PixelData.__len__() < 4_000_000


FACTS = {
    "nothing known": ({}, None, {"PatientOrientation": "", "RecognizableVisualFeatures": None}),
    "orientation": ({"PatientOrientation": ["A", "FL"]}, None, {"PatientOrientation": ["A", "FL"]}),
    "an invalid orientation": ({"PatientOrientation": ["LEFT", "FOOT"]}, None, {"PatientOrientation": ""}),
    "visual features": ({"RecognizableVisualFeatures": "YES"}, None, {"RecognizableVisualFeatures": "YES"}),
    "a lossy source": (
        {
            "LossyImageCompression": "01",
            "LossyImageCompressionRatio": 12,
            "LossyImageCompressionMethod": "ISO_10918_1",
        },
        None,
        {
            "LossyImageCompression": "01",
            "LossyImageCompressionRatio": 12,
            "LossyImageCompressionMethod": "ISO_10918_1",
        },
    ),
    "a lossy transfer syntax": (
        {},
        "1.2.840.10008.1.2.4.50",
        {"LossyImageCompression": "01", "LossyImageCompressionMethod": "ISO_10918_1"},
    ),
    "a lossless source": ({"LossyImageCompression": "00"}, None, {"LossyImageCompression": "00"}),
    "an unknown compression": ({}, None, {"LossyImageCompression": None}),
}


@pytest.mark.parametrize(("attributes", "syntax", "expected"), FACTS.values(), ids=list(FACTS))
def test_facts_come_from_the_radiograph(attributes, syntax, expected):
    with silence():
        content = chest_dicom(**attributes)
    (capture,) = captures(content, finding(2, 0.9, 0.5, PATCHES), pixels=PIXELS[:113, :127], transfer_syntax=syntax)
    for name, value in expected.items():
        assert (capture.get(name) or "") == (value or "")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], "AI: none"),
        (["Edema"], "AI: Edema"),
        (["Edema", "Fracture", "Pneumonia"], "AI: Edema, Fracture and Pneumonia"),
        (["Enlarged Cardiomediastinum"] * 4, "AI: Enlarged Cardiomediastinum and 3 more"),
    ],
)
def test_a_series_description_holds_whole_names(names, expected):
    assert series_description("AI", names) == expected
