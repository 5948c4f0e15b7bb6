"""What all commands share: tables, progress, and errors as messages with a status."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import NoReturn, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from app.errors import MedPatchNetError

FAILED = 1
MISUSED = 2

T = TypeVar("T")


def wide_console(width: int = 160) -> Console:
    """A console as wide as the terminal; where there is none, ``width`` characters wide."""
    console = Console()
    return console if console.is_terminal else Console(width=width)


@contextmanager
def progress(unit: str, total: int | None) -> Generator[Callable[[int, int | None], None]]:
    """A progress bar on stderr; the yielded function adds steps, and may set the total."""
    console = Console(stderr=True)
    with Progress(
        TextColumn(unit), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console, transient=True
    ) as bar:
        task = bar.add_task(unit, total=total)

        def advance(steps: int, of: int | None = None) -> None:
            if of is not None:
                bar.update(task, total=of)
            bar.advance(task, steps)

        yield advance


def guarded(work: Callable[[], T]) -> T:
    """The result of ``work``. A domain error ends the program with its message and status 1."""
    try:
        return work()
    except MedPatchNetError as error:
        fail(f"{error.code}: {error.detail}")


def fail(message: str, status: int = FAILED) -> NoReturn:
    """Print an error and end the program."""
    typer.echo(message, err=True)
    raise typer.Exit(status)
