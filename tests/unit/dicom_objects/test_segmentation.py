"""The segmentation holds lungs and heart on the rows and columns of the radiograph."""

import subprocess
from dataclasses import replace
from datetime import timedelta
from io import BytesIO

import highdicom as hd
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import DigitalXRayImageStorageForPresentation

from app.anatomy.segmenter import HEART, LEFT_LUNG, RIGHT_LUNG
from app.dicom_objects.segmentation import segmentation
from app.rendering.wording import NOTICE
from tests.factories import chest_dicom
from tests.programs import installed
from tests.unit.dicom_objects.reports import ANALYSED, ORGANS, SEGMENTER, report_of

JPEG = "1.2.840.10008.1.2.4.50"


def made_of(film=None, *, square=512, segmenter=SEGMENTER, transfer_syntax=None, analysed_at=ANALYSED) -> bytes:
    report = report_of(film or chest_dicom(), analysed_at=analysed_at)
    return segmentation(replace(report, algorithm=segmenter, findings=()), ORGANS, square, transfer_syntax)


def opened(content: bytes) -> hd.seg.Segmentation:
    return hd.seg.segread(BytesIO(content))


def test_each_segment_has_the_pixels_of_its_organ():
    masks = opened(made_of()).get_pixels_by_source_instance([report_of(chest_dicom()).source.SOPInstanceUID])
    assert masks.shape == (1, 113, 127, 3)
    for number, organ in enumerate((RIGHT_LUNG, LEFT_LUNG, HEART)):
        assert masks[0, :, :, number].any()
        np.testing.assert_array_equal(masks[0, :, :, number], organ == ORGANS)


def test_segments_are_coded_with_laterality_and_name_the_segmenter():
    segments = dcmread(BytesIO(made_of())).SegmentSequence
    named = []
    for segment in segments:
        (kind,) = segment.SegmentedPropertyTypeCodeSequence
        modifiers = kind.get("SegmentedPropertyTypeModifierCodeSequence", [])
        named.append((segment.SegmentLabel, kind.CodeValue, [modifier.CodeValue for modifier in modifiers]))
        (category,) = segment.SegmentedPropertyCategoryCodeSequence
        assert (category.CodeValue, category.CodingSchemeDesignator) == ("91723000", "SCT")
        (algorithm,) = segment.SegmentationAlgorithmIdentificationSequence
        assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("chest-anatomy", "0.1.0")
        assert SEGMENTER.weights_sha256 in algorithm.AlgorithmParameters
    assert named == [
        ("Right lung", "39607008", ["24028007"]),
        ("Left lung", "39607008", ["7771000"]),
        ("Heart", "80891009", []),
    ]


def test_the_equipment_is_the_segmenter_and_the_time_is_that_of_the_analysis():
    made = dcmread(BytesIO(made_of(chest_dicom(TimezoneOffsetFromUTC="+0530"))))
    assert (made.ManufacturerModelName, made.SoftwareVersions[1]) == ("chest-anatomy", "0.1.0")
    assert (made.ContentDate, made.ContentTime) == ("20260304", "103607")
    assert made.ImageComments == NOTICE


@pytest.mark.parametrize("sop_class", [DigitalXRayImageStorageForPresentation, "1.2.3.4"])
def test_every_reference_names_the_radiograph(sop_class):
    film = chest_dicom(SOPClassUID=sop_class)
    source, made = dcmread(BytesIO(film)), dcmread(BytesIO(made_of(film)))
    expected = (sop_class, source.SOPInstanceUID)
    references = [item for item in made.iterall() if item.keyword == "ReferencedSOPInstanceUID"]
    classes = [item for item in made.iterall() if item.keyword == "ReferencedSOPClassUID"]
    assert {(kind.value, item.value) for kind, item in zip(classes, references, strict=True)} == {expected}
    assert len(references) == 5  # of the source, of its series, of three frames
    assert made.ReferencedSeriesSequence[0].SeriesInstanceUID == source.SeriesInstanceUID


def test_the_same_analysis_gives_the_same_bytes_and_another_time_the_same_object():
    first, second, later = made_of(), made_of(), made_of(analysed_at=ANALYSED + timedelta(hours=1))
    assert first == second != later
    assert opened(first).SOPInstanceUID == opened(later).SOPInstanceUID


@pytest.mark.parametrize("change", [{"square": 256}, {"segmenter": replace(SEGMENTER, weights_sha256="ef" * 32)}])
def test_another_segmenter_or_input_gives_another_object(change):
    assert opened(made_of()).SOPInstanceUID != opened(made_of(**change)).SOPInstanceUID


@pytest.mark.parametrize(
    ("attributes", "transfer_syntax", "expected"),
    [
        ({}, None, ("00", None)),
        ({}, JPEG, ("01", "ISO_10918_1")),
        (
            {
                "LossyImageCompression": "01",
                "LossyImageCompressionRatio": 9,
                "LossyImageCompressionMethod": "ISO_15444_1",
            },
            None,
            ("01", "ISO_15444_1"),
        ),
    ],
)
def test_masks_of_a_lossy_radiograph_are_lossy(attributes, transfer_syntax, expected):
    made = opened(made_of(chest_dicom(**attributes), transfer_syntax=transfer_syntax))
    assert (made.LossyImageCompression, made.get("LossyImageCompressionMethod")) == expected


@pytest.mark.parametrize("orientation", ["", ["L", "F"], ["L", "F", "X"]])
def test_the_validator_finds_no_error(tmp_path, orientation):
    path = tmp_path / "seg.dcm"
    path.write_bytes(made_of(chest_dicom(PatientOrientation=orientation)))
    done = subprocess.run([installed("dciodvfy"), path], check=False, capture_output=True, text=True)
    assert [line for line in (done.stderr + done.stdout).splitlines() if line.startswith("Error")] == []
