"""The command that compares two radiographs of one patient."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Column, Table

from app.cli.from_environment import make_settings
from app.cli.outcomes import guarded, wide_console
from app.settings import DevicePreference
from app.telemetry import configure_logging

if TYPE_CHECKING:
    from app.api.schemas.compare import ComparedFinding
    from app.predictor import ComparedImages


def compare(
    current: Annotated[Path, typer.Argument(help="A DICOM, PNG or JPEG file.", exists=True, dir_okay=False)],
    prior: Annotated[Path, typer.Argument(help="An earlier one of the same patient.", exists=True, dir_okay=False)],
    findings: Annotated[
        list[str] | None, typer.Option("--class", help="A finding; repeat for more (default: all).")
    ] = None,
    difference_map: Annotated[bool, typer.Option("--map", help="JSON: include the difference maps.")] = False,
    operating_point: Annotated[str | None, typer.Option(help="Operating point (default: the one in force).")] = None,
    model: Annotated[str | None, typer.Option(help="Model: a name in the models folder, or a directory.")] = None,
    device: Annotated[DevicePreference | None, typer.Option(help="auto selects CUDA if it is available.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the /compare body.")] = False,
) -> None:
    """Show what changed between a prior chest radiograph of a patient and the current one, without a server."""
    from app.predictor import load

    settings = make_settings(model=model, device=device)
    configure_logging("warning", settings.log_format)

    def compared() -> "ComparedImages":
        with load(settings=settings) as loaded:
            return loaded.compare(
                current, prior, findings=findings or ["all"], map=difference_map, operating_point=operating_point
            )

    result = guarded(compared)
    if as_json:
        typer.echo(result.json())
        return
    wide_console().print(changes_table(result))
    for warning in result.warnings:
        typer.echo(f"warning: {warning.detail}", err=True)
    for reason in result.body.zones.reasons:
        typer.echo(f"zones are not compared: {reason.film or 'service'}: {reason.detail}", err=True)


def changes_table(result: "ComparedImages") -> Table:
    """The findings of both radiographs, and the zone in which the evidence changed most."""
    table = Table(
        Column("finding", no_wrap=True), "prior", "current", "change", "change in logits", "mostly in", "status"
    )
    for item in result.findings:
        values = (item.prior.probability, item.current.probability)
        changes = (item.change.probability, item.change.logit)
        table.add_row(item.name, *map(_number, values), *map(_signed, changes), _strongest_zone(item), item.status)
    return table


def _strongest_zone(item: "ComparedFinding") -> str:
    if item.zones is None:
        return "–"
    zone = max(item.zones.zones, key=lambda zone: abs(zone.change))
    return f"{zone.zone} ({zone.change:+.2f})"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _signed(value: float | None) -> str:
    return "–" if value is None else f"{value:+.3f}"
