import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from app.patchnet.grid import Lattice, axis_shifts, cut_patches, merge_constant
from app.patchnet.model import split_patches
from app.patchnet.saliency import (
    coverage,
    expand_grid,
    interpolate_evidence,
    patch_grid,
    scale_evidence,
    shift_averaged_map,
)

GOLDEN_CASES = range(6)


def pasted_map(evidence, origins, image_size, patch_size):
    """The definition, spelled out: paste every patch's evidence, add, count."""
    total = torch.zeros(evidence.shape[1], image_size, image_size, dtype=torch.float64)
    covered = torch.zeros(image_size, image_size, dtype=torch.float64)
    for value, (row, column) in zip(evidence.double(), origins.tolist(), strict=True):
        rows = slice(max(row, 0), max(min(row + patch_size, image_size), 0))
        columns = slice(max(column, 0), max(min(column + patch_size, image_size), 0))
        total[:, rows, columns] += value[:, None, None]
        covered[rows, columns] += 1
    return total, covered


def test_shifts_are_symmetric_and_contain_zero():
    assert axis_shifts(8, 2) == [-4, -2, 0, 2]
    assert axis_shifts(64, 64) == [0]
    assert axis_shifts(8, 3) == [-3, 0, 3]


@pytest.mark.parametrize("offset", [0, 9, -1])
def test_an_offset_outside_the_patch_is_refused(offset):
    with pytest.raises(ValueError, match="between 1 and 8"):
        axis_shifts(8, offset)


