"""The operator's commands: keys, the audit log, the rules of the radiology network."""

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
routes = typer.Typer(no_args_is_help=True, help="The rules of the radiology network.")


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


@routes.callback()
def _routes() -> None:  # pyright: ignore[reportUnusedFunction] - keeps 'check' a command of its own
    """The rules of the radiology network."""


@routes.command("check")
def check(
    file: Annotated[Path, typer.Argument(help="The YAML file that MEDPATCHNET_PACS_FILE names.")],
    image: Annotated[Path, typer.Argument(help="A DICOM file, as the service would receive it.")],
    source: Annotated[str, typer.Option(help="Calling AE title, or the name of the node it is fetched from.")] = "",
) -> None:
    """Explain what would be done with an image: status 0 where a rule fits, 3 where none does, 1 for an invalid file.

    The secrets that the file names are not needed. What is printed quotes the image: keep it from logs.
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
        _tell(judgement)
        if judgement.fits:
            return
    typer.echo("no rule fits: the image would be left alone")
    raise typer.Exit(NO_RULE)


def _configuration(file: Path) -> "PacsConfig":
    """The file; models that it names must be served. Raises ConfigurationError, ArtifactError."""
    from app.pacs.configuration import load

    config = load(file)
    if any(rule.model for rule in config.routes):
        from app.patchnet.artifact import find, read_manifest

        settings = Settings()
        load(file, [read_manifest(find(name, settings.models_dir)).name for name in settings.model_names])
    return config


def _facts(image: Path, source: str) -> "Facts":
    """What the rules ask of the image. Raises UnreadableImage, NoSourceObject, ImageTooLarge."""
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


def _tell(judgement: "Judgement") -> None:
    rule = judgement.rule
    if judgement.fits:
        model = rule.model or "the default model"
        typer.echo(f"rule {rule.name} fits: {model} → {', '.join(rule.outputs)} → {rule.target}")
        return
    typer.echo(f"rule {rule.name} does not fit:")
    for miss in judgement.misses:
        typer.echo(f"  {miss.condition} is {_quoted(miss.found)}, asked for is {_quoted(miss.patterns)}")


def _quoted(texts: tuple[str, ...]) -> str:
    """Texts from an image or a file as a terminal may show them: nothing that would steer it."""
    return " or ".join(f"'{''.join(letter if letter.isprintable() else '?' for letter in text)}'" for text in texts)
