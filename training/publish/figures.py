"""Figures of the model card: reliability of the probabilities, and the model on a public radiograph."""

from base64 import b64encode
from dataclasses import dataclass
from io import BytesIO

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from pydicom.data import get_testdata_file

from app.imaging.decode import decode_image
from app.imaging.radiograph import DecodeLimits
from app.patchnet.findings import FINDING_NAMES
from app.patchnet.model import PatchNet
from app.patchnet.preprocessing import CropGeometry, to_model_image
from app.rendering.captions import Caption
from app.rendering.overlay import OverlayStyle, SaliencyLayer, render_overlay
from training.data.label_sets import ELEVEN

Array = NDArray[np.float64]

EXAMPLE = "RG1_UNCR.dcm"
"""A chest radiograph with several masses, from the package ``pydicom-data``."""

_PICTURE_SIDE = 360
_BINS = 5


@dataclass(frozen=True)
class Example:
    """The example radiograph, unchanged or altered: probabilities [14], and an image of the evidence for a finding."""

    treatment: str
    finding: str
    probabilities: Array
    picture: bytes


def reliability_plot(probabilities: Array, labels: Array) -> bytes:
    """Observed frequency of each finding of ``ELEVEN`` against its probability, as SVG; arguments are [N, C].

    Five bins with equal numbers of radiographs; the diagonal is perfect calibration. Equal input gives equal bytes.
    """
    matplotlib.rcParams["svg.hashsalt"] = "reliability"
    figure = Figure(figsize=(10, 7.5), layout="constrained")
    axes = figure.subplots(3, 4, sharex=True, sharey=True).flatten()
    for axis, name in zip(axes, ELEVEN, strict=False):
        column = FINDING_NAMES.index(name)
        known = ~np.isnan(labels[:, column])
        mean, frequency = _reliability(probabilities[known, column], labels[known, column])
        axis.plot([0, 1], [0, 1], color="0.7", linewidth=1)
        axis.plot(mean, frequency, marker="o")
        axis.set_title(name, fontsize=10)
    for axis in axes[len(ELEVEN) :]:
        axis.set_axis_off()
    figure.supxlabel("mean probability")
    figure.supylabel("share of films with the finding")
    stream = BytesIO()
    figure.savefig(stream, format="svg", metadata={"Date": None})
    return stream.getvalue()


@torch.inference_mode()
def examples(network: PatchNet, finding: str, limit: float) -> list[Example]:
    """The example radiograph upright, inverted and rotated, with the evidence for ``finding`` up to ``limit``."""
    path = str(get_testdata_file(EXAMPLE, read=False, download=False))
    with open(path, "rb") as file:
        pixels = decode_image(file.read(), DecodeLimits()).pixels
    treated = {"as it is": pixels, "inverted": 1 - pixels, "on its side": np.ascontiguousarray(np.rot90(pixels))}
    return [_example(network.eval(), treatment, image, finding, limit) for treatment, image in treated.items()]


def _example(network: PatchNet, treatment: str, pixels: NDArray[np.float32], finding: str, limit: float) -> Example:
    image = to_model_image(pixels, network.image_size)
    patch_logits = network.patch_logits(image.tensor[None])[0]  # [P², C]
    column = FINDING_NAMES.index(finding)
    picture = evidence_picture(
        pixels, image.geometry, patch_logits[:, column].numpy(), limit, f"{finding}, {treatment}"
    )
    return Example(treatment, finding, patch_logits.double().mean(dim=0).sigmoid().numpy(), picture)


def embedded(picture: bytes, kind: str) -> str:
    """A picture as the address of an image in a page that opens offline; ``kind`` is png or svg+xml."""
    return f"data:image/{kind};base64,{b64encode(picture).decode('ascii')}"


def evidence_picture(
    pixels: NDArray[np.float32], geometry: CropGeometry, evidence: NDArray[np.float32], limit: float, title: str
) -> bytes:
    """A PNG of a radiograph [H, W] with the patch logits [P²] of a finding over it, in colours up to ``limit``."""
    side = round(len(evidence) ** 0.5)
    grid = evidence.reshape(side, side)
    layer = SaliencyLayer(grid, float(geometry.row), float(geometry.column), float(geometry.size))
    return render_overlay(pixels, layer, OverlayStyle(limit, size=_PICTURE_SIDE), Caption(title))


def _reliability(probabilities: Array, labels: Array) -> tuple[Array, Array]:
    """Mean probability and frequency of the finding in bins with equal numbers of radiographs."""
    parts = [part for part in np.array_split(np.argsort(probabilities, kind="stable"), _BINS) if len(part)]
    return (
        np.array([probabilities[part].mean() for part in parts]),
        np.array([labels[part].mean() for part in parts]),
    )
