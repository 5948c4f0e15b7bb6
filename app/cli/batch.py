"""The command that scores an archive of radiographs."""

from time import monotonic
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.from_environment import make_settings
from app.cli.outcomes import FAILED, fail, guarded
from app.settings import DevicePreference
from app.telemetry import configure_logging

if TYPE_CHECKING:
    from app.batch.run import Progress

_SHOW_EVERY_S = 10.0


def batch(
    sources: Annotated[
        list[str], typer.Argument(help="Files, folders, patterns ('archive/**/*.dcm') or URLs (s3://bucket/folder).")
    ],
    out: Annotated[str, typer.Option(help="Folder or URL of the Parquet data set; a second run adds what is new.")],
    identifiers: Annotated[
        bool, typer.Option("--identifiers", help="Also write the location of each film and its DICOM UIDs.")
    ] = False,
    zones: Annotated[
        bool, typer.Option("--zones", help="Also sum the evidence over zones of the body, and measure the heart.")
    ] = False,
    address: Annotated[
        str | None, typer.Option(help="Ray cluster to use: HOST:PORT or 'auto' (default: a local Ray of its own).")
    ] = None,
    operating_point: Annotated[str | None, typer.Option(help="Operating point (default: the one in force).")] = None,
    model: Annotated[str | None, typer.Option(help="Model: a name in the models folder, or a directory.")] = None,
    device: Annotated[DevicePreference | None, typer.Option(help="auto selects CUDA if it is available.")] = None,
) -> None:
    """Score an archive of radiographs into a Parquet data set, on this machine or on a Ray cluster.

    One row for each film; a film that cannot be analysed has the reason in its row. Status 1 if films are left for
    another run, because they could not be read or the machine failed. Needs the extra `batch`.
    """
    settings = make_settings(model=model, device=device)
    configure_logging("warning", settings.log_format)
    try:
        from app.batch.order import Order
        from app.batch.run import run
    except ImportError:
        fail("batch needs the extra 'batch' of this project (ray[data], pyarrow, fsspec): uv sync --extra batch")
    order = Order(sources, out, operating_point, identifiers, address, zones)
    report = ProgressReport()
    progress = guarded(lambda: run(order, settings, report.show))
    report.end(progress)
    if progress.left:
        reasons = ", ".join(f"{code}: {films:,}" for code, films in sorted(progress.left.items()))
        fail(f"left for another run: {progress.left.total():,} ({reasons})", FAILED)


class ProgressReport:
    """Lines on stderr with the films done, the rate and the time left."""

    def __init__(self) -> None:
        self._begin = self._shown = monotonic()

    def show(self, progress: "Progress") -> None:
        """Print a line at the start, and later at most one in ten seconds."""
        now = monotonic()
        if progress.done == 0:
            self._begin = now
            typer.echo(f"{progress.known:,} films are in the data set, {progress.total:,} to do", err=True)
        elif now - self._shown >= _SHOW_EVERY_S:
            self._shown = now
            rate = progress.done / (now - self._begin)
            left = (progress.total - progress.done) / rate
            typer.echo(f"{progress.done:,} of {progress.total:,}, {rate:.1f}/s, {left / 60:.0f} min left", err=True)

    def end(self, progress: "Progress") -> None:
        """Print the numbers of the whole run, and its rate with the start of Ray and of the workers."""
        rate = progress.done / max(monotonic() - self._begin, 1e-9)
        typer.echo(
            f"{progress.scored:,} scored, {progress.refused:,} refused, {progress.unchanged:,} unchanged; {rate:.1f}/s",
            err=True,
        )
