"""Commands for operators: API keys, the audit log, routing rules."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.access.callers import SCOPES
from app.access.keys import add_key, new_key, record_of
from app.audit import verify
from app.errors import MedPatchNetError, UnreadableImage
from app.settings import Settings

if TYPE_CHECKING:
    from app.pacs.configuration import PacsConfig
    from app.pacs.routing import Facts, Judgement

FAILED = 1
NO_RULE = 3

keys = typer.Typer(no_args_is_help=True, help="API keys.")
audit = typer.Typer(no_args_is_help=True, help="The audit log.")
routes = typer.Typer(no_args_is_help=True, help="Routing rules of the PACS integration.")


@keys.callback()
def _keys() -> None:  # pyright: ignore[reportUnusedFunction] - keeps 'new' a command of its own
    """API keys."""


@keys.command("new")
def new(
    name: Annotated[str, typer.Argument(help="Name of the client; use the same name again to rotate its key.")],
    scope: Annotated[list[str], typer.Option(help=f"Scope of the key: {', '.join(SCOPES)}; repeat for more.")],
    file: Annotated[Path | None, typer.Option(help="Key file (default: MEDPATCHNET_API_KEYS_FILE).")] = None,
) -> None:
    """Create a key, add its hash to the key file, and print the key. The key itself is not stored."""
    path = file or Settings().api_keys_file
    if path is None:
        typer.echo("no key file: use --file, or set MEDPATCHNET_API_KEYS_FILE", err=True)
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

    Secret files are not needed. The output quotes the image: keep it out of logs.
    """
    from app.pacs.routing import judge

    try:
        config = _configuration(file)
        facts = _facts(image, source)
    except MedPatchNetError as error:
        typer.echo(error.detail, err=True)
        raise typer.Exit(FAILED) from None
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


def _configuration(file: Path) -> "PacsConfig":
    """The configuration; its models must be served. Raises ConfigurationError, ArtifactError."""
    from app.pacs.configuration import load

    config = load(file)
    if any(rule.model for rule in config.routes):
        from app.patchnet.artifact import find, read_manifest

        settings = Settings()
        load(file, [read_manifest(find(name, settings.models_dir)).name for name in settings.model_names])
    return config


def _facts(image: Path, source: str) -> "Facts":
    """The attributes of the image that rules use. Raises UnreadableImage, NoSourceObject, ImageTooLarge."""
    from app.dicom_objects.source_image import read_source
    from app.imaging.radiograph import DecodeLimits
    from app.pacs.routing import facts_of

    settings = Settings()
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
