"""One line for each step of an instance, for operators: what happened, to which id, with which node, in which time."""

import json

import pytest
from structlog.testing import capture_logs

from app.errors import NodeUnavailable, UnreadableImage
from app.pacs.store.jobs import Analysis
from tests.unit.pacs.work.test_workers import (
    ARRIVAL,
    FOUND,
    MADE,
    ORDER,
    Node,
    clock,
    delivery_worker,
    instance_worker,
    metrics,
    queue_result,
    step,
    store,
    study_worker,
)

__all__ = ["clock", "metrics", "store"]  # fixtures

WRONG_PASSWORD = NodeUnavailable("the node returned status 401: it does not accept the password or token")


@pytest.fixture
def lines(store):
    """Run a step, and return what it logged; durations and UIDs are checked here."""

    def logged(worker):
        with capture_logs() as logs:
            step(worker)
        assert all(line.pop("duration_ms") >= 0 for line in logs)
        assert ARRIVAL.sop_instance_uid not in json.dumps(logs)
        return logs

    return logged


def test_an_analysed_instance(store, metrics, lines):
    identity = store.inbox.accept(ARRIVAL)
    expected = {"event": "instance_analysed", "instance": identity, "node": "MODALITY", "outcome": "analysed"}
    assert lines(instance_worker(store, metrics, Node(MADE))) == [expected | {"log_level": "info"}]


def test_a_refused_instance_has_its_code_but_no_text_about_the_image(store, metrics, lines):
    identity = store.inbox.accept(ARRIVAL)
    (line,) = lines(instance_worker(store, metrics, Node(UnreadableImage("it has 7 rows"))))
    assert (line["event"], line["instance"], line["code"]) == ("instance_refused", identity, "unreadable_image")
    assert "rows" not in json.dumps(line)


def test_a_delivered_instance_has_one_line_after_its_last_object(store, metrics, lines):
    identity = store.inbox.accept(ARRIVAL)
    step(instance_worker(store, metrics, Node(MADE)))
    (line,) = lines(delivery_worker(store, metrics, Node({MADE.results[0].sop_instance_uid: None})))
    assert (line["event"], line["instance"], line["node"]) == ("instance_delivered", identity, "pacs")
    assert "since_accepted_s" in line


def test_a_wrong_password_of_an_archive_is_logged_with_its_node_and_status(store, metrics, lines):
    queue_result(store)
    (line,) = lines(delivery_worker(store, metrics, Node(WRONG_PASSWORD)))
    assert (line["event"], line["node"], line["log_level"]) == ("delivery_failed", "pacs", "warning")
    assert "401" in line["detail"]


def test_a_job_has_its_source(store, metrics, lines):
    for answer, event in ((WRONG_PASSWORD, "job_problem"), (FOUND, "job_expanded")):
        identity = store.jobs.open("alice", Analysis("1.2", "archive", ORDER))
        (line,) = lines(study_worker(store, metrics, Node(answer)))
        assert (line["event"], line["job"], line["node"]) == (event, identity, "archive")
