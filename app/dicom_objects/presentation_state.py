"""The Grayscale Softcopy Presentation State: outlines and labels over the original, whose pixels stay unchanged."""

import highdicom as hd
import numpy as np

from app.dicom_objects.common import MANUFACTURER, as_file, stamp
from app.dicom_objects.content import NOTICE, Report, ReportedFinding
from app.dicom_objects.uids import derived_uid

_SERIES_NUMBER = 9003


def presentation_state(report: Report, findings: tuple[ReportedFinding, ...]) -> bytes:
    """Outlines of the patches with evidence for the findings, a graphic layer for each. Source: PS3.3 A.33.1."""
    sop, weights = str(report.source.SOPInstanceUID), report.algorithm.weights_sha256
    layers = [hd.pr.GraphicLayer(f"MPN{number}", number, finding.name) for number, finding in enumerate(findings, 1)]
    annotations = [
        _annotation(report, finding, layer) for finding, layer in zip(findings, layers, strict=True) if finding.patches
    ]
    notice = hd.pr.GraphicLayer("MPNNOTICE", len(layers) + 1, "What this is")
    annotations.append(
        hd.pr.GraphicAnnotation(
            referenced_images=[report.source],
            graphic_layer=notice,
            text_objects=[_text(NOTICE, (0.02, 0.02, 0.6, 0.05))],
        )
    )
    dataset = hd.pr.GrayscaleSoftcopyPresentationState(
        referenced_images=[report.source],
        series_instance_uid=derived_uid(sop, weights, "gsps", "series"),
        series_number=_SERIES_NUMBER,
        sop_instance_uid=derived_uid(sop, weights, "gsps", *(finding.name for finding in findings)),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=report.algorithm.name,
        software_versions=report.algorithm.software_version,
        device_serial_number=weights[:16],
        content_label="AI_EVIDENCE",
        content_description="Patches with the strongest evidence",
        graphic_layers=[*layers, notice],
        graphic_annotations=annotations,
        specific_character_set=None,  # highdicom rejects some valid ones; stamp sets the source's
    )
    dataset.BodyPartExamined = "CHEST"
    stamp(dataset, report, "AI evidence outlines, research use")
    return as_file(dataset)


def _annotation(report: Report, finding: ReportedFinding, layer: hd.pr.GraphicLayer) -> hd.pr.GraphicAnnotation:
    rows, columns = int(report.source.Rows), int(report.source.Columns)
    outlines = [
        hd.pr.GraphicObject(
            graphic_type="POLYLINE",
            graphic_data=np.array(patch.corners(rows, columns), dtype=np.float64),
            units="PIXEL",
        )
        for patch in finding.patches
    ]
    first = finding.patches[0]
    left, top = max(1.0, first.column), max(1.0, first.row)
    words = f"{finding.name} {finding.probability:.0%}"
    box = (left, top, min(columns, left + 2 * first.size), min(rows, top + first.size / 4))
    return hd.pr.GraphicAnnotation(
        referenced_images=[report.source],
        graphic_layer=layer,
        graphic_objects=outlines,
        text_objects=[_text(words, box, units="PIXEL")],
    )


def _text(words: str, box: tuple[float, float, float, float], units: str = "DISPLAY") -> hd.pr.TextObject:
    return hd.pr.TextObject(text_value=words, units=units, bounding_box=box, text_justification="LEFT")
