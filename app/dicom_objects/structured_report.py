"""The structured report: TID 1500 "Measurement Report" with every finding, and the patches for positive ones."""

from collections.abc import Iterator
from functools import cache, lru_cache

import numpy as np
from highdicom import sr
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code as Coded

from app.dicom_objects.common import MANUFACTURER, as_file, stamp
from app.dicom_objects.content import NOTICE, Algorithm, Report, ReportedFinding
from app.dicom_objects.item_templates import ItemTemplate, as_encoded, encode, put
from app.dicom_objects.uids import derived_uid
from app.patchnet.findings import Code

_LANGUAGE = sr.CodedConcept("en-US", "RFC5646", "English (United States)")
_PROCEDURE = Coded("399208008", "SCT", "Plain chest X-ray")
_PROBABILITY = Coded("PROBABILITY", "99MPN", "Probability of the finding")
_THRESHOLD = Coded("THRESHOLD", "99MPN", "Decision threshold of the probability")
_EVIDENCE = Coded("PATCHLOGIT", "99MPN", "Evidence of an image patch, in logits")
_NO_UNITS = Coded("1", "UCUM", "no units")
_DECISION = Coded("DECISION", "99MPN", "Decision at the threshold")
_PRESENT, _ABSENT = Coded("52101004", "SCT", "Present"), Coded("272519000", "SCT", "Absent")
_CONTAINS = sr.RelationshipTypeValues.CONTAINS
_SERIES_NUMBER = 9001
_SOME_UID = "2.25.1"  # placeholder in templates
_ALGORITHMS_KEPT, _TEXTS_KEPT = 64, 256


def structured_report(report: Report) -> bytes:
    """An Enhanced SR as a DICOM file. Source: PS3.16 TID 1500, 1501, 1410; PS3.3 A.35.2."""
    sop, weights = str(report.source.SOPInstanceUID), report.algorithm.weights_sha256
    film = sr.SourceImageForMeasurementGroup(report.source.SOPClassUID, report.source.SOPInstanceUID)
    root = sr.ContainerContentItem(codes.DCM.ImagingMeasurementReport, template_id="1500")
    root.ContentSequence = sr.ContentSequence(
        [film]
    )  # every instance the content refers to: highdicom makes the evidence list of it
    dataset = sr.EnhancedSR(
        evidence=[report.source],
        content=root,
        series_instance_uid=derived_uid(sop, weights, "sr", "series"),
        series_number=_SERIES_NUMBER,
        sop_instance_uid=derived_uid(sop, weights, "sr"),
        instance_number=1,
        manufacturer=MANUFACTURER,
        is_complete=not report.unscored,
        is_final=False,
        is_verified=False,
        specific_character_set=None,  # highdicom rejects some valid ones; stamp sets the source's
        requested_procedures=list(report.source.get("ReferencedRequestSequence") or []) or None,
    )
    dataset.CompletionFlagDescription = _description(report)
    stamp(dataset, report, "AI findings, research use")
    measurements = _container(codes.DCM.ImagingMeasurements).encode(ContentSequence=b"".join(_groups(report, film)))
    put(dataset, "ContentSequence", _preamble(report.algorithm) + measurements)
    return as_file(as_encoded(dataset))


def _description(report: Report) -> str:
    left = f" Not judged: {', '.join(report.unscored)}." if report.unscored else ""
    return (NOTICE.split(".")[0] + "." + left)[:64]


def _groups(report: Report, film: Dataset) -> Iterator[bytes]:
    """A TID 1501 group for each finding and a TID 1410 group for each of its patches; ``film`` refers to the source."""
    algorithm, source = _algorithm(report.algorithm, report.warnings), encode([film])
    region = _region(report.source)
    rows, columns = int(report.source.Rows), int(report.source.Columns)
    for finding in report.findings:
        parts = [algorithm, _measurement(_PROBABILITY, round(finding.probability, 6))]
        if finding.threshold is not None and finding.positive is not None:
            parts += [_measurement(_THRESHOLD, round(finding.threshold, 6)), _decision(finding.positive)]
        yield _group(report, finding, finding.name, "1501", *parts, source)
        for number, patch in enumerate(finding.patches, 1):
            outline = [coordinate for corner in patch.corners(rows, columns) for coordinate in corner]
            yield _group(
                report,
                finding,
                f"{finding.name}, patch {number}",
                "1410",
                algorithm,
                _measurement(_EVIDENCE, round(patch.logit, 4)),
                region.encode(GraphicData=outline),
            )


