"""Whether the zone with the most evidence holds what radiologists marked, for the patch model and for Grad-CAM."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from app.anatomy.masks import SIDE
from app.anatomy.quality import reasons_against
from app.anatomy.zones import OUTSIDE, ZONES, ZoneMap
from app.patchnet.findings import finding_index
from app.patchnet.model import PatchNet
from app.patchnet.preprocessing import resize_square
from training.anatomy.segmented import Reader
from training.compare.compiled import compiled
from training.data.datasets import read_film
from training.data.layouts import read_rows
from training.measure.metrics import Estimate, proportion
from training.saliency_methods import ActivationMaps

Array = NDArray[np.float64]
Centre = tuple[float, float]

ALL, CHEST = "all zones", "lungs and heart"
_CANDIDATES = {ALL: range(len(ZONES)), CHEST: [zone for zone in range(len(ZONES)) if zone not in OUTSIDE]}
"""Candidates for the zone with the most evidence. Of all zones, large ones outside the chest win by their area."""


@dataclass(frozen=True)
class MarkedFinding:
    """One finding of one radiograph, and the centres (row, column) of its boxes as fractions of the square."""

    film: Path
    finding: int
    centres: tuple[Centre, ...]


@dataclass
class BoxZones:
    """How often the zone with the most positive evidence, of some candidates, holds the centre of a box, by method.

    ``chance`` is the hit rate of a random point in the candidates: the mean area of the zones that hold the centres.
    Findings without a centre in a candidate are not counted.
    """

    cases: int = 0
    chance: list[float] = field(default_factory=list[float])
    hits: dict[str, int] = field(default_factory=lambda: defaultdict[str, int](int))

    def count(self, zones: ZoneMap, truth: set[int], evidence: Mapping[str, Array], candidates: Sequence[int]) -> None:
        """Count one finding: ``truth`` are the zones with a centre, ``evidence`` that of all zones [Z], by method."""
        true = truth.intersection(candidates)
        if not true:
            return
        self.cases += 1
        self.chance.append(sum(zones.areas[zone] for zone in true) / sum(zones.areas[zone] for zone in candidates))
        for method, values in evidence.items():
            best = max(candidates, key=lambda zone, values=values: float(values[zone]))
            self.hits[method] += best in true

    def rate(self, method: str) -> Estimate:
        """The hit rate of a method, with its 95 % interval."""
        return proportion(self.hits[method], self.cases)


def read_marked(boxes: Path, most: int | None = None, seed: int = 0) -> list[MarkedFinding]:
    """The findings with boxes of a CSV (Path, Finding, x, y, width, height), or ``most`` of them chosen at random."""
    centres: dict[tuple[str, str], list[Centre]] = defaultdict(list)
    for row in read_rows(boxes, "Path", "Finding", "x", "y", "width", "height"):
        x, y, width, height = (float(row[name]) for name in ("x", "y", "width", "height"))
        centres[row["Path"], row["Finding"]].append((y + height / 2, x + width / 2))
    marked = [
        MarkedFinding(boxes.parent / film, finding_index(finding), tuple(several))
        for (film, finding), several in centres.items()
    ]
    if most is None or most >= len(marked):
        return marked
    return [marked[index] for index in np.random.default_rng(seed).choice(len(marked), most, replace=False)]


def measure_boxes(
    reader: Reader, patch: PatchNet, image: PatchNet | None, marked: Sequence[MarkedFinding]
) -> dict[str, BoxZones]:
    """Figures by candidates, on the radiographs whose masks can be trusted; ``image`` is the twin, for Grad-CAM."""
    figures, fast = {name: BoxZones() for name in _CANDIDATES}, compiled(patch)
    cams = None if image is None else ActivationMaps(image, ("Grad-CAM",))
    for case in tqdm(marked, "boxes", unit="finding"):
        picture = read_film(case.film, patch.image_size)
        masks = reader.masks(picture)
        if reasons_against(masks):
            continue
        zones = reader.zones(picture, masks)
        truth = {_zone_at(zones, centre) for centre in case.centres}
        evidence = {"patch evidence": _of_patches(fast, picture, case.finding, zones)}
        if cams is not None and image is not None:
            saliency = cams.maps(resize_square(picture, image.image_size), [case.finding])["Grad-CAM"][0]
            evidence["Grad-CAM"] = _of_map(saliency, zones)
        for name, candidates in _CANDIDATES.items():
            figures[name].count(zones, truth, evidence, candidates)
    return figures


@torch.inference_mode()
def _of_patches(network: PatchNet, picture: Tensor, finding: int, zones: ZoneMap) -> Array:
    evidence = network.patch_logits(picture[None])[0, :, finding].double().clamp(min=0)
    return (zones.patch_shares(network.patches_per_side) @ evidence).numpy()


def _of_map(saliency: NDArray[np.float32], zones: ZoneMap) -> Array:
    even = resize_square(torch.from_numpy(saliency)[None], SIDE)[0].clamp(min=0).numpy()
    return np.bincount(zones.zones.ravel(), even.ravel(), minlength=len(ZONES)).astype(np.float64)


def _zone_at(zones: ZoneMap, centre: Centre) -> int:
    row, column = (min(int(value * SIDE), SIDE - 1) for value in centre)
    return int(zones.zones[row, column])
