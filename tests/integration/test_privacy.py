"""No attribute of a patient leaves a film: not to logs, metrics, errors, the audit log or the disk."""

import hashlib
import io
import os
import shutil
import warnings

import pydicom
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.factories import example
from tests.outward import Recorder

pytestmark = pytest.mark.integration

TEXT = {"PN", "LO", "SH", "LT", "ST", "UT", "UC", "UR", "AE"}
DATED = {"DA": "19430217", "TM": "031415.926535", "DT": "19430217031415.926535", "AS": "083Y"}
FILMS = (
    "RG1_UNCR.dcm",
    "RG1_J2KR.dcm",
    "RG3_UNCR.dcm",
    "CT_small.dcm",
    "MR_small.dcm",
    "reportsi.dcm",
    "emri_small.dcm",
)


@pytest.fixture(scope="module")
def watched(start_service, tmp_path_factory):
    """A service that logs all it can; what it writes and reaches is recorded."""
    folder = tmp_path_factory.mktemp("watched")
    shutil.copytree(os.environ["MEDPATCHNET_CACHE_DIR"], folder / "cache", ignore=shutil.ignore_patterns(".new-*"))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in Recorder(folder).environment.items():
            patch.setenv(name, value)
        service = start_service(log_level="debug", audit_file=folder / "audit.jsonl", cache_dir=folder / "cache")
    (folder / "before.txt").write_text(listing(folder / "cache"))
    return service, folder


def listing(folder):
    """Names and contents of all files, as hashes."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return "\n".join(f"{path} {hashlib.sha256(path.read_bytes()).hexdigest()}" for path in files)


@pytest.fixture(scope="module")
def client(watched):
    with watched[0].client() as client:
        yield client


def written(watched, client):
    """Everything that stays behind: logs, audit log, metrics, names and contents of temporary files."""
    service, folder = watched
    files = [f"{path} {path.read_bytes()!r}" for path in (folder / "temporary").rglob("*") if path.is_file()]
    return "\n".join([service.log, (folder / "audit.jsonl").read_text(), client.get("/metrics").text, *files])


def planted(name, sentinel, chosen):
    """An example file with a sentinel in every text, and an unlikely date in every date; also inside sequences."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(io.BytesIO(example(name)))
        for keyword in ("PatientName", "PatientID", "AccessionNumber", "InstitutionName", "PatientAddress", *chosen):
            setattr(dataset, keyword, sentinel)
        for element in dataset.iterall():
            if element.VR in TEXT:
                element.value = sentinel
            elif element.VR in DATED:
                element.value = DATED[element.VR]
        file = io.BytesIO()
        dataset.save_as(file)
    return file.getvalue()


PATHS = ("/predict", "/explain?class=all", "/report?object=sr", "/report?object=gsps")
PLACES = ("PatientComments", "OtherPatientIDs", "StudyDescription", "ImageComments", "Modality", "BodyPartExamined",
          "PhotometricInterpretation", "ViewPosition", "ReferringPhysicianName")  # fmt: skip


@settings(
    max_examples=12,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    name=st.sampled_from(FILMS),
    chosen=st.sets(st.sampled_from(PLACES), max_size=3),
    kept=st.one_of(st.just(1.0), st.floats(0.01, 0.99)),
    edits=st.lists(st.tuples(st.integers(132, 3000), st.integers(0, 255)), max_size=4),
    path=st.sampled_from(PATHS),
    unique=st.integers(0, 999_999),
)
def test_no_sentinel_stays_behind_or_comes_back_in_an_error(watched, client, name, chosen, kept, edits, path, unique):
    sentinel = f"ZQXW{unique:06}"
    data = bytearray(planted(name, sentinel, chosen))
    for place, value in edits:
        data[place % len(data)] = value
    answer = client.post(path, content=bytes(data[: int(kept * len(data))]))
    assert answer.status_code in {200, 413, 422}
    left = written(watched, client)
    assert "ZQXW" not in left
    assert not any(date in left for date in DATED.values())
    if answer.status_code != 200:
        assert "ZQXW" not in answer.text
        assert not any(date in answer.text for date in DATED.values())


@pytest.mark.parametrize("change", [{"Rows": 7}, {"BitsAllocated": 24}, {"Modality": "CT"}], ids=str)
@pytest.mark.parametrize("path", PATHS)
def test_no_sentinel_comes_back_in_the_error_of_a_film_that_contradicts_itself(watched, client, path, change):
    dataset = pydicom.dcmread(io.BytesIO(planted("RG1_UNCR.dcm", "ZQXWERROR", ())))
    for keyword, value in change.items():
        setattr(dataset, keyword, value)
    file = io.BytesIO()
    dataset.save_as(file)
    answer = client.post(path, content=file.getvalue())
    assert answer.status_code == 422
    assert "ZQXW" not in answer.text
    assert "ZQXW" not in written(watched, client)


def test_headers_and_queries_of_a_caller_do_not_stay_behind(watched, client, rg1):
    secret = "ZQXWHEADER"
    client.post(f"/predict?patient={secret}", content=rg1, headers={"X-Patient": secret, "User-Agent": secret})
    client.post("/predict", content=rg1, headers={"X-Request-ID": f"^{secret}", "X-API-Key": secret})
    client.post("/predict", files={"file": (f"{secret}.dcm", rg1, "application/dicom")})
    client.get(f"/{secret}")
    assert secret not in written(watched, client)


def test_nothing_is_left_on_the_disk(watched, client, rg1):
    assert client.post("/predict", content=rg1).status_code == 200
    folder = watched[1]
    assert [path for path in (folder / "temporary").rglob("*") if path.is_file()] == []
    assert (folder / "before.txt").read_text() == listing(folder / "cache") != ""


def test_the_service_reached_and_wrote_to_nothing_but_its_own_folders_until_its_end(watched):
    """The last test of the file, because it ends the service."""
    service, folder = watched
    recorder = Recorder(folder)
    assert service.stop() == 0
    assert recorder.beyond(folder / "cache", folder / "audit.jsonl") == []
    assert list(recorder.home.iterdir()) == []
