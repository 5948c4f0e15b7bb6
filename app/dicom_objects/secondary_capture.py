"""Secondary captures: the radiograph with the evidence in colour, which every PACS can show."""

from io import BytesIO

import highdicom as hd
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset

from app.dicom_objects.common import MANUFACTURER, as_file, stamp
from app.dicom_objects.content import NOTICE, Report, ReportedFinding
from app.dicom_objects.uids import derived_uid
from app.rendering.overlay import OverlayStyle, render_overlay

_SERIES_NUMBER = 9002
_LONGEST_SIDE = 1024


def secondary_captures(
    report: Report, pixels: NDArray[np.float32], findings: tuple[ReportedFinding, ...], opacity: float
) -> list[bytes]:
    """One file for each finding, all in one series: radiograph [H, W] in [0, 1], overlay and legend. PS3.3 A.8.4."""
    return [_capture(report, pixels, finding, opacity) for finding in findings]


def _capture(report: Report, pixels: NDArray[np.float32], finding: ReportedFinding, opacity: float) -> bytes:
    size = _LONGEST_SIDE if max(pixels.shape) > _LONGEST_SIDE else None
    style = OverlayStyle(limit=report.limit, opacity=opacity, size=size, legend=True)
    drawn = np.asarray(Image.open(BytesIO(render_overlay(pixels, finding.layer, style))))
    sop, weights = str(report.source.SOPInstanceUID), report.algorithm.weights_sha256
    dataset = hd.sc.SCImage.from_ref_dataset(
        ref_dataset=report.source,
        pixel_array=drawn,
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        series_instance_uid=derived_uid(sop, weights, "sc", "series"),
        series_number=_SERIES_NUMBER,
        sop_instance_uid=derived_uid(sop, weights, "sc", finding.name),
        instance_number=1 + [other.name for other in report.findings].index(finding.name),
        manufacturer=MANUFACTURER,
        patient_orientation=_orientation(report),
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        specific_character_set=None,  # highdicom rejects some valid ones; stamp sets the source's
    )
    dataset.BodyPartExamined = "CHEST"
    dataset.BurnedInAnnotation = "NO"
    dataset.ImageType = ["DERIVED", "SECONDARY"]
    dataset.DerivationDescription = f"Patch evidence for {finding.name} ({finding.probability:.0%}) over the film"
    dataset.ImageComments = NOTICE
    dataset.SourceImageSequence = [_reference(report)]
    stamp(dataset, report, "AI evidence, research use")
    return as_file(dataset)


def _orientation(report: Report) -> tuple[str, str]:
    value = report.source.get("PatientOrientation")
    return (str(value[0]), str(value[1])) if value and len(value) == 2 and all(value) else ("L", "F")


def _reference(report: Report) -> Dataset:
    reference = Dataset()
    reference.ReferencedSOPClassUID = report.source.SOPClassUID
    reference.ReferencedSOPInstanceUID = report.source.SOPInstanceUID
    return reference
