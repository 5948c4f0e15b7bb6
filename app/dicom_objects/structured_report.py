"""The structured report: a conclusion for people, and TID 1500 "Measurement Report" with every finding for programs.

Its order and its parts follow what viewers show: see the conformance statement, "Enhanced SR".
"""

from collections.abc import Iterator
from functools import cache, lru_cache

import numpy as np
from highdicom import sr
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code as Coded
from pydicom.uid import ComputedRadiographyImageStorage, EnhancedSRStorage

from app.anatomy.zones import ZoneName
from app.dicom_objects.attributes import first_text
from app.dicom_objects.common import as_file, referenced_image, stamp
from app.dicom_objects.content import Algorithm, EvidenceSite, Patch, Report, ReportedFinding
from app.dicom_objects.item_templates import ItemTemplate, encode
from app.dicom_objects.report_text import conclusion_text, finding_texts, remark_texts
from app.dicom_objects.uids import derived_uid
from app.patchnet.findings import Code

_LANGUAGE = sr.CodedConcept("en-US", "RFC5646", "English (United States)")
_PROCEDURE = Coded("399208008", "SCT", "Plain chest X-ray")
_QUALITATIVE_EVALUATIONS = Coded("C0034375", "UMLS", "Qualitative Evaluations")
_CONCLUSION, _COMMENT = Coded("121077", "DCM", "Conclusion"), Coded("121106", "DCM", "Comment")
_PROBABILITY = Coded("122157", "DCM", "Probability")
_THRESHOLD = Coded("THRESHOLD", "99MPN", "Decision threshold of the probability")
_EVIDENCE = Coded("PATCHLOGIT", "99MPN", "Evidence of an image patch, in logits")
_SITE_SHARE = Coded("SITESHARE", "99MPN", "Share of the positive evidence in the finding site")
_OUTSIDE_SHARE = Coded("OUTSIDESHARE", "99MPN", "Share of the positive evidence outside lungs and mediastinum")
_NO_UNITS = Coded("1", "UCUM", "no units")
_PRESENT, _ABSENT = Coded("52101004", "SCT", "Present"), Coded("272519000", "SCT", "Absent")
_SIDES = {"right": codes.SCT.Right, "left": codes.SCT.Left}
_LUNG_ZONES = {
    "upper": codes.SCT.UpperZoneOfLung,
    "middle": codes.SCT.MiddleZoneOfLung,
    "lower": codes.SCT.LowerZoneOfLung,
}
_CONTAINS = sr.RelationshipTypeValues.CONTAINS
_SERIES_NUMBER = 9001
_SOME_UID = "2.25.1"  # placeholder in templates
_ALGORITHMS_KEPT, _TEXTS_KEPT = 64, 256


def structured_report(report: Report) -> bytes:
    """An Enhanced SR as a DICOM file. Source: PS3.16 TID 1500, 1600, 1410; PS3.3 A.35.2."""
    dataset = _document(report)
    stamp(dataset, report, "AI findings, research use")
    content = (
        _text(_CONCLUSION, conclusion_text(report)),
        *(_text(codes.DCM.Finding, text) for text in finding_texts(report)),
        *(_text(_COMMENT, text) for text in remark_texts(report)),
        _preamble(report.algorithm),
        _image_library(report.source),
        _filled(codes.DCM.ImagingMeasurements, _groups(report), otherwise="No region is measured."),
        _filled(_QUALITATIVE_EVALUATIONS, _evaluations(report), otherwise="All findings are measured."),
    )
    return as_file(dataset, report, {"ContentSequence": b"".join(content)})


def _document(report: Report) -> Dataset:
    """The SR Document Series and General modules, and the root of the content (PS3.3 C.17)."""
    root = sr.ContainerContentItem(codes.DCM.ImagingMeasurementReport, template_id="1500")
    document = Dataset()
    document.update({element.tag: element for element in root})
    document.SOPClassUID = EnhancedSRStorage
    zones = () if report.segmenter is None else ("zones", report.segmenter.weights_sha256)
    document.SOPInstanceUID = report.uid("sr", *zones)
    document.SeriesInstanceUID = report.uid("sr", "series", *zones)
    document.Modality = "SR"
    document.SeriesNumber, document.InstanceNumber = _SERIES_NUMBER, 1
    document.ReferencedPerformedProcedureStepSequence = []
    document.PerformedProcedureCodeSequence = []
    is_complete = all(finding.probability is not None for finding in report.findings)
    document.CompletionFlag = "COMPLETE" if is_complete else "PARTIAL"
    document.VerificationFlag = "UNVERIFIED"
    document.PreliminaryFlag = "PRELIMINARY"
    series, study = Dataset(), Dataset()
    series.SeriesInstanceUID = first_text(report.source, "SeriesInstanceUID")
    series.ReferencedSOPSequence = [referenced_image(report.source)]
    study.StudyInstanceUID = first_text(report.source, "StudyInstanceUID")
    study.ReferencedSeriesSequence = [series]
    document.CurrentRequestedProcedureEvidenceSequence = [study]
    return document


