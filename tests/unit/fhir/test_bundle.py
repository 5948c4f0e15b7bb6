"""A report as FHIR resources: valid by the models of both releases, complete, and the same when repeated."""

from dataclasses import replace
from importlib import import_module

import pytest
from pydicom.uid import UID

from app.fhir.bundle import bundle
from app.patchnet.findings import FINDINGS
from tests.factories import chest_dicom
from tests.unit.dicom_objects.reports import ALGORITHM, USUAL, finding, report_of

FILM = chest_dicom()
PACKAGES = {"R4": "fhir.resources.R4B", "R5": "fhir.resources"}


def resources(made, kind):
    return [entry["resource"] for entry in made["entry"] if entry["resource"]["resourceType"] == kind]


def observation(made, name):
    (found,) = [item for item in resources(made, "Observation") if item["code"]["text"] == name]
    return found


@pytest.fixture(params=["R4", "R5"])
def release(request):
    return request.param


@pytest.fixture
def made(release):
    return bundle(report_of(FILM), release)


def test_every_resource_is_valid(made, release):
    package = PACKAGES[release]
    for kind in ("DiagnosticReport", "Observation", "Device"):
        model = getattr(import_module(f"{package}.{kind.lower()}"), kind)
        for resource in resources(made, kind):
            model.model_validate(resource)
    import_module(f"{package}.bundle").Bundle.model_validate(made)


def test_the_report_refers_to_an_observation_of_every_finding(made):
    (report,) = resources(made, "DiagnosticReport")
    urls = [entry["fullUrl"] for entry in made["entry"] if entry["resource"]["resourceType"] == "Observation"]
    assert [item["reference"] for item in report["result"]] == urls
    assert len(set(urls)) == len(USUAL)
    assert report["status"] == "preliminary"
    assert report["conclusion"].startswith("Positive at the operating point balanced: Pleural Effusion 90 %")


def test_a_decision_is_a_value_with_its_interpretation(made):
    cardiomegaly = observation(made, "Cardiomegaly")
    assert cardiomegaly["valueCodeableConcept"]["coding"][0]["display"] == "Present"
    assert cardiomegaly["interpretation"][0]["coding"][0]["code"] == "POS"
    values = [component["valueQuantity"]["value"] for component in cardiomegaly["component"]]
    assert values == [0.35, 0.25]
    assert any("quarter" in note["text"] or "half" in note["text"] for note in cardiomegaly["note"])
    opacity = observation(made, "Lung Opacity")
    assert opacity["valueCodeableConcept"]["coding"][0]["display"] == "Absent"
    assert opacity["interpretation"][0]["coding"][0]["code"] == "NEG"


def test_without_a_decision_there_is_no_value_but_its_reason(made):
    weak, untrained = observation(made, "Atelectasis"), observation(made, "Fracture")
    assert weak["dataAbsentReason"]["coding"][0]["code"] == "unknown"
    assert weak["component"][0]["valueQuantity"]["value"] == 0.4
    assert untrained["dataAbsentReason"]["coding"][0]["code"] == "unsupported"
    assert "component" not in untrained
    assert "valueCodeableConcept" not in weak | untrained


def test_no_finding_states_what_contradicts_it(made):
    notes = [note["text"] for note in observation(made, "No Finding")["note"]]
    assert "Negative because of: Cardiomegaly, Pleural Effusion." in notes


def test_patient_order_and_study_are_references_by_identifier():
    changes = {"PatientID": "4711", "IssuerOfPatientID": "Hospital", "AccessionNumber": "A1", "StudyDate": "20260102"}
    made = bundle(report_of(chest_dicom(**changes)), "R4")
    (report,) = resources(made, "DiagnosticReport")
    assert report["subject"]["identifier"]["value"] == "4711"
    assert report["subject"]["identifier"]["assigner"] == {"display": "Hospital"}
    assert report["basedOn"][0]["identifier"]["value"] == "A1"
    assert report["effectiveDateTime"] == "2026-01-02"
    assert report["imagingStudy"][0]["identifier"]["value"].startswith("urn:oid:")
    assert all("4711" not in entry["request"]["url"] for entry in made["entry"])


def test_a_name_in_its_character_set_is_read():
    made = bundle(report_of(chest_dicom(SpecificCharacterSet="ISO_IR 100", PatientID="Müller")), "R4")
    assert resources(made, "DiagnosticReport")[0]["subject"]["identifier"]["value"] == "Müller"


@pytest.mark.parametrize("changes", [{"PatientID": ""}, {"AccessionNumber": ""}, {"StudyDate": ""}])
def test_what_the_radiograph_lacks_is_left_out(changes, release):
    made = bundle(report_of(chest_dicom(**changes)), release)
    import_module(f"{PACKAGES[release]}.bundle").Bundle.model_validate(made)


def test_a_repeated_report_is_the_same_resources_and_another_model_makes_others():
    first, again = bundle(report_of(FILM), "R4"), bundle(report_of(FILM), "R4")
    assert first == again
    other = replace(report_of(FILM), algorithm=replace(ALGORITHM, weights_sha256="cd" * 32))
    urls = [{entry["request"]["url"] for entry in made["entry"]} for made in (first, bundle(other, "R4"))]
    assert not urls[0] & urls[1]


@pytest.mark.parametrize("column", range(14))
def test_every_finding_has_its_code(column):
    made = bundle(report_of(FILM, finding(column, 0.2)), "R4")
    (coding,) = resources(made, "Observation")[0]["code"]["coding"]
    assert coding["code"] == FINDINGS[column].code.value
    assert coding["system"].startswith(("http://", "urn:"))
    assert UID(resources(made, "Observation")[0]["identifier"][0]["value"].removeprefix("urn:oid:")).is_valid
