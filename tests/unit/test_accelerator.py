"""The run on an accelerator: its deadlines, its records, and weights in pieces. The run itself: tests/accelerator."""

import json

import pytest

from tests.accelerator import training
from tests.accelerator.context import Context
from tests.accelerator.part import main, run_of
from tests.accelerator.plan import PARTS, Clock


@pytest.fixture
def context(tmp_path):
    return Context("engines", "cpu", tmp_path, 60.0, quick=True)


def test_parts_that_take_their_time_end_before_the_run_does():
    clock, elapsed = Clock(1500.0), 0.0
    for part in PARTS:
        elapsed += clock.seconds_for(part, elapsed)
    assert elapsed == pytest.approx(1490.0)


def test_time_that_a_part_leaves_goes_to_the_parts_after_it():
    clock = Clock(1500.0)
    last = PARTS[-1]
    assert clock.seconds_for(last, 100.0) == pytest.approx(1390.0)
    assert clock.seconds_for(last, 1495.0) == 0.0


def test_a_row_is_on_disk_as_soon_as_it_is_added(context, tmp_path):
    context.add("Speed", {"images": 1, "ms": 2.0})
    context.miss("maps", MemoryError("no memory\nsecond line"))
    written = json.loads((tmp_path / "engines.json").read_text())
    assert written["Speed"] == [{"images": 1, "ms": 2.0}]
    assert written["Not done"] == [{"what": "maps", "reason": "MemoryError: no memory"}]


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_every_part_has_a_function(part):
    assert callable(run_of(part.name))


def test_a_part_that_fails_is_recorded(tmp_path, monkeypatch):
    def broken(context):
        raise RuntimeError("an illegal memory access")

    monkeypatch.setattr("tests.accelerator.networks.maps", broken)
    main("maps", str(tmp_path), "1", "cpu", "1", "")
    reasons = json.loads((tmp_path / "maps.json").read_text())["Not done"]
    assert reasons == [{"what": "the rest of maps", "reason": "RuntimeError: an illegal memory access"}]


def test_the_pieces_of_the_weights_make_the_file_again(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "_PIECE_BYTES", 10)
    (tmp_path / "best.pt").write_bytes(bytes(range(25)))
    training._split(tmp_path / "best.pt", tmp_path)
    pieces = sorted(tmp_path.glob("weights.*"))
    assert [piece.stat().st_size for piece in pieces] == [10, 10, 5]
    assert b"".join(piece.read_bytes() for piece in pieces) == bytes(range(25))
