"""The structured report: TID 1500 "Measurement Report" with every finding, and the patches for positive ones."""

from collections.abc import Iterator, Sequence

import numpy as np
from highdicom import sr
from pydicom.sr.coding import Code as Coded

from app.pacs.content import NOTICE, Patch, Report, ReportedFinding
from app.pacs.identifiers import derived_uid
from app.pacs.stamp import MANUFACTURER, finish
from app.patchnet.findings import Code

_PROCEDURE = Coded("399208008", "SCT", "Plain chest X-ray")
_CHANCE = Coded("PROBABILITY", "99MPN", "Probability of the finding")
_THRESHOLD = Coded("THRESHOLD", "99MPN", "Decision threshold of the probability")
_EVIDENCE = Coded("PATCHLOGIT", "99MPN", "Evidence of an image patch, in logits")
_NO_UNITS = Coded("1", "UCUM", "no units")
_DECISION = Coded("DECISION", "99MPN", "Decision at the threshold")
_PRESENT, _ABSENT = Coded("52101004", "SCT", "Present"), Coded("272519000", "SCT", "Absent")
_SERIES_NUMBER = 9001


def structured_report(report: Report) -> bytes:
    """An Enhanced SR as a DICOM file. Source: PS3.16 TID 1500, 1501, 1410; PS3.3 A.35.2."""
    sop, weights = str(report.source.SOPInstanceUID), report.algorithm.weights_sha256
    content = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=_observer(report)),
        procedure_reported=_PROCEDURE,
        imaging_measurements=list(_groups(report)),
        title=Coded("126000", "DCM", "Imaging Measurement Report"),
    )
    dataset = sr.EnhancedSR(
        evidence=[report.source],
        content=content[0],
        series_instance_uid=derived_uid(sop, weights, "sr", "series"),
        series_number=_SERIES_NUMBER,
        sop_instance_uid=derived_uid(sop, weights, "sr"),
        instance_number=1,
        manufacturer=MANUFACTURER,
        is_complete=not report.unscored,
        is_final=False,
        is_verified=False,
        specific_character_set=None,  # the film's, which highdicom does not know all of: see stamp.finish
        requested_procedures=list(report.source.get("ReferencedRequestSequence") or []) or None,
    )
    dataset.CompletionFlagDescription = _description(report)
    return finish(dataset, report, "AI findings, research use")


def _description(report: Report) -> str:
    left = f" Not judged: {', '.join(report.unscored)}." if report.unscored else ""
    return (NOTICE.split(".")[0] + "." + left)[:64]


def _observer(report: Report) -> sr.ObserverContext:
    algorithm = report.algorithm
    return sr.ObserverContext(
        observer_type=sr.CodedConcept("121007", "DCM", "Device"),
        observer_identifying_attributes=sr.DeviceObserverIdentifyingAttributes(
            uid=derived_uid("medpatchnet", algorithm.weights_sha256, "device"),
            name=algorithm.name,
            manufacturer_name=MANUFACTURER,
            model_name=f"{algorithm.name} {algorithm.version}",
            serial_number=algorithm.weights_sha256,
        ),
    )


def _groups(
    report: Report,
) -> Iterator[sr.MeasurementsAndQualitativeEvaluations | sr.PlanarROIMeasurementsAndQualitativeEvaluations]:
    for finding in report.findings:
        yield _finding(report, finding)
        for number, patch in enumerate(finding.patches, 1):
            yield _patch(report, finding, patch, number)


def _finding(report: Report, finding: ReportedFinding) -> sr.MeasurementsAndQualitativeEvaluations:
    measurements = [sr.Measurement(_CHANCE, round(finding.probability, 6), _NO_UNITS)]
    decisions: list[sr.QualitativeEvaluation] = []
    if finding.threshold is not None and finding.positive is not None:
        measurements.append(sr.Measurement(_THRESHOLD, round(finding.threshold, 6), _NO_UNITS))
        decisions.append(sr.QualitativeEvaluation(_DECISION, _PRESENT if finding.positive else _ABSENT))
    source = sr.SourceImageForMeasurementGroup(report.source.SOPClassUID, report.source.SOPInstanceUID)
    return sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking(report, finding, finding.name),
        finding_type=coded(finding.code),
        algorithm_id=_algorithm(report),
        measurements=measurements,
        qualitative_evaluations=decisions,
        source_images=[source],
    )


def _patch(
    report: Report, finding: ReportedFinding, patch: Patch, number: int
) -> sr.PlanarROIMeasurementsAndQualitativeEvaluations:
    source = report.source
    outline = np.array(patch.corners(int(source.Rows), int(source.Columns)), dtype=np.float64)
    region = sr.ImageRegion("POLYLINE", outline, sr.SourceImageForRegion(source.SOPClassUID, source.SOPInstanceUID))
    return sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking(report, finding, f"{finding.name}, patch {number}"),
        referenced_region=region,
        finding_type=coded(finding.code),
        algorithm_id=_algorithm(report),
        measurements=[sr.Measurement(_EVIDENCE, round(patch.logit, 4), _NO_UNITS)],
    )


def _tracking(report: Report, finding: ReportedFinding, text: str) -> sr.TrackingIdentifier:
    uid = derived_uid(str(report.source.SOPInstanceUID), report.algorithm.weights_sha256, finding.name, text)
    return sr.TrackingIdentifier(uid=uid, identifier=text)


def _algorithm(report: Report) -> sr.AlgorithmIdentification:
    parameters: Sequence[str] = [
        f"weights sha256 {report.algorithm.weights_sha256}",
        *(f"caution: {text}"[:1024] for text in report.cautions),
        NOTICE,
    ]
    return sr.AlgorithmIdentification(report.algorithm.name, report.algorithm.version, parameters)


def coded(code: Code) -> Coded:
    """A code of the table of findings as pydicom has it."""
    return Coded(code.value, code.scheme, code.meaning)