def _group(report: Report, finding: ReportedFinding, name: str, template: str, *parts: bytes) -> bytes:
    uid = derived_uid(str(report.source.SOPInstanceUID), report.algorithm.weights_sha256, finding.name, name)
    content = (_tracking_name(name), _tracking_uid().encode(UID=uid), _finding_type(finding.code), *parts)
    return _container(codes.DCM.MeasurementGroup, template).encode(ContentSequence=b"".join(content))


@cache
def _container(name: Coded, template: str | None = None) -> ItemTemplate:
    return ItemTemplate(sr.ContainerContentItem(name, template_id=template, relationship_type=_CONTAINS))


@lru_cache(_TEXTS_KEPT)
def _tracking_name(name: str) -> bytes:
    return encode(sr.TrackingIdentifier(uid=_SOME_UID, identifier=name)[:1])


@cache
def _tracking_uid() -> ItemTemplate:
    return ItemTemplate(sr.TrackingIdentifier(uid=_SOME_UID)[0])


def _measurement(name: Coded, value: float) -> bytes:
    item, measured = _measurement_templates(name)
    return item.encode(MeasuredValueSequence=measured.encode(NumericValue=value, FloatingPointValue=value))


@cache
def _measurement_templates(name: Coded) -> tuple[ItemTemplate, ItemTemplate]:
    """TID 300: the item, and its measured value."""
    item = sr.Measurement(name, 0.0, _NO_UNITS)[0]
    return ItemTemplate(item), ItemTemplate(item.MeasuredValueSequence[0])


def _region(source: Dataset) -> ItemTemplate:
    film = sr.SourceImageForRegion(source.SOPClassUID, source.SOPInstanceUID)
    return ItemTemplate(sr.ImageRegion("POLYLINE", np.zeros((2, 2)), film))


@cache
def _finding_type(code: Code) -> bytes:
    return encode([sr.CodeContentItem(codes.DCM.Finding, coded(code), _CONTAINS)])


@cache
def _decision(positive: bool) -> bytes:
    return encode(sr.QualitativeEvaluation(_DECISION, _PRESENT if positive else _ABSENT))


@lru_cache(_ALGORITHMS_KEPT)
def _algorithm(algorithm: Algorithm, warnings: tuple[str, ...]) -> bytes:
    """TID 4019."""
    parameters = [
        f"weights sha256 {algorithm.weights_sha256}",
        *(f"caution: {text}"[:1024] for text in warnings),
        NOTICE,
    ]
    return encode(sr.AlgorithmIdentification(algorithm.name, algorithm.version, parameters))


@lru_cache(_ALGORITHMS_KEPT)
def _preamble(algorithm: Algorithm) -> bytes:
    """The items before the measurements: language, observer and procedure. TID 1500 rows 2 to 4."""
    observer = sr.ObserverContext(
        observer_type=sr.CodedConcept("121007", "DCM", "Device"),
        observer_identifying_attributes=sr.DeviceObserverIdentifyingAttributes(
            uid=derived_uid("medpatchnet", algorithm.weights_sha256, "device"),
            name=algorithm.name,
            manufacturer_name=MANUFACTURER,
            model_name=f"{algorithm.name} {algorithm.version}",
            serial_number=algorithm.weights_sha256,
        ),
    )
    return encode(
        [
            *sr.LanguageOfContentItemAndDescendants(_LANGUAGE),
            *sr.ObservationContext(observer_device_context=observer),
            sr.CodeContentItem(codes.DCM.ProcedureReported, _PROCEDURE, sr.RelationshipTypeValues.HAS_CONCEPT_MOD),
        ]
    )


def coded(code: Code) -> Coded:
    """A code of the table of findings as pydicom's type."""
    return Coded(code.value, code.scheme, code.meaning)
