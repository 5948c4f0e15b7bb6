"""Checkpoints of the paper's authors → artifacts. Only tensors are read; nothing is unpickled as an object."""

import pickle
import pickletools
import re
import warnings
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import torch
from torch import Tensor

from app.errors import ArtifactError
from app.files import sha256_of
from app.patchnet import artifact
from app.patchnet.findings import FINDING_NAMES
from app.patchnet.manifest import Description, FindingRecord, Manifest, Step

DISCLAIMER = "Not a medical device; not for decisions about a patient."

_AUTHORS_PREFIXES = ("_orig_mod.baseBackbone.", "baseBackbone.")
_GLOBAL = re.compile(r"GLOBAL ([\w.]+)")
_DISPLAY_LIMIT = 10.0
_CARD = """\
# Model card: {name}

{intended_use}

Imported weights of another origin. Their quality was not measured here, so no finding is decided positive or negative
by default. Measure them on your own radiographs: `python -m training validate --model {name}`.

- Source: {source}
- SHA-256 of the file: `{sha256}`
- Training data: {training_data}
- Published figures: {published}
- Licence: {licence}
- {attribution}
"""


@dataclass(frozen=True)
class ImportedWeights:
    """What is known about a checkpoint beside its tensors.

    ``source`` is where the file came from, ``command`` what imports it, ``published`` a sentence with the figures of
    its authors, ``metrics`` the same for the manifest.
    """

    name: str
    source: str
    command: str
    backbone: str = "efficientnet_v2_s"
    patch_size: int = 64
    licence: str = "as its authors state"
    attribution: str = "Weights: Wienholt et al., MedicalPatchNet, Scientific Reports 2026."
    training_data: str = "As its authors state; nothing was measured here."
    published: str = "as its authors state"
    metrics: dict[str, float] = field(default_factory=dict[str, float])


def import_checkpoint(checkpoint: Path, directory: Path, about: ImportedWeights) -> Manifest:
    """Write an artifact with the weights of a checkpoint, all findings ``imported``; complete or not at all.

    Replaces an existing artifact. Raises ArtifactError where the file holds anything but the tensors of the backbone.
    """
    state = read_checkpoint(checkpoint)
    digest, now = sha256_of(checkpoint), datetime.now(UTC).replace(microsecond=0)
    description = Description(
        name=about.name,
        version="imported",
        backbone=about.backbone,
        patch_size=about.patch_size,
        findings=tuple(FindingRecord(name=name, status="imported") for name in FINDING_NAMES),
        display_limit=_DISPLAY_LIMIT,
        intended_use=f"As its authors state. {DISCLAIMER}",
        training_data=about.training_data,
        attribution=about.attribution,
        licence=about.licence,
        created=now,
        metrics=about.metrics,
        history=(Step(command=about.command, at=now, source=about.source, source_sha256=digest),),
    )
    stated = description.model_dump(include={"name", "intended_use", "training_data", "licence", "attribution"})
    card = _CARD.format(**stated, source=about.source, sha256=digest, published=about.published)
    return artifact.save(directory, artifact.network_from(state, description), description, card)


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """Read the state dict of the backbone, with torchvision's key names, from a checkpoint of the paper's authors.

    Their files hold the state dict of a compiled module: keys ``_orig_mod.baseBackbone.<torchvision name>``. Only
    tensors are read, never arbitrary objects. Raises ArtifactError, which names what a pickle would call.
    """
    content = _tensors(path)
    if not isinstance(content, dict):
        raise ArtifactError(f"{path} does not hold a state dict")
    state: dict[str, Tensor] = {}
    for key, value in content.items():
        prefix = next((prefix for prefix in _AUTHORS_PREFIXES if str(key).startswith(prefix)), None)
        if prefix is None or not isinstance(value, Tensor):
            raise ArtifactError(f"{path} has entries that are not weights of a backbone")
        state[str(key).removeprefix(prefix)] = value
    return state


def _tensors(path: Path) -> object:
    try:
        with warnings.catch_warnings(action="ignore", category=UserWarning):  # about the old format
            return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror}") from None
    except pickle.UnpicklingError as error:
        named = _GLOBAL.search(str(error))
        called = named[1] if named else _first_call(path)
        if called is None:
            raise ArtifactError(f"{path} is not a checkpoint of tensors; anything else is refused") from None
        raise ArtifactError(
            f"{path} is refused: it holds '{called}', which would run as code when it is unpickled"
        ) from None
    except (RuntimeError, EOFError, ValueError, KeyError):
        raise ArtifactError(f"{path} is not a checkpoint of tensors; anything else is refused") from None


def _first_call(path: Path) -> str | None:
    """The first callable that a bare pickle names, read without running it; None where there is none."""
    texts: list[str] = []
    with path.open("rb") as file, suppress(ValueError):  # the end of what is a pickle
        for opcode, argument, _ in pickletools.genops(file):
            if opcode.name == "GLOBAL":
                return str(argument).replace(" ", ".")
            if opcode.name == "STACK_GLOBAL":
                return ".".join(texts[-2:])
            if "UNICODE" in opcode.name:
                texts.append(str(argument))
    return None
