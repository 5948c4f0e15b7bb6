"""Export of a method's saliency maps and segmentations in the formats of CheXlocalize's evaluation."""

import pickle
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit
from tqdm import tqdm

from app.patchnet.findings import FINDING_NAMES
from training.compare.annotations import write_chexlocalize
from training.compare.localization import normalized, place_square
from training.compare.measured import AnnotatedFilms
from training.data.datasets import read_film
from training.saliency_methods import Explainer

Array = NDArray[np.float64]


def write_predicted(
    explainer: Explainer,
    name: str,
    data: AnnotatedFilms,
    logits: Array,
    decided: NDArray[np.bool_],
    thresholds: dict[str, float],
    image_size: int,
    out: Path,
) -> None:
    """Write one method's maps and masks of all annotated radiographs, for the findings with a threshold.

    ``<radiograph>_<finding>_map.pkl`` holds a dictionary with ``map`` [1, 1, h, w], ``prob``, ``task``, ``gt`` and
    ``cxr_dims`` (columns, rows). ``segmentations.json`` holds run lengths of the map above the finding's threshold,
    empty where the model does not decide for the finding. ``logits`` and ``decided`` are [N, 14].
    """
    out.mkdir(parents=True, exist_ok=True)
    masks: dict[tuple[str, str], NDArray[np.bool_]] = {}
    columns = [FINDING_NAMES.index(finding) for finding in thresholds]
    for index in tqdm(range(len(data.films)), f"export: {name}", leave=False):
        shape = data.shape(index)
        if shape is None:
            continue
        maps = explainer.maps(read_film(data.films.paths[index], image_size), columns)[name]
        for (finding, threshold), column, saliency_map in zip(thresholds.items(), columns, maps, strict=True):
            placed = place_square(saliency_map, shape)
            called = bool(decided[index, column])
            masks[data.keys[index], finding] = (normalized(placed) > threshold) & called
            content = {
                "map": torch.from_numpy(saliency_map)[None, None],
                "prob": float(expit(logits[index, column])),
                "task": finding,
                "gt": float(data.films.labels[index, column]),
                "cxr_dims": (shape[1], shape[0]),
            }
            with (out / f"{data.keys[index].replace('/', '_')}_{finding}_map.pkl").open("wb") as file:
                pickle.dump(content, file)
    write_chexlocalize(masks, out / "segmentations.json")
