"""The comparison as a self-contained HTML file, and as JSON with every number."""

import json
from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.special import expit

from app.patchnet.findings import FINDING_NAMES
from training.compare.comparison import Comparison
from training.compare.faithfulness import STEPS
from training.compare.fidelity import Faithfulness
from training.compare.localization import place_square
from training.compare.measured import AnnotatedFilms
from training.compare.setting import Setting
from training.data.datasets import read_film
from training.data.label_sets import ELEVEN
from training.measure.metrics import roc_points
from training.publish.figures import embedded, reliability_plot
from training.publish.pages import templates_of
from training.saliency_methods import Maps

Array = NDArray[np.float64]

_GALLERY = ("patch grid", "patch, stride 15", "patch probability, smoothed", "Grad-CAM", "Eigen-CAM", "ProtoPNet")
_GALLERY_FILMS = 6


def write_comparison(comparison: Comparison, setting: Setting, out: Path) -> Path:
    """Write ``report.json`` and ``report.html`` to ``out``; returns the page. It shows radiographs of the set."""
    out.mkdir(parents=True, exist_ok=True)
    content = json.dumps(comparison.as_json(), indent=1, default=float)
    (out / "report.json").write_text(content.replace("NaN", "null") + "\n", encoding="utf-8")
    test = setting.test.annotated()
    labels = test.films.labels.double().numpy()
    logits = {network: setting.logits(network, test) for network in comparison.classification}
    page = (
        templates_of("training.compare")
        .get_template("comparison.html")
        .render(
            comparison=comparison,
            setting=setting,
            films=len(test.films),
            averaged=sum(name in comparison.classification["patch"].findings for name in ELEVEN),
            findings=test.annotations.findings(),
            roc=embedded(_roc(logits, labels), "svg+xml"),
            reliability=embedded(reliability_plot(expit(logits["patch"]), labels), "svg+xml"),
            curves=embedded(_curves(comparison.faithfulness), "svg+xml"),
            gallery=[embedded(picture, "png") for picture in _gallery(setting, test)],
        )
    )
    path = out / "report.html"
    path.write_text(page, encoding="utf-8")
    return path


def _roc(logits: dict[str, Array], labels: Array) -> bytes:
    """ROC curves of all models by finding, as SVG."""
    figure = Figure(figsize=(11, 9), layout="constrained")
    axes = figure.subplots(4, 4, sharex=True, sharey=True).flatten()
    for axis in axes[len(FINDING_NAMES) :]:
        axis.set_axis_off()
    for column, (axis, name) in enumerate(zip(axes, FINDING_NAMES, strict=False)):
        axis.plot([0, 1], [0, 1], color="0.7", linewidth=1)
        for network, scores in logits.items():
            axis.plot(*roc_points(scores[:, column], labels[:, column]), label=network)
        axis.set_title(name, fontsize=9)
    axes[0].legend(fontsize=8)
    figure.supxlabel("1 - specificity")
    figure.supylabel("sensitivity")
    return _saved(figure, "svg")


def _curves(faithfulness: dict[str, Faithfulness]) -> bytes:
    """Deletion and insertion curves of all methods, one column for each model, as SVG."""
    networks = list(dict.fromkeys(figures.network for figures in faithfulness.values()))
    figure = Figure(figsize=(4 * len(networks), 7), layout="constrained")
    axes = figure.subplots(2, len(networks), sharex=True, sharey="col", squeeze=False)
    share = np.linspace(0, 1, STEPS + 1)
    for column, network in enumerate(networks):
        for name, figures in faithfulness.items():
            if figures.network == network:
                axes[0, column].plot(share, figures.deletion, label=name)
                axes[1, column].plot(share, figures.insertion, label=name)
        axes[0, column].set_title(f"network: {network}", fontsize=9)
        axes[0, column].legend(fontsize=7)
    axes[0, 0].set_ylabel("deletion: logit without this share")
    axes[1, 0].set_ylabel("insertion: logit of this share alone")
    return _saved(figure, "svg")


def _gallery(setting: Setting, data: AnnotatedFilms) -> list[bytes]:
    """Some radiographs with their annotations and maps side by side, as PNG. Red: evidence for, blue: against."""
    pictures: list[bytes] = []
    marked = [(index, name) for index in range(len(data.films)) for name in data.marked(index)]
    for index, finding in marked[:: max(1, len(marked) // _GALLERY_FILMS)][:_GALLERY_FILMS]:
        mask = data.annotations.mask(data.keys[index], finding)
        film = read_film(data.films.paths[index], setting.patch.manifest.image_size)
        if mask is None:
            continue
        background = place_square(film[0].numpy(), mask.shape)
        maps = _maps(setting, data.films.paths[index], finding)
        figure = Figure(figsize=(3 * (len(maps) + 1), 3.2), layout="constrained")
        axes = figure.subplots(1, len(maps) + 1).flatten()
        for axis, name in zip(axes, (finding, *maps), strict=True):
            axis.imshow(background, cmap="gray")
            axis.contour(mask, [0.5], colors="yellow", linewidths=1)
            axis.set_axis_off()
            axis.set_title(name, fontsize=9)
            if name in maps:
                placed = place_square(maps[name], mask.shape)
                limit = np.abs(placed).max() or 1.0
                axis.imshow(placed, cmap="RdBu_r", vmin=-limit, vmax=limit, alpha=0.45)
        pictures.append(_saved(figure, "png"))
    return pictures


def _maps(setting: Setting, path: Path, finding: str) -> dict[str, Maps]:
    found: dict[str, Maps] = {}
    for family in setting.families():
        subject = setting.subjects[family.network]
        network, explainer = subject.network, family.explainer(subject)
        if not set(explainer.names) & set(_GALLERY):
            continue
        for name, maps in explainer.maps(read_film(path, network.image_size), [FINDING_NAMES.index(finding)]).items():
            if name in _GALLERY:
                found[name] = maps[0]
    return found


def _saved(figure: Figure, kind: str) -> bytes:
    stream = BytesIO()
    figure.savefig(stream, format=kind, dpi=80)
    return stream.getvalue()
