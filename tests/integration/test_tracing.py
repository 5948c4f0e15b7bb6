"""Traces arrive at a collector, say where the time went, and nothing of the patient."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.factories import SENTINEL, chest_dicom
from tests.integration.radiology import free_port

pytestmark = pytest.mark.integration

TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
DICOM = {"Content-Type": "application/dicom", "traceparent": f"00-{TRACE}-{CALLER}-01"}


@pytest.fixture
def collector():
    """An OTLP endpoint; ``received`` are the bodies it got."""

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self):
            received.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *arguments):
            pass

    received: list[bytes] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1/traces", received
    server.shutdown()
    server.server_close()


def spans_of(received: list[bytes]):
    messages = [ExportTraceServiceRequest.FromString(body) for body in received]
    resources = [resource for message in messages for resource in message.resource_spans]
    return [span for resource in resources for scope in resource.scope_spans for span in scope.spans]


@pytest.mark.thorough
def test_variables_of_opentelemetry_alone_send_nothing(start_service, collector, monkeypatch):
    endpoint, received = collector
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.removesuffix("/v1/traces"))
    monkeypatch.setenv("FASTAPI_OTEL_AUTO_CONFIGURE", "true")
    service = start_service()
    with service.client() as client:
        client.post("/studies/1.2.3.4.987654321/analyze?source=nowhere")
    assert service.stop() == 0
    assert received == []


def test_a_prediction_is_a_span_of_the_callers_trace_with_its_stages(start_service, collector):
    endpoint, received = collector
    service = start_service(otlp_endpoint=endpoint)
    film = chest_dicom(PatientName=f"{SENTINEL}^Zebra", StudyInstanceUID="1.2.3.4.987654321")
    with service.client() as client:
        assert client.post("/predict", content=film, headers=DICOM).headers["traceparent"] == DICOM["traceparent"]
        assert client.post("/predict?class=x", content=b"no image").status_code >= 400
        client.post("/studies/1.2.3.4.987654321/analyze?source=nowhere")
    assert service.stop() == 0
    spans = spans_of(received)
    (request,) = [span for span in spans if span.parent_span_id.hex() == CALLER]
    assert (request.name, request.trace_id.hex()) == ("POST /predict", TRACE)
    assert {item.key for item in request.attributes} == {
        "http.request.method", "http.route", "http.response.status_code",
    }  # fmt: skip
    stages = {span.name: span for span in spans if span.parent_span_id == request.span_id}
    assert set(stages) == {"decode", "preprocess", "queue", "inference"}
    assert stages["queue"].end_time_unix_nano <= stages["inference"].start_time_unix_nano + 1_000_000
    for stage in stages.values():
        assert stage.start_time_unix_nano >= request.start_time_unix_nano - 1_000_000
        assert stage.end_time_unix_nano <= request.end_time_unix_nano + 1_000_000
    everything = b"".join(received)
    for private in (SENTINEL.encode(), b"Zebra", b"987654321"):
        assert private not in everything


@pytest.mark.thorough
def test_a_collector_that_is_away_costs_nothing_but_its_traces(start_service, rg1):
    service = start_service(otlp_endpoint=f"http://127.0.0.1:{free_port()}/v1/traces")
    with service.client() as client:
        assert client.post("/predict", content=rg1, headers=DICOM).status_code == 200
    assert service.stop() == 0
