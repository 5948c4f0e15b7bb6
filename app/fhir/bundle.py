"""A report as a FHIR transaction: a DiagnosticReport, an Observation for each finding, and the Device that made them.

Posted to a server it creates or updates: each resource is found by its identifier, which follows from the radiograph
and the weights, so a repeated report is the same resources. Patient, order and study are references by identifier, for
the server to resolve; no patient is created. Source: FHIR R4 (4.0.1) and R5 (5.0.0).
"""

from collections.abc import Iterator
from typing import Literal
from urllib.parse import quote

from app.dicom_objects.common import local_time
from app.dicom_objects.content import Report, ReportedFinding
from app.dicom_objects.report_text import conclusion_text, remark_texts
from app.dicom_objects.uids import derived_uid
from app.fhir.elements import (
    Element,
    coded,
    concept,
    full_url,
    imaging_study,
    order,
    quantity,
    study_date,
    subject,
    uid_identifier,
    uid_of,
)
from app.patchnet.findings import Code

Release = Literal["R4", "R5"]
VERSIONS: dict[Release, str] = {"R4": "4.0", "R5": "5.0"}

_PRELIMINARY = "preliminary"  # an AI result that no physician has verified
_CATEGORY = "http://terminology.hl7.org/CodeSystem"
_RADIOLOGY = coded(f"{_CATEGORY}/v2-0074", "RAD", "Radiology")
_IMAGING = coded(f"{_CATEGORY}/observation-category", "imaging", "Imaging")
_INTERPRETATION = f"{_CATEGORY}/v3-ObservationInterpretation"
_ABSENT_REASON = f"{_CATEGORY}/data-absent-reason"
_CHEST_X_RAY = Code("399208008", "SCT", "Plain chest X-ray")
_PRESENT, _ABSENT = Code("52101004", "SCT", "Present"), Code("272519000", "SCT", "Absent")
_PROBABILITY = Code("122157", "DCM", "Probability")
_THRESHOLD = Code("THRESHOLD", "99MPN", "Decision threshold of the probability")


def bundle(report: Report, release: Release) -> Element:
    """The transaction of a report."""
    device = _device(report, release)
    observations = [_observation(report, finding) for finding in report.findings]
    resources = [_report(report, release), device, *observations]
    return {
        "resourceType": "Bundle",
        "type": "transaction",
        "timestamp": _issued(report),
        "entry": [_entry(resource) for resource in resources],
    }


def _device_uid(report: Report) -> str:
    algorithm = report.algorithm
    return derived_uid(algorithm.software_version, algorithm.weights_sha256, "fhir", "device")


def _observation_uid(report: Report, finding: ReportedFinding) -> str:
    return report.uid("fhir", "observation", finding.name)


def _entry(resource: Element) -> Element:
    (identifier,) = resource["identifier"]
    query = quote(f"{identifier['system']}|{identifier['value']}", safe="")
    url = f"{resource['resourceType']}?identifier={query}"
    return {"fullUrl": full_url(uid_of(identifier)), "resource": resource, "request": {"method": "PUT", "url": url}}


def _report(report: Report, release: Release) -> Element:
    study = "imagingStudy" if release == "R4" else "study"
    return {
        "resourceType": "DiagnosticReport",
        "identifier": [uid_identifier(report.uid("fhir", "report"))],
        **order(report.source),
        "status": _PRELIMINARY,
        "category": [_RADIOLOGY],
        "code": concept(_CHEST_X_RAY),
        **subject(report.source),
        **study_date(report.source),
        "issued": _issued(report),
        "result": [{"reference": full_url(_observation_uid(report, finding))} for finding in report.findings],
        study: [imaging_study(report.source)],
        "conclusion": " ".join([conclusion_text(report), *remark_texts(report)]),
    }


def _device(report: Report, release: Release) -> Element:
    algorithm = report.algorithm
    kind = {"text": "Artificial intelligence software"}
    name = f"medpatchnet {algorithm.name}"
    return {
        "resourceType": "Device",
        "identifier": [uid_identifier(_device_uid(report))],
        **({"deviceName": [{"name": name, "type": "model-name"}]} if release == "R4" else {}),
        **({"name": [{"value": name, "type": "registered-name"}]} if release == "R5" else {}),
        "modelNumber": algorithm.weights_sha256,
        "type": kind if release == "R4" else [kind],
        "version": [{"value": f"model {algorithm.version}"}, {"value": f"software {algorithm.software_version}"}],
    }


def _observation(report: Report, finding: ReportedFinding) -> Element:
    return {
        "resourceType": "Observation",
        "identifier": [uid_identifier(_observation_uid(report, finding))],
        "status": _PRELIMINARY,
        "category": [_IMAGING],
        "code": concept(finding.code, finding.name),
        **subject(report.source),
        **study_date(report.source),
        "issued": _issued(report),
        **_decision(finding),
        "note": [{"text": text} for text in _notes(report, finding)],
        "device": {"reference": full_url(_device_uid(report))},
        "derivedFrom": [imaging_study(report.source)],
        **_components(finding),
    }


def _decision(finding: ReportedFinding) -> Element:
    """Present or absent; where the model does not decide, why there is no value."""
    if finding.positive is None:
        code, display = ("unsupported", "Unsupported") if finding.probability is None else ("unknown", "Unknown")
        return {"dataAbsentReason": coded(_ABSENT_REASON, code, display, f"No decision: {finding.status}")}
    code, display = ("POS", "Positive") if finding.positive else ("NEG", "Negative")
    return {
        "valueCodeableConcept": concept(_PRESENT if finding.positive else _ABSENT),
        "interpretation": [coded(_INTERPRETATION, code, display)],
    }


def _notes(report: Report, finding: ReportedFinding) -> Iterator[str]:
    yield f"Status of the finding in the model: {finding.status}."
    if finding.operating_point is not None:
        yield f"Operating point: {finding.operating_point}."
    if finding.contradicted_by:
        yield f"Negative because of: {', '.join(finding.contradicted_by)}."
    if where := report.whereabouts(finding):
        yield f"{where[0].upper()}{where[1:]}."


def _components(finding: ReportedFinding) -> Element:
    values = ((_PROBABILITY, finding.probability), (_THRESHOLD, finding.threshold))
    components = [
        {"code": concept(code), "valueQuantity": quantity(value)} for code, value in values if value is not None
    ]
    return {"component": components} if components else {}


def _issued(report: Report) -> str:
    return local_time(report).isoformat(timespec="seconds")
