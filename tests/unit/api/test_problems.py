"""Errors and the middleware around them, on a small application of their own."""

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.exceptions import HTTPException
from structlog.testing import capture_logs

from app import errors
from app.api.middleware import RequestMiddleware
from app.api.problems import install_problems
from app.telemetry import Metrics


@pytest.fixture
def metrics():
    return Metrics()


@pytest.fixture
def client(metrics):
    app = FastAPI()
    raised = {
        "crash": ValueError("Doe^John, born 1970"),
        "full": errors.QueueFull("full"),
        "draining": errors.Draining("draining"),
        "late": errors.DeadlineExceeded("late"),
        "nan": errors.InvalidModelOutput("nan"),
        "teapot": HTTPException(418, headers={"X-Pot": "tea"}),
    }

    @app.get("/raise/{name}")
    async def raise_it(name: str):
        raise raised[name]

    @app.get("/number/{value}")
    async def number(value: int):
        return value

    install_problems(app, metrics)
    app.add_middleware(RequestMiddleware, metrics=metrics)
    return TestClient(app, raise_server_exceptions=False)


def test_a_crash_is_a_bare_problem_and_its_message_is_not_logged(client, metrics):
    with capture_logs() as logs:
        answer = client.get("/raise/crash")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert "Doe" not in answer.text + str(logs)
    crash = next(line for line in logs if line["event"] == "unexpected_error")
    assert crash["error"] == "ValueError"
    assert "test_problems.py" in crash["at"][-1]
    assert b'code="500"' in metrics.text()


@pytest.mark.parametrize(
    ("name", "retry_after", "reason"), [("full", "1", "queue_full"), ("draining", "5", "draining")]
)
def test_capacity_errors_say_when_to_come_back(client, metrics, name, retry_after, reason):
    answer = client.get(f"/raise/{name}")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, retry_after)
    assert f'requests_rejected_total{{reason="{reason}"}} 1.0'.encode() in metrics.text()


def test_a_passed_deadline_is_504(client, metrics):
    assert client.get("/raise/late").status_code == 504
    assert b'reason="deadline_exceeded"' in metrics.text()


def test_values_that_are_not_finite_are_500_and_logged(client):
    with capture_logs() as logs:
        answer = client.get("/raise/nan")
    assert (answer.status_code, answer.json()["type"]) == (500, "urn:medpatchnet:problem:invalid_model_output")
    assert {"event": "request_failed", "code": "invalid_model_output"}.items() <= logs[0].items()


def test_http_errors_keep_their_headers(client):
    answer = client.get("/raise/teapot")
    assert (answer.status_code, answer.headers["x-pot"]) == (418, "tea")
    assert answer.json()["type"].endswith("i'm_a_teapot")


def test_a_bad_value_is_named_but_not_echoed(client):
    answer = client.get("/number/Doe^John")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "path.value"
    assert "Doe" not in answer.text


def test_odd_methods_and_routes_do_not_make_new_labels(client, metrics):
    client.request("BREW", "/nothing")
    assert b'method="other",route="unmatched"' in metrics.text()
