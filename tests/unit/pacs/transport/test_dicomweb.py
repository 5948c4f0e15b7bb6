"""The DICOMweb client: retrieval, credentials, redirects, UIDs; the integration tests use a real archive."""

import pytest

from app.errors import NodeRefused, NodeUnavailable
from app.pacs.transport.multipart import bundle, only_part
from app.pacs.transport.protocols import is_uid
from app.pacs.values import Result
from tests.unit.pacs.transport.dicomweb_server import answer, run

RESULTS = [Result("1.2", "1.2.88", uid, b"\0" * 128 + b"DICM" + uid.encode()) for uid in ("1.9", "1.10")]


def test_redirects_are_not_followed(archive):
    archive.default = (302, "text/plain", b"")
    with pytest.raises(NodeUnavailable, match="302"):
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


@pytest.mark.parametrize("text", ["1.2.3", "0.1", "1.02.003", "2.25.340282366920938463463374607431768211455"])
def test_valid_uids(text):
    assert is_uid(text)


@pytest.mark.parametrize("text", ["", "1", "1..2", ".1", "1.2/3", "1.2\n", "1.2 ", "a.b", "1." * 40])
def test_invalid_uids(text):
    assert not is_uid(text)


def test_bundled_content_is_extracted_unchanged():
    content = b"\r\n--\r\n\r\nanything\r\n"
    media_type, body = bundle([content])
    assert only_part(media_type, body) == content
