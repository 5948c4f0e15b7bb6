"""Every error of the interface, over real HTTP."""

import io
import json
import socket
import struct
import zlib
from http.client import HTTPResponse
from urllib.parse import urlsplit

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.uid import DeflatedExplicitVRLittleEndian

from tests.factories import chest_dicom, example

pytestmark = pytest.mark.integration

DICOM = {"Content-Type": "application/dicom"}
FORM = "multipart/form-data; boundary=x"


def assert_problem(answer, status, code):
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["type"] == f"urn:medpatchnet:problem:{code}"
    assert body["status"] == status
    assert body["title"]
    assert body["request_id"] == answer.headers["x-request-id"]
    assert "Traceback" not in answer.text
    return body["detail"]


def png(array, mode=None):
    file = io.BytesIO()
    Image.fromarray(array, mode).save(file, "png")
    return file.getvalue()


def png_header(width, height):
    """A PNG that claims a size and holds next to nothing."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def deflate_bomb():
    """About half a megabyte that inflates to about half a gigabyte of data set."""
    meta = pydicom.dataset.FileMetaDataset()
    meta.MediaStorageSOPClassUID = pydicom.uid.ComputedRadiographyImageStorage
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    head = pydicom.Dataset()
    head.file_meta = meta
    head.Modality = "CR"
    file = io.BytesIO()
    pydicom.dcmwrite(file, head, enforce_file_format=True)
    prefix = file.getvalue()
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = bytes(1 << 20)
    element = struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OB", 0, 512 << 20)
    packed = packer.compress(element) + b"".join(packer.compress(block) for _ in range(512)) + packer.flush()
    return prefix[: prefix.index(b"1.2.840.10008.1.2.1.99") + 22] + packed


def truncated(data):
    return data[: len(data) // 2]


def colour_photo():
    rng = np.random.default_rng(0)
    file = io.BytesIO()
    Image.fromarray(rng.integers(0, 255, (300, 400, 3), dtype=np.uint8)).save(file, "jpeg")
    return file.getvalue()


REFUSED = {
    "a leg": (lambda: example("RG3_UNCR.dcm"), 422, "not_a_chest_radiograph"),
    "a CT": (lambda: example("CT_small.dcm"), 422, "not_a_chest_radiograph"),
    "an ultrasound": (lambda: example("US1_UNCR.dcm"), 422, "not_a_chest_radiograph"),
    "an MR": (lambda: example("MR_small.dcm"), 422, "not_a_chest_radiograph"),
    "a multi-frame object": (lambda: example("emri_small.dcm"), 422, "not_a_chest_radiograph"),
    "a report": (lambda: example("reportsi.dcm"), 422, "no_pixels"),
    "a colour photo": (colour_photo, 422, "not_a_chest_radiograph"),
    "a constant image": (lambda: png(np.full((64, 64), 7, np.uint8)), 422, "not_a_chest_radiograph"),
    "a text file": (lambda: b"dear colleague, please find enclosed nothing", 422, "unreadable_image"),
    "a truncated DICOM": (lambda: truncated(example("RG1_UNCR.dcm")), 422, "unreadable_image"),
    "a truncated JPEG 2000": (lambda: truncated(example("RG1_J2KR.dcm")), 422, "unreadable_image"),
    "a deflate bomb": (deflate_bomb, 413, "image_too_large"),
    "a PNG header of 30,000 × 30,000": (lambda: png_header(30_000, 30_000), 413, "image_too_large"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_chest_radiograph_is_refused(client, kind):
    make, status, code = REFUSED[kind]
    assert_problem(client.post("/predict", content=make()), status, code)
    assert client.post("/predict", content=chest_dicom()).status_code == 200


def test_an_empty_body(client):
    assert_problem(client.post("/predict", content=b""), 400, "empty_body")
    assert_problem(client.post("/predict", files={"file": ("x", b"")}), 400, "empty_body")


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", b"--x\r\n\r\n"),
        ("multipart/form-data; boundary=x", b"no boundary at all"),
        ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\nabc'),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="film"\r\n\r\nabc\r\n--x--\r\n',
        ),
        ("multipart/form-data; boundary=x", b"--x\r\n\r\na\r\n" * 20 + b"--x--\r\n"),
    ],
)
def test_broken_multipart(client, content_type, body):
    answer = client.post("/predict", content=body, headers={"Content-Type": content_type})
    assert_problem(answer, 400, "malformed_request")


def test_two_files_are_one_too_many(client, rg1):
    files = [("file", ("a", rg1[:1000])), ("file", ("b", rg1[:1000]))]
    assert "found 2" in assert_problem(client.post("/predict", files=files), 400, "malformed_request")


def test_a_media_type_that_is_not_read(client):
    for media_type in ("application/json", "application/x-www-form-urlencoded", "text/plain"):
        answer = client.post("/predict", content=b"x", headers={"Content-Type": media_type})
        assert "application/dicom" in assert_problem(answer, 415, "unsupported_media_type")


def test_a_media_type_that_is_not_written(client, rg1):
    for path in ("/predict", "/explain?class=Edema"):
        answer = client.post(path, content=rg1, headers={**DICOM, "Accept": "text/html, image/gif;q=0.5"})
        assert_problem(answer, 406, "not_acceptable")
    assert_problem(client.post("/whatif", json={"request_id": "x", "remove": []}, headers={"Accept": "image/png"}),
                   406, "not_acceptable")  # fmt: skip


def test_an_unknown_finding_lists_the_known_ones(client, rg1):
    answer = client.post("/explain?class=Scoliosis", content=rg1, headers=DICOM)
    assert "Pleural Effusion" in assert_problem(answer, 422, "unknown_finding")


@pytest.mark.parametrize(
    "query",
    [
        "", "class=", "class=Edema&offset=0", "class=Edema&offset=65", "class=Edema&offset=x",
        "class=Edema&map=grad-cam", "class=Edema&border=mirror",
        "class=Edema&format=gif", "class=Edema&opacity=2", "class=Edema&size=1",
        "class=all&format=png", "class=Edema&ofset=8",
    ],
)  # fmt: skip
def test_bad_query_values(client, rg1, query):
    answer = client.post(f"/explain?{query}", content=rg1, headers=DICOM)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"].split(":")[-1] in {"invalid_query", "unknown_finding"}


def test_too_many_passes_are_refused_before_the_work(client, rg1):
    answer = client.post("/explain?class=Edema&offset=1", content=rg1, headers=DICOM)
    assert "4096 passes" in assert_problem(answer, 422, "invalid_query")


def test_an_unknown_model(client, rg1):
    assert_problem(client.post("/predict?model=nobody", content=rg1, headers=DICOM), 422, "unknown_model")
    assert_problem(client.get("/findings?model=nobody"), 422, "unknown_model")


@pytest.mark.parametrize(
    "question",
    [
        {"remove": []},
        {"request_id": "x", "grids": [], "remove": []},
        {"request_id": "x"},
        {"grids": [{"finding": "Edema", "patch_logits": [[0.0] * 7] * 8}], "remove": []},
        {"grids": [{"finding": "Edema", "patch_logits": [[0.0] * 8] * 8}], "remove": [[8, 0]]},
        {"grids": [{"finding": "Edema", "patch_logits": [[0.0] * 8] * 8}], "remove": [[-1, 0]]},
        {"grids": [{"finding": "Edema", "patch_logits": [[0.0] * 8] * 8}], "remove": [[1]]},
        {"grids": [{"finding": "Edema", "patch_logits": [[0.0] * 8] * 8}], "remove": [[False, 0]]},
        {"grids": [{"finding": "Edema", "patch_logits": [[0.0] * 8] * 8}], "remove": [["1", 0]]},
        {"grids": [{"finding": "Edema", "patch_logits": [["0.5"] * 8] * 8}], "remove": []},
        {"grids": [{"finding": "Scoliosis", "patch_logits": [[0.0] * 8] * 8}], "remove": []},
        {"grids": [], "remove": [], "rule": "burn"},
        {
            "grids": [{"finding": "Edema", "patch_logits": [[0.0] * 8] * 8}],
            "remove": [[row, column] for row in range(8) for column in range(8)],
            "rule": "drop",
        },
    ],
)
def test_bad_questions(client, question):
    answer = client.post("/whatif", json=question)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_question_that_is_no_json(client):
    answer = client.post("/whatif", content=b"{not json", headers={"Content-Type": "application/json"})
    assert_problem(answer, 400, "malformed_request")


def test_grids_that_are_not_finite_are_refused(client):
    body = b'{"grids": [{"finding": "Edema", "patch_logits": [' + b",".join([b"[1e999,0,0,0,0,0,0,0]"] * 8) + b"]}]"
    answer = client.post("/whatif", content=body + b',"remove":[]}', headers={"Content-Type": "application/json"})
    assert answer.status_code == 422


def test_a_result_nobody_remembers(client):
    answer = client.post("/whatif", json={"request_id": "gone", "remove": []})
    assert_problem(answer, 404, "result_not_found")
    assert "'grids'" in answer.json()["detail"]


def test_unknown_routes_and_methods_are_problems_too(client):
    assert_problem(client.get("/nothing"), 404, "not_found")
    assert_problem(client.get("/predict"), 405, "method_not_allowed")


@pytest.fixture(scope="module")
def small(start_service):
    """A service with small limits."""
    return start_service(max_body_bytes=200_000, max_pixels=90_000, max_in_flight=1, request_timeout_s=1.0)


def test_a_body_over_the_limit_is_refused_by_its_header(small):
    with small.client() as client:
        assert_problem(client.post("/predict", content=bytes(200_001)), 413, "body_too_large")


def test_a_body_over_the_limit_is_refused_while_streaming(small):
    def chunks():
        for _ in range(300):
            yield bytes(1000)

    with small.client() as client:
        assert_problem(client.post("/predict", content=chunks()), 413, "body_too_large")


def test_a_question_over_the_limit_is_refused(client):
    question = {"remove": [[0, 0]] * 800_000, "request_id": "x"}
    assert_problem(client.post("/whatif", json=question), 413, "body_too_large")
    chunks = (b" " * 100_000 for _ in range(50))
    json_type = {"Content-Type": "application/json"}
    assert_problem(client.post("/whatif", content=chunks, headers=json_type), 413, "body_too_large")
    assert_problem(client.post("/whatif", content=b"", headers=json_type), 400, "empty_body")


def test_a_file_over_the_limit_is_refused_inside_multipart(small):
    with small.client() as client:
        assert_problem(client.post("/predict", files={"file": ("x", bytes(200_001))}), 413, "body_too_large")


def test_pixels_over_the_limit_are_refused(small):
    noise = np.random.default_rng(0).integers(0, 255, (301, 301), dtype=np.uint8)
    with small.client() as client:
        assert_problem(client.post("/predict", content=png(noise)), 413, "image_too_large")


def test_one_more_than_fits_is_refused_with_retry_after(small):
    address = urlsplit(small.url)
    with socket.create_connection((address.hostname, address.port)) as slow, small.client() as client:
        slow.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc")
        answer = None
        for _ in range(20):
            answer = client.post("/predict", content=b"abc")
            if answer.status_code == 503:
                break
        assert_problem(answer, 503, "queue_full")
        assert int(answer.headers["retry-after"]) >= 1


def test_a_body_that_does_not_arrive_meets_the_deadline(small):
    address = urlsplit(small.url)
    with socket.create_connection((address.hostname, address.port)) as slow:
        slow.settimeout(300)
        slow.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc")
        answer = HTTPResponse(slow)
        answer.begin()
        assert answer.status == 504
        assert json.load(answer)["type"] == "urn:medpatchnet:problem:deadline_exceeded"


def test_a_head_over_the_limit_is_refused(client, service):
    address = urlsplit(service.url)
    with socket.create_connection((address.hostname, address.port)) as rude:
        rude.settimeout(300)
        rude.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 70_000)
        answer = HTTPResponse(rude)
        answer.begin()
        assert answer.status == 400
    assert client.get("/livez").status_code == 200


def test_a_client_that_leaves_costs_nothing(client, service, rg1):
    address = urlsplit(service.url)
    for _ in range(5):
        with socket.create_connection((address.hostname, address.port)) as leaving:
            leaving.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nabc")
    assert client.post("/predict", content=rg1, headers=DICOM).status_code == 200
    assert "unexpected_error" not in service.log
