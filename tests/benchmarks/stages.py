"""The stages around the model: decoding, preprocessing, rendering; one explanation and Grad-CAM."""

import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from app.imaging.decode import decode_image
from app.imaging.radiograph import DecodeLimits
from app.inference.choice import EngineOptions, make_engines
from app.patchnet import artifact
from app.patchnet.model import split_patches
from app.patchnet.preprocessing import to_model_image
from app.patchnet.saliency import expand_grid, patch_grid
from app.rendering.overlay import OverlayStyle, SaliencyLayer, render_overlay
from tests.benchmarks.measure import Report, interleaved
from tests.benchmarks.networks import MODELS
from training.saliency_methods import ActivationMaps


def jpeg_film(side: int = 720, seed: int = 0) -> bytes:
    """A synthetic radiograph: smooth noise, as JPEG."""
    small = np.random.default_rng(seed).integers(0, 255, (24, 24), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC).save(stream, "JPEG", quality=92)
    return stream.getvalue()


def stages(report: Report, rounds: int, dicom: Path) -> None:
    """Stages of a request, in ms."""
    rows = []
    for name, data in {"JPEG 720 px": jpeg_film(), dicom.name: dicom.read_bytes()}.items():
        radiograph = decode_image(data, DecodeLimits())
        seconds = interleaved(
            {
                "decode": lambda data=data: decode_image(data, DecodeLimits()),
                "preprocess": lambda radiograph=radiograph: to_model_image(radiograph.pixels, 512),
                "overlay PNG": lambda radiograph=radiograph: render_overlay(
                    radiograph.pixels,
                    SaliencyLayer(np.zeros((512, 512), np.float32), 0, 0, min(radiograph.pixels.shape)),
                    OverlayStyle(opacity=0.4, limit=1.0),
                ),
            },
            rounds,
        )
        rows.append({"film": name, **{f"{stage} ms": value * 1e3 for stage, value in seconds.items()}})
    report.add("Stages around the network", rows)


def explanation(report: Report, rounds: int) -> None:
    """One explanation as PNG: the exact patch grid, and the library's Grad-CAM on the image-level model."""
    patch, image = (artifact.load(MODELS / name) for name in ("chest-lite0", "chest-lite0-image"))
    engine = make_engines(lambda: patch.network.backbone, 64, EngineOptions(engine="openvino"))[0]
    method = ActivationMaps(image.network, names=("Grad-CAM",))
    radiograph = decode_image(jpeg_film(), DecodeLimits())
    film = to_model_image(radiograph.pixels, 512).tensor

    def drawn(values: np.ndarray) -> bytes:
        return render_overlay(
            radiograph.pixels,
            SaliencyLayer(values, 0, 0, 720),
            OverlayStyle(opacity=0.4, limit=float(abs(values).max())),
        )

    def ours() -> bytes:
        grid = patch_grid(engine.patch_logits(split_patches(film[None], 64))[None])[0, 1]
        return drawn(expand_grid(grid, 64).numpy())

    def grad_cam() -> bytes:
        with torch.enable_grad():
            return drawn(method.maps(film, [1])["Grad-CAM"][0])

    seconds = interleaved({"ours": ours, "Grad-CAM": grad_cam}, rounds)
    report.add(
        "One explanation PNG",
        [
            {
                "ours ms": seconds["ours"] * 1e3,
                "Grad-CAM ms": seconds["Grad-CAM"] * 1e3,
                "share": seconds["ours"] / seconds["Grad-CAM"],
            }
        ],
    )
