"""The site of a finding is the zone of lungs, heart and mediastinum with the most positive evidence."""

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
import torch

from app.anatomy.artifact import SegmenterManifest
from app.anatomy.masks import SIDE
from app.anatomy.quality import Reason
from app.anatomy.zones import OUTSIDE, ZONES, zone_map
from app.dicom_objects.content import EvidenceSite
from app.patchnet.findings import FINDING_NAMES
from app.service.anatomy.reader import Anatomy
from app.service.anatomy.sites import site_warnings, sites_of
from tests.unit.anatomy import chests

PATCHES_PER_SIDE = 8
ANATOMY_PIXELS = torch.rand(SIDE, SIDE, generator=torch.Generator().manual_seed(1)).numpy()


def anatomy(*reasons: Reason) -> Anatomy:
    masks = chests.masks()
    segmenter = SegmenterManifest(
        name="drawn", version="0", image_size=64, intended_use="tests", training_data="none", attribution="nobody",
        licence="Apache-2.0", created=datetime(2026, 1, 2, tzinfo=UTC), recipe={}, weights_sha256="0" * 64,
    )  # fmt: skip
    return Anatomy(segmenter, masks, zone_map(masks, ANATOMY_PIXELS), None, reasons, 0.0)


def prediction(logits: torch.Tensor, positive: str):
    """A prediction in which only one finding is positive."""
    scores = tuple(SimpleNamespace(name=name, logit=1.0, positive=name == positive) for name in FINDING_NAMES)
    manifest = SimpleNamespace(patches_per_side=PATCHES_PER_SIDE)
    return SimpleNamespace(
        model=SimpleNamespace(manifest=manifest), scores=scores, patch_logits=logits[:, None].expand(-1, len(scores))
    )


def evidence_at(row: int, column: int) -> torch.Tensor:
    """A positive logit in one patch, negative ones everywhere else: [P²]."""
    logits = torch.full((PATCHES_PER_SIDE, PATCHES_PER_SIDE), -1.0)
    logits[row, column] = 4.0
    return logits.flatten()


def test_only_positive_findings_have_a_site_and_it_is_the_strongest_zone():
    found = sites_of(prediction(evidence_at(5, 5), "Edema"), anatomy())  # rows 160 to 191, columns 160 to 191
    (column,) = found
    assert FINDING_NAMES[column] == "Edema"
    site = found[column]
    assert site.zone == "left_lower"
    shares = anatomy().zones.patch_shares(PATCHES_PER_SIDE)[:, 5 * PATCHES_PER_SIDE + 5].tolist()
    assert site.share == pytest.approx(shares[ZONES.index("left_lower")])
    assert site.outside == pytest.approx(sum(shares[index] for index in OUTSIDE))
    assert not site.suspicious


def test_evidence_outside_the_chest_has_no_site_and_a_warning():
    (site,) = sites_of(prediction(evidence_at(0, 0), "Edema"), anatomy()).values()
    assert site == EvidenceSite(None, 0.0, 1.0, suspicious=True)
    finding = SimpleNamespace(name="Edema", site=site)
    assert list(site_warnings([finding], anatomy())) == ["Edema: evidence outside the lungs and heart: 100 %"]


def test_zones_without_trust_give_no_sites_but_the_reasons():
    doubtful = anatomy(Reason("missing", "the heart was not found"))
    assert sites_of(prediction(evidence_at(5, 5), "Edema"), doubtful) == {}
    (warning,) = site_warnings([], doubtful)
    assert warning.endswith("cannot be trusted: the heart was not found")


def test_nothing_is_stated_about_zones_that_are_not_requested():
    assert list(site_warnings([SimpleNamespace(name="Edema", site=None)], None)) == []
