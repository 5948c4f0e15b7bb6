"""How much of the positive evidence lies outside lungs and heart, by which the limit of the warning is chosen."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.special import expit
from tqdm import tqdm

from app.anatomy.quality import reasons_against
from app.anatomy.zones import ANYWHERE, OUTSIDE, OUTSIDE_LIMIT, ledger, outside_share
from app.patchnet.artifact import Artifact
from app.patchnet.findings import FINDING_NAMES
from training.anatomy.segmented import Reader
from training.compare.compiled import compiled
from training.data.datasets import read_film, read_films

_QUANTILES = (0.5, 0.9, 0.95, 0.99)


@dataclass(frozen=True)
class OutsideFigures:
    """Shares of positive evidence outside lungs and heart, of findings above their default thresholds."""

    decisions: int
    area: float
    quantiles: dict[float, float]
    warned: float

    @property
    def shares(self) -> dict[str, float]:
        """The rows of the card."""
        return {
            "of the area of the square, mean": self.area,
            **{f"of the evidence, quantile {level:g}": value for level, value in self.quantiles.items()},
            f"of {self.decisions} decisions with a warning": self.warned,
        }

    @property
    def metrics(self) -> dict[str, float]:
        """The figures by the names of the manifest."""
        return {f"outside_share.quantile_{level:g}": value for level, value in self.quantiles.items()} | {
            "outside_share.warned": self.warned
        }


@torch.inference_mode()
def measure_outside(reader: Reader, model: Artifact, csv_file: Path, most: int | None = None) -> OutsideFigures:
    """Measure on the radiographs of a CSV, or on ``most`` of them, evenly spaced. Raises ConfigurationError."""
    paths = read_films(csv_file).paths
    step = 1 if most is None else max(1, len(paths) // most)
    fast, manifest = compiled(model.network), model.manifest
    columns = {
        FINDING_NAMES.index(name): threshold for name, threshold in manifest.thresholds.items() if name not in ANYWHERE
    }
    shares: list[float] = []
    areas: list[float] = []
    for path in tqdm(paths[::step], "evidence", unit="film"):
        picture = read_film(path, manifest.image_size)
        masks = reader.masks(picture)
        if reasons_against(masks):
            continue
        zones = reader.zones(picture, masks)
        areas.append(sum(zones.areas[zone] for zone in OUTSIDE))
        patch_shares = zones.patch_shares(manifest.patches_per_side)
        patch_logits = fast.patch_logits(picture[None])[0]
        for column, threshold in columns.items():
            if expit(float(patch_logits[:, column].double().mean())) >= threshold:
                shares.append(outside_share(ledger(patch_logits[:, column], patch_shares)) or 0.0)
    found = np.array(shares)
    return OutsideFigures(
        decisions=len(found),
        area=float(np.mean(areas)),
        quantiles={level: float(np.quantile(found, level)) for level in _QUANTILES},
        warned=float((found > OUTSIDE_LIMIT).mean()),
    )
