"""Fit and measure the detector of images that are not upright frontal radiographs.

``python -m training.measure.frontal DATA --out FILE``; ``DATA`` holds train.csv, valid.csv and test.csv of frontal
radiographs (column Path). Negative examples are made: the radiographs inverted and rotated, crops of two photographs of
scikit-learn, and noise with the spectrum of natural images. The threshold gives 0.4 % false warnings on valid.
"""

import argparse
import csv
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_sample_images
from sklearn.linear_model import LogisticRegression

from app.imaging.frontal import SIDE, FrontalModel, thumbnail

FALSE_WARNINGS = 0.004
_STRENGTH = 1e-3

Pixels = NDArray[np.float32]


def films(data: Path, split: str) -> list[Pixels]:
    """The radiographs of a split as [SIDE, SIDE] thumbnails."""
    with (data / f"{split}.csv").open(encoding="utf-8") as file:
        paths = [data / row["Path"] for row in csv.DictReader(file)]
    return [_square(np.asarray(Image.open(path).convert("L"), dtype=np.float32)) for path in paths]


def disoriented(originals: list[Pixels]) -> dict[str, list[Pixels]]:
    """The same radiographs inverted and rotated, by kind."""
    turns = {f"turned by {90 * turn}°": [np.rot90(film, turn) for film in originals] for turn in (1, 2, 3)}
    return {"inverted": [-film for film in originals], **turns}


def photographs(count: int, seed: int) -> list[Pixels]:
    """Random square crops of two photographs, in gray."""
    rng = np.random.default_rng(seed)
    sources = [np.asarray(Image.fromarray(image).convert("L"), np.float32) for image in load_sample_images().images]
    cuts: list[Pixels] = []
    for index in range(count):
        source = sources[index % len(sources)]
        side = int(rng.integers(100, min(source.shape)))
        top, left = (int(rng.integers(extent - side + 1)) for extent in source.shape)
        cuts.append(_square(source[top : top + side, left : left + side]))
    return cuts


def pink_noise(count: int, seed: int) -> list[Pixels]:
    """Noise whose spectrum falls with frequency, as in natural images."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(SIDE), np.fft.fftfreq(SIDE)))
    frequency[0, 0] = 1.0
    falls = rng.uniform(0.8, 2.2, count)
    spectra = (np.fft.fft2(rng.normal(size=(SIDE, SIDE))) / frequency**fall for fall in falls)
    return [np.fft.ifft2(spectrum).real.astype(np.float32) for spectrum in spectra]


def fit(data: Path) -> FrontalModel:
    """Fit the weights on train.csv and the threshold on valid.csv."""
    good = films(data, "train")
    bad = [*(film for kind in disoriented(good).values() for film in kind), *photographs(600, 2), *pink_noise(1500, 5)]
    inputs = np.array([thumbnail(film) for film in [*good, *bad]])
    labels = np.repeat([1, 0], [len(good), len(bad)])
    fitted = LogisticRegression(C=_STRENGTH, max_iter=400, class_weight="balanced").fit(inputs, labels)
    weights, bias = np.round(fitted.coef_[0], 5), round(float(fitted.intercept_[0]), 5)
    unbounded = FrontalModel(weights, bias, 0.0)
    threshold = np.quantile([unbounded.score(film) for film in films(data, "valid")], FALSE_WARNINGS)
    return FrontalModel(weights, bias, round(float(threshold), 5))


def measure(model: FrontalModel, data: Path) -> dict[str, float]:
    """Share of test images with a warning: unchanged radiographs, and each kind of negative example."""
    good = films(data, "test")
    kinds = {"as they are": good, **disoriented(good), "pink noise": pink_noise(500, 9)}
    return {
        kind: round(float(np.mean([model.score(film) < model.threshold for film in members])), 4)
        for kind, members in kinds.items()
    }


def main() -> None:
    """Fit, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    model = fit(arguments.data)
    warned = measure(model, arguments.data)
    content = {"weights": model.weights.tolist(), "bias": model.bias, "threshold": model.threshold, "warned": warned}
    arguments.out.write_text(json.dumps(content) + "\n", encoding="utf-8")
    print(json.dumps(warned, indent=1))  # noqa: T201 - the command's output


def _square(picture: Pixels) -> Pixels:
    return thumbnail(picture).reshape(SIDE, SIDE).astype(np.float32)


if __name__ == "__main__":
    main()
