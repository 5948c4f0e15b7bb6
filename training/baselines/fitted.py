"""Baselines on the trunk of an image-level model, fitted to training radiographs once and cached."""

import zlib
from pathlib import Path

import torch

from app.patchnet.artifact import Artifact
from app.patchnet.findings import FINDING_NAMES
from training.baselines.fitting import film_features
from training.baselines.pipnet import PIPNet
from training.baselines.protopnet import ProtoPNet
from training.baselines.prototypes import PrototypeNetwork, Trunk, learned
from training.data.datasets import FilmDataset, Films, read_films
from training.files import save_atomically

BASELINES: dict[str, type[ProtoPNet] | type[PIPNet]] = {"ProtoPNet": ProtoPNet, "PIPNet": PIPNet}

_MOST_FILMS = 3_000  # features of more do not fit into the memory of a small machine
_SEED = 0


def randomized(name: str, image: Artifact) -> PrototypeNetwork:
    """A baseline before training: random prototypes on the trunk of an image-level model."""
    torch.manual_seed(_SEED)
    trunk = Trunk(image.network)
    features = trunk(torch.zeros(1, 1, trunk.image_size, trunk.image_size)).shape[1]
    return BASELINES[name](trunk, features, len(FINDING_NAMES)).eval()


def fitted(image: Artifact, csv_file: Path, work: Path) -> dict[str, PrototypeNetwork]:
    """All baselines, fitted to at most 3,000 radiographs of a CSV file; weights in ``work`` are not fitted again."""
    work.mkdir(parents=True, exist_ok=True)
    films = _some(read_films(csv_file))
    paths = {name: work / f"{name}-{key(image, csv_file)}.pt" for name in BASELINES}
    networks = {name: randomized(name, image) for name in BASELINES}
    missing = [name for name, path in paths.items() if not path.exists()]
    if missing:
        straight, mirrored = film_features(Trunk(image.network), FilmDataset(films, image.manifest.image_size))
        for name in missing:
            networks[name].fit(straight, mirrored, films.labels, _SEED)
            save_atomically(learned(networks[name]), paths[name])
    for name, network in networks.items():
        network.load_state_dict(torch.load(paths[name], map_location="cpu", weights_only=True), strict=False)
        network.eval().requires_grad_(False)
    return networks


def key(image: Artifact, csv_file: Path) -> str:
    """Identifies, in file names, the model and the data that a baseline's weights depend on."""
    return f"{image.manifest.weights_sha256[:12]}-{zlib.crc32(csv_file.read_bytes()):08x}"


def _some(films: Films) -> Films:
    if len(films) <= _MOST_FILMS:
        return films
    drawn = torch.randperm(len(films), generator=torch.Generator().manual_seed(_SEED))[:_MOST_FILMS]
    return films.where(sorted(drawn.tolist()))
