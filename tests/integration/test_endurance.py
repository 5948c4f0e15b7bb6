"""Short runs of what `tests/load` does for an hour: fuzzing, soak, overload."""

import asyncio

import pytest

from tests.load.fuzz import fuzz
from tests.load.traffic import traffic

pytestmark = pytest.mark.integration


def test_mutated_inputs_end_as_films_or_refusals():
    tally = asyncio.run(fuzz(1000, seed=1, workers=2))
    assert tally.failures == []
    assert sum(tally.outcomes.values()) == 1000
    assert len(tally.outcomes) >= 4
    assert tally.slowest_s < 60


def test_below_capacity_only_bad_inputs_fail_while_workers_die(service):
    report = asyncio.run(traffic("soak", service.url, 5.0, 2.0, service.process.pid))
    print("\n" + "\n".join(report.lines()))
    assert (report.wrong, report.lost) == (0, 0)
    assert report.killed >= 1
    assert set(report.codes) <= {"200", "bad 422", "422", "503"}
    assert report.codes["422"] + report.codes["503"] <= report.killed + len(report.refused)


@pytest.mark.slow
def test_over_capacity_the_rest_is_refused_and_nothing_is_lost_or_wrong(start_service):
    service = start_service(max_in_flight=8)
    report = asyncio.run(traffic("overload", service.url, 3.0, 2.0, None))
    print("\n" + "\n".join(report.lines()))
    assert (report.wrong, report.lost) == (0, 0)
    assert set(report.codes) <= {"200", "503"}
    assert report.codes["503"] > 0
    assert report.good
