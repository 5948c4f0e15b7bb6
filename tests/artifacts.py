"""Small artifacts with random weights, for tests of everything around the model."""

from datetime import UTC, datetime
from pathlib import Path

import torch

from app.patchnet import artifact
from app.patchnet.backbones import build
from app.patchnet.findings import FINDING_NAMES
from app.patchnet.manifest import Description, FindingRecord
from app.patchnet.model import PatchNet


def save_small_artifact(
    folder: Path, name: str, seed: int = 0, backbone: str = "efficientnet_b0", patch_size: int = 64
) -> Path:
    """Write an artifact of 128 pixels, 2 × 2 patches by default, into ``folder``; all findings are ``imported``."""
    torch.manual_seed(seed)
    description = Description(
        name=name,
        version="0",
        backbone=backbone,
        image_size=128,
        patch_size=patch_size,
        findings=tuple(FindingRecord(name=finding, status="imported") for finding in FINDING_NAMES),
        display_limit=1.0,
        intended_use="tests",
        training_data="none",
        attribution="nobody",
        licence="Apache-2.0",
        created=datetime(2026, 1, 2, tzinfo=UTC),
    )
    network = PatchNet(build(backbone, 14), 128, patch_size)
    artifact.save(folder / name, network, description, f"# {name}")
    return folder / name
