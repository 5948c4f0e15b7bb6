"""Commands of the operator for dead letters of the PACS."""

from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from app.cli.from_environment import make_settings
from app.cli.outcomes import fail, wide_console
from app.errors import MedPatchNetError

if TYPE_CHECKING:
    from app.pacs.store.store import Store

outbox = typer.Typer(no_args_is_help=True, help="Pending results for the PACS, and dead letters.")


@outbox.command("list")
def show(
    subjects: Annotated[
        bool,
        typer.Option("--subjects", help="Also show the UID of the study or object, which identifies a patient's data."),
    ] = False,
) -> None:
    """Show the number of waiting items, and list all dead letters."""
    with _store() as store:
        depths, letters = store.depths(), store.dead_letters()
    table = Table("id", "queue", "node", "since", "tries", "problem", "detail", *(["subject"] if subjects else []))
    for letter in letters:
        since = datetime.fromtimestamp(letter.created_at, UTC).isoformat(timespec="seconds")
        cells = [letter.id, letter.queue, letter.node, since, str(letter.failures), letter.problem, letter.detail]
        table.add_row(*cells, *([letter.subject] if subjects else []))
    waiting = ", ".join(f"{count} {queue}" for queue, count in depths.waiting.items())
    typer.echo(f"waiting: {waiting}; stored: {depths.spool_bytes} bytes; dead: {len(letters)}")
    if letters:
        wide_console(240).print(table)


@outbox.command()
def retry(
    ids: Annotated[list[str] | None, typer.Argument(help="Ids of dead letters.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All dead letters.")] = False,
) -> None:
    """Requeue dead letters; a running service continues with them within a second."""
    if bool(ids) == everything:
        raise typer.BadParameter("give ids, or --all")
    with _store() as store:
        typer.echo(f"{store.retry(None if everything else ids)} requeued")


@outbox.command()
def discard(ids: Annotated[list[str], typer.Argument(help="Ids of dead letters.")]) -> None:
    """Discard dead letters: delete their bytes. They are not delivered, and no longer listed."""
    with _store() as store:
        typer.echo(f"{store.discard(ids)} discarded")


@contextmanager
def _store() -> Generator["Store"]:
    """The store of the settings, usable beside a running service; a domain error ends the program."""
    from app.pacs.store.store import make_store

    try:
        store = make_store(make_settings())
        store.database.migrate()
        yield store
    except MedPatchNetError as error:
        fail(f"{error.code}: {error.detail}")
