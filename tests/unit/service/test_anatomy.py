"""The segmenter of the service: loaded once, when it is first asked for."""

import asyncio
from datetime import UTC, datetime
from time import monotonic

import pytest
import torch

from app.anatomy.artifact import SegmenterManifest
from app.anatomy.zones import OUTSIDE_LIMIT, ZONES
from app.errors import DeadlineExceeded, InvalidQuery
from app.inference.scheduler import Scheduler
from app.patchnet.preprocessing import CropGeometry
from app.service.anatomy.ledger import sum_over_zones
from app.service.anatomy.reader import AnatomyReader, LoadedSegmenter
from app.telemetry import Metrics, Stopwatch
from tests.unit.anatomy import chests

SIDE = 64
IMAGE, GEOMETRY = torch.rand(1, 128, 128), CropGeometry.centered(128, 160, 128)


class DrawnChest:
    """An engine whose answer is always the made chest."""

    device, precision = "cpu", "float32"

    def patch_logits(self, patches):
        return chests.logits(chests.classes(), SIDE)[: len(patches)]


def loaded() -> LoadedSegmenter:
    manifest = SegmenterManifest(
        name="drawn", version="0", image_size=SIDE, intended_use="tests", training_data="none", attribution="nobody",
        licence="Apache-2.0", created=datetime(2026, 1, 2, tzinfo=UTC), recipe={}, weights_sha256="0" * 64,
    )  # fmt: skip
    scheduler = Scheduler(
        [DrawnChest()], batch_patches=2, map_patches=2, batch_wait_s=0, queue_patches=8,
        on_batch=lambda _: None, on_fault=lambda _: None,
    )  # fmt: skip
    scheduler.start()
    return LoadedSegmenter(manifest, scheduler)


def read(reader, seconds=60.0):
    return reader.read(IMAGE, GEOMETRY, monotonic() + seconds, Stopwatch(Metrics()))


def test_the_segmenter_is_loaded_once_for_requests_that_come_together():
    loads = []

    def load():
        loads.append(1)
        return loaded()

    async def twice():
        reader = AnatomyReader(load)
        assert not loads
        found = await asyncio.gather(read(reader), read(reader))
        reader.close()
        return found

    first, second = asyncio.run(twice())
    assert len(loads) == 1
    assert (first.is_trusted, first.zones.areas) == (True, second.zones.areas)
    assert first.heart is not None
    assert first.outside_film == pytest.approx(1 - 128 / 160)


def test_without_a_segmenter_zones_are_refused():
    reader = AnatomyReader(lambda: None)
    with pytest.raises(InvalidQuery, match="segmenter"):
        asyncio.run(read(reader))
    reader.close()


def test_a_late_request_has_no_zones():
    reader = AnatomyReader(loaded)
    with pytest.raises(DeadlineExceeded):
        asyncio.run(read(reader, seconds=-1))
    reader.close()


@pytest.mark.parametrize(
    ("name", "positive", "suspicious"),
    [("Edema", True, True), ("Edema", False, False), ("Support Devices", True, False)],
)
def test_only_positive_findings_of_the_chest_are_suspicious(name, positive, suspicious):
    shares = torch.zeros(len(ZONES), 4, dtype=torch.float64)
    shares[ZONES.index("border")] = 1.0
    ledger = sum_over_zones(name, torch.tensor([1.0, 2.0, 3.0, 4.0]), shares, positive=positive)
    assert (ledger.total, ledger.outside_share) == (2.5, 1.0)
    assert OUTSIDE_LIMIT < 1
    assert ledger.suspicious is suspicious
