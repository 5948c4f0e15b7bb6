"""The report equals, byte for byte, the one that highdicom's own templates of TID 1500 make."""

from io import BytesIO

import numpy as np
import pytest
from highdicom import sr
from pydicom import Dataset, dcmread
from pydicom.sr.coding import Code

from app.dicom_objects.common import as_file, stamp
from app.dicom_objects.content import NOTICE, Algorithm, Patch, Report, ReportedFinding
from app.dicom_objects.source_image import read_source
from app.dicom_objects.structured_report import coded, structured_report
from app.dicom_objects.uids import derived_uid
from app.imaging.radiograph import DecodeLimits
from app.patchnet.findings import FINDINGS
from app.rendering.overlay import SaliencyLayer
from tests.factories import chest_dicom

UNITLESS = Code("1", "UCUM", "no units")
PRESENT, ABSENT = Code("52101004", "SCT", "Present"), Code("272519000", "SCT", "Absent")


def report_of(source: Dataset, *findings: ReportedFinding, warnings=()) -> Report:
    algorithm = Algorithm("chest", "1.2.0", "ab" * 32, "0.9")
    return Report(source, algorithm, findings, ("Fracture", "Support Devices"), tuple(warnings), 4.0)


def finding(column, probability, threshold=None, patches=()) -> ReportedFinding:
    layer = SaliencyLayer(np.zeros((512, 512), np.float32), 0.0, 0.0, 512.0)
    positive = None if threshold is None else probability >= threshold
    name, code = FINDINGS[column].name, FINDINGS[column].code
    return ReportedFinding(name, code, probability, threshold, positive, layer, tuple(patches))


def as_highdicom_makes_it(report: Report) -> bytes:
    """The same report through the templates as they are meant to be used: whole."""
    film = (report.source.SOPClassUID, report.source.SOPInstanceUID)
    sop, algorithm = str(report.source.SOPInstanceUID), report.algorithm

    def common(item, name):
        uid = derived_uid(sop, algorithm.weights_sha256, item.name, name)
        warnings = [f"caution: {text}" for text in report.warnings]
        parameters = [f"weights sha256 {algorithm.weights_sha256}", *warnings, NOTICE]
        return {
            "tracking_identifier": sr.TrackingIdentifier(uid=uid, identifier=name),
            "finding_type": coded(item.code),
            "algorithm_id": sr.AlgorithmIdentification(algorithm.name, algorithm.version, parameters),
        }

    groups = []
    for item in report.findings:
        measured = [(Code("PROBABILITY", "99MPN", "Probability of the finding"), round(item.probability, 6))]
        decisions = []
        if item.threshold is not None:
            measured.append((Code("THRESHOLD", "99MPN", "Decision threshold of the probability"), item.threshold))
            decision = Code("DECISION", "99MPN", "Decision at the threshold")
            decisions = [sr.QualitativeEvaluation(decision, PRESENT if item.positive else ABSENT)]
        groups.append(
            sr.MeasurementsAndQualitativeEvaluations(
                **common(item, item.name),
                measurements=[sr.Measurement(name, value, UNITLESS) for name, value in measured],
                qualitative_evaluations=decisions,
                source_images=[sr.SourceImageForMeasurementGroup(*film)],
            )
        )
        for number, patch in enumerate(item.patches, 1):
            outline = np.array(patch.corners(int(report.source.Rows), int(report.source.Columns)))
            evidence = Code("PATCHLOGIT", "99MPN", "Evidence of an image patch, in logits")
            groups.append(
                sr.PlanarROIMeasurementsAndQualitativeEvaluations(
                    **common(item, f"{item.name}, patch {number}"),
                    referenced_region=sr.ImageRegion("POLYLINE", outline, sr.SourceImageForRegion(*film)),
                    measurements=[sr.Measurement(evidence, round(patch.logit, 4), UNITLESS)],
                )
            )
    device = sr.DeviceObserverIdentifyingAttributes(
        uid=derived_uid("medpatchnet", algorithm.weights_sha256, "device"),
        name=algorithm.name,
        manufacturer_name="medpatchnet",
        model_name=f"{algorithm.name} {algorithm.version}",
        serial_number=algorithm.weights_sha256,
    )
    observer = sr.ObserverContext(sr.CodedConcept("121007", "DCM", "Device"), device)
    content = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=observer),
        procedure_reported=Code("399208008", "SCT", "Plain chest X-ray"),
        imaging_measurements=groups,
        title=Code("126000", "DCM", "Imaging Measurement Report"),
    )
    dataset = sr.EnhancedSR(
        evidence=[report.source],
        content=content[0],
        series_instance_uid=derived_uid(sop, algorithm.weights_sha256, "sr", "series"),
        series_number=9001,
        sop_instance_uid=derived_uid(sop, algorithm.weights_sha256, "sr"),
        instance_number=1,
        manufacturer="medpatchnet",
        is_complete=False,
        is_final=False,
        is_verified=False,
        specific_character_set=None,
    )
    dataset.CompletionFlagDescription = (
        "Research use only; not a medical device. Not judged: Fracture, Support Devices."[:64]
    )
    stamp(dataset, report, "AI findings, research use")
    return as_file(dataset)


PATCHES = [Patch(0.0, 12.5, 64.0, 3.25), Patch(-8.0, 100.0, 64.0, 0.12345)]
REPORTS = {
    "nothing decided": ([finding(2, 0.25), finding(3, 1e-7)], ()),
    "positive, with patches": ([finding(2, 0.9, 0.5, PATCHES), finding(10, 0.1, 0.25)], ("low resolution",)),
    "every finding": ([finding(column, 0.5, 0.25, PATCHES[:1]) for column in range(12)], ("a", "b")),
}


CHARACTERS = (
    {},
    {"SpecificCharacterSet": "ISO_IR 192", "PatientName": "Жук^Анна"},
    {"SpecificCharacterSet": "ISO_IR 100", "PatientName": "Müller^Jo"},
)


@pytest.mark.parametrize(("findings", "warnings"), REPORTS.values(), ids=list(REPORTS))
@pytest.mark.parametrize("attributes", CHARACTERS)
def test_it_is_what_highdicom_makes(findings, warnings, attributes):
    report = report_of(read_source(chest_dicom(**attributes), DecodeLimits()), *findings, warnings=warnings)
    made = structured_report(report)
    assert made == as_highdicom_makes_it(report)
    assert structured_report(report) == made
    assert dcmread(BytesIO(made)).PatientName == report.source.PatientName
