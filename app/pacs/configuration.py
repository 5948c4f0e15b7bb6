"""The radiology network as one YAML file: who may call, which archives there are, what is done with which image."""

from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, ValidationError, model_validator

from app.dicom_objects.content import ReportKind
from app.errors import ConfigurationError
from app.pacs.nodes import DicomWebNode, Listener, Node, read_secret, require_authorities
from app.validation import Location, StrictModel, describe, dotted
from app.yaml_files import read_yaml


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _in_order(kinds: tuple[ReportKind, ...]) -> tuple[ReportKind, ...]:
    if len(set(kinds)) != len(kinds):
        raise ValueError("an object is named twice")
    return kinds


Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Pattern = Annotated[str, StringConstraints(max_length=256)]
Patterns = Annotated[tuple[Pattern, ...], BeforeValidator(_as_list), Field(min_length=1)]
Outputs = Annotated[tuple[ReportKind, ...], BeforeValidator(_as_list), AfterValidator(_in_order), Field(min_length=1)]


class Conditions(StrictModel):
    """What must hold of an image; each is one glob or a list of which one must fit, and one not given always holds.

    An attribute that the image lacks is the empty text: ``""`` fits it, and so does ``*``.
    """

    modality: Patterns | None = None
    body_part: Patterns | None = None
    description: Patterns | None = None
    source_ae: Patterns | None = None


class Rule(StrictModel):
    """What is done with the images that its conditions fit: a model (the default one for None), objects, and a node."""

    name: Name
    when: Conditions = Conditions()
    model: str | None = None
    outputs: Outputs
    target: Name


class PacsConfig(StrictModel):
    """The whole file. The first rule that fits decides."""

    listener: Listener | None = None
    nodes: dict[Name, Node] = Field(default_factory=dict[str, Node])
    routes: tuple[Rule, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = Counter(rule.name for rule in self.routes)
        problems = [
            *(
                f"routes.{index}.name: another rule is named '{rule.name}'"
                for index, rule in enumerate(self.routes)
                if names[rule.name] > 1
            ),
            *(
                f"routes.{index}.target: no node '{rule.target}'"
                for index, rule in enumerate(self.routes)
                if rule.target not in self.nodes
            ),
        ]
        if self.listener is not None and not self.routes:
            problems.append("routes: a listener needs a rule; without one nothing would be done with what it takes")
        if problems:
            raise ValueError("\n".join(problems))
        return self


def load(path: Path, models: Collection[str] | None = None) -> PacsConfig:
    """The configuration in a file; ``models`` are the names of the served ones, None where they are not known.

    Relative paths in it are meant from its folder. Raises ConfigurationError, with a line for every problem that starts
    with where it is (``routes.2.target: no node 'x'``).
    """
    try:
        config = PacsConfig.model_validate(read_yaml(path), context=path.resolve().parent)
    except ValidationError as error:
        raise _refused(path, describe(error, _place)) from None
    if models is not None and (unknown := list(_unknown_models(config, models))):
        raise _refused(path, unknown)
    return config


def require_files(config: PacsConfig) -> None:
    """Raise ConfigurationError unless every file that the nodes name can be read; their contents are never quoted."""
    problems: list[str] = []
    for name, node in config.nodes.items():
        if not isinstance(node, DicomWebNode):
            continue
        for field, path, check in (
            ("password_file", node.password_file, read_secret),
            ("token_file", node.token_file, read_secret),
            ("ca_file", node.ca_file, require_authorities),
        ):
            try:
                if path is not None:
                    check(path)
            except ConfigurationError as error:
                problems.append(f"nodes.{name}.{field}: {error.detail}")
    if problems:
        raise ConfigurationError("\n".join(problems))


def _place(location: Location) -> str:
    """Without the protocol, which pydantic puts between a node's name and its field."""
    return dotted((*location[:2], *location[3:]) if location[:1] == ("nodes",) else location)


def _unknown_models(config: PacsConfig, models: Collection[str]) -> Iterator[str]:
    for index, rule in enumerate(config.routes):
        if rule.model is not None and rule.model not in models:
            yield f"routes.{index}.model: no model '{rule.model}'; served are: {', '.join(models)}"


def _refused(path: Path, problems: Iterator[str] | list[str]) -> ConfigurationError:
    return ConfigurationError("\n".join([f"{path} cannot be used:", *problems]))
