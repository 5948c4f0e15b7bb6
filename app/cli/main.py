"""Chest X-ray findings with exact, additive evidence: a service, and its commands."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.table import Column, Table

from app.cli.batch import batch
from app.cli.compare import compare
from app.cli.dead_letters import outbox
from app.cli.from_environment import make_settings
from app.cli.models import models
from app.cli.operate import audit, keys, routes
from app.cli.outcomes import FAILED, MISUSED, fail, guarded, progress, wide_console
from app.cli.setup import setup
from app.errors import MedPatchNetError
from app.settings import DevicePreference
from app.telemetry import configure_logging

if TYPE_CHECKING:
    from socket import socket

    from app.api.schemas.predict import PredictBody
    from app.cli.offline import Advance
    from app.predictor import PredictedImage

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)

app.add_typer(keys, name="keys")
app.add_typer(audit, name="audit")
app.add_typer(routes, name="routes")
app.add_typer(outbox, name="outbox")
app.add_typer(models, name="models")
app.command()(setup)
app.command()(batch)
app.command()(compare)

Model = Annotated[str | None, typer.Option(help="Model: a name in the models folder, or a directory.")]
OperatingPoint = Annotated[str | None, typer.Option(help="Operating point (default: the one in force).")]
Device = Annotated[DevicePreference | None, typer.Option(help="auto selects CUDA if it is available.")]


def _print_version(wanted: bool) -> None:
    if wanted:
        from app import __version__

        typer.echo(f"medpatchnet {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Chest X-ray findings with exact, additive evidence: a service, and its commands."""


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 picks a free one.")] = None,
    model: Model = None,
    device: Device = None,
) -> None:
    """Serve over HTTP until SIGTERM or Ctrl-C; ready when /readyz answers 200."""
    settings = make_settings(host=host, port=port, model=model, device=device)
    configure_logging(settings.log_level, settings.log_format)

    from app.runtime.allocator import keep_large_blocks
    from app.runtime.application import create_app
    from app.runtime.server import listen, make_server

    keep_large_blocks()
    application = create_app(settings)
    sockets = [bound(listen, settings.host, settings.port)]
    if settings.has_authentication:
        sockets.append(bound(listen, settings.admin_host, settings.admin_port))
        application.state.admin_port = sockets[1].getsockname()[1]
    server = make_server(application, settings)
    with suppress(SystemExit):  # raised by uvicorn when the startup fails
        server.run(sockets=sockets)
    if not server.started:
        failure: MedPatchNetError | None = application.state.failure
        fail(f"{failure.code}: {failure.detail}" if failure else "the service did not start")


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="File for the overlay.")] = Path("overlay.png"),
    model: Model = None,
    device: Device = None,
) -> None:
    """Start the service on a free loopback port, send a chest radiograph, print the response, and stop."""
    from app.cli.demo import example_radiograph, run_demo

    settings = make_settings(host="127.0.0.1", port=0, model=model, device=device)
    configure_logging("warning", "console")
    console = wide_console()
    example = guarded(example_radiograph)
    with console.status("starting the service …"):
        result = guarded(lambda: run_demo(settings, example))
    console.print(f"POST {result.url}/predict  ← {example.name}")
    console.print(findings_table(result.prediction))
    out.write_bytes(result.overlay)
    console.print(f"evidence for {result.explained}: {out.resolve()}")


@app.command()
def predict(
    files: Annotated[list[Path], typer.Argument(help="DICOM, PNG or JPEG files.", exists=True, dir_okay=False)],
    operating_point: OperatingPoint = None,
    model: Model = None,
    device: Device = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the /predict body of each file, one per line.")
    ] = False,
) -> None:
    """Score the 14 findings on chest radiographs, without a server."""
    from app.cli.offline import predict_files

    settings = make_settings(model=model, device=device)
    configure_logging("warning", settings.log_format)
    failures = 0

    def show(file: Path, result: "PredictedImage | MedPatchNetError") -> None:
        nonlocal failures
        if isinstance(result, MedPatchNetError):
            failures += 1
            typer.echo(f"{file}: {result.code}: {result.detail}", err=True)
        elif as_json:
            typer.echo(result.json())
        else:
            wide_console().print(f"{file}", findings_table(result.body))

    with progress("radiographs", len(files)) as advance:
        guarded(lambda: predict_files(settings, files, operating_point, show, advance))
    if failures:
        raise typer.Exit(FAILED)


