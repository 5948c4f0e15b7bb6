"""The PACS configuration, one YAML file: permitted callers, archives and routing rules."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Self, cast

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
        rules = [(rule.name, rule.target) for rule in self.routes]
        if problems := list(_inconsistencies(rules, self.nodes, has_listener=self.listener is not None)):
            raise ValueError("\n".join(problems))
        return self


def load(path: Path, models: Collection[str] | None = None) -> PacsConfig:
    """Load a configuration file; ``models`` are the names of the served models, or None if they are unknown.

    Relative paths are resolved against the folder of the file. Raises ConfigurationError with one line for each
    problem of the whole file; a line starts with the location (``routes.2.target: no node 'x'``).
    """
    raw = read_yaml(path)
    problems = [] if models is None else list(_unknown_models(raw, models))
    try:
        config = PacsConfig.model_validate(raw, context=path.resolve().parent)
    except ValidationError as error:
        of_fields = [line for text in describe(error, _place) for line in text.splitlines()]
        # An invalid field keeps pydantic from comparing the others.
        problems = list(dict.fromkeys([*of_fields, *_inconsistencies_of(raw), *problems]))
        raise _unusable(path, problems) from None
    if problems:
        raise _unusable(path, problems)
    return config


def models_named(path: Path) -> frozenset[str]:
    """The models that the rules of a file name, which can be invalid otherwise. Raises ConfigurationError."""
    return frozenset(model for rule in _rules(read_yaml(path)) if isinstance(model := rule.get("model"), str))


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


def _inconsistencies(
    rules: Sequence[tuple[object, object]], nodes: Collection[object], *, has_listener: bool
) -> Iterator[str]:
    """Problems between the parts of a file. ``rules`` are names and targets; what is no text is another problem."""
    names = Counter(name for name, _ in rules if isinstance(name, str))
    for index, (name, _) in enumerate(rules):
        if isinstance(name, str) and names[name] > 1:
            yield f"routes.{index}.name: another rule has the name '{name}'"
    for index, (_, target) in enumerate(rules):
        if isinstance(target, str) and target not in nodes:
            yield f"routes.{index}.target: no node '{target}'"
    if has_listener and not rules:
        yield "routes: a listener needs at least one rule; without it, received images would not be processed"


def _inconsistencies_of(raw: object) -> Iterator[str]:
    """The same of the content of a file, whose fields can be invalid."""
    rules = [(rule.get("name"), rule.get("target")) for rule in _rules(raw)]
    parts = _mapping(raw)
    return _inconsistencies(rules, _mapping(parts.get("nodes")), has_listener=parts.get("listener") is not None)


def _unknown_models(raw: object, models: Collection[str]) -> Iterator[str]:
    for index, rule in enumerate(_rules(raw)):
        model = rule.get("model")
        if isinstance(model, str) and model not in models:
            yield f"routes.{index}.model: no model '{model}'; served: {', '.join(models)}"


def _rules(raw: object) -> list[dict[object, object]]:
    routes = _mapping(raw).get("routes")
    return [_mapping(rule) for rule in cast("list[object]", routes)] if isinstance(routes, list) else []


def _mapping(value: object) -> dict[object, object]:
    return cast("dict[object, object]", value) if isinstance(value, dict) else {}


def _unusable(path: Path, problems: Sequence[str]) -> ConfigurationError:
    return ConfigurationError("\n".join([f"{path} cannot be used:", *problems]))
