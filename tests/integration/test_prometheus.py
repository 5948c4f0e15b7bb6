"""A real Prometheus scrapes the service."""

import re
import socket
import subprocess
from time import monotonic, sleep

import httpx
import pytest

from tests.factories import example
from tests.programs import installed

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def used(client, rg1):
    """The service after good and bad requests, so that every metric has a sample."""
    client.post("/predict", content=rg1)
    client.post("/explain?class=Edema&format=png", content=rg1)
    client.post("/predict", content=example("RG3_UNCR.dcm"))
    client.get("/nothing")
    return client


def test_promtool_has_no_complaint(used):
    text = used.get("/metrics").text
    checked = subprocess.run(
        [installed("promtool"), "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def test_the_promised_metrics_are_there(used):
    text = used.get("/metrics").text
    for name in (
        "http_requests_total", "stage_duration_seconds_bucket", "queue_depth", "batch_images_bucket",
        "decode_failures_total", "model_info", "positive_total", "probability_bucket",
    ):  # fmt: skip
        assert re.search(rf"^medpatchnet_{name}(\{{| )", text, re.MULTILINE), name
    assert re.search(r'^medpatchnet_http_requests_total\{[^}]*route="/explain"', text, re.MULTILINE)
    assert "unmatched" in text
    assert "/nothing" not in text


def test_prometheus_scrapes_it(used, service, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    config = tmp_path / "prometheus.yml"
    target = service.url.removeprefix("http://")
    config.write_text(
        "global: {scrape_interval: 1s}\n"
        f"scrape_configs: [{{job_name: medpatchnet, static_configs: [{{targets: ['{target}']}}]}}]\n"
    )
    process = subprocess.Popen(
        [
            installed("prometheus"), f"--config.file={config}", f"--storage.tsdb.path={tmp_path / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        assert query(port, "up") == {"1"}
        assert query(port, "medpatchnet_model_info") == {"1"}
        (scored,) = query(port, 'medpatchnet_http_requests_total{route="/predict",code="200"}')
        assert float(scored) >= 1
    finally:
        process.terminate()
        process.wait(300)


def query(port, expression):
    """Values of an expression, once Prometheus has any."""
    deadline = monotonic() + 300
    while monotonic() < deadline:
        try:
            url = f"http://127.0.0.1:{port}/api/v1/query"
            answer = httpx.get(url, params={"query": expression}, trust_env=False).json()
            if values := {sample["value"][1] for sample in answer["data"]["result"]}:
                return values
        except (httpx.TransportError, KeyError, ValueError):
            pass
        sleep(0.25)
    pytest.fail(f"Prometheus has no sample of {expression}")


def test_the_shipped_configuration_is_valid(pytestconfig):
    config = pytestconfig.rootpath / "deploy/prometheus/prometheus.yml"
    subprocess.run([installed("promtool"), "check", "config", config], check=True, capture_output=True)
