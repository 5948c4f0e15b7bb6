"""The demonstration: a real server, a real chest radiograph, a real request."""

import threading
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from time import monotonic, sleep

import httpx
from fastapi import FastAPI
from pydicom.data import get_testdata_file

from app.api.schemas.predict import PredictBody
from app.errors import ConfigurationError, InferenceFailed
from app.runtime.application import create_app
from app.runtime.server import DrainingServer, listen, make_server
from app.settings import Settings

EXAMPLE = "RG1_J2KI.dcm"
_START_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class DemoResult:
    """The response to the example, and the overlay of the finding furthest above its threshold."""

    url: str
    prediction: PredictBody
    explained: str
    overlay: bytes


def example_radiograph() -> Path:
    """A chest radiograph with several masses, from the package ``pydicom-data``.

    Raises ConfigurationError if the package is not installed.
    """
    path = get_testdata_file(EXAMPLE, read=False, download=False)
    if path is None:
        raise ConfigurationError("the example needs the extra 'demo' of this project: uv sync --extra demo")
    return Path(str(path))


def run_demo(settings: Settings, radiograph: Path) -> DemoResult:
    """Start the service on a free loopback port, request the findings and one overlay over HTTP, and stop it.

    Raises ConfigurationError if the service does not start, InferenceFailed if a request fails.
    """
    listener = listen(settings.host, settings.port)
    url = f"http://{settings.host}:{listener.getsockname()[1]}"
    app = create_app(settings)
    server = make_server(app, settings)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        _wait_until_ready(app, server, thread)
        with httpx.Client(base_url=url, timeout=60.0, trust_env=False) as client:
            return _request(client, url, radiograph.read_bytes())
    finally:
        server.should_exit = True
        thread.join()


def _wait_until_ready(app: FastAPI, server: DrainingServer, thread: threading.Thread) -> None:
    deadline = monotonic() + _START_TIMEOUT_S
    while not server.started:
        if failure := app.state.failure:
            raise failure
        if not thread.is_alive() or monotonic() > deadline:
            raise ConfigurationError("the service did not start")
        sleep(0.05)


def _request(client: httpx.Client, url: str, content: bytes) -> DemoResult:
    headers = {"Content-Type": "application/dicom"}
    answer = client.post("/predict", content=content, headers=headers)
    if answer.status_code != HTTPStatus.OK:
        raise InferenceFailed(f"/predict answered {answer.status_code}")
    prediction = PredictBody.model_validate_json(answer.content)
    finding = _furthest_above_threshold(prediction)
    query = {"class": finding, "format": "png", "legend": "true"}
    overlay = client.post("/explain", params=query, content=content, headers=headers)
    if overlay.status_code != HTTPStatus.OK:
        raise InferenceFailed(f"/explain answered {overlay.status_code}")
    return DemoResult(url, prediction, finding, overlay.content)


def _furthest_above_threshold(prediction: PredictBody) -> str:
    """The finding furthest above its threshold; 'No Finding' is left out, because it has no location."""
    margins = {
        finding.name: finding.probability - (finding.threshold or 0.0)
        for finding in prediction.findings
        if finding.probability is not None and finding.name != "No Finding"
    }
    return max(margins, key=lambda name: margins[name])
