"""The engines on the device: agreement with the CPU, latency, throughput, memory, against the authors' forward pass."""

from collections.abc import Callable
from copy import deepcopy
from itertools import product
from typing import Literal

import torch
from torch import Tensor

from app.inference.choice import TOLERANCE
from app.inference.cuda_engine import CudaEngine
from app.inference.engine import Engine, Precision, TorchEngine
from app.patchnet.grid import Lattice, cut_patches
from app.patchnet.model import PatchNet, split_patches
from app.patchnet.saliency import interpolate_evidence, shift_averaged_map
from tests.accelerator.context import Context
from tests.benchmarks.measure import Row, interleaved
from tests.benchmarks.networks import authors_map, authors_pass, networks

Execution = Literal["graphs", "eager"]
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16", "float16")

_BATCHES = (1, 2, 4, 8, 16, 32)
_PATCHES_OF_A_CALL = 2048
_OFFSETS = (64, 8, 4, 1)
_STRIDES = (3, 5, 9)
"""Odd strides, which the service accepts for the map of offset 1."""


def engines(context: Context) -> None:
    """Milliseconds of one image, images a second of every batch, memory; each beside the authors' forward pass."""
    for name, network in networks().items():
        for precision, execution in product(PRECISIONS, ("graphs", "eager")):
            try:
                _measure(context, name, network, precision, execution)
            except (RuntimeError, NotImplementedError) as error:
                context.miss(f"{name} {precision} {execution}", error)


def maps(context: Context) -> None:
    """Seconds of a whole shift-averaged map of 14 findings, and its difference from the authors' map."""
    for name, network in networks().items():
        offsets = (64, 32) if context.quick else _OFFSETS
        try:
            engine = engine_of(network, "float32", "graphs", context.device, 32)
        except RuntimeError as error:
            context.miss(f"maps of {name}", error)
            continue
        image = torch.rand(1, network.image_size, network.image_size)
        for offset in offsets:
            _measure_map(context, name, network, engine, image, offset)
        for stride in () if context.quick else _STRIDES:
            full = Lattice.regular(network.image_size, network.patch_size, 1)
            thinned = full.thinned(stride)

            def drawn(engine=engine, image=image, full=full, thinned=thinned) -> Tensor:
                field = interpolate_evidence(field_of(engine, image, thinned), thinned, full)
                return shift_averaged_map(field, full)

            row: Row = {
                "network": name,
                "stride": stride,
                "patches": thinned.patches,
                "s": interleaved({"map": drawn}, 3)["map"],
            }
            context.add("Maps of offset 1 with a stride", row)


def engine_of(network: PatchNet, precision: Precision, execution: Execution, device: str, images: int) -> Engine:
    """The engine for batches up to ``images`` radiographs. Graphs exist on CUDA alone."""
    if execution == "graphs" and device == "cuda":
        patches = network.patches_per_side**2
        size = {"smallest": patches, "largest": patches * images}
        return CudaEngine(network.backbone, network.patch_size, index=0, precision=precision, **size)
    return TorchEngine(network.backbone, device, precision=precision)


def shifted_map(engine: Engine, image: Tensor, lattice: Lattice) -> Tensor:
    """The service's map of all findings: [C, S, S]."""
    return shift_averaged_map(field_of(engine, image, lattice), lattice, border="zero")


def field_of(engine: Engine, image: Tensor, lattice: Lattice) -> Tensor:
    """The patch logits of all origins of a lattice: [N, C]."""
    parts = lattice.origins.split(_PATCHES_OF_A_CALL)
    return torch.cat([engine.patch_logits(cut_patches(image, lattice.patch_size, part)) for part in parts])


def _measure(context: Context, name: str, network: PatchNet, precision: Precision, execution: Execution) -> None:
    batches = _BATCHES[:2] if context.quick else _BATCHES
    _reset_memory(context.device)
    engine = engine_of(network, precision, execution, context.device, batches[-1])
    what: Row = {"network": name, "precision": precision, "execution": execution}
    side = network.image_size
    probe = split_patches(torch.rand(1, 1, side, side), network.patch_size)
    expected = TorchEngine(network.backbone, "cpu").patch_logits(probe)
    difference = float((engine.patch_logits(probe) - expected).abs().max())
    within = "yes" if difference <= TOLERANCE[precision] else "NO"
    context.add("Agreement with the CPU", {**what, "largest difference": difference, "within tolerance": within})
    authors = authors_on(network, context.device)
    for count in batches:
        images = torch.rand(count, 1, side, side)
        patches = split_patches(images, network.patch_size)
        rivals = {
            "ours": lambda patches=patches: engine.patch_logits(patches),
            "authors": lambda images=images: authors(images),
        }
        seconds = interleaved(rivals, 1 if context.quick else 20)
        row = {"images": count, "ms": seconds["ours"] * 1e3, "images/s": count / seconds["ours"]}
        context.add("Speed", {**what, **row, "× authors": seconds["authors"] / seconds["ours"]})
    context.add("Peak memory", {**what, "MiB": _peak_memory(context.device)})


def _measure_map(context: Context, name: str, network: PatchNet, engine: Engine, image: Tensor, offset: int) -> None:
    lattice = Lattice.regular(network.image_size, network.patch_size, offset)
    rounds = 1 if context.quick or offset < 4 else 5
    seconds = interleaved({"ours": lambda: shifted_map(engine, image, lattice)}, rounds)["ours"]
    row: Row = {"network": name, "offset": offset, "s": seconds}
    if offset >= 32:  # pass by pass the authors' map takes minutes at small offsets
        ours = shifted_map(engine, image, lattice)
        theirs = authors_map(network, image, lattice)
        row["difference / range"] = float((ours - theirs).abs().max() / (theirs.max() - theirs.min()))
    context.add("Maps", row)


def authors_on(network: PatchNet, device: str) -> Callable[[Tensor], Tensor]:
    """The authors' forward pass on the device, with torch's defaults: float32, TF32 in convolutions on CUDA."""
    if device == "cpu":
        return lambda images: authors_pass(network, images)
    moved = deepcopy(network).cuda()

    def run(images: Tensor) -> Tensor:
        convolutions = torch.backends.cudnn.conv
        before, convolutions.fp32_precision = convolutions.fp32_precision, "tf32"  # pyright: ignore[reportAttributeAccessIssue]
        try:
            return authors_pass(moved, images.cuda()).cpu()
        finally:
            convolutions.fp32_precision = before  # pyright: ignore[reportAttributeAccessIssue]

    return run


def _reset_memory(device: str) -> None:
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def _peak_memory(device: str) -> float:
    return torch.cuda.max_memory_reserved() / 2**20 if device == "cuda" else float("nan")
