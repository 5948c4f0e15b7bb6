"""The model alone: the engines of the service and the authors' definition with the same weights."""

from pathlib import Path

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from app.inference.choice import EngineOptions, make_engines
from app.inference.engine import Engine, TorchEngine
from app.patchnet import artifact, backbones
from app.patchnet.grid import Lattice, cut_patches
from app.patchnet.model import PatchNet, split_patches
from app.patchnet.saliency import shift_averaged_map
from tests.benchmarks.measure import Report, convolution_peak, interleaved

MODELS = Path(__file__).resolve().parent.parent.parent / "models"


def networks() -> dict[str, PatchNet]:
    """The shipped Lite0, and the paper's EfficientNetV2-S with random weights, which do not change the time."""
    torch.manual_seed(0)
    return {
        "EfficientNet-Lite0": artifact.load(MODELS / "chest-lite0").network,
        "EfficientNetV2-S": PatchNet(settled(backbones.build("efficientnet_v2_s", 14))),
    }


@torch.no_grad()
def settled(backbone: nn.Module) -> nn.Module:
    """Set the batch norm statistics from the features of a randomized network.

    Otherwise the features shrink from layer to layer to zero, and any two engines agree.
    """
    norms = [layer for layer in backbone.modules() if isinstance(layer, nn.BatchNorm2d)]
    for layer in norms:
        layer.reset_running_stats()
        layer.momentum = None
    backbone.train()(torch.rand(64, 1, 64, 64))
    return backbone.eval()


def served(backbone: torch.nn.Module) -> Engine:
    """The engine that runs a backbone on this CPU."""
    return make_engines(lambda: backbone, 64, EngineOptions(engine="openvino"))[0]


def authors_pass(network: PatchNet, images: torch.Tensor) -> torch.Tensor:
    """The authors' forward pass: all patches of all images as one batch, NCHW, autograd on; [B, P², C]."""
    patches = split_patches(images, network.patch_size)
    return network.backbone(patches).reshape(len(images), -1, 14)


def engines(report: Report, rounds: int) -> None:
    """Milliseconds of one and of eight images with each engine and with the authors' pass; the share of the peak."""
    peak = convolution_peak()
    rows = []
    for name, network in networks().items():
        backbone = network.backbone
        ours = served(backbone)
        plain = TorchEngine(backbone, "cpu")
        with FlopCounterMode(display=False) as counter, torch.inference_mode():
            backbone(torch.zeros(64, 1, 64, 64))
        for count in (1, 8):
            images = torch.rand(count, 1, 512, 512)
            patches = split_patches(images, 64)
            expected = authors_pass(network, images).detach().reshape(-1, 14)
            seconds = interleaved(
                {
                    "authors": lambda network=network, images=images: authors_pass(network, images),
                    "torch": lambda patches=patches, plain=plain: plain.patch_logits(patches),
                    "openvino": lambda patches=patches, ours=ours: ours.patch_logits(patches),
                },
                rounds,
            )
            rows.append(
                {
                    "network": name,
                    "images": count,
                    "authors ms": seconds["authors"] * 1e3,
                    "torch ms": seconds["torch"] * 1e3,
                    "openvino ms": seconds["openvino"] * 1e3,
                    "torch ×": seconds["authors"] / seconds["torch"],
                    "openvino ×": seconds["authors"] / seconds["openvino"],
                    "difference": float((ours.patch_logits(patches) - expected).abs().max()),
                    "share of peak": counter.get_total_flops() * count / peak / seconds["openvino"],
                }
            )
    report.add(f"Engines, float32 (convolution peak {peak / 1e9:.0f} GFLOP/s)", rows)


def maps(report: Report, rounds: int) -> None:
    """A whole shift-averaged map of 14 findings: the authors' algorithm, pass by pass, and that of the service."""
    rows = []
    for name, network in networks().items():
        ours = served(network.backbone)
        image = torch.rand(1, 512, 512)
        for offset in (16, 8) if "Lite0" in name else (32, 16):
            lattice = Lattice.regular(512, 64, offset)
            made: dict[str, torch.Tensor] = {}

            def authors(network=network, lattice=lattice, image=image, made=made):
                made["authors"] = authors_map(network, image, lattice)

            def mine(ours=ours, lattice=lattice, image=image, made=made):
                field = torch.cat(
                    [ours.patch_logits(cut_patches(image, 64, part)) for part in lattice.origins.split(128)]
                )
                made["ours"] = shift_averaged_map(field, lattice, border="zero")

            seconds = interleaved({"authors": authors, "ours": mine}, max(1, rounds // 8))
            span = float(made["authors"].max() - made["authors"].min())
            rows.append(
                {
                    "network": name,
                    "offset": offset,
                    "authors s": seconds["authors"],
                    "ours s": seconds["ours"],
                    "×": seconds["authors"] / seconds["ours"],
                    "difference / range": float((made["ours"] - made["authors"]).abs().max()) / span,
                }
            )
    report.add("Maps of 14 findings, exact, as the authors define them", rows)


def authors_map(network: PatchNet, image: torch.Tensor, lattice: Lattice) -> torch.Tensor:
    """Shift the image, classify its plain grid, paste the patches, shift back, average: [C, S, S]."""
    size, patch = lattice.image_size, lattice.patch_size
    shifts = sorted(
        {start % patch if start % patch < patch // 2 else start % patch - patch for start in lattice.starts}
    )
    padded = torch.nn.functional.pad(image, (patch,) * 4)
    total = torch.zeros(14, size + 2 * patch, size + 2 * patch)
    with torch.no_grad():
        for down in shifts:
            for right in shifts:
                rows, columns = slice(patch + down, patch + down + size), slice(patch + right, patch + right + size)
                grid = authors_pass(network, padded[None, :, rows, columns])[0].T.reshape(14, 8, 8)
                total[:, rows, columns] += grid.repeat_interleave(patch, 1).repeat_interleave(patch, 2)
    return total[:, patch:-patch, patch:-patch] / len(shifts) ** 2
