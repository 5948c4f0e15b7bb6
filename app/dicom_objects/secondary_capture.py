"""Secondary captures: the radiograph with the evidence in colour and a caption, which every PACS can show."""

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import SecondaryCaptureImageStorage

from app.dicom_objects.attributes import first_text
from app.dicom_objects.common import (
    as_file,
    copy_lossy_compression,
    local_time,
    orientation,
    referenced_image,
    series_description,
    stamp,
)
from app.dicom_objects.content import Report, ReportedFinding
from app.rendering.captions import evidence_caption
from app.rendering.overlay import OverlayStyle, SaliencyLayer, draw_overlay
from app.rendering.wording import NOTICE, headline

_SERIES_NUMBER = 9002
_LONGEST_SIDE = 1024


def secondary_captures(
    report: Report,
    pixels: NDArray[np.float32],
    findings: tuple[ReportedFinding, ...],
    opacity: float,
    transfer_syntax: str | None,
) -> list[bytes]:
    """One file for each finding, in their order, all in one series. Source: PS3.3 A.8.1.

    ``pixels`` [H, W] in [0, 1] are the radiograph, ``transfer_syntax`` is the one it came in.
    """
    names = [finding.name for finding in findings]
    files: list[bytes] = []
    for number, finding in enumerate(findings, 1):
        if finding.layer is not None:
            dataset = _image(draw(report, pixels, finding, finding.layer, opacity))
            _identify(dataset, report, finding, names, number)
            _describe(dataset, report, finding, transfer_syntax)
            stamp(dataset, report, series_description("AI evidence", names))
            files.append(as_file(dataset, report))
    return files


def draw(
    report: Report, pixels: NDArray[np.float32], finding: ReportedFinding, layer: SaliencyLayer, opacity: float
) -> NDArray[np.uint8]:
    """RGB [H, W, 3]: the radiograph, at most 1024 pixels long, with the evidence, and a caption below it."""
    size = _LONGEST_SIDE if max(pixels.shape) > _LONGEST_SIDE else None
    style = OverlayStyle(limit=report.limit, opacity=opacity, size=size)
    return draw_overlay(pixels, layer, style, evidence_caption(finding, report.algorithm, local_time(report)))


def _image(drawn: NDArray[np.uint8]) -> Dataset:
    dataset = Dataset()
    dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.Modality = "OT"
    dataset.ConversionType = "WSD"
    dataset.ImageType = ["DERIVED", "SECONDARY"]
    dataset.SamplesPerPixel = 3
    dataset.PhotometricInterpretation = "RGB"
    dataset.PlanarConfiguration = 0
    dataset.Rows, dataset.Columns = drawn.shape[:2]
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    content = drawn.tobytes()
    dataset.add_new("PixelData", "OB", content + b"\0" * (len(content) % 2))
    return dataset


def _identify(dataset: Dataset, report: Report, finding: ReportedFinding, names: list[str], number: int) -> None:
    dataset.SOPInstanceUID = report.uid("sc", *names, finding.name)
    dataset.SeriesInstanceUID = report.uid("sc", "series", *names)
    dataset.SeriesNumber, dataset.InstanceNumber = _SERIES_NUMBER, number
    dataset.DateOfSecondaryCapture = local_time(report).strftime("%Y%m%d")
    dataset.TimeOfSecondaryCapture = local_time(report).strftime("%H%M%S")


def _describe(dataset: Dataset, report: Report, finding: ReportedFinding, transfer_syntax: str | None) -> None:
    """What the image shows, and the facts of the radiograph that stay true of it."""
    source = report.source
    dataset.BodyPartExamined = "CHEST"
    dataset.PatientOrientation = orientation(source)
    dataset.BurnedInAnnotation = "YES"  # the caption
    if (features := first_text(source, "RecognizableVisualFeatures")) in {"YES", "NO"}:
        dataset.RecognizableVisualFeatures = features
    dataset.DerivationDescription = f"Patch evidence over the radiograph. {headline(finding)}"
    dataset.ImageComments = f"{headline(finding)}. {NOTICE}"
    dataset.SourceImageSequence = [referenced_image(source)]
    copy_lossy_compression(source, dataset, transfer_syntax)
