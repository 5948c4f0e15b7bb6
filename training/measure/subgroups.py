"""Quality by sex, age band, view, manufacturer and collection: differences that the mean hides."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.patchnet.findings import FINDING_NAMES
from training.data.datasets import Films
from training.data.label_sets import ELEVEN
from training.measure.metrics import auroc

Array = NDArray[np.float64]

_ELEVEN = tuple(FINDING_NAMES.index(name) for name in ELEVEN)
_COLUMNS = ("Sex", "AP/PA", "Frontal/Lateral", "Manufacturer", "Collection")
_AGE_BANDS = ((0, 18), (18, 40), (40, 60), (60, 80), (80, 200))
_LEAST_FILMS_OF_A_CLASS = 5


@dataclass(frozen=True)
class Subgroup:
    """A subset of the radiographs: ``mean_auroc`` is over those findings of ``ELEVEN`` with enough of both classes.

    ``findings`` counts these findings: means over different findings are not comparable.
    """

    films: int
    findings: int
    mean_auroc: float

    def as_json(self) -> dict[str, object]:
        """The figures by name."""
        return {"films": self.films, "findings": self.findings, "auroc": self.mean_auroc}


def subgroups(logits: Array, films: Films) -> dict[str, dict[str, Subgroup]]:
    """Figures of every subgroup that can be measured, by column and value. Logits are [N, C] in label order."""
    labels = films.labels.double().numpy()
    members = {name: films.columns[name] for name in _COLUMNS if name in films.columns}
    if "Age" in films.columns:
        members["Age"] = tuple(age_band(text) for text in films.columns["Age"])
    return {name: measured for name, values in members.items() if (measured := _measure_each(logits, labels, values))}


def age_band(text: str) -> str:
    """The band of an age in years, such as ``40-59``; empty where the age is unknown or impossible."""
    if not text.strip().isdigit():
        return ""
    years = int(text)
    return next((f"{low}-{high - 1}" for low, high in _AGE_BANDS if low <= years < high), "")


def mean_auroc(logits: Array, labels: Array, least: int = 1, columns: Sequence[int] = _ELEVEN) -> tuple[float, int]:
    """Mean AUROC over those of ``columns`` with ``least`` radiographs of each class, and the number of columns."""
    areas = [
        auroc(logits[:, column], labels[:, column])
        for column in columns
        if min((labels[:, column] == 1).sum(), (labels[:, column] == 0).sum()) >= least
    ]
    return (float(np.mean(areas)), len(areas)) if areas else (float("nan"), 0)


def measure(logits: Array, labels: Array) -> Subgroup | None:
    """Figures from logits and labels, [N, C] each; None where no finding has enough of both classes."""
    score, findings = mean_auroc(logits, labels, _LEAST_FILMS_OF_A_CLASS)
    return Subgroup(len(labels), findings, score) if findings else None


def _measure_each(logits: Array, labels: Array, values: Sequence[str]) -> dict[str, Subgroup]:
    members = {value: np.array([other == value for other in values]) for value in sorted(set(values) - {""})}
    measured = {value: measure(logits[keep], labels[keep]) for value, keep in members.items()}
    return {value: group for value, group in measured.items() if group}
