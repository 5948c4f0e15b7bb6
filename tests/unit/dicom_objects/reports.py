"""Reports of made-up findings on any DICOM file, without a model."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from app.anatomy.placement import placed
from app.dicom_objects.attributes import words
from app.dicom_objects.content import Algorithm, Patch, Report, ReportedFinding
from app.dicom_objects.presentation_state import presentation_state
from app.dicom_objects.secondary_capture import secondary_captures
from app.dicom_objects.segmentation import segmentation
from app.dicom_objects.source_image import read_source
from app.dicom_objects.structured_report import structured_report
from app.imaging.dicom.file import silence
from app.imaging.radiograph import DecodeLimits
from app.patchnet.findings import FINDINGS
from app.patchnet.preprocessing import CropGeometry
from app.rendering.overlay import SaliencyLayer
from tests.unit.anatomy import chests

ANALYSED = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
ALGORITHM = Algorithm("chest", "1.2.0", "ab" * 32, "0.9")
PATCHES = (Patch(0.0, 12.5, 20.0, 20.0, 3.25), Patch(80.0, 100.0, 20.0, 20.0, 0.12345))
SEGMENTER = Algorithm("chest-anatomy", "0.1.0", "cd" * 32, "0.9")
ORGANS = placed(chests.masks(), CropGeometry.centered(113, 127, 512), 113, 127)
LAYER = SaliencyLayer(np.linspace(-4, 4, 64, dtype=np.float32).reshape(8, 8), 0.0, 7.0, 113.0)


def finding(column, probability, threshold=None, patches=(), status="validated", **values) -> ReportedFinding:
    """A finding by its column; positive at its threshold, if it has one."""
    positive = None if threshold is None else probability >= threshold
    point = None if threshold is None else "balanced"
    decided = {"positive": positive, "operating_point": point, "layer": LAYER, "patches": tuple(patches)} | values
    name, code = FINDINGS[column].name, FINDINGS[column].code
    return ReportedFinding(name, code, status, probability, threshold, **decided)


def untrained(column) -> ReportedFinding:
    return ReportedFinding(FINDINGS[column].name, FINDINGS[column].code, "untrained", None)


USUAL = (
    finding(0, 0.3, 0.2, positive=False, contradicted_by=("Cardiomegaly", "Pleural Effusion")),
    finding(1, 0.95, status="derived"),
    finding(2, 0.35, 0.25, PATCHES),
    finding(3, 0.04, 0.5),
    finding(8, 0.4, status="weak"),
    finding(10, 0.9, 0.3, PATCHES[::-1]),
    untrained(12),
)


def report_of(film: bytes, *findings: ReportedFinding, warnings=(), analysed_at=ANALYSED) -> Report:
    source = read_source(film, DecodeLimits())
    rows, columns = (int(words(source, name)[0]) for name in ("Rows", "Columns"))
    return Report(source, rows, columns, ALGORITHM, findings or USUAL, tuple(warnings), 4.0, analysed_at)


def all_objects(film: bytes, *findings: ReportedFinding) -> dict[str, bytes]:
    """One object of each kind; the film has 113 × 127 pixels."""
    pixels = np.linspace(0, 1, 113 * 127, dtype=np.float32).reshape(113, 127)
    with silence():
        report = report_of(film, *findings)
        captures = secondary_captures(report, pixels, report.positives, 0.4, None)
        return {
            "sr": structured_report(report),
            "sc": captures[0],
            "gsps": presentation_state(report, report.positives),
            "seg": segmentation(replace(report, algorithm=SEGMENTER, findings=()), ORGANS, 512, None),
        }
