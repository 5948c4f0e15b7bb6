"""Accuracy cost of reduced precision and of strided maps, measured on validation radiographs."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit
from torch import Tensor, nn
from tqdm import tqdm

from app.patchnet.grid import Lattice, cut_patches, merge_constant
from app.patchnet.manifest import Manifest, PrecisionRecord, ReducedPrecision, StrideRecord
from app.patchnet.model import PatchNet
from app.patchnet.saliency import interpolate_evidence, shift_averaged_map
from training.data.datasets import FilmDataset, read_film
from training.measure.inference import predict_logits
from training.measure.metrics import auroc

Logits = NDArray[np.float64]

STRIDES = (3, 5, 7, 9, 13)
DTYPES: dict[ReducedPrecision, torch.dtype] = {"bfloat16": torch.bfloat16, "float16": torch.float16}

MOST_AUROC_LOST = 0.002
MOST_PROBABILITY_CHANGE = 0.05
"""A precision is allowed if the loss of mean AUROC and the change of every probability stay within these."""

_CHUNK_PATCHES = 256


def rounded(backbone: nn.Module, dtype: torch.dtype) -> nn.Module:
    """A copy that emulates a reduced precision in float32, on any machine.

    Weights and the inputs and outputs of every layer are rounded; sums stay in float32, as in tensor cores and AMX.
    """
    copy = deepcopy(backbone).eval()
    for parameter in (*copy.parameters(), *copy.buffers()):
        if parameter.is_floating_point():
            parameter.data = _round(parameter.data, dtype)

    def on_entry(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        del module
        return tuple(_round(value, dtype) for value in inputs)

    def on_exit(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        del module, inputs
        return _round(output, dtype)

    for layer in copy.modules():
        if not list(layer.children()):
            layer.register_forward_pre_hook(on_entry)
            layer.register_forward_hook(on_exit)
    return copy


def _round(values: Tensor, dtype: torch.dtype) -> Tensor:
    return values.to(dtype).float()


@torch.inference_mode()
def precisions(
    network: PatchNet, manifest: Manifest, data: FilmDataset, dataset: str, device: str
) -> tuple[PrecisionRecord, ...]:
    """One record for each reduced precision, against float32 on the same radiographs."""
    truth = data.films.labels.double().numpy()
    exact = predict_logits(network.to(device), data, 8, device)
    records: list[PrecisionRecord] = []
    for name, dtype in DTYPES.items():
        reduced = PatchNet(rounded(network.backbone, dtype), network.image_size, network.patch_size).to(device)
        records.append(_record(name, manifest, dataset, exact, predict_logits(reduced, data, 8, device), truth))
    return tuple(records)


def _record(
    name: ReducedPrecision, manifest: Manifest, dataset: str, exact: Logits, reduced: Logits, truth: Logits
) -> PrecisionRecord:
    served = [index for index, record in enumerate(manifest.findings) if record.status != "untrained"]
    areas = np.array([[auroc(logits[:, i], truth[:, i]) for i in served] for logits in (exact, reduced)])
    lost = areas[1] - areas[0]
    moved = np.abs(expit(reduced[:, served]) - expit(exact[:, served]))
    mean_change = float(np.nanmean(lost))
    return PrecisionRecord(
        precision=name,
        allowed=mean_change >= -MOST_AUROC_LOST and float(moved.max()) <= MOST_PROBABILITY_CHANGE,
        dataset=dataset,
        films=len(truth),
        mean_auroc=float(np.nanmean(areas[1])),
        mean_auroc_change=mean_change,
        largest_auroc_change=float(np.nanmax(np.abs(lost))),
        mean_probability_change=float(moved.mean()),
        largest_probability_change=float(moved.max()),
    )


@torch.inference_mode()
def strides(
    network: PatchNet,
    manifest: Manifest,
    films: Sequence[Path],
    dataset: str,
    device: str,
    work: Path,
    window: int | None = None,
) -> tuple[StrideRecord, ...]:
    """One record for each stride, over every served finding of every radiograph, in a central square of ``window`` px.

    The map of offset 1 costs p² forward passes for each radiograph. Its patch logits are cached in ``work`` by file
    name and hash of the weights.
    """
    window = manifest.image_size if window is None else window
    whole = windowed(Lattice.regular(manifest.image_size, manifest.patch_size, 1), window)
    served = [index for index, record in enumerate(manifest.findings) if record.status != "untrained"]
    found: dict[int, list[float]] = {stride: [] for stride in STRIDES}
    work.mkdir(parents=True, exist_ok=True)
    network = network.to(device)
    for film in tqdm(films, "maps of offset 1"):
        kept = work / f"{film.stem}-{manifest.weights_sha256[:12]}-{window}.pt"
        if not kept.exists():
            torch.save(_field(network.backbone, read_film(film, manifest.image_size), whole, device), kept)
        field: Tensor = torch.load(kept, weights_only=True)[:, served]
        truth = _centre(shift_averaged_map(field, whole), window)
        for stride in STRIDES:
            found[stride] += _correlations(_centre(drawn_with(field, whole, stride), window), truth)
    return tuple(
        StrideRecord(
            stride=stride,
            fewer_passes=round(whole.patches / whole.thinned(stride).patches, 1),
            dataset=dataset,
            films=len(films),
            maps=len(values),
            window=window,
            median_correlation=round(float(np.median(values)), 5),
            low_correlation=round(float(np.percentile(values, 5)), 5),
            least_correlation=round(min(values), 5),
        )
        for stride, values in found.items()
    )


def windowed(lattice: Lattice, window: int) -> Lattice:
    """The origins of all patches that touch the central square of ``window`` px, which decide its part of the map."""
    margin = (lattice.image_size - window) // 2
    first, end = margin - lattice.patch_size + 1, margin + window
    return replace(lattice, starts=tuple(start for start in lattice.starts if first <= start < end))


def drawn_with(field: Tensor, whole: Lattice, stride: int) -> Tensor:
    """The map [C, S, S] of a stride, from the patch logits [n², C] at every origin."""
    thin = whole.thinned(stride)
    kept = torch.tensor([whole.starts.index(start) for start in thin.starts])
    known = field.reshape(whole.per_axis, whole.per_axis, -1)[kept][:, kept].reshape(thin.patches, -1)
    return shift_averaged_map(interpolate_evidence(known, thin, whole), whole)


def _field(backbone: nn.Module, image: Tensor, whole: Lattice, device: str) -> Tensor:
    """Patch logits [n², C] at every origin."""
    parts: list[Tensor] = []
    for origins in whole.origins.split(_CHUNK_PATCHES):
        patches, index = merge_constant(cut_patches(image, whole.patch_size, origins))
        parts.append(backbone(patches.to(device)).cpu()[index])
    return torch.cat(parts)


def _centre(maps: Tensor, window: int) -> Tensor:
    margin = (maps.shape[-1] - window) // 2
    return maps[..., margin : margin + window, margin : margin + window]


def _correlations(drawn: Tensor, truth: Tensor) -> list[float]:
    pairs = zip(drawn.flatten(1).numpy(), truth.flatten(1).numpy(), strict=True)
    return [float(np.corrcoef(one, other)[0, 1]) for one, other in pairs]