def _groups(report: Report) -> Iterator[bytes]:
    """A TID 1410 group for each positive finding: its probability, and where its strongest evidence lies."""
    image = encode([sr.SourceImageForRegion(*_identity(report.source))])
    for finding in report.positives:
        if finding.patches:
            yield _group(report, finding, finding.patches[0], image)


def _group(report: Report, finding: ReportedFinding, patch: Patch, image: bytes) -> bytes:
    outline = [coordinate for corner in patch.corners(report.rows, report.columns) for coordinate in corner]
    parts = [
        _tracking_name(finding.name),
        _tracking_uid().encode(UID=report.uid("sr", "tracking", finding.name)),
        _finding_type(finding.code),
        *_where(finding.site),
        _measurement(_PROBABILITY, round(finding.probability or 0.0, 6)),
        *([] if finding.threshold is None else [_measurement(_THRESHOLD, round(finding.threshold, 6))]),
        _measurement(_EVIDENCE, round(patch.logit, 4)),
        _decision(finding.code, True),
        _region().encode(GraphicData=outline, ContentSequence=image),
    ]
    return _container(codes.DCM.MeasurementGroup, "1410").encode(ContentSequence=b"".join(parts))


def _where(site: EvidenceSite | None) -> Iterator[bytes]:
    """The finding site with its share, and the share of the evidence outside lungs, heart and mediastinum."""
    if site is not None:
        if site.zone is not None:
            yield _finding_site(site.zone)
            yield _measurement(_SITE_SHARE, round(site.share, 4))
        yield _measurement(_OUTSIDE_SHARE, round(site.outside, 4))


@cache
def _finding_site(zone: ZoneName) -> bytes:
    """The site of a zone of lungs, heart and mediastinum (PS3.16 CID 6124, 4031, 244)."""
    side, _, part = zone.partition("_")
    if zone == "heart_mediastinum":
        return encode([sr.FindingSite(codes.SCT.Mediastinum)])
    return encode([sr.FindingSite(_LUNG_ZONES[part], laterality=_SIDES[side])])


def _evaluations(report: Report) -> Iterator[bytes]:
    """The findings without a group: Present or Absent where there is a decision, and the probability.

    They are no measurement groups: OHIF fails on a group whose numbers refer to no region.
    """
    grouped = {finding.name for finding in report.positives if finding.patches}
    for finding in report.findings:
        if finding.name not in grouped and finding.probability is not None:
            if finding.positive is not None:
                yield _decision(finding.code, finding.positive)
            yield _measurement(coded(finding.code), round(finding.probability, 6))


def _filled(name: Coded, contents: Iterator[bytes], *, otherwise: str) -> bytes:
    """A container; a comment says that there is nothing in it.

    It is neither empty, which highdicom cannot read, nor left out, which older releases of OHIF cannot.
    """
    return _container(name).encode(ContentSequence=b"".join(contents) or _text(_COMMENT, otherwise))


@cache
def _container(name: Coded, template: str | None = None) -> ItemTemplate:
    return ItemTemplate(sr.ContainerContentItem(name, template_id=template, relationship_type=_CONTAINS))


def _text(name: Coded, text: str) -> bytes:
    return _text_template(name).encode(TextValue=text)


@cache
def _text_template(name: Coded) -> ItemTemplate:
    return ItemTemplate(sr.TextContentItem(name, "text", _CONTAINS))


def _image_library(source: Dataset) -> bytes:
    """TID 1600: the radiograph, from which viewers know what to load."""
    image = encode([sr.SourceImageForMeasurementGroup(*_identity(source))])
    group = _container(codes.DCM.ImageLibraryGroup).encode(ContentSequence=image)
    return _container(codes.DCM.ImageLibrary, "1600").encode(ContentSequence=group)


def _identity(source: Dataset) -> tuple[str, str]:
    return first_text(source, "SOPClassUID"), first_text(source, "SOPInstanceUID")


@cache
def _region() -> ItemTemplate:
    """An image region, of a placeholder: highdicom refuses images of SOP classes that it does not know."""
    image = sr.SourceImageForRegion(ComputedRadiographyImageStorage, _SOME_UID)
    return ItemTemplate(sr.ImageRegion("POLYLINE", np.zeros((2, 2)), image))


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


@cache
def _finding_type(code: Code) -> bytes:
    return encode([sr.CodeContentItem(codes.DCM.Finding, coded(code), _CONTAINS)])


@cache
def _decision(code: Code, positive: bool) -> bytes:
    return encode(sr.QualitativeEvaluation(coded(code), _PRESENT if positive else _ABSENT))


@lru_cache(_ALGORITHMS_KEPT)
def _preamble(algorithm: Algorithm) -> bytes:
    """Language, observer and procedure. TID 1500 rows 2 to 4."""
    observer = sr.ObserverContext(
        observer_type=sr.CodedConcept("121007", "DCM", "Device"),
        observer_identifying_attributes=sr.DeviceObserverIdentifyingAttributes(
            uid=derived_uid("medpatchnet", algorithm.weights_sha256, "device"),
            model_name=f"{algorithm.name} {algorithm.version}",
            serial_number=algorithm.weights_sha256[:16],
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
