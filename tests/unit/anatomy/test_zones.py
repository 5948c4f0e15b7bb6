import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from app.anatomy.masks import SIDE, masks_of
from app.anatomy.zones import OUTSIDE, ZONES, ledger, outside_share, zone_map
from tests.unit.anatomy import chests

TEXTURE = np.random.default_rng(0).random((SIDE, SIDE), dtype=np.float32)
CHEST = zone_map(chests.masks(), TEXTURE)


def area(zones, name):
    return zones.areas[ZONES.index(name)]


@given(st.sampled_from([2, 3, 7, 8]), st.integers(0, 2**31))
def test_the_zones_add_up_to_the_logit(side, seed):
    patch_logits = torch.randn(side**2, generator=torch.Generator().manual_seed(seed))
    zones = ledger(patch_logits, CHEST.patch_shares(side))
    assert sum(zone.evidence for zone in zones) == pytest.approx(float(patch_logits.double().mean()), abs=1e-9)
    assert sum(zone.share for zone in zones) == pytest.approx(1)
    if bool((patch_logits > 0).any()):
        assert sum(zone.share_for for zone in zones) == pytest.approx(1)


@pytest.mark.parametrize("side", [3, 7, 8])
def test_constant_evidence_is_shared_by_area(side):
    zones = ledger(torch.full((side**2,), 0.37), CHEST.patch_shares(side))
    assert [zone.share for zone in zones] == pytest.approx(list(CHEST.areas))
    assert [zone.share_for for zone in zones] == pytest.approx(list(CHEST.areas))


def test_a_patch_belongs_to_the_zones_that_it_covers():
    shares = CHEST.patch_shares(8)
    inside_the_right_lung = 2 * 8 + 2  # rows and columns 64 … 96
    assert shares[:3, inside_the_right_lung].sum() == pytest.approx(1)
    torch.testing.assert_close(shares.sum(dim=0), torch.ones(64, dtype=torch.float64))


def test_evidence_against_a_finding_has_no_share_of_the_evidence_for_it():
    zones = ledger(torch.tensor([-1.0, -2.0, -3.0, -4.0]), CHEST.patch_shares(2))
    assert {zone.share_for for zone in zones} == {None}
    assert outside_share(zones) is None


def test_the_share_outside_is_that_of_what_is_neither_lung_nor_heart():
    patch_logits = torch.zeros(64)
    patch_logits[0], patch_logits[2 * 8 + 2] = 3.0, 1.0  # a corner; the middle of the right lung
    assert outside_share(ledger(patch_logits, CHEST.patch_shares(8))) == pytest.approx(0.75)
    assert {ZONES[index] for index in OUTSIDE} == {"body", "border", "cropped"}


def test_each_lung_is_divided_into_thirds_of_its_height():
    rows = [np.flatnonzero((CHEST.zones == ZONES.index(name)).any(axis=1)) for name in ZONES[3:6]]
    assert [(int(part[0]), int(part[-1]) + 1) for part in rows] == [(60, 100), (100, 140), (140, 180)]


def test_the_mediastinum_is_what_lies_between_the_lungs():
    middle = CHEST.zones == ZONES.index("heart_mediastinum")
    assert middle[chests.TOP + 5, 101:156].all()
    assert not middle[chests.TOP - 5].any()
    assert middle[chests.HEART_ROWS, chests.HEART_COLUMNS].all()


def test_constant_rows_and_columns_at_the_edge_are_cropped():
    padded = TEXTURE.copy()
    padded[:, :13] = 0
    padded[-7:] = 1
    zones = zone_map(chests.masks(), padded).zones
    cropped = zones == ZONES.index("cropped")
    assert cropped[:, :13].all()
    assert cropped[-7:].all()
    assert cropped.sum() == 13 * SIDE + 7 * (SIDE - 13)
    assert (zones[: SIDE - 7, 13] == ZONES.index("border")).all()


def test_a_blank_image_has_zones_too():
    zones = zone_map(chests.masks(np.zeros((SIDE, SIDE), np.uint8)), np.zeros((SIDE, SIDE), np.float32))
    assert sum(zones.areas) == pytest.approx(1)
    assert area(zones, "body") > 0.5


def test_mirroring_an_image_exchanges_left_and_right():
    logits = chests.logits(chests.classes(), 128)
    one = zone_map(masks_of(logits, 128), TEXTURE)
    other = zone_map(masks_of(logits.flip(0), 128), TEXTURE[:, ::-1])  # the mirror image's mirror image is the image
    for third in ("upper", "middle", "lower"):
        assert area(one, f"right_{third}") == area(other, f"left_{third}")
        assert area(one, f"left_{third}") == area(other, f"right_{third}")
    assert area(one, "heart_mediastinum") == area(other, "heart_mediastinum")
