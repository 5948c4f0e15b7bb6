"""The report is read by a person first, and its groups are those of highdicom's template TID 1410."""

from dataclasses import replace
from datetime import timedelta
from io import BytesIO

import numpy as np
import pytest
from highdicom import sr
from pydicom import dcmread
from pydicom.sr.coding import Code

from app.dicom_objects.content import EvidenceSite
from app.dicom_objects.item_templates import ItemTemplate, encode
from app.dicom_objects.structured_report import coded, structured_report
from app.rendering.wording import NOTICE
from tests.factories import chest_dicom
from tests.unit.dicom_objects.reports import ANALYSED, PATCHES, SEGMENTER, USUAL, finding, report_of

UNITLESS = Code("1", "UCUM", "no units")
PRESENT = Code("52101004", "SCT", "Present")


def made_of(*findings, film=None, **values):
    report = report_of(film or chest_dicom(), *findings, **values)
    return report, dcmread(BytesIO(structured_report(report)))


def texts_of(document) -> list[str]:
    return [item.TextValue for item in document.ContentSequence if item.ValueType == "TEXT" and item.RelationshipType
            == "CONTAINS"]  # fmt: skip


def container(document, meaning):
    return next(
        item
        for item in document.ContentSequence
        if item.ValueType == "CONTAINER" and item.ConceptNameCodeSequence[0].CodeMeaning == meaning
    )


def test_the_conclusion_comes_first_then_findings_by_importance():
    _, document = made_of(*USUAL, warnings=("low resolution – 200 px",))
    assert document.ContentSequence[0].ConceptNameCodeSequence[0].CodeValue == "121077"
    assert texts_of(document) == [
        "Positive at the operating point balanced: Pleural Effusion 90 %, Cardiomegaly 35 %.",
        "Pleural Effusion 90 %: positive (balanced, from 30 %); strongest evidence in the lower right quarter and the "
        "upper left quarter of the radiograph as displayed.",
        "Cardiomegaly 35 %: positive (balanced, from 25 %); strongest evidence in the upper left quarter and the lower "
        "right quarter of the radiograph as displayed.",
        "No Finding 30 %: negative, contradicted by Cardiomegaly and Pleural Effusion.",
        "Negative: Lung Opacity 4.0 % (below 50 %).",
        "No decision: Enlarged Cardiomediastinum 95 % (derived), Atelectasis 40 % (weak).",
        "Not judged (untrained): Fracture.",
        "Warning: low resolution - 200 px",
        NOTICE,
    ]


def test_a_normal_radiograph_has_no_positive_finding():
    _, document = made_of(finding(0, 0.9, 0.5), finding(2, 0.1, 0.25))
    assert texts_of(document)[:2] == [
        "No finding is positive at the operating point balanced.",
        "No Finding 90 %: positive (balanced, from 50 %).",
    ]
    (comment,) = container(document, "Imaging Measurements").ContentSequence
    assert comment.TextValue == "No region is measured."


def test_an_image_of_a_private_sop_class_has_regions():
    _, document = made_of(film=chest_dicom(SOPClassUID="1.2.3.4"))
    group = container(document, "Imaging Measurements").ContentSequence[0]
    (region,) = [item for item in group.ContentSequence if item.ValueType == "SCOORD"]
    assert region.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPClassUID == "1.2.3.4"


def test_operating_points_that_differ_are_named_for_each_finding():
    findings = finding(2, 0.9, 0.5, PATCHES), finding(3, 0.9, 0.1, PATCHES, operating_point="sensitive")
    _, document = made_of(*findings)
    assert texts_of(document)[0] == "Positive: Lung Opacity 90 % (sensitive), Cardiomegaly 90 % (balanced)."


def test_every_scored_finding_is_coded_once():
    _, document = made_of(*USUAL)
    groups = container(document, "Imaging Measurements").ContentSequence
    names = [group.ContentSequence[0].TextValue for group in groups]
    assert names == ["Pleural Effusion", "Cardiomegaly"]
    evaluations = container(document, "Qualitative Evaluations").ContentSequence
    told = [(item.ConceptNameCodeSequence[0].CodeMeaning, item.ValueType) for item in evaluations]
    assert told == [
        ("No finding on chest radiograph", "CODE"),
        ("No finding on chest radiograph", "NUM"),
        ("Enlarged cardiomediastinal silhouette", "NUM"),
        ("Abnormal opacity", "CODE"),
        ("Abnormal opacity", "NUM"),
        ("Atelectasis", "NUM"),
    ]
    probability = evaluations[2].MeasuredValueSequence[0]
    assert probability.NumericValue == pytest.approx(0.95)


