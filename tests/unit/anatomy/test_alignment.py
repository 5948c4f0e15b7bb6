"""Grids of two radiographs, aligned by the frames of the lungs."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from app.anatomy.alignment import LungFrame, moved
from app.anatomy.zones import zone_map
from tests.unit.anatomy import chests

SIDE = 7
GRIDS = torch.from_numpy(np.random.default_rng(3).normal(size=(3, SIDE, SIDE)))
FRAME = LungFrame(2 / 7, 5 / 7, 1 / 7, 6 / 7)


@st.composite
def frames(draw):
    edges = [draw(st.floats(0, 0.45)), draw(st.floats(0.55, 1)), draw(st.floats(0, 0.45)), draw(st.floats(0.55, 1))]
    return LungFrame(*edges)


def test_the_frame_of_a_chest_holds_both_lungs():
    pixels = np.random.default_rng(5).random((chests.SIDE, chests.SIDE), dtype=np.float32)
    frame = LungFrame.of(zone_map(chests.masks(), pixels))
    edges = [frame.top, frame.bottom, frame.left, frame.right]
    assert [edge * chests.SIDE for edge in edges] == [chests.TOP, chests.BOTTOM, chests.RIGHT.start, chests.LEFT.stop]


@given(frames())
def test_equal_frames_leave_a_grid_exactly_as_it_is(frame):
    assert torch.equal(moved(GRIDS, frame, frame), GRIDS)


def test_a_chest_that_lies_one_patch_lower_is_moved_up_by_one_patch():
    lower = LungFrame(FRAME.top + 1 / 7, FRAME.bottom + 1 / 7, FRAME.left, FRAME.right)
    found = moved(GRIDS, lower, FRAME)
    torch.testing.assert_close(found[:, :-1], GRIDS[:, 1:], atol=1e-12, rtol=0)
    assert found[:, -1].isnan().all()


def test_a_chest_of_half_the_size_is_enlarged():
    halved = LungFrame(0.25, 0.75, 0.25, 0.75)
    grid = torch.arange(16.0).reshape(1, 4, 4)
    found = moved(grid, halved, LungFrame(0, 1, 0, 1))[0]
    torch.testing.assert_close(found, grid[0, 1:3, 1:3].double().repeat_interleave(2, 0).repeat_interleave(2, 1))


@given(frames(), frames(), st.floats(-5, 5))
def test_constant_evidence_stays_constant_where_there_is_any(source, target, value):
    found = moved(torch.full((1, SIDE, SIDE), value), source, target)
    assert found[~found.isnan()].numpy() == pytest.approx(value, abs=1e-6)
    assert not found.isnan().all()
