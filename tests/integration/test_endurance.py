"""Short runs of what `tests/load` does for an hour: fuzzing, soak, overload."""

import asyncio
import os
import statistics

import pytest

from tests import factories as make
from tests.load import fuzz
from tests.load.fuzz import feed, fuzz_decoders, fuzz_service
from tests.load.traffic import traffic

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("count", [128, pytest.param(2000, marks=pytest.mark.thorough)])
def test_mutated_inputs_end_as_films_or_refusals(count):
    tally = asyncio.run(fuzz_decoders(count, seed=1, workers=2))
    assert tally.failures == []
    assert sum(tally.outcomes.values()) == count
    assert len(tally.outcomes) >= 4


@pytest.mark.parametrize("count", [32, pytest.param(256, marks=pytest.mark.thorough)])
def test_mutated_bodies_and_queries_get_answers_or_refusals_from_every_route(service, count):
    tally = asyncio.run(fuzz_service(service, count, seed=2))
    assert tally.failures == []
    assert sum(tally.outcomes.values()) == count
    assert {outcome[:3] for outcome in tally.outcomes} <= {"200", "204", "400", "404", "413", "422", "503"}


def test_the_fuzzer_would_see_a_500_and_a_hang(monkeypatch, tmp_path):
    monkeypatch.setattr(fuzz, "KEPT", tmp_path / "kept")
    monkeypatch.setattr(fuzz, "hangs", lambda data: True)

    class Broken:
        pid = os.getpid()

        async def send(self, rng):
            async def crash():
                raise AssertionError("/predict 500 internal_error")

            async def hang():
                raise TimeoutError

            return b"\x01", rng.choice((crash, hang))

    tally = asyncio.run(feed(Broken(), 16, 0, float("inf")))
    assert set(tally.outcomes) == {"failure", "hang"}
    assert not tally.passed
    assert [path.read_bytes() for path in (tmp_path / "kept").iterdir()] == [b"\x01"]


def test_a_film_that_only_waited_is_no_hang():
    assert not fuzz.hangs(make.chest_dicom())


@pytest.mark.thorough
def test_below_capacity_only_bad_inputs_fail_while_workers_die(service, rg1):
    report = asyncio.run(traffic("soak", service, 5.0, 2.0, rg1))
    print("\n" + "\n".join(report.lines()))
    assert (report.wrong, report.lost) == (0, 0)
    assert report.killed >= 1
    assert set(report.codes) <= {"200", "bad 422", "422", "503"}
    assert len(report.resident) == len(report.livez) > 10
    assert report.codes["422"] + report.codes["503"] <= report.killed + len(report.refused)


@pytest.mark.thorough
def test_many_small_films_over_capacity_are_refused_at_once(start_service):
    film = make.jpeg_file(make.film_8bit(720, 720))
    report = asyncio.run(traffic("overload", start_service(), 5.0, 2.0, film))
    print("\n" + "\n".join(report.lines()))
    assert (report.wrong, report.lost) == (0, 0)
    assert set(report.codes) <= {"200", "503"}
    assert report.good
    assert len(report.refused) > len(report.good)
    assert statistics.median(report.refused) < statistics.median(report.good) / 2


@pytest.mark.slow
def test_over_capacity_the_rest_is_refused_and_nothing_is_lost_or_wrong(start_service, rg1):
    service = start_service(max_wait_s=4)
    report = asyncio.run(traffic("overload", service, 3.0, 2.0, rg1))
    print("\n" + "\n".join(report.lines()))
    assert (report.wrong, report.lost) == (0, 0)
    assert set(report.codes) <= {"200", "503"}
    assert report.codes["503"] > 0
    assert report.good
