import json
import logging

import pytest

from app.telemetry import (
    Metrics,
    Stopwatch,
    caller_trace,
    configure_logging,
    get_logger,
    request_id_from,
    span,
    trace_id,
)


@pytest.mark.parametrize("header", ["a", "ris-42.a_b", "x" * 64])
def test_a_sane_request_id_is_kept(header):
    assert request_id_from(header) == header


@pytest.mark.parametrize("header", [None, "", "x" * 65, "DOE JOHN", "a\nb", "ä"])
def test_any_other_request_id_is_replaced_by_a_new_one(header):
    first, second = request_id_from(header), request_id_from(header)
    assert len(first) == 32
    assert first != second


def test_the_trace_of_a_caller_is_read_from_well_formed_headers_only():
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    caller = caller_trace(f"00-{trace}-00f067aa0ba902b7-01")
    with span("request", parent=caller) as own:
        assert trace_id(own) == trace
    for broken in (None, "", trace, f"00-{'0' * 32}-00f067aa0ba902b7-01", f"00-{trace.upper()}-00f067aa0ba902b7-01"):
        assert caller_trace(broken) is None


def test_the_stopwatch_adds_up_and_observes():
    metrics = Metrics()
    watch = Stopwatch(metrics)
    with watch.stage("decode"):
        pass
    watch.record("queue", 0.25)
    watch.record("queue", 0.5)
    assert watch.seconds["queue"] == 0.75
    assert watch.total >= watch.seconds["decode"] >= 0
    assert b'stage_duration_seconds_count{stage="queue"} 2.0' in metrics.text()


def test_a_gauge_follows_what_it_is_given():
    metrics = Metrics()
    metrics.follow(metrics.queue_depth, lambda: 42)
    assert b"medpatchnet_queue_depth 42.0" in metrics.text()


@pytest.fixture
def restored_logging():
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level


@pytest.mark.usefixtures("restored_logging")
def test_log_lines_are_json_below_the_level_nothing_is_written(capsys):
    configure_logging("info", "json")
    get_logger().debug("quiet")
    get_logger().info("loud", value=1)
    logging.getLogger("somebody").warning("foreign")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["event"] for line in lines] == ["loud", "foreign"]
    assert (lines[0]["level"], lines[0]["value"]) == ("info", 1)
    assert "timestamp" in lines[0]


@pytest.mark.usefixtures("restored_logging")
def test_console_lines_are_for_people(capsys):
    configure_logging("warning", "console")
    get_logger().info("quiet")
    get_logger().warning("careful")
    assert "careful" in capsys.readouterr().err
