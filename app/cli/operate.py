"""Commands for operators: API keys, the audit log, routing rules."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from app.access.callers import SCOPES
from app.access.key_use import read_last_uses
from app.access.keys import add_key, new_key, read_keys, record_of, revoke_key
from app.audit import verify
from app.cli.from_environment import make_settings
from app.cli.outcomes import FAILED, fail, guarded, wide_console
from app.errors import MedPatchNetError, UnreadableImage

if TYPE_CHECKING:
    from app.pacs.configuration import PacsConfig
    from app.pacs.routing import Facts, Judgement

NO_RULE = 3

KeyFilePath = Annotated[Path | None, typer.Option("--file", help="Key file (default: MEDPATCHNET_API_KEYS_FILE).")]

keys = typer.Typer(no_args_is_help=True, help="API keys.")
audit = typer.Typer(no_args_is_help=True, help="The audit log.")
routes = typer.Typer(no_args_is_help=True, help="Routing rules of the PACS integration.")


@keys.command("new")
def new(
    name: Annotated[str, typer.Argument(help="Name of the client; use the same name again to rotate its key.")],
    scope: Annotated[list[str], typer.Option(help=f"Scope of the key: {', '.join(SCOPES)}; repeat for more.")],
    file: KeyFilePath = None,
) -> None:
    """Create a key, add its hash to the key file, and print the key. The key itself is not stored."""
    key = new_key()
    guarded(lambda: add_key(_key_file(file), record_of(key, name, scope)))
    typer.echo(key)


@keys.command("list")
def list_keys(file: KeyFilePath = None) -> None:
    """List the keys with their scopes and last use, which a running service writes once a minute."""
    path = _key_file(file)
    used = read_last_uses(make_settings(api_keys_file=path).key_use_path or path)
    records = guarded(lambda: read_keys(path))
    table = Table("id", "name", "scopes", "last used")
    for record in records:
        last = used.get(record.id)
        table.add_row(record.id, record.name, ", ".join(record.scopes), last.isoformat() if last else "–")
    wide_console().print(table)


@keys.command("revoke")
def revoke(
    key: Annotated[str, typer.Argument(help="Id of the key, or its name if no other key has this name.")],
    file: KeyFilePath = None,
) -> None:
    """Remove a key from the key file; a running service refuses it within a second."""
    record = guarded(lambda: revoke_key(_key_file(file), key))
    typer.echo(f"revoked {record.id} ({record.name})")


def _key_file(file: Path | None) -> Path:
    path = file or make_settings().api_keys_file
    if path is None:
        fail("no key file: use --file, or set MEDPATCHNET_API_KEYS_FILE")
    return path


@audit.callback()
def _audit() -> None:  # pyright: ignore[reportUnusedFunction] - keeps 'verify' a command of its own
    """The audit log."""


@audit.command("verify")
def verify_log(
    file: Annotated[Path, typer.Argument(help="The audit log.")],
    anchor: Annotated[
        list[str] | None,
        typer.Option(help="NUMBER:HASH of a line, from the log of the service or from an earlier run."),
    ] = None,
) -> None:
    """Check that no line was changed, removed or moved, and that the log contains the anchors."""
    try:
        result = verify(file, [_anchor(text) for text in anchor or ()])
    except MedPatchNetError as error:
        typer.echo(error.detail, err=True)
        raise typer.Exit(FAILED) from None
    typer.echo(f"{result.lines} lines, intact; anchor {result.lines}:{result.head}")


def _anchor(text: str) -> tuple[int, str]:
    number, _, digest = text.partition(":")
    if not number.isdecimal() or not digest:
        raise typer.BadParameter("an anchor has the form NUMBER:HASH")
    return int(number), digest


@routes.callback()
def _routes() -> None:  # pyright: ignore[reportUnusedFunction] - keeps 'check' a command of its own
    """Routing rules of the PACS integration."""


@routes.command("check")
def check(
    file: Annotated[Path, typer.Argument(help="YAML file, as for MEDPATCHNET_PACS_FILE.")],
    image: Annotated[Path, typer.Argument(help="A DICOM file, as the service would receive it.")],
    source: Annotated[str, typer.Option(help="Calling AE title, or name of the node that has the image.")] = "",
) -> None:
    """Explain which rule applies to an image: status 0 if one does, 3 if none does, 1 for an invalid file.

    All problems of an invalid file are listed. Secret files are not needed. The output quotes the image: keep it out of
    logs.
    """
    from app.pacs.routing import judge

    config, facts = _read(file, image, source)
    for name, texts in (
        ("modality", (facts.modality,)),
        ("body_part", (facts.body_part,)),
        ("description", facts.descriptions),
        ("source_ae", (facts.source,)),
    ):
        typer.echo(f"{name}: {_quoted(texts)}")
    for judgement in judge(config.routes, facts):
        _print(judgement)
        if judgement.fits:
            return
    typer.echo("no rule fits: the image would be ignored")
    raise typer.Exit(NO_RULE)


def _read(file: Path, image: Path, source: str) -> "tuple[PacsConfig, Facts]":
    """The configuration and the facts of the image; problems of both are printed and end the program."""
    problems: list[str] = []
    config = facts = None
    try:
        config = _configuration(file)
    except MedPatchNetError as error:
        problems.append(error.detail)
    try:
        facts = _facts(image, source)
    except MedPatchNetError as error:
        problems.append(error.detail)
    if config is None or facts is None:
        typer.echo("\n".join(problems), err=True)
        raise typer.Exit(FAILED)
    return config, facts


def _configuration(file: Path) -> "PacsConfig":
    """The configuration; its models must be served. Raises ConfigurationError, ArtifactError."""
    from app.pacs.configuration import load, models_named

    if not models_named(file):
        return load(file)
    from app.patchnet.artifact import find, read_manifest

    settings = make_settings()
    return load(file, [read_manifest(find(name, settings.models_dir)).name for name in settings.model_names])


def _facts(image: Path, source: str) -> "Facts":
    """The attributes of the image that rules use. Raises UnreadableImage, NoSourceObject, ImageTooLarge."""
    from app.dicom_objects.source_image import read_source
    from app.imaging.radiograph import DecodeLimits
    from app.pacs.routing import facts_of

    settings = make_settings()
    try:
        data = image.read_bytes()
    except OSError as error:
        raise UnreadableImage(f"{image} cannot be read: {error.strerror}") from None
    limits = DecodeLimits(pixels=settings.max_pixels, inflated_bytes=settings.max_inflated_bytes)
    return facts_of(read_source(data, limits), source)


def _print(judgement: "Judgement") -> None:
    rule = judgement.rule
    if judgement.fits:
        model = rule.model or "the default model"
        typer.echo(f"rule {rule.name} fits: {model} → {', '.join(rule.outputs)} → {rule.target}")
        return
    typer.echo(f"rule {rule.name} does not fit:")
    for miss in judgement.misses:
        typer.echo(f"  {miss.condition} is {_quoted(miss.found)}, the rule requires {_quoted(miss.patterns)}")


def _quoted(texts: tuple[str, ...]) -> str:
    """Texts of an image or a file without control characters, which a terminal would interpret."""
    return " or ".join(f"'{''.join(letter if letter.isprintable() else '?' for letter in text)}'" for text in texts)
