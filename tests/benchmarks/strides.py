"""How true a map of a stride is to the map of offset 1, on trained weights and real films."""

from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from app.inference.choice import make_engine
from app.patchnet import artifact
from app.patchnet.grid import Lattice, cut_patches
from app.patchnet.saliency import interpolate_evidence, shift_averaged_map
from tests.benchmarks.measure import Report
from tests.benchmarks.networks import MODELS
from training.datasets import read_film

STRIDES = (3, 5, 7, 9, 13, 17)
OFFSETS = (2, 4, 8, 16)


def strides(report: Report, films: list[Path], work: Path) -> None:
    """Correlation with the map of offset 1 for every served finding of every film; fields are kept in ``work``."""
    loaded = artifact.load(MODELS / "chest-lite0")
    engine = make_engine(loaded.network.backbone, 64, device="cpu")
    whole = Lattice.regular(512, 64, 1)
    columns = [index for index, record in enumerate(loaded.manifest.findings) if record.status != "untrained"]
    found: dict[str, list[float]] = {}
    work.mkdir(parents=True, exist_ok=True)
    for film in tqdm(films, "fields of offset 1"):
        kept = work / f"{film.stem}-{loaded.manifest.weights_sha256[:12]}.pt"
        if not kept.exists():
            image = read_film(film, 512)
            parts = whole.origins.split(256)
            torch.save(torch.cat([engine.patch_logits(cut_patches(image, 64, part)) for part in parts]), kept)
        field = torch.load(kept, weights_only=True)[:, columns]
        truth = shift_averaged_map(field, whole)
        for stride in STRIDES:
            thin = whole.thinned(stride)
            rows = torch.tensor([whole.starts.index(start) for start in thin.starts])
            known = field.reshape(512, 512, -1)[rows][:, rows].reshape(thin.patches, -1)
            drawn = shift_averaged_map(interpolate_evidence(known, thin, whole), whole)
            found.setdefault(f"stride {stride}", []).extend(correlations(drawn, truth))
        for offset in OFFSETS:
            lattice = Lattice.regular(512, 64, offset)
            rows = torch.tensor([whole.starts.index(start) for start in lattice.starts])
            known = field.reshape(512, 512, -1)[rows][:, rows].reshape(lattice.patches, -1)
            found.setdefault(f"offset {offset}", []).extend(correlations(shift_averaged_map(known, lattice), truth))
    rows = []
    for name, values in found.items():
        number = int(name.split()[1])
        lattice = whole.thinned(number) if name.startswith("stride") else Lattice.regular(512, 64, number)
        rows.append(
            {
                "map": name,
                "fewer passes ×": whole.patches / lattice.patches,
                "maps": len(values),
                "median r": float(np.median(values)),
                "5 % r": float(np.percentile(values, 5)),
                "least r": min(values),
            }
        )
    report.add("Fidelity to the map of offset 1, chest-lite0", rows)


def correlations(drawn: torch.Tensor, truth: torch.Tensor) -> list[float]:
    pairs = zip(drawn.flatten(1).numpy(), truth.flatten(1).numpy(), strict=True)
    return [float(np.corrcoef(one, other)[0, 1]) for one, other in pairs]