SITES = {
    "no site": (None, None),
    "a lung": (
        EvidenceSite("left_lower", 0.2, 0.55, suspicious=False),
        sr.FindingSite(Code("281394001", "SCT", "Lower zone of lung"), laterality=Code("7771000", "SCT", "Left")),
    ),
    "mediastinum": (
        EvidenceSite("heart_mediastinum", 0.2, 0.55, suspicious=False),
        sr.FindingSite(Code("72410000", "SCT", "Mediastinum")),
    ),
    "outside": (EvidenceSite(None, 0.0, 1.0, suspicious=True), None),
}


@pytest.mark.parametrize(("site", "coded_site"), SITES.values(), ids=list(SITES))
def test_a_group_is_the_one_that_highdicom_makes(site, coded_site):
    film = chest_dicom()
    report, document = made_of(finding(2, 0.35, 0.25, PATCHES, site=site), film=film)
    (group,) = container(document, "Imaging Measurements").ContentSequence
    item, patch = report.findings[0], PATCHES[0]
    source = (report.source.SOPClassUID, report.source.SOPInstanceUID)
    measured = [
        (Code("122157", "DCM", "Probability"), 0.35),
        (Code("THRESHOLD", "99MPN", "Decision threshold of the probability"), 0.25),
        (Code("PATCHLOGIT", "99MPN", "Evidence of an image patch, in logits"), patch.logit),
    ]
    if coded_site is not None:
        measured.append((Code("SITESHARE", "99MPN", "Share of the positive evidence in the finding site"), site.share))
    if site is not None:
        outside = "Share of the positive evidence outside lungs and mediastinum"
        measured.append((Code("OUTSIDESHARE", "99MPN", outside), site.outside))
    (expected,) = sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(uid=report.uid("sr", "tracking", item.name), identifier=item.name),
        finding_type=coded(item.code),
        finding_sites=[coded_site] if coded_site is not None else None,
        referenced_region=sr.ImageRegion(
            "POLYLINE", np.array(patch.corners(report.rows, report.columns)), sr.SourceImageForRegion(*source)
        ),
        measurements=[sr.Measurement(name, value, UNITLESS) for name, value in measured],
        qualitative_evaluations=[sr.QualitativeEvaluation(coded(item.code), PRESENT)],
    )
    assert sorted(encode([part]) for part in group.ContentSequence) == sorted(
        encode([part]) for part in expected.ContentSequence
    )
    assert group.ContentTemplateSequence == expected.ContentTemplateSequence


def test_zones_are_stated_for_a_person_and_make_another_object():
    site = EvidenceSite("right_middle", 0.25, 0.5, suspicious=False)
    plain = report_of(chest_dicom(), finding(2, 0.35, 0.25, PATCHES[:1]))
    zoned = replace(plain, findings=(replace(plain.findings[0], site=site),), segmenter=SEGMENTER)
    without, document = (dcmread(BytesIO(structured_report(report))) for report in (plain, zoned))
    assert texts_of(document)[1].endswith(
        "of the radiograph as displayed; 50 % of the positive evidence outside lungs and heart, 25 % in the middle "
        "zone of the right lung."
    )
    assert texts_of(document)[-2:] == ["Zones of lungs and heart by chest-anatomy 0.1.0.", NOTICE]
    assert document.SOPInstanceUID != without.SOPInstanceUID
    assert document.SeriesInstanceUID != without.SeriesInstanceUID


def test_the_time_of_the_analysis_is_that_of_the_content_in_the_time_zone_of_the_source():
    _, document = made_of(film=chest_dicom(TimezoneOffsetFromUTC="+0530", StudyDate="19950926", StudyTime="125130"))
    assert (document.ContentDate, document.ContentTime) == ("20260304", "103607")
    assert (document.StudyDate, document.StudyTime) == ("19950926", "125130")


def test_the_same_analysis_gives_the_same_bytes_and_another_time_the_same_object():
    film = chest_dicom()
    first, second = (structured_report(report_of(film)) for _ in range(2))
    later = structured_report(report_of(film, analysed_at=ANALYSED + timedelta(hours=1)))
    assert first == second != later
    assert dcmread(BytesIO(first)).SOPInstanceUID == dcmread(BytesIO(later)).SOPInstanceUID


def test_other_thresholds_give_another_object():
    one, other = (made_of(finding(2, 0.35, threshold, PATCHES))[1] for threshold in (0.25, 0.3))
    assert one.SOPInstanceUID != other.SOPInstanceUID


def test_an_item_template_keeps_nothing_of_what_was_encoded_before():
    template = ItemTemplate(sr.TextContentItem(Code("121106", "DCM", "Comment"), "text", "CONTAINS"))
    before = template.encode()
    template.encode(TextValue="another", ContentSequence=b"")
    assert template.encode() == before
