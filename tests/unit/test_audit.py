"""The audit log: every line follows the one before, and whatever is done to it shows."""

import hashlib
import json
import os
from datetime import UTC, datetime

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from app import audit
from app.access.keys import add_key, new_key, record_of
from app.audit import GENESIS, AuditLog, Entry, Subject, verify
from app.errors import AuditUnavailable, ConfigurationError
from app.runtime.application import create_app
from app.settings import Settings
from tests.artifacts import save_small_artifact
from tests.factories import SENTINEL, chest_dicom


def entry(name="pacs"):
    return Entry(name, "POST /predict", "ok", "id-1", Subject("a" * 64, None, "one@0"))


def write(path, count, first=0):
    log = AuditLog(path)
    for index in range(first, first + count):
        log.append(entry(f"client-{index}"))
    log.close()


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "audit.jsonl"
    write(path, 5)
    return path


def test_a_log_is_continued_over_restarts(path):
    write(path, 3, first=5)
    verified = verify(path)
    assert verified.lines == 8
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["number"] for line in lines] == list(range(1, 9))
    assert lines[0]["previous"] == GENESIS
    assert lines[-1]["hash"] == verified.head
    assert lines[4]["caller"] == "client-4"
    assert datetime.fromisoformat(lines[0]["time"]).tzinfo == UTC


def test_an_empty_log_is_in_order(tmp_path):
    AuditLog(tmp_path / "log").close()
    assert verify(tmp_path / "log") == audit.Verified(0, GENESIS)


def test_a_clock_that_is_set_back_does_not_break_the_chain(tmp_path):
    moments = iter(
        [datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC)]
    )
    log = AuditLog(tmp_path / "log", now=lambda: next(moments))
    for _ in range(3):
        log.append(entry())
    log.close()
    assert verify(tmp_path / "log").lines == 3


