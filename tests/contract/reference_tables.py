"""The tables of the reference pages in ``docs``, made from the code that they describe.

Each function returns the Markdown between the markers of its page; the words around it are written in the page.
"""

import inspect
import os
import re
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import annotated_types
import typer
from prometheus_client import Counter
from prometheus_client.metrics import MetricWrapperBase
from pydantic.fields import FieldInfo

from app import errors
from app.api.problems import STATUS
from app.settings import Settings
from app.telemetry import Metrics, PacsMetrics, ShadowMetrics

ROOT = Path(__file__).resolve().parent.parent.parent
_BEGIN, _END = "<!-- made from the code: begin -->\n", "<!-- made from the code: end -->\n"

# The first setting of each section, in the order of app/settings.py.
_SECTIONS = {
    "host": "Address, models and engine",
    "max_body_bytes": "Limits of a request",
    "decode_workers": "Decoding, batches and deadlines",
    "api_keys_file": "Authentication, rates and audit",
    "pacs_file": "PACS",
    "recent_results": "Results and overlays",
    "otlp_endpoint": "Traces and logs",
}


def settings() -> Iterator[str]:
    """Every setting with its default, its values and its meaning."""
    for name, field in Settings.model_fields.items():
        if name in _SECTIONS:
            yield f"\n## {_SECTIONS[name]}\n\n{_head('variable', 'default', 'values', 'meaning')}"
        yield _row(f"`MEDPATCHNET_{name.upper()}`", _default_of(name, field), _values_of(field), field.description)


def metrics() -> Iterator[str]:
    """Every metric with its type, its labels and its meaning."""
    yield _head("metric", "type", "labels", "meaning")
    registered = Metrics()
    ShadowMetrics(registered)
    PacsMetrics(registered)
    for metric in registered.registry._collector_to_names:
        if isinstance(metric, MetricWrapperBase):
            (family,) = metric.describe()
            name = f"{family.name}_total" if isinstance(metric, Counter) else family.name
            labels = ", ".join(f"`{label}`" for label in metric._labelnames)
            yield _row(f"`{name}`", family.type, labels or "–", family.documentation)


def problems() -> Iterator[str]:
    """Every error code with its status and its meaning, by status."""
    yield _head("code", "status", "meaning", "send again")
    for error in sorted(domain_errors(), key=lambda error: (STATUS[error], error.code)):
        meaning = (inspect.getdoc(error) or "").partition("\n\n")[0].replace("\n", " ").replace("``", "`")
        again = issubclass(error, errors.CapacityError | errors.DeadlineExceeded)
        yield _row(f"`{error.code}`", str(STATUS[error].value), meaning, "yes" if again else "no")


def commands(program: str, application: typer.Typer) -> Iterator[str]:
    """Every command of an application with its arguments and options. ``program`` is how it is called."""
    for words, command in _leaves(typer.main.get_command(application), program):
        yield f"\n## {words}\n\n{_as_paragraphs(command.help)}"
        if command.params:
            yield f"\n{_head('argument or option', 'default', 'meaning')}"
        yield from map(_parameter_row, command.params)


def follow(name: str, table: Iterator[str]) -> None:
    """Assert that a page of ``docs`` has this table between its markers; with UPDATE_SNAPSHOTS set, write it there."""
    page = ROOT / "docs" / name
    before, begin, rest = page.read_text().partition(_BEGIN)
    _, end, after = rest.partition(_END)
    assert begin, f"{name} lacks its markers"
    assert end, f"{name} lacks its markers"
    wanted = before + begin + "\n" + "\n".join(table).strip("\n") + "\n\n" + end + after
    if os.environ.get("UPDATE_SNAPSHOTS"):
        page.write_text(wanted)
    assert page.read_text() == wanted


def domain_errors() -> list[type[errors.MedPatchNetError]]:
    """Every error with a code of its own."""
    return [
        member
        for _, member in inspect.getmembers(errors, inspect.isclass)
        if issubclass(member, errors.MedPatchNetError)
        and "code" in vars(member)
        and member is not errors.MedPatchNetError
    ]


def _head(*titles: str) -> str:
    return f"| {' | '.join(titles)} |\n|{'---|' * len(titles)}"


def _row(*cells: str | None) -> str:
    return f"| {' | '.join((cell or '').replace('|', '&#124;') for cell in cells)} |"


def _default_of(name: str, field: FieldInfo) -> str:
    if name == "models_dir":
        return "`models` beside the package"
    if field.default in (None, ""):
        return "–"
    size = f" ({field.default // 2**20} MiB)" if name.endswith("_bytes") and field.default >= 2**20 else ""
    return f"`{field.default}`{size}"


def _values_of(field: FieldInfo) -> str:
    choices = [f"`{value}`" for value in _literals(field.annotation)]
    if choices:
        return ", ".join(choices)
    bounds = {annotated_types.Ge: "≥", annotated_types.Gt: ">", annotated_types.Le: "≤", annotated_types.Lt: "<"}
    limits = [
        f"{sign} {getattr(limit, kind.__name__.lower())}"
        for limit in field.metadata
        for kind, sign in bounds.items()
        if isinstance(limit, kind)
    ]
    return ", ".join(limits)


def _literals(annotation: Any) -> tuple[Any, ...]:
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    if get_origin(annotation) in (Union, UnionType, list):
        return tuple(value for part in get_args(annotation) for value in _literals(part))
    return ()


def _leaves(command: Any, words: str) -> Iterator[tuple[str, Any]]:
    """Every command that does something, with the words that call it."""
    if commands := getattr(command, "commands", None):
        for name, inner in commands.items():
            yield from _leaves(inner, f"{words} {name}")
    elif not command.hidden:
        yield words, command


def _parameter_row(parameter: Any) -> str:
    flags = [f"`{flag}`" for flag in (*parameter.opts, *parameter.secondary_opts)]
    if not parameter.opts[0].startswith("-"):
        flags = [f"`{parameter.name.upper()}`{'…' if parameter.nargs == -1 else ''}"]
    choices = _literals(parameter.type_descriptor.annotation)
    values = f" {' &#124; '.join(map(str, choices))}" if choices else ""
    default = "required" if parameter.required else _shown(parameter.default)
    return _row(", ".join(flags) + values, default, parameter.help)


def _shown(default: Any) -> str:
    if isinstance(default, bool):
        return "on" if default else "off"
    return "–" if default in (None, (), []) else f"`{default}`"


def _as_paragraphs(text: str | None) -> str:
    """Lines of a docstring as paragraphs of at most 120 characters a line."""
    paragraphs = re.split(r"\n\s*\n", inspect.cleandoc(text or ""))
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
