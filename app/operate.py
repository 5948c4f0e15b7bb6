"""The operator's commands: keys and the audit log."""

from pathlib import Path
from typing import Annotated

import typer

from app.access.callers import SCOPES
from app.access.keys import add_key, new_key, record_of
from app.audit import verify
from app.errors import MedPatchNetError
from app.settings import Settings

FAILED = 1

keys = typer.Typer(no_args_is_help=True, help="API keys.")
audit = typer.Typer(no_args_is_help=True, help="The audit log.")


@keys.callback()
def _keys() -> None:  # pyright: ignore[reportUnusedFunction] - keeps 'new' a command of its own
    """API keys."""


@keys.command("new")
def new(
    name: Annotated[str, typer.Argument(help="Whose key it is; repeat a name to rotate.")],
    scope: Annotated[list[str], typer.Option(help=f"What it may do: {', '.join(SCOPES)}; repeat for more.")],
    file: Annotated[
        Path | None, typer.Option(help="The key file to add it to; default: MEDPATCHNET_API_KEYS_FILE.")
    ] = None,
) -> None:
    """Make a key, add its hash to the key file, and print the key: this once, it is kept nowhere."""
    path = file or Settings().api_keys_file
    if path is None:
        typer.echo("name the key file: --file, or MEDPATCHNET_API_KEYS_FILE", err=True)
        raise typer.Exit(FAILED)
    key = new_key()
    try:
        add_key(path, record_of(key, name, scope))
    except MedPatchNetError as error:
        typer.echo(f"{error.code}: {error.detail}", err=True)
        raise typer.Exit(FAILED) from None
    typer.echo(key)


@audit.callback()
def _audit() -> None:  # pyright: ignore[reportUnusedFunction] - keeps 'verify' a command of its own
    """The audit log."""


@audit.command("verify")
def verify_log(
    file: Annotated[Path, typer.Argument(help="The audit log.")],
    anchor: Annotated[
        list[str] | None, typer.Option(help="NUMBER:HASH of a line, from the service's log or an earlier run.")
    ] = None,
) -> None:
    """Check that no line was changed, removed or moved, and that the log passes through the anchors."""
    try:
        result = verify(file, [_anchor(text) for text in anchor or ()])
    except MedPatchNetError as error:
        typer.echo(error.detail, err=True)
        raise typer.Exit(FAILED) from None
    typer.echo(f"{result.lines} lines, unbroken; anchor {result.lines}:{result.head}")


def _anchor(text: str) -> tuple[int, str]:
    number, _, digest = text.partition(":")
    if not number.isdecimal() or not digest:
        raise typer.BadParameter("an anchor is NUMBER:HASH")
    return int(number), digest
