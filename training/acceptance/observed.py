"""One pass of a model over a site's radiographs, read as the service reads them."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from app.errors import ArtifactError, ConfigurationError, MedPatchNetError
from app.files import write_atomically
from app.patchnet.model import PatchNet
from app.patchnet.preprocessing import to_model_image
from training.data.datasets import Films, film_pixels

Array = NDArray[np.float64]

_BATCH_IMAGES = 4


@dataclass(frozen=True)
class Observed:
    """What a model made of radiographs: ``patch_logits`` [N, P², 14] float32, ``labels`` [N, 14], NaN where unknown.

    ``hashes`` are the SHA-256 of the files, ``groups`` [N] numbers that films of one patient share.
    """

    patch_logits: NDArray[np.float32]
    labels: Array
    hashes: tuple[str, ...]
    groups: NDArray[np.int64]

    @cached_property
    def logits(self) -> Array:
        """Global logits [N, 14]."""
        return self.patch_logits.astype(np.float64).mean(axis=1)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the films and their labels, independent of their order."""
        rows = (f"{name} {row.tolist()}" for name, row in zip(self.hashes, self.labels, strict=True))
        return hashlib.sha256("\n".join(sorted(rows)).encode()).hexdigest()

    def save(self, path: Path) -> None:
        """Write everything to an npz file, complete or not at all."""
        with write_atomically(path) as fresh, fresh.open("wb") as file:
            np.savez_compressed(
                file,
                patch_logits=self.patch_logits,
                labels=self.labels,
                hashes=np.array(self.hashes),
                groups=self.groups,
            )

    @classmethod
    def read(cls, path: Path) -> "Observed":
        """Read what ``save`` wrote. Raises ConfigurationError."""
        try:
            with np.load(path, allow_pickle=False) as stored:
                hashes = tuple(str(name) for name in stored["hashes"])
                return cls(stored["patch_logits"], stored["labels"], hashes, stored["groups"])
        except OSError as error:
            raise ConfigurationError(f"{path} cannot be read: {error.strerror or 'damaged'}") from None
        except (ValueError, KeyError):
            raise ConfigurationError(f"{path} is damaged; run `validate` again") from None


@torch.inference_mode()
def observe(network: PatchNet, films: Films, device: str) -> tuple[Observed, Films, dict[str, str]]:
    """Run the model; returns its outputs, the films they belong to, and the reasons of rejection by path.

    A file that cannot be decoded and the copy of an earlier file are left out. Raises ConfigurationError where no film
    remains.
    """
    network.eval().to(device)

    def run(batch: list[Tensor]) -> Tensor:
        return network.patch_logits(torch.stack(batch).to(device)).float().cpu()

    kept: dict[str, int] = {}
    refused: dict[str, str] = {}
    parts: list[Tensor] = []
    images: list[Tensor] = []
    for index, digest, image in _decoded(films, network.image_size, refused):
        if digest in kept:
            refused[str(films.paths[index])] = f"the same file as {films.paths[kept[digest]]}"
            continue
        kept[digest] = index
        images.append(image)
        if len(images) == _BATCH_IMAGES:
            parts.append(run(images))
            images = []
    if images:
        parts.append(run(images))
    if not parts:
        raise ConfigurationError(
            f"no film can be used; the first reason: {next(iter(refused.values()), 'there is none')}"
        )
    usable = films.where(list(kept.values()))
    labels = usable.labels.double().numpy()
    outputs = torch.cat(parts).numpy()
    if not np.isfinite(outputs).all():
        raise ArtifactError("the model gives values that are not finite")
    return Observed(outputs, labels, tuple(kept), _groups(usable)), usable, refused


def _decoded(films: Films, image_size: int, refused: dict[str, str]) -> Iterator[tuple[int, str, Tensor]]:
    """Index, SHA-256 and model image of each usable film; fills ``refused``."""
    for index, path in enumerate(tqdm(films.paths, "radiographs", unit="film")):
        try:
            data = path.read_bytes()
            pixels = film_pixels(data)
        except OSError as error:
            refused[str(path)] = f"cannot be read: {error.strerror}"
        except MedPatchNetError as error:
            refused[str(path)] = f"{error.code}: {error.detail}"
        else:
            image = to_model_image(pixels, image_size).tensor
            yield index, hashlib.sha256(data).hexdigest(), image


def _groups(films: Films) -> NDArray[np.int64]:
    """A number for each patient; a film without a patient is its own group."""
    names = [name or f"film {index}" for index, name in enumerate(films.patients)]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return np.array([numbers[name] for name in names], dtype=np.int64)
