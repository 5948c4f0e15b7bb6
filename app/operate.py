"""The operator's commands: keys."""

from pathlib import Path
from typing import Annotated

import typer

from app.access.callers import SCOPES
from app.access.keys import add_key, new_key, record_of
from app.errors import MedPatchNetError
from app.settings import Settings

FAILED = 1

keys = typer.Typer(no_args_is_help=True, help="API keys.")


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
