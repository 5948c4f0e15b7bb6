"""Radiographs sent by C-STORE or retrieved from an archive: their results appear once in the study."""

import re
from io import BytesIO

import pytest
from pydicom import dcmread

from tests.factories import example
from tests.integration.orthanc import Orthanc, stow, wado
from tests.integration.radiology import (
    DIMSE_SENDER,
    WEB_SENDER,
    free_port,
    new_study,
    pacs_settings,
    radiograph_as,
    store,
    storescu,
    write_config,
)
from tests.integration.test_report import KINDS, objects, without_time
from tests.programs import installed
from tests.waiting import eventually

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """One Orthanc for all tests of this file; each test uses its own study."""
    installed("Orthanc")
    orthanc = Orthanc(tmp_path_factory.mktemp("orthanc"))
    orthanc.start()
    yield orthanc
    orthanc.stop()


@pytest.fixture(scope="module")
def pacs(start_service, archive, tmp_path_factory):
    """A service connected to the archive, and the port of its listener."""
    folder, port = tmp_path_factory.mktemp("pacs"), free_port()
    config = write_config(folder, archive, port=port, max_associations=4, timeout_s=5, max_instance_bytes=32 * 1024**2)
    return start_service(**pacs_settings(folder, config)), port


@pytest.fixture(scope="module")
def web(pacs):
    with pacs[0].client() as client:
        yield client


def expected(client, radiograph) -> dict[str, bytes]:
    made = [content for kind in KINDS for content in objects(client, radiograph, kind)]
    return {dcmread(BytesIO(content)).SOPInstanceUID: content for content in made}


def stored(archive, study) -> set[str]:
    """The SOP Instance UIDs of a study."""
    with archive.client() as client:
        answer = client.get(f"/dicom-web/studies/{study}/instances")
    return {item["00080018"]["Value"][0] for item in answer.json()} if answer.is_success and answer.content else set()


def metrics(client) -> dict[str, float]:
    """Analysed instances by outcome."""
    text = client.get("/metrics").text
    return {name: float(value) for name, value in re.findall(r'pacs_films_total{outcome="(\w+)"} (\S+)', text)}


def finished(client, job):
    """The report of a job, or None while it is open."""
    answer = client.get(job).json()
    return answer if answer["state"] not in {"waiting", "running"} else None


@pytest.mark.parametrize("sender", [WEB_SENDER, DIMSE_SENDER])
def test_a_radiograph_sent_to_the_listener_has_its_results_in_the_archive(pacs, web, archive, rg1, tmp_path, sender):
    service, port = pacs
    radiograph = radiograph_as(rg1, study := new_study(), 1)
    path = tmp_path / "radiograph.dcm"
    path.write_bytes(radiograph)
    made = expected(web, radiograph)
    assert len(made) >= 3
    for _ in range(2):  # the second time changes nothing
        sent = storescu(port, path, calling=sender)
        assert sent.returncode == 0, sent.stdout + sent.stderr
        eventually(lambda: stored(archive, study) == set(made))
    for name, content in made.items():
        there = wado(archive, dcmread(BytesIO(content)))
        assert without_time(there) == without_time(content)
        assert archive.file(name) == there
    assert study not in service.log


def test_a_study_of_the_archive_is_analysed_and_reported_by_its_job(web, archive, rg1):
    study = new_study()
    radiographs = [radiograph_as(rg1, study, number) for number in (1, 2)]
    assert stow(archive, radiographs).status_code == 200
    made = expected(web, radiographs[0]) | expected(web, radiographs[1])
    path = f"/studies/{study}/analyze?source=archive&target=archive"
    answer = web.post(path, headers={"Idempotency-Key": "once"})
    assert answer.status_code == 202, answer.text
    job = answer.headers["location"]
    report = eventually(lambda: finished(web, job))
    assert report["state"] == "done", report
    assert [item["state"] for item in report["instances"]] == ["delivered", "delivered"]
    assert {made["sop_instance_uid"] for item in report["instances"] for made in item["objects"]} == set(made)
    assert web.post(path, headers={"Idempotency-Key": "once"}).headers["location"] == job
    assert web.post(f"{path}&object=sr", headers={"Idempotency-Key": "once"}).status_code == 409
    again = web.post(path).headers["location"]
    assert again != job
    assert eventually(lambda: finished(web, again))["state"] == "done"
    assert {name: without_time(archive.file(name)) for name in made} == {
        name: without_time(made[name]) for name in made
    }
    assert len(stored(archive, study)) == len(made) + 2


def test_a_job_reports_an_unknown_study(web):
    answer = web.post("/studies/1.2.3/analyze?source=archive&target=archive")
    report = eventually(lambda: finished(web, answer.headers["location"]))
    assert (report["state"], report["problem"]["code"]) == ("not_found", "study_not_found")
    text = web.get("/metrics").text
    assert 'pacs_jobs_total{outcome="not_found"} 1.0' in text
    assert 'pacs_dead{queue="jobs"} 0.0' in text  # no alert for the operator
    assert web.get("/jobs/unknown").status_code == 404


def test_other_images_are_refused_and_unrouted_ones_ignored(pacs, web):
    leg = example("RG3_J2KR.dcm")
    before = metrics(web)
    assert store(pacs[1], [leg]) == [0]
    assert store(pacs[1], [radiograph_as(example("RG1_J2KR.dcm"), new_study(), 1)], calling="UNROUTED") == [0]
    eventually(lambda: metrics(web)["refused"] == before["refused"] + 1)
    eventually(lambda: metrics(web)["ignored"] == before["ignored"] + 1)


@pytest.mark.parametrize(
    ("path", "code", "status"),
    [
        ("/studies/1.2.3/analyze?source=http://169.254.169.254/&target=archive", "unknown_node", 422),
        ("/studies/1.2.3/analyze?source=archive&target=elsewhere", "unknown_node", 422),
        ("/studies/..%2F..%2Fadmin/analyze?source=archive&target=archive", None, 404),
        ("/studies/1.2.3%3Fx/analyze?source=archive&target=archive", "invalid_query", 422),
        ("/studies/1..2/analyze?source=archive&target=archive", "invalid_query", 422),
        ("/studies/1.2.3/analyze?source=archive&target=archive&object=pdf", "invalid_query", 422),
        ("/studies/1.2.3/analyze?source=archive&target=archive&model=other", "unknown_model", 422),
    ],
)
def test_a_caller_cannot_choose_an_address(web, path, code, status):
    answer = web.post(path)
    assert answer.status_code == status, answer.text
    assert code is None or answer.json()["type"].endswith(code)
