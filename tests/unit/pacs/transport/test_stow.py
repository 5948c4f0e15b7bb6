"""STOW-RS: the outcome of each object is determined separately."""

import pytest

from app.errors import NodeUnavailable
from app.pacs.values import Result
from tests.unit.pacs.transport.dicomweb_server import answer, attributes, run, running

RESULTS = [Result("1.2", "1.2.88", uid, b"\0" * 128 + b"DICM" + uid.encode()) for uid in ("1.9", "1.10")]


def send(archive):
    return run(archive, lambda client: client.send(RESULTS))


def there(archive, *uids):
    """The archive has these objects, and ignores the filter of a query."""
    archive.answers["GET", "studies/1.2/instances"] = answer([attributes(t00080018=uid) for uid in uids])


def failed(uid, reason):
    return {"00081198": {"vr": "SQ", "Value": [attributes(t00081155=uid, t00081197=reason)]}}


def test_objects_are_sent_with_their_length_and_verified_by_query(archive):
    there(archive, "1.9", "1.10")
    archive.answers["POST", "studies"] = answer({})
    assert send(archive) == {"1.9": None, "1.10": None}
    _, path, headers, body = archive.asked[0]
    assert (path, int(headers["Content-Length"])) == ("/dicom-web/studies", len(body))
    assert all(result.content in body for result in RESULTS)
    assert [asked[1] for asked in archive.asked[1:]] == [
        f"/dicom-web/studies/1.2/instances?00080018={uid}" for uid in ("1.9", "1.10")
    ]


def test_a_confirmed_object_missing_from_the_query_is_retried(archive):
    archive.answers["POST", "studies"] = answer({})
    problems = send(archive)
    assert {problem.code for problem in problems.values()} == {"node_unavailable"}
    assert not any(problem.permanent for problem in problems.values())


@pytest.mark.parametrize("status", [200, 202, 409])
@pytest.mark.parametrize(("reason", "permanent"), [(0xA700, False), (0x0110, False), (0xA900, True), (0xC000, True)])
def test_only_objects_listed_as_failed_have_failed(archive, status, reason, permanent):
    there(archive, "1.9")
    archive.answers["POST", "studies"] = answer(failed("1.10", reason), status)
    problems = send(archive)
    assert problems["1.9"] is None
    assert problems["1.10"].permanent is permanent
    assert f"0x{reason:04X}" in problems["1.10"].detail


@pytest.mark.parametrize(
    ("status", "permanent"),
    [(400, True), (415, True), (401, False), (403, False), (429, False), (500, False), (503, False)],
)
def test_other_statuses_are_permanent_or_transient_failures(archive, status, permanent):
    archive.answers["POST", "studies"] = (status, "text/plain", b"secret words about a patient")
    problems = send(archive)
    hint = {401: ": it does not accept the password or token", 403: ": the user has no permission"}.get(status, "")
    assert {(problem.permanent, problem.detail) for problem in problems.values()} == {
        (permanent, f"the node returned status {status}{hint}")
    }


@pytest.mark.parametrize(
    "body", [b"", b"no json", b"[[]]", b'{"00081198": 5}', b'{"00081198": {"Value": [7, {}]}}', b"[" * 9999]
)
def test_after_an_unreadable_response_the_query_decides(archive, body):
    there(archive, "1.9", "1.10")
    archive.answers["POST", "studies"] = (200, "application/dicom+json", body)
    assert send(archive) == {"1.9": None, "1.10": None}


@pytest.mark.parametrize(
    ("status", "reason"), [(409, 273), (409, 45070), (200, 273), (202, 45070), (400, 273), (409, 0xB000)]
)
def test_an_object_that_the_archive_has_already_is_delivered(archive, status, reason):
    there(archive)
    duplicates = [attributes(t00081155=uid, t00081197=reason) for uid in ("1.9", "1.10")]
    archive.answers["POST", "studies"] = answer({"00081198": {"vr": "SQ", "Value": duplicates}}, status)
    assert send(archive) == {"1.9": None, "1.10": None}


@pytest.mark.parametrize(
    "reply",
    [
        (409, "text/plain", b"exists"),
        (400, "text/plain", b""),
        (500, "text/plain", b""),
        answer(failed("1.9", 0xC000), 409),
    ],
)
def test_a_refused_object_that_a_query_finds_is_delivered(archive, reply):
    there(archive, "1.9", "1.10")
    archive.answers["POST", "studies"] = reply
    assert send(archive) == {"1.9": None, "1.10": None}


def test_an_object_that_another_request_is_storing_is_retried(archive):
    archive.answers["POST", "studies"] = answer(failed("1.9", 45071), 409)
    assert not send(archive)["1.9"].permanent


def test_a_query_that_ignores_its_filter_confirms_only_the_objects_it_returns(archive):
    there(archive, "1.9")
    archive.answers["POST", "studies"] = answer({})
    assert send(archive)["1.9"] is None
    assert send(archive)["1.10"].code == "node_unavailable"


def test_a_failing_query_does_not_hold_up_the_outcome_of_the_others(archive):
    archive.answers["GET", "studies/1.2/instances"] = (400, "text/plain", b"")
    archive.answers["POST", "studies"] = answer(failed("1.9", 273))
    assert send(archive)["1.9"] is None
    assert not send(archive)["1.10"].permanent


@pytest.mark.parametrize("status", [400, 413, 500])
def test_an_object_for_which_the_archive_refuses_the_whole_request_does_not_hold_up_the_others(archive, status):
    there(archive, "1.9")
    archive.refused_content = b"1.10"
    archive.refused_status = status
    archive.answers["POST", "studies"] = answer({})
    problems = send(archive)
    assert problems["1.9"] is None
    assert problems["1.10"].detail == f"the node returned status {status}"


def test_an_unreachable_archive_is_unavailable():
    with running() as archive:
        pass
    with pytest.raises(NodeUnavailable, match="ConnectError"):
        run(archive, lambda client: client.send(RESULTS))