@app.command()
def explain(
    file: Annotated[Path, typer.Argument(help="A DICOM, PNG or JPEG file.", exists=True, dir_okay=False)],
    finding: Annotated[str, typer.Option("--class", help="The finding to explain; for JSON also 'all'.")],
    out: Annotated[Path, typer.Option(help="FILE.png for an overlay, FILE.json for numbers.")],
    map_kind: Annotated[
        Literal["raw", "scaled"], typer.Option("--map", help="Patch logits, or scaled by the probability.")
    ] = "raw",
    offset: Annotated[int | None, typer.Option(help="Pixels between shifted grids (default: the exact grid).")] = None,
    stride: Annotated[
        int | None, typer.Option(help="Interpolate the map of offset 1 from every stride-th patch; odd.")
    ] = None,
    legend: Annotated[bool, typer.Option(help="Add a caption and the colour scale.")] = True,
    zones: Annotated[
        bool, typer.Option("--zones", help="JSON: sum the evidence over zones of the body, and measure the heart.")
    ] = False,
    operating_point: OperatingPoint = None,
    model: Model = None,
    device: Device = None,
) -> None:
    """Show where the evidence for a finding lies, without a server."""
    from app.predictor import load

    if out.suffix not in {".png", ".json"}:
        fail("--out must end in .png or .json", MISUSED)
    settings = make_settings(model=model, device=device)
    configure_logging("warning", settings.log_format)
    options = {"map": map_kind, "offset": offset, "stride": stride, "legend": legend, "zones": zones}
    options |= {"operating_point": operating_point, "format": out.suffix[1:]}

    def explained(advance: "Advance") -> bytes:
        with load(settings=settings) as loaded:
            explanation = loaded.explain(file, finding, on_progress=advance, **options)
            return explanation.png() if out.suffix == ".png" else explanation.json().encode()

    with progress("patches", None) as advance:
        out.write_bytes(guarded(lambda: explained(advance)))
    typer.echo(str(out))


@app.command()
def report(
    file: Annotated[Path, typer.Argument(help="A DICOM file.", exists=True, dir_okay=False)],
    out: Annotated[Path, typer.Option(help="Folder for the DICOM files; created if needed.")],
    kind: Annotated[
        Literal["sr", "sc", "gsps", "seg"],
        typer.Option("--object", help="Structured report, overlays, outlines, or lungs and heart as a segmentation."),
    ] = "sr",
    finding: Annotated[
        str | None, typer.Option("--class", help="This finding instead of the positive findings.")
    ] = None,
    zones: Annotated[
        bool, typer.Option("--zones", help="sr: state in which zone of lungs and heart the evidence lies.")
    ] = False,
    operating_point: OperatingPoint = None,
    model: Model = None,
    device: Device = None,
) -> None:
    """Write the result as DICOM objects in the study of the image, without a server."""
    from app.predictor import load

    settings = make_settings(model=model, device=device)
    configure_logging("warning", settings.log_format)

    def reported() -> tuple[bytes, ...]:
        with load(settings=settings) as loaded:
            return loaded.report(file, (kind,), finding=finding, operating_point=operating_point, zones=zones)

    files = guarded(reported)
    out.mkdir(parents=True, exist_ok=True)
    for number, content in enumerate(files, 1):
        path = out / f"{kind}-{number}.dcm"
        path.write_bytes(content)
        typer.echo(str(path))


def bound(listen: "Callable[[str, int], socket]", host: str, port: int) -> "socket":
    """A listening socket. Ends the program if the address is not available."""
    try:
        return listen(host, port)
    except OSError as error:
        fail(f"cannot listen on {host}:{port}: {error.strerror}")


def findings_table(body: "PredictBody") -> Table:
    """The findings of one radiograph as a table."""
    table = Table(Column("finding", no_wrap=True), "probability", "decision", "threshold", "operating point", "status")
    for finding in body.findings:
        decision = {True: "[bold red]positive[/]", False: "negative", None: "–"}[finding.positive]
        if finding.contradicted_by:
            decision += f" (contradicted by {', '.join(finding.contradicted_by)})"
        status = finding.status if finding.status == "validated" else f"[yellow]{finding.status}[/]"
        point = finding.operating_point or "–"
        table.add_row(finding.name, number(finding.probability), decision, number(finding.threshold), point, status)
    return table


def number(value: float | None) -> str:
    """A number with three decimals; a dash for None."""
    return "–" if value is None else f"{value:.3f}"


def main() -> None:
    """Entry point of the ``medpatchnet`` command."""
    app(prog_name="medpatchnet")


if __name__ == "__main__":
    main()