@given(st.data())
def test_any_changed_byte_shows(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("audit")
    write(folder / "log", 3)
    content = bytearray((folder / "log").read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    (folder / "log").write_bytes(content)
    with pytest.raises(ConfigurationError):
        verify(folder / "log")


@pytest.mark.parametrize(
    "tamper",
    [
        lambda lines: lines[1:],
        lambda lines: lines[:2] + lines[3:],
        lambda lines: [lines[1], lines[0], *lines[2:]],
        lambda lines: [*lines, lines[-1]],
        lambda lines: [*lines, b"{}\n"],
        lambda lines: [*lines, b"[]\n"],
        lambda lines: [*lines, b"\n"],
    ],
)
def test_removed_moved_and_added_lines_show(path, tamper):
    path.write_bytes(b"".join(tamper(path.read_bytes().splitlines(keepends=True))))
    with pytest.raises(ConfigurationError, match="line"):
        verify(path)


def test_a_cut_end_and_a_rewritten_log_show_against_an_anchor(path):
    known = verify(path)
    anchor = (known.lines, known.head)
    whole = path.read_bytes()
    path.write_bytes(b"".join(whole.splitlines(keepends=True)[:3]))
    assert verify(path).lines == 3
    with pytest.raises(ConfigurationError, match="truncated"):
        verify(path, [anchor])
    path.unlink()
    write(path, 6, first=1)
    assert verify(path).lines == 6
    with pytest.raises(ConfigurationError, match="rewritten"):
        verify(path, [anchor])


def test_a_torn_last_line_is_dropped_since_its_answer_never_left(path):
    with open(path, "ab") as file:
        file.write(b'{"number":6,"tim')
    with capture_logs() as logs:
        write(path, 1)
    assert verify(path).lines == 6
    assert "audit_torn_end_dropped" in [line["event"] for line in logs]


def test_a_damaged_last_line_ends_the_start(path):
    path.write_bytes(path.read_bytes().replace(b"client-4", b"client-9"))
    with pytest.raises(ConfigurationError, match="damaged"):
        AuditLog(path)


def test_two_processes_cannot_share_a_log(path):
    first = AuditLog(path)
    with pytest.raises(ConfigurationError, match="in use"):
        AuditLog(path)
    first.close()


def test_a_folder_that_is_not_there_ends_the_start(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot be written"):
        AuditLog(tmp_path / "no/log")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        verify(tmp_path / "no/log")


def test_a_full_disk_is_an_error_and_the_log_goes_on_unbroken(path, monkeypatch):
    log = AuditLog(path)
    write_all = audit._write

    def half(file, line):
        write_all(file, line[:20])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(audit, "_write", half)
    with pytest.raises(AuditUnavailable):
        log.append(entry())
    assert not log.is_well
    monkeypatch.setattr(audit, "_write", write_all)
    log.append(entry())
    assert log.is_well
    log.close()
    assert verify(path).lines == 6


def test_anchors_reach_the_services_own_log(path, monkeypatch):
    monkeypatch.setattr(audit, "_ANCHOR_EVERY", 2)
    with capture_logs() as logs:
        write(path, 2)
    anchors = [(line["number"], line["hash"]) for line in logs if line["event"] == "audit_anchor"]
    assert [number for number, _ in anchors] == [5, 6, 7]
    assert verify(path, anchors).lines == 7


@pytest.fixture(scope="module")
def models_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    save_small_artifact(folder, "one")
    return folder


def settings(models_dir, **changes):
    return Settings(models_dir=models_dir, model="one", decode_workers=1, device="cpu", **changes)


def test_every_request_leaves_who_what_which_object_and_the_outcome(models_dir, tmp_path):
    key, film = new_key(), chest_dicom()
    add_key(tmp_path / "keys", record_of(key, "pacs", ["predict"]))
    chosen = settings(models_dir, audit_file=tmp_path / "log", api_keys_file=tmp_path / "keys")
    with TestClient(create_app(chosen), headers={"X-API-Key": key}) as client:
        client.post("/predict", content=film, headers={"X-Request-ID": "mine"})
        client.post("/predict?offset=x", content=film)
        client.post("/predict", content=b"no image")
        client.post("/explain?class=Edema", content=film)
        client.get("/findings", headers={"X-API-Key": "mpn_wrong"})
        client.get("/livez")
        client.get("/nothing")
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [(line["caller"], line["action"], line["outcome"]) for line in lines] == [
        ("pacs", "POST /predict", "ok"),
        ("pacs", "POST /predict", "invalid_query"),
        ("pacs", "POST /predict", "unreadable_image"),
        ("pacs", "POST /explain", "forbidden"),
        ("", "GET /findings", "unauthenticated"),
    ]
    first = lines[0]
    assert first["request_id"] == "mine"
    assert first["object_sha256"] == hashlib.sha256(film).hexdigest()
    assert first["instance_sha256"] == hashlib.sha256(b"1.2.826.0.1.3680043.8.498.1").hexdigest()
    assert first["model"].startswith("one@")
    assert lines[2]["object_sha256"] == hashlib.sha256(b"no image").hexdigest()
    assert lines[2]["instance_sha256"] is None
    assert SENTINEL not in (tmp_path / "log").read_text()
    assert "1.2.826" not in (tmp_path / "log").read_text()
    assert verify(tmp_path / "log").lines == 5


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a disk that is always full is a Linux device")
def test_on_a_full_disk_nothing_is_answered_and_readiness_says_so(models_dir):
    with TestClient(create_app(settings(models_dir, audit_file="/dev/full"))) as client:
        assert client.get("/readyz").status_code == 200
        answer = client.post("/predict", content=chest_dicom())
        assert (answer.status_code, answer.json()["type"]) == (503, "urn:medpatchnet:problem:audit_unavailable")
        assert "findings" not in answer.text
        assert int(answer.headers["retry-after"]) >= 1
        assert (client.get("/readyz").status_code, client.get("/livez").status_code) == (503, 200)
