"""Small artifacts with random weights, for tests of everything around the model."""

from datetime import UTC, datetime
from pathlib import Path

import torch

from app.patchnet import artifact
from app.patchnet.backbones import build
from app.patchnet.findings import FINDING_NAMES
from app.patchnet.manifest import Description, FindingRecord, FindingStatus, Manifest, OperatingPoint, Quality
from app.patchnet.model import PatchNet


def save_small_artifact(
    folder: Path,
    name: str,
    seed: int = 0,
    backbone: str = "efficientnet_b0",
    patch_size: int = 64,
    findings: tuple[FindingRecord, ...] = (),
) -> Path:
    """Write an artifact of 128 pixels, 2 × 2 patches by default, into ``folder``; all findings are ``imported``."""
    torch.manual_seed(seed)
    described = description(name, backbone, patch_size, findings)
    network = PatchNet(build(backbone, 14), 128, patch_size)
    artifact.save(folder / name, network, described, f"# {name}")
    return folder / name


def description(
    name: str, backbone: str = "efficientnet_b0", patch_size: int = 64, findings: tuple[FindingRecord, ...] = ()
) -> Description:
    """What an artifact of 128 pixels says of itself."""
    return Description(
        name=name,
        version="0",
        backbone=backbone,
        image_size=128,
        patch_size=patch_size,
        findings=findings or tuple(FindingRecord(name=finding, status="imported") for finding in FINDING_NAMES),
        display_limit=1.0,
        intended_use="tests",
        training_data="none",
        attribution="nobody",
        licence="Apache-2.0",
        created=datetime(2026, 1, 2, tzinfo=UTC),
    )


Points = tuple[FindingStatus, dict[str, float]]


def records_with_points(statuses: dict[str, Points]) -> tuple[FindingRecord, ...]:
    """All findings: those named with a status and thresholds by the names of operating points, the others imported."""
    quality = Quality(dataset="held out", positives=31, negatives=67, auroc=0.8, auroc_interval=(0.75, 0.85))
    records: list[FindingRecord] = []
    for name in FINDING_NAMES:
        status, thresholds = statuses.get(name, ("imported", {}))
        points = {point: OperatingPoint(threshold=threshold) for point, threshold in thresholds.items()}
        measured = quality if status in {"validated", "weak"} else None
        records.append(FindingRecord(name=name, status=status, operating_points=points, quality=measured))
    return tuple(records)


def manifest_with_points(statuses: dict[str, Points]) -> Manifest:
    """A manifest of ``records_with_points``, of no weights."""
    described = description("points", findings=records_with_points(statuses))
    return Manifest(**described.model_dump(), weights_sha256="0" * 64)
