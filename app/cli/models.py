"""Commands for the models folder: download, add, list, verify, export and remove artifacts."""

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from app.cli.from_environment import make_settings
from app.cli.outcomes import FAILED, MISUSED, fail, guarded, progress, wide_console

if TYPE_CHECKING:
    from app.models_folder.catalogue import CatalogueEntry
    from app.patchnet.manifest import Manifest

models = typer.Typer(help="Artifacts in the models folder.")

Name = Annotated[str | None, typer.Option("--name", help="Name of the artifact (default: that of its source).")]
Hash = Annotated[str | None, typer.Option("--sha256", help="Expected SHA-256 of the file; any other is refused.")]
Replace = Annotated[bool, typer.Option("--replace", help="Replace an artifact of the same name.")]


@models.callback(invoke_without_command=True)
def _models(context: typer.Context) -> None:  # pyright: ignore[reportUnusedFunction]
    """Artifacts in the models folder; without a command, list them."""
    if context.invoked_subcommand is None:
        list_models()


@models.command("list")
def list_models(
    catalogue: Annotated[bool, typer.Option("--catalogue", help="List what `pull` can download instead.")] = False,
) -> None:
    """List the artifacts with their statuses, quality, size and origin."""
    if catalogue:
        _print_catalogue()
        return
    from app.models_folder.listing import summaries

    table = Table()
    table.add_column("name", no_wrap=True)  # it is copied into settings
    for title in ("version", "backbone", "image", "patch", "findings", "quality", "size", "weights", "from"):
        table.add_column(title, overflow="fold")
    for found in summaries(make_settings().models_dir):
        manifest = found.manifest
        facts = ("–",) * 4
        if manifest is not None:
            facts = (manifest.version, manifest.backbone, f"{manifest.image_size} px", f"{manifest.patch_size} px")
        weights = manifest.weights_sha256[:12] if manifest else "–"
        size = f"{found.size / 1e6:.0f} MB"
        table.add_row(found.name, *facts, found.statuses, found.quality or "–", size, weights, found.origin or "–")
    wide_console().print(table)


@models.command()
def pull(
    name: Annotated[str, typer.Argument(help="Name in the catalogue: `medpatchnet models list --catalogue`.")],
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", help="Accept the licence without a question.")
    ] = False,
    as_name: Name = None,
    sha256: Hash = None,
    replace: Replace = False,
) -> None:
    """Download published weights from a Hugging Face hub, and import them without running code of theirs.

    HF_ENDPOINT, HF_TOKEN, HF_HOME and proxies apply. The hash is recorded at the first download; another file is
    refused later.
    """
    from app.models_folder.adding import Addition
    from app.models_folder.adding import pull as download_and_import
    from app.models_folder.catalogue import entry_of, read_catalogue

    models_dir = make_settings().models_dir
    entry = guarded(lambda: entry_of(name, read_catalogue()))
    addition = Addition(models_dir, as_name, sha256, replace)
    guarded(lambda: addition.target(as_name or entry.name))
    _print_entry(entry)
    if not accept_licence and not typer.confirm(f"Accept the licence ({entry.licence})?", err=True):
        fail("not downloaded: the licence was not accepted")
    _print_added(guarded(lambda: download_and_import(entry, addition)), models_dir)


@models.command()
def add(
    source: Annotated[
        str, typer.Argument(help="Checkpoint (.pt), exported .zip file, folder of an artifact, or a URL.")
    ],
    name: Name = None,
    backbone: Annotated[str, typer.Option(help="Backbone of a checkpoint.")] = "efficientnet_v2_s",
    patch_size: Annotated[int, typer.Option(help="Patch size of a checkpoint, px.", min=1)] = 64,
    licence: Annotated[str, typer.Option(help="Licence of a checkpoint.")] = "as its authors state",
    sha256: Hash = None,
    replace: Replace = False,
) -> None:
    """Add an artifact from a file, a folder or a URL; it is verified first."""
    from app.models_folder.adding import Addition
    from app.models_folder.adding import add as add_to_folder
    from app.patchnet.checkpoint import ImportedWeights

    models_dir = make_settings().models_dir
    about = ImportedWeights(name or "", Path(source).name, "medpatchnet models add", backbone, patch_size, licence)
    with ExitStack() as stack:
        advance = stack.enter_context(progress("bytes", None))
        added = guarded(lambda: add_to_folder(source, Addition(models_dir, name, sha256, replace), about, advance))
    _print_added(added, models_dir)


@models.command()
def remove(
    name: Annotated[str, typer.Argument(help="Name of the artifact.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Remove an artifact from the models folder."""
    from app.models_folder.listing import remove as remove_from_folder

    models_dir = make_settings().models_dir
    if not yes and not typer.confirm(f"Remove {models_dir / name}?", err=True):
        fail("not removed")
    guarded(lambda: remove_from_folder(name, models_dir))
    typer.echo(f"removed {models_dir / name}")


@models.command()
def verify(
    names: Annotated[list[str] | None, typer.Argument(help="Names of artifacts (default: all).")] = None,
) -> None:
    """Check the hash, the manifest and the tensors of artifacts; status 1 if one is damaged."""
    from app.models_folder.listing import verify as problem_of
    from app.patchnet.artifact import available, find

    models_dir, damaged = make_settings().models_dir, 0
    for name in names or available(models_dir):
        problem = problem_of(guarded(lambda name=name: find(name, models_dir)))
        damaged += problem is not None
        typer.echo(f"{name}: {problem or 'intact'}", err=problem is not None)
    if damaged:
        raise typer.Exit(FAILED)


@models.command()
def export(
    name: Annotated[str, typer.Argument(help="Name of the artifact.")],
    file: Annotated[Path, typer.Argument(help="The .zip file to write, for `medpatchnet models add`.")],
) -> None:
    """Write an artifact into one file, for a host without internet access."""
    from app.models_folder.archive import export as export_to
    from app.patchnet.artifact import find

    if file.suffix != ".zip":
        fail("the file must end in .zip", MISUSED)
    models_dir = make_settings().models_dir
    guarded(lambda: export_to(find(name, models_dir), file))
    typer.echo(f"wrote {file}; on the other host: medpatchnet models add {file.name}")


def _print_catalogue() -> None:
    from app.models_folder.catalogue import read_catalogue

    table = Table("name", "architecture", "patch", "size", "licence", "published figures", "hub repository")
    for entry in guarded(read_catalogue).values():
        size = f"{entry.megabytes} MB"
        patch = f"{entry.patch_size} px"
        table.add_row(entry.name, entry.backbone, patch, size, entry.licence, entry.published, entry.repository)
    wide_console().print(table)


def _print_entry(entry: "CatalogueEntry") -> None:
    """What a user needs to know before the download, on stderr."""
    typer.echo(f"{entry.name}: {entry.address}, {entry.backbone}, {entry.megabytes} MB", err=True)
    typer.echo(f"licence: {entry.licence} ({entry.licence_source})", err=True)
    typer.echo(f"trained on: {entry.training_data}", err=True)
    typer.echo(f"published, not measured here: {entry.published}", err=True)


def _print_added(manifest: "Manifest", models_dir: Path) -> None:
    typer.echo(f"added {models_dir / manifest.name}, weights {manifest.weights_sha256[:12]}")
    typer.echo(f"next: medpatchnet serve --model {manifest.name}")
    if any(record.status == "imported" for record in manifest.findings):
        typer.echo(
            "Its quality was not measured here, so nothing is decided positive or negative. To measure it on your own "
            "radiographs: "
            f"python -m training validate --model {manifest.name} --data LOCAL.csv --out REPORT"
        )
