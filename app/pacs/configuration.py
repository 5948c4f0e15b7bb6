"""The PACS configuration, one YAML file: permitted callers, archives and routing rules."""

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
        raise ValueError("an object is listed twice")
    return kinds


Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Pattern = Annotated[str, StringConstraints(max_length=256)]
Patterns = Annotated[tuple[Pattern, ...], BeforeValidator(_as_list), Field(min_length=1)]
Outputs = Annotated[tuple[ReportKind, ...], BeforeValidator(_as_list), AfterValidator(_in_order), Field(min_length=1)]


class Conditions(StrictModel):
    """Conditions on an image. Each is a glob pattern, or a list of which one must match; an omitted one always holds.

    A missing attribute is the empty string, which the patterns ``""`` and ``*`` match.
    """

    modality: Patterns | None = None
    body_part: Patterns | None = None
    description: Patterns | None = None
    source_ae: Patterns | None = None


class Rule(StrictModel):
    """What to do with images that meet the conditions: model (None: the default), objects to create, target node."""

    name: Name
    when: Conditions = Conditions()
    model: str | None = None
    outputs: Outputs
    target: Name


class PacsConfig(StrictModel):
    """The whole file. The first rule whose conditions hold decides."""

    listener: Listener | None = None
    nodes: dict[Name, Node] = Field(default_factory=dict[str, Node])
    routes: tuple[Rule, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = Counter(rule.name for rule in self.routes)
        problems = [
            *(
                f"routes.{index}.name: another rule has the name '{rule.name}'"
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
            problems.append(
                "routes: a listener needs at least one rule; without it, received images would not be processed"
            )
        if problems:
            raise ValueError("\n".join(problems))
        return self


def load(path: Path, models: Collection[str] | None = None) -> PacsConfig:
    """Load a configuration file; ``models`` are the names of the served models, or None if they are unknown.

    Relative paths are resolved against the folder of the file. Raises ConfigurationError with one line for each
    problem; a line starts with the location (``routes.2.target: no node 'x'``).
    """
    try:
        config = PacsConfig.model_validate(read_yaml(path), context=path.resolve().parent)
    except ValidationError as error:
        raise _unusable(path, describe(error, _place)) from None
    if models is not None and (unknown := list(_unknown_models(config, models))):
        raise _unusable(path, unknown)
    return config


def require_files(config: PacsConfig) -> None:
    """Raise ConfigurationError unless every file that the nodes name is readable; the message never quotes contents."""
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
            yield f"routes.{index}.model: no model '{rule.model}'; served: {', '.join(models)}"


def _unusable(path: Path, problems: Iterator[str] | list[str]) -> ConfigurationError:
    return ConfigurationError("\n".join([f"{path} cannot be used:", *problems]))
