"""The log lines of the server: when it listens, and when it has stopped."""

import threading
from contextlib import asynccontextmanager

import httpx
from fastapi import FastAPI
from structlog.testing import capture_logs

from app.runtime.server import listen, make_server
from app.service.admission import Lifecycle
from app.settings import Settings
from app.telemetry import Metrics, get_logger
from tests.waiting import eventually


@asynccontextmanager
async def lifespan(app):
    get_logger().info("started")
    yield
    get_logger().info("ended")


def test_listening_is_logged_once_the_service_answers_and_stopped_once_it_has_ended():
    app = FastAPI(lifespan=lifespan)
    app.state.lifecycle = Lifecycle(1, Metrics(), 1.0)
    sockets = [listen("127.0.0.1", 0), listen("::1", 0)]
    ports = [each.getsockname()[1] for each in sockets]
    server = make_server(app, Settings())
    with capture_logs() as logs:
        thread = threading.Thread(target=server.run, kwargs={"sockets": sockets})
        thread.start()
        eventually(lambda: any(line["event"] == "operations" for line in logs))
        status = httpx.get(f"http://127.0.0.1:{ports[0]}/", trust_env=False).status_code
        server.should_exit = True
        thread.join()
    assert status == 404
    assert [line["event"] for line in logs] == ["started", "listening", "operations", "ended", "stopped"]
    assert [line["url"] for line in logs[1:3]] == [f"http://127.0.0.1:{ports[0]}", f"http://[::1]:{ports[1]}"]
    assert (logs[-1]["outcome"], logs[-1]["cancelled"]) == ("drained", 0)
