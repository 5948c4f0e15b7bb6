"""A segmenter on radiographs without drawn masks: how many it cannot be trusted on, and what the ratio is worth."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from app.anatomy.heart_size import heart_size
from app.anatomy.masks import SIDE
from app.anatomy.quality import reasons_against
from app.patchnet.findings import FINDING_NAMES
from training.anatomy.segmented import Reader
from training.data.datasets import read_film, read_films
from training.measure.metrics import Estimate, auroc, bootstrap_auroc

_CARDIOMEGALY = FINDING_NAMES.index("Cardiomegaly")


@dataclass(frozen=True)
class PopulationFigures:
    """Radiographs, the share not trusted with its reasons, and the AUROC of the ratio for Cardiomegaly on the rest."""

    films: int
    distrusted: float
    reasons: dict[str, int]
    positives: int
    cardiomegaly: Estimate

    @property
    def metrics(self) -> dict[str, float]:
        """The figures by the names of the manifest."""
        return {
            "films.distrusted": self.distrusted,
            "films.ctr.cardiomegaly_auroc": self.cardiomegaly.value,
        }


def measure_population(reader: Reader, csv_file: Path, resamples: int, seed: int = 0) -> PopulationFigures:
    """Measure on radiographs with the label Cardiomegaly. Raises ConfigurationError."""
    films = read_films(csv_file)
    ratios = np.full(len(films), np.nan)
    reasons: Counter[str] = Counter()
    for index, path in enumerate(tqdm(films.paths, "segmenting", unit="film")):
        masks = reader.masks(read_film(path, SIDE))
        against = {reason.code for reason in reasons_against(masks)}
        reasons.update(against)
        heart = None if against else heart_size(masks)
        ratios[index] = np.nan if heart is None else heart.ratio
    known = ~np.isnan(ratios)
    labels = films.labels[:, _CARDIOMEGALY].double().numpy()[known]
    samples = bootstrap_auroc(ratios[known][:, None], labels[:, None], resamples, seed)[:, 0]
    return PopulationFigures(
        films=len(films),
        distrusted=1 - float(known.mean()),
        reasons=dict(reasons.most_common()),
        positives=int((labels == 1).sum()),
        cardiomegaly=Estimate.of(auroc(ratios[known], labels), samples),
    )
