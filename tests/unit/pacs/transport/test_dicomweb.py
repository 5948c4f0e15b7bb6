"""The DICOMweb client against servers with unusual responses; the integration tests use a real archive."""

import asyncio
import json
import threading
from contextlib import asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from app.errors import NodeRefused, NodeUnavailable
from app.pacs.nodes import DicomWebNode
from app.pacs.transport.dicomweb import DicomWebClient
from app.pacs.transport.multipart import bundle, only_part
from app.pacs.transport.protocols import is_uid
from app.pacs.values import Result

RESULTS = [Result("1.2", "1.2.88", uid, b"\0" * 128 + b"DICM" + uid.encode()) for uid in ("1.9", "1.10")]
DX = "1.2.840.10008.5.1.4.1.1.1.1"


class Archive(ThreadingHTTPServer):
    """Responds to each path from a table of (status, content type, body), and records all requests."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers, self.asked = {}, []
        self.default = (200, "application/dicom+json", b"[]")

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/dicom-web"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        length = int(self.headers.get("Content-Length") or 0)
        self.server.asked.append((self.command, self.path, dict(self.headers), self.rfile.read(length)))
        path = self.path.partition("?")[0].removeprefix("/dicom-web/")
        status, kind, body = self.server.answers.get((self.command, path), self.server.default)
        self.send_response(status)
        if 300 <= status < 400:
            self.send_header("Location", "http://127.0.0.1:9/elsewhere")
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *arguments):
        pass


@pytest.fixture
def archive():
    with running() as archive:
        yield archive


@contextmanager
def running():
    with Archive() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@asynccontextmanager
async def client_of(archive, **options):
    node = DicomWebNode.model_validate({"protocol": "dicomweb", "url": archive.url, "timeout_s": 5, **options})
    async with DicomWebClient(node, 10_000) as client:
        yield client


def run(archive, work, **options):
    async def go():
        async with client_of(archive, **options) as client:
            return await work(client)

    return asyncio.run(go())


def answer(value, status=200):
    return status, "application/dicom+json", json.dumps(value).encode()


def attributes(**values):
    return {tag.removeprefix("t"): {"vr": "UN", "Value": [value]} for tag, value in values.items()}


def send(archive):
    return run(archive, lambda client: client.send(RESULTS))


def there(archive):
    archive.answers["GET", "studies/1.2/instances"] = answer([attributes(t00080018="1.9")])


def failed(uid, reason):
    return {"00081198": {"vr": "SQ", "Value": [attributes(t00081155=uid, t00081197=reason)]}}


def test_objects_are_sent_with_their_length_and_verified_by_query(archive):
    there(archive)
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
    there(archive)
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
    assert {(problem.permanent, problem.detail) for problem in problems.values()} == {
        (permanent, f"the node returned status {status}")
    }


@pytest.mark.parametrize(
    "body", [b"", b"no json", b"[[]]", b'{"00081198": 5}', b'{"00081198": {"Value": [7, {}]}}', b"[" * 9999]
)
def test_after_an_unreadable_response_the_query_decides(archive, body):
    there(archive)
    archive.answers["POST", "studies"] = (200, "application/dicom+json", body)
    assert send(archive) == {"1.9": None, "1.10": None}


def test_radiographs_are_found_by_modality_body_part_and_class(archive):
    series = [
        attributes(t0020000E="1.2.1", t00080060="DX", t00180015="CHEST"),
        attributes(t0020000E="1.2.2", t00080060="DX", t00180015="HAND"),
        attributes(t0020000E="1.2.3", t00080060="SR"),
        attributes(t0020000E="1.2.4", t00080060="CR"),
    ]
    archive.answers["GET", "studies/1.2/series"] = answer(series)
    for number, sop_class in (("1", DX), ("4", "1.2.840.10008.5.1.4.1.1.7")):
        instance = attributes(t00080016=sop_class, t00080018=f"1.2.{number}.1")
        archive.answers["GET", f"studies/1.2/series/1.2.{number}/instances"] = answer([instance])
    found = run(archive, lambda client: client.find_instances("1.2"))
    assert [(item.series_uid, item.sop_class_uid, item.sop_instance_uid) for item in found] == [
        ("1.2.1", DX, "1.2.1.1")
    ]


@pytest.mark.parametrize("uid", ["../../admin", "1.2/..", "", "1.2?x=1", "1" * 65])
def test_a_response_cannot_redirect_a_request(archive, uid):
    archive.answers["GET", "studies/1.2/series"] = answer([attributes(t0020000E=uid, t00080060="DX")])
    with pytest.raises(NodeUnavailable):
        run(archive, lambda client: client.find_instances("1.2"))
    assert len(archive.asked) == 1


def test_redirects_are_not_followed(archive):
    archive.default = (302, "text/plain", b"")
    with pytest.raises(NodeUnavailable, match="302"):
        run(archive, lambda client: client.find_instances("1.2"))


def test_an_unknown_study_is_refused(archive):
    with pytest.raises(NodeRefused):
        run(archive, lambda client: client.find_instances("1.2"))


@pytest.mark.parametrize("kind", ["multipart", "plain"])
def test_one_object_is_retrieved(archive, kind):
    content = RESULTS[0].content
    media_type, body = bundle([content]) if kind == "multipart" else ("application/dicom", content)
    archive.answers["GET", "studies/1.2/series/1.3/instances/1.9"] = (200, media_type, body)
    assert run(archive, lambda client: client.fetch("1.2", "1.3", "1.9")) == content


@pytest.mark.parametrize(
    ("error", "reply"),
    [(NodeRefused, (200, "application/dicom", b"x" * 10_001)), (NodeUnavailable, (200, "text/html", b"<html>")),
     (NodeUnavailable, (200, *bundle([b"a", b"b"]))), (NodeRefused, (404, "text/plain", b"")),
     (NodeUnavailable, (200, "multipart/related; boundary=x", b"--x\r\n\r\nunfinished"))],
)  # fmt: skip
def test_anything_but_one_object_within_the_limit_is_an_error(archive, error, reply):
    archive.answers["GET", "studies/1.2/series/1.3/instances/1.9"] = reply
    with pytest.raises(error):
        run(archive, lambda client: client.fetch("1.2", "1.3", "1.9"))


def test_an_unreachable_archive_is_unavailable():
    with running() as archive:
        pass
    with pytest.raises(NodeUnavailable, match="ConnectError"):
        run(archive, lambda client: client.send(RESULTS))


def test_credentials_are_read_from_files_for_each_request(archive, tmp_path):
    (tmp_path / "token").write_text("first\n")
    archive.default = answer([{}])

    async def work(client):
        with pytest.raises(NodeUnavailable):
            await client.find_instances("1.2")
        (tmp_path / "token").write_text("second\n")
        with pytest.raises(NodeUnavailable):
            await client.find_instances("1.2")

    archive.default = (401, "text/plain", b"")
    run(archive, work, token_file=str(tmp_path / "token"))
    assert [headers["Authorization"] for _, _, headers, _ in archive.asked] == ["Bearer first", "Bearer second"]


def test_a_password_is_sent_as_basic_credentials(archive, tmp_path):
    (tmp_path / "password").write_text("open sesame")
    archive.default = (403, "text/plain", b"")
    with pytest.raises(NodeUnavailable):
        run(archive, lambda c: c.find_instances("1.2"), username="ali", password_file=str(tmp_path / "password"))
    assert archive.asked[0][2]["Authorization"] == "Basic YWxpOm9wZW4gc2VzYW1l"


@pytest.mark.parametrize("text", ["1.2.3", "0.1", "2.25.340282366920938463463374607431768211455"])
def test_valid_uids(text):
    assert is_uid(text)


@pytest.mark.parametrize("text", ["", "1", "1..2", ".1", "1.02", "1.2/3", "1.2\n", "1.2 ", "a.b", "1." * 40])
def test_invalid_uids(text):
    assert not is_uid(text)


def test_bundled_content_is_extracted_unchanged():
    content = b"\r\n--\r\n\r\nanything\r\n"
    media_type, body = bundle([content])
    assert only_part(media_type, body) == content