@given(st.integers(1, 16))
def test_origins_are_distinct_and_as_many_as_promised(offset):
    origins = Lattice.regular(48, 16, offset).origins
    lattice = Lattice.regular(48, 16, offset)
    assert len(origins) == lattice.patches == (3 * -(-16 // offset)) ** 2
    assert len({tuple(origin) for origin in origins.tolist()}) == len(origins)


def test_patches_at_the_plain_origins_are_the_plain_patches():
    image = torch.rand(1, 21, 21)
    cut = cut_patches(image, 7, Lattice.regular(21, 7, 7).origins)
    torch.testing.assert_close(cut, split_patches(image[None], 7))


def test_patches_outside_the_image_are_zero():
    cut = cut_patches(torch.ones(1, 6, 6), 3, torch.tensor([[-3, 0], [-1, 4], [6, 6]]))
    assert cut[0].sum() == 0
    assert cut[1, 0].tolist() == [[0, 0, 0], [1, 1, 0], [1, 1, 0]]
    assert cut[2].sum() == 0


@pytest.mark.parametrize("offset", [1, 2, 3, 4, 5, 7, 8])
@pytest.mark.parametrize("border", ["coverage", "zero"])
def test_the_box_filter_equals_pasting(offset, border):
    torch.manual_seed(offset)
    lattice = Lattice.regular(24, 8, offset)
    evidence = torch.randn(lattice.patches, 5)
    total, covered = pasted_map(evidence, Lattice.regular(24, 8, offset).origins, 24, 8)
    divisor = covered if border == "coverage" else float(len(axis_shifts(8, offset)) ** 2)
    torch.testing.assert_close(
        shift_averaged_map(evidence, lattice, border), (total / divisor).float(), atol=1e-5, rtol=0
    )


@given(st.integers(1, 8), st.floats(-50, 50))
def test_constant_evidence_gives_a_constant_map(offset, value):
    lattice = Lattice.regular(24, 8, offset)
    smooth = shift_averaged_map(torch.full((lattice.patches, 3), value), lattice)
    assert float((smooth - value).abs().max()) <= 1e-5 * max(1, abs(value))


def test_the_authors_border_dilutes_edges_and_corners():
    lattice = Lattice.regular(96, 32, 1)
    diluted = shift_averaged_map(torch.ones(lattice.patches, 1), lattice, "zero")[0]
    assert float(diluted[48, 48]) == pytest.approx(1.0)
    assert float(diluted[0, 48]) == pytest.approx(0.5, abs=0.04)
    assert float(diluted[0, 0]) == pytest.approx(0.25, abs=0.04)


def test_the_plain_offset_is_the_expanded_grid():
    logits = torch.randn(1, 9, 2)
    smooth = shift_averaged_map(logits[0], Lattice.regular(21, 7, 7))
    torch.testing.assert_close(smooth, expand_grid(patch_grid(logits), 7)[0])


def test_coverage_counts_grids():
    assert coverage(Lattice.regular(24, 8, 8)).unique().tolist() == [1.0]
    counts = coverage(Lattice.regular(24, 8, 2))
    assert counts.max() == 16
    assert counts.min() >= 4


def test_the_grid_is_row_major():
    grid = patch_grid(torch.arange(18.0).reshape(1, 9, 2))
    assert grid[0, 1].tolist() == [[1, 3, 5], [7, 9, 11], [13, 15, 17]]


def test_scaled_evidence_is_weighted_by_finding():
    scaled = scale_evidence(torch.ones(4, 3), torch.tensor([0.0, 0.5, 1.0]))
    assert scaled.tolist() == [[0.0, 0.5, 1.0]] * 4


def test_a_wrong_number_of_patches_is_refused():
    with pytest.raises(ValueError, match="expected 9 patches"):
        shift_averaged_map(torch.zeros(8, 2), Lattice.regular(21, 7, 7))


@pytest.mark.reference_data
@pytest.mark.parametrize("case", GOLDEN_CASES)
def test_maps_agree_with_the_authors_code(shared, case):
    facts = json.loads((shared / "golden/shift_maps.json").read_text())[case]
    arrays = np.load(shared / "golden/shift_maps.npz")
    size, patch = facts["image_size"], facts["patch_size"]
    lattice = Lattice.regular(size, patch, patch // facts["steps_per_patch"])
    by_origin = {}
    for (down, right), grid in zip(arrays[f"shifts_{case}"], arrays[f"patch_logits_{case}"], strict=True):
        for index, logits in enumerate(grid):
            row, column = divmod(index, size // patch)
            by_origin[(row * patch + int(down), column * patch + int(right))] = torch.from_numpy(logits)
    origins = Lattice.regular(size, patch, lattice.offset).origins.tolist()
    evidence = torch.stack([by_origin[tuple(origin)] for origin in origins])
    expected = torch.from_numpy(arrays[f"map_{case}"])
    torch.testing.assert_close(shift_averaged_map(evidence, lattice, "zero"), expected, atol=1e-5, rtol=0)


@pytest.mark.reference_data
@pytest.mark.parametrize("case", range(4))
def test_cut_patches_equal_those_of_the_authors_shifted_image(shared, case):
    arrays = np.load(shared / "golden/shift_maps.npz")
    image = torch.from_numpy(arrays["shift_input"])
    down, right = arrays[f"shift_of_{case}"].tolist()
    plain = Lattice.regular(32, 8, 8).origins
    expected = split_patches(torch.from_numpy(arrays[f"shifted_{case}"])[None], 8)
    torch.testing.assert_close(cut_patches(image, 8, plain + torch.tensor([down, right])), expected)


@given(st.integers(2, 9).map(lambda half: 2 * half - 1), st.integers(0, 99))
def test_interpolation_is_exact_at_kept_origins_and_for_linear_evidence(stride, seed):
    whole = Lattice.regular(48, 16, 1)
    thinned = whole.thinned(stride)
    assert {whole.starts[0], whole.starts[-1]} <= set(thinned.starts) <= set(whole.starts)
    generator = torch.Generator().manual_seed(seed)
    known = torch.rand(thinned.patches, 2, generator=generator, dtype=torch.float64)
    full = interpolate_evidence(known, thinned, whole).reshape(48, 48, 2)
    places = torch.tensor([whole.starts.index(start) for start in thinned.starts])
    torch.testing.assert_close(full[places][:, places].reshape(-1, 2), known)
    ramp = (whole.origins.double() @ torch.tensor([[0.3], [-0.7]], dtype=torch.float64)) + 5
    kept = (thinned.origins.double() @ torch.tensor([[0.3], [-0.7]], dtype=torch.float64)) + 5
    torch.testing.assert_close(interpolate_evidence(kept, thinned, whole), ramp)


def test_a_stride_of_one_thins_nothing_out():
    whole = Lattice.regular(48, 16, 1)
    assert whole.thinned(1) == whole
    with pytest.raises(ValueError, match="at least 1"):
        whole.thinned(0)


def test_stride_five_needs_a_twentieth_of_the_passes():
    whole = Lattice.regular(512, 64, 1)
    assert whole.passes / whole.thinned(5).passes > 20


def test_patches_of_one_value_are_kept_once_and_everything_finds_its_twin():
    patches = torch.rand(11, 1, 5, 5)
    patches[[1, 4, 9]] = 0
    patches[[2, 10]] = 0.25
    kept, index = merge_constant(patches)
    assert len(kept) == 11 - 2 - 1
    assert torch.equal(kept[index], patches)
    same, order = merge_constant(patches[[0, 3]])
    assert torch.equal(same, patches[[0, 3]])
    assert order.tolist() == [0, 1]


def test_interpolating_the_finest_map_takes_little_memory():
    """Stride 5 of 512 pixels; the weights of both axes multiplied first would take 35 GB."""
    work = """
import resource, torch
from app.patchnet.grid import Lattice
from app.patchnet.saliency import interpolate_evidence
resource.setrlimit(resource.RLIMIT_AS, (12 << 30, 12 << 30))
whole = Lattice.regular(512, 64, 1)
thinned = whole.thinned(5)
print(interpolate_evidence(torch.ones(thinned.patches, 14), thinned, whole).mean().item())
"""
    done = subprocess.run([sys.executable, "-c", work], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "1.0", done.stderr
