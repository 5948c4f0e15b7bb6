"""The Segmentation: lungs and heart as masks in the pixels of the radiograph."""

from dataclasses import dataclass

import numpy as np
from highdicom.content import AlgorithmIdentificationSequence
from highdicom.seg import (
    SegmentAlgorithmTypeValues,
    Segmentation,
    SegmentationTypeValues,
    SegmentDescription,
)
from highdicom.sr import CodedConcept
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import ComputedRadiographyImageStorage

from app.anatomy.segmenter import CLASSES, HEART, LEFT_LUNG, RIGHT_LUNG
from app.dicom_objects.attributes import first_text
from app.dicom_objects.common import MANUFACTURER, as_file, copy_lossy_compression, orientation, stamp
from app.dicom_objects.content import Algorithm, Report
from app.rendering.wording import NOTICE

_SERIES_NUMBER = 9004
_DESCRIPTION = "AI segmentation: lungs and heart"
_SET_LATER = ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate",
              "StudyTime")  # fmt: skip


@dataclass(frozen=True)
class _Segment:
    """One segment: the class of its pixels, its label, and its codes (PS3.16 CID 7151, 244)."""

    organ: int
    label: str
    code: Code
    laterality: Code | None = None


_SEGMENTS = (
    _Segment(RIGHT_LUNG, "Right lung", codes.SCT.Lung, codes.SCT.Right),
    _Segment(LEFT_LUNG, "Left lung", codes.SCT.Lung, codes.SCT.Left),
    _Segment(HEART, "Heart", codes.SCT.Heart),
)


def segmentation(report: Report, organs: NDArray[np.uint8], square: int, transfer_syntax: str | None) -> bytes:
    """A binary Segmentation as a DICOM file. Source: PS3.3 A.51, C.8.20.

    ``report.algorithm`` is the segmenter; ``organs`` [rows, columns] holds the class of each pixel of the stored image,
    and none of lungs and heart is empty. ``square`` is the side of the image that was segmented, in pixels.
    ``transfer_syntax`` is the one that the radiograph came in.
    """
    made = Segmentation(
        source_images=[_stand_in(report)],
        pixel_array=_numbers()[organs][None],
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=_descriptions(report.algorithm),
        series_instance_uid=report.uid("seg", "series", str(square)),
        series_number=_SERIES_NUMBER,
        sop_instance_uid=report.uid("seg", str(square)),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=report.algorithm.name,
        software_versions=report.algorithm.version,
        device_serial_number=report.algorithm.weights_sha256[:16],
        content_label="LUNGS_AND_HEART",
        content_description="Right lung, left lung, heart",
    )
    del made.ContributingEquipmentSequence  # has the time at which it was made, and so no two would be equal
    made["PixelData"].VR = "OB"  # ambiguous until it is written, and only whole files are written so
    made.BodyPartExamined = "CHEST"
    made.PatientOrientation = orientation(report.source)
    made.ImageComments = NOTICE
    copy_lossy_compression(report.source, made, transfer_syntax)
    _name_dimensions(made, report)
    _refer_to(made, report.source)
    stamp(made, report, _DESCRIPTION)
    return as_file(made, report)


def _numbers() -> NDArray[np.uint8]:
    """The number of the segment for each class of pixels, 0 for the background."""
    numbers = np.zeros(len(CLASSES), dtype=np.uint8)
    for number, segment in enumerate(_SEGMENTS, 1):
        numbers[segment.organ] = number
    return numbers


def _stand_in(report: Report) -> Dataset:
    """A radiograph for highdicom, which reads attributes that can hold any value, and refuses unknown SOP classes."""
    image = Dataset()
    image.SOPClassUID = ComputedRadiographyImageStorage
    for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        setattr(image, name, first_text(report.source, name))
    image.Rows, image.Columns = report.rows, report.columns
    for name in _SET_LATER:
        setattr(image, name, "")
    return image


def _descriptions(segmenter: Algorithm) -> list[SegmentDescription]:
    identification = AlgorithmIdentificationSequence(
        name=segmenter.name,
        family=codes.DCM.ArtificialIntelligence,
        version=segmenter.version,
        parameters={"weights_sha256": segmenter.weights_sha256},
    )
    return [_description(number, segment, identification) for number, segment in enumerate(_SEGMENTS, 1)]


def _description(number: int, segment: _Segment, algorithm: AlgorithmIdentificationSequence) -> SegmentDescription:
    """A segment; highdicom has no argument for the laterality of its code (PS3.3 C.8.20.4)."""
    description = SegmentDescription(
        segment_number=number,
        segment_label=segment.label,
        segmented_property_category=codes.SCT.AnatomicalStructure,
        segmented_property_type=segment.code,
        algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=algorithm,
    )
    if segment.laterality is not None:
        (kind,) = description.SegmentedPropertyTypeCodeSequence
        kind.SegmentedPropertyTypeModifierCodeSequence = [CodedConcept.from_code(segment.laterality)]
    return description


def _name_dimensions(made: Segmentation, report: Report) -> None:
    """Replace the random UID of the dimensions, so that a repeated report is the same object."""
    uid = report.uid("seg", "dimensions")
    for item in (*made.DimensionOrganizationSequence, *made.DimensionIndexSequence):
        item.DimensionOrganizationUID = uid


def _refer_to(made: Segmentation, source: Dataset) -> None:
    """Set the SOP class of the radiograph wherever the segmentation refers to it."""
    frames = (
        frame.DerivationImageSequence[0].SourceImageSequence[0] for frame in made.PerFrameFunctionalGroupsSequence
    )
    (series,) = made.ReferencedSeriesSequence
    for reference in (*made.SourceImageSequence, *series.ReferencedInstanceSequence, *frames):
        reference.ReferencedSOPClassUID = first_text(source, "SOPClassUID")
