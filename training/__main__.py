"""Training on the command line: parsing only; ``python -m training --help`` lists the commands."""

import json
from collections import Counter
from pathlib import Path
from typing import Annotated

import torch
import typer

from app.errors import MedPatchNetError
from training import commands
from training.anatomy.published import Data as AnatomyData
from training.anatomy.published import measure_segmenter, train_segmenter
from training.fit.distributed import is_lead_process
from training.measure.evaluation import evaluation_table
from training.measure.findings import Decided

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)

ANATOMY_RECIPE, PATCH_MODEL = Path("training/runs/anatomy/chest-anatomy.yaml"), Path("models/chest-lite0")
DataRoot = Annotated[Path, typer.Option("--data", help="Folder that the recipe's CSV paths are relative to.")]


def _available(device: str) -> str:
    """The device of an option. Raises BadParameter for one that this machine does not have."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device.partition(":")[0] not in {"cpu", "cuda"}:
        raise typer.BadParameter(f"'{device}' is not auto, cpu or cuda")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise typer.BadParameter("torch finds no CUDA device on this machine; use --device cpu, or auto")
    return device


Device = Annotated[str, typer.Option(help="auto, cpu or cuda.", callback=_available)]


@app.command()
def prepare(
    layout: Annotated[str, typer.Argument(help="chexpert (also VisualCheXbert's labels), mimic, nih or dicom.")],
    source: Annotated[Path, typer.Option(help="Folder of the data set's radiographs.", exists=True)],
    out: Annotated[Path, typer.Option(help="Folder of the prepared radiographs and CSV files.")],
    labels: Annotated[Path | None, typer.Option(help="The data set's CSV of labels.", exists=True)] = None,
    image_size: Annotated[int, typer.Option(help="Side of a prepared radiograph, px.", min=1)] = 512,
    workers: Annotated[int, typer.Option(help="Processes.", min=1)] = 2,
) -> None:
    """Write square 8-bit radiographs and CSV files of a data set; an interrupted run continues."""
    done = commands.prepare(layout, source, labels, out, image_size, workers)
    typer.echo(f"{done.films} radiographs, {len(done.refused)} rejected; wrote {', '.join(map(str, done.csv_files))}")
    typer.echo(f"description of the data set, to check and correct: {done.description}")


@app.command()
def split(
    data: Annotated[Path, typer.Option(help="CSV file of radiographs.", exists=True)],
    out: Annotated[Path, typer.Option(help="Folder of train.csv, valid.csv and test.csv, which must not exist.")],
    valid: Annotated[float, typer.Option(help="Share of the patients for validation.", min=0, max=0.5)] = 0.15,
    test: Annotated[float, typer.Option(help="Share of the patients for the test.", min=0, max=0.5)] = 0.15,
    seed: Annotated[int, typer.Option(help="Another number gives another division.")] = 0,
) -> None:
    """Divide radiographs into training, validation and test by patient; a patient is always in the same part."""
    counts = commands.split(data, out, (valid, test), seed)
    typer.echo(", ".join(f"{name}: {count} radiographs" for name, count in counts.items()))


@app.command()
def train(
    config: Annotated[Path, typer.Option(help="The recipe, a YAML file.", exists=True)],
    data: DataRoot,
    work: Annotated[Path, typer.Option(help="Folder of checkpoints and logs; an unfinished run there continues.")],
    device: Device = "auto",
) -> None:
    """Train by a recipe; resumes from the last checkpoint."""
    commands.train(config, data, work, device)
    if is_lead_process():
        typer.echo(f"wrote {work / 'best.pt'}; curves: tensorboard --logdir {work / 'logs'}")
        typer.echo(
            f"next: python -m training publish --config {config} --data {data} --work {work} --out models/NAME …"
        )


@app.command()
def measure(
    config: Annotated[Path, typer.Option(help="The recipe, a YAML file.", exists=True)],
    data: DataRoot,
    work: Annotated[Path, typer.Option(help="Folder of the finished run.", exists=True)],
    resamples: Annotated[int, typer.Option(help="Bootstrap resamples.")] = 10_000,
    device: Device = "auto",
) -> None:
    """Measure a run's best weights on its validation data, for any classes; prints JSON."""
    typer.echo(json.dumps(commands.measure_run(config, data, work, resamples, device), indent=1))


@app.command()
def leave_out(
    config: Annotated[Path, typer.Option(help="The recipe, a YAML file.", exists=True)],
    data: DataRoot,
    work: Annotated[Path, typer.Option(help="Folder of the runs; finished runs are not repeated.")],
    column: Annotated[str, typer.Option(help="Column of the CSV files with the origin of a radiograph.")],
    device: Device = "auto",
) -> None:
    """Train once without each value of a column, and measure on the validation radiographs of that value."""
    typer.echo(json.dumps(commands.leave_out(config, data, work, column, device), indent=1))


@app.command()
def publish(
    config: Annotated[Path, typer.Option(help="The recipe of the run.", exists=True)],
    data: DataRoot,
    work: Annotated[Path, typer.Option(help="Folder of the finished run.", exists=True)],
    out: Annotated[Path, typer.Option(help="Folder of the artifact, such as models/NAME.")],
    version: Annotated[str, typer.Option(help="Version of the artifact.")],
    device: Device = "auto",
) -> None:
    """Calibrate, tune thresholds, measure on test radiographs, and write the artifact."""
    done = commands.publish(config, data, work, out, version, device)
    typer.echo(f"wrote {done.directory}: mean AUROC {done.test.mean_auroc:.3f} on test, {_statuses(done.decided)}")
    typer.echo(f"next: python -m training reference --artifact {out} --data VALID.csv; medpatchnet serve --model {out}")


@app.command()
def validate(
    model: Annotated[str, typer.Option(help="Artifact: a name in the models folder, or a directory.")],
    data: Annotated[
        Path, typer.Option(help="CSV with a column Path and labels, or a folder of DICOM files.", exists=True)
    ],
    out: Annotated[Path, typer.Option(help="Folder of the report.")],
    labels: Annotated[
        Path | None,
        typer.Option(
            help="Labels of the DICOM files: a CSV with Path, SOPInstanceUID, StudyInstanceUID or AccessionNumber. Can "
            "be the output of the CheXpert labeler with such a column.",
            exists=True,
        ),
    ] = None,
    gallery: Annotated[bool, typer.Option(help="Show the radiographs that the model judges worst.")] = True,
    resamples: Annotated[int, typer.Option(help="Bootstrap resamples.", min=100)] = 2_000,
    device: Device = "auto",
) -> None:
    """Judge a model on a site's own radiographs; writes report.html, report.json and what `adopt` needs.

    The verdict of a finding is: adopt, adopt with own operating point, too few radiographs, or do not use.
    """
    acceptance, page = commands.validate(model, data, labels, out, resamples, device, gallery=gallery)
    for finding in acceptance.findings:
        typer.echo(f"{finding.name:<28}{finding.verdict:<32}{finding.reason}")
    left_out = f", {len(acceptance.refused)} files left out" if acceptance.refused else ""
    typer.echo(f"{acceptance.films} radiographs{left_out}; wrote {page}")
    typer.echo(f"next: python -m training adopt --report {out} --out models/NAME --version VERSION")


@app.command()
def adopt(
    report: Annotated[Path, typer.Option(help="Folder of the report of `validate`.", exists=True)],
    out: Annotated[Path, typer.Option(help="Folder of the new artifact, such as models/NAME.")],
    version: Annotated[str, typer.Option(help="Version of the new artifact.")],
) -> None:
    """Write a new artifact from a judged one: calibrated, with the site's operating points and statuses."""
    done = commands.adopt(report, out, version)
    before, after = done.calibration_errors
    typer.echo(f"wrote {done.directory}: {_statuses(done.decided)}; default operating point {done.decided.default}")
    typer.echo(f"mean calibration error on patients that were not fitted: {before:.3f} before, {after:.3f} after")
    typer.echo(f"next: medpatchnet serve --model {done.directory}")


@app.command("operating-points")
def operating_points(
    artifact: Annotated[str, typer.Option(help="Artifact: a name in the models folder, or a directory.")],
    data: Annotated[
        list[Path],
        typer.Option(help="CSV of validation radiographs, the first with natural prevalence; repeatable.", exists=True),
    ],
    test: Annotated[
        list[Path] | None, typer.Option(help="CSV of held-out radiographs for the statuses; repeatable.", exists=True)
    ] = None,
    description: Annotated[
        list[Path] | None, typer.Option(help="Description (YAML) of a data set; default: dataset.yaml beside the CSV.")
    ] = None,
    work: Annotated[Path | None, typer.Option(help="Folder that caches logits.")] = None,
    device: Device = "auto",
) -> None:
    """Measure operating points and statuses, and write them into an artifact's manifest and card."""
    decided = commands.operating_points(artifact, data, test or (), description or (), work, device)
    typer.echo(f"default operating point: {decided.default}; {_statuses(decided)}")
    for name, value in decided.metrics.items():
        typer.echo(f"{name}: {value:.2f}")


@app.command()
def evaluate(
    artifact: Annotated[str, typer.Option(help="Artifact: a name in the models folder, or a directory.")],
    data: Annotated[Path, typer.Option(help="CSV file of radiographs with labels.", exists=True)],
    boxes: Annotated[
        Path | None,
        typer.Option(help="Their annotations, CSV of boxes or CheXlocalize's JSON; adds localisation.", exists=True),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
    resamples: Annotated[int, typer.Option(help="Bootstrap resamples.")] = 10_000,
    device: Device = "auto",
) -> None:
    """Measure an artifact on radiographs with labels; prints a table."""
    figures = commands.evaluate(artifact, data, boxes, resamples, device)
    typer.echo(json.dumps(figures.as_json()) if as_json else evaluation_table(figures))


@app.command()
def reference(
    artifact: Annotated[str, typer.Option(help="Artifact: a name in the models folder, or a directory.")],
    data: Annotated[
        Path, typer.Option(help="CSV file of radiographs on which the model is known to work.", exists=True)
    ],
    device: Device = "auto",
) -> None:
    """Measure the distribution of an artifact's outputs, and write it into its manifest for drift monitoring."""
    typer.echo(commands.reference(artifact, data, device).model_dump_json(indent=1))


@app.command()
def serving(
    data: Annotated[Path, typer.Option(help="CSV file of validation radiographs.", exists=True)],
    work: Annotated[Path, typer.Option(help="Folder that caches the patch logits of whole maps.")],
    artifact: Annotated[str, typer.Option(help="A name in the models folder, or a directory.")] = "chest-lite0",
    films: Annotated[
        int, typer.Option(help="Radiographs for strided maps, p² passes each; 0 keeps the existing figures.", min=0)
    ] = 10,
    window: Annotated[int | None, typer.Option(help="Compare a central square of the maps, px; default: all.")] = None,
    device: Device = "auto",
) -> None:
    """Measure reduced precision and strided maps, and write both into the artifact's manifest and card."""
    manifest = commands.serving(artifact, data, films, window, work, device)
    typer.echo(json.dumps(manifest.model_dump(mode="json", include={"precisions", "strides"}), indent=1))


@app.command()
def compare(
    data: Annotated[Path, typer.Option(help="CSV file of the test radiographs.", exists=True)],
    boxes: Annotated[Path, typer.Option(help="Their annotations: CSV of boxes, or CheXlocalize's JSON.", exists=True)],
    valid_data: Annotated[Path, typer.Option(help="CSV file of the validation radiographs.", exists=True)],
    valid_boxes: Annotated[Path, typer.Option(help="Their annotations, for the thresholds of the maps.", exists=True)],
    out: Annotated[Path, typer.Option(help="Folder of the report; an unfinished comparison there continues.")],
    train_data: Annotated[
        Path | None,
        typer.Option(help="CSV file of the training radiographs; adds ProtoPNet and PIPNet.", exists=True),
    ] = None,
    patch: Annotated[
        str, typer.Option(help="Patch model: a name in the models folder, or a directory.")
    ] = "chest-lite0",
    image: Annotated[str, typer.Option(help="Its image-level twin, by name or directory.")] = "chest-lite0-image",
    resamples: Annotated[int, typer.Option(help="Bootstrap resamples.")] = 10_000,
    pairs: Annotated[int, typer.Option(help="Pairs of a radiograph and a finding for faithfulness.", min=4)] = 24,
    export: Annotated[
        list[str] | None, typer.Option(help="Method to export in CheXlocalize's formats; repeatable.")
    ] = None,
) -> None:
    """Compare patch evidence with post-hoc methods on annotated radiographs; writes report.html and report.json."""
    page = commands.compare(
        (patch, image), train_data, (valid_data, valid_boxes), (data, boxes), out, resamples, pairs, export or ()
    )
    typer.echo(f"wrote {page}")


@app.command()
def cite(
    comparison: Annotated[Path, typer.Option(help="report.json of `compare`.", exists=True)],
    artifact: Annotated[str, typer.Option(help="Artifact: a name in the models folder, or a directory.")],
) -> None:
    """Write a comparison's figures into an artifact's model card."""
    typer.echo(f"wrote {commands.cite(comparison, artifact)}")


@app.command()
def anatomy(
    data: DataRoot,
    out: Annotated[Path, typer.Option(help="Folder of the artifact, such as models/NAME.")],
    config: Annotated[Path, typer.Option(help="The recipe, a YAML file.", exists=True)] = ANATOMY_RECIPE,
    device: Device = "auto",
) -> None:
    """Train the segmenter of lungs and heart on drawn masks, measure it, and write its artifact."""
    typer.echo(json.dumps(train_segmenter(config, data, out, device).metrics, indent=1))
    typer.echo(f"wrote {out}; next: python -m training anatomy-figures --data TEST.csv --artifact {out}")


@app.command("anatomy-figures")
def anatomy_figures(
    data: Annotated[Path, typer.Option(help="CSV file of test radiographs with labels.", exists=True)],
    artifact: Annotated[Path, typer.Option(help="Folder of the segmenter's artifact.", exists=True)],
    boxes: Annotated[
        list[Path] | None,
        typer.Option(help="CSV of boxes (Path, Finding, x, y, width, height); repeatable.", exists=True),
    ] = None,
    model: Annotated[Path, typer.Option(help="Folder of the patch model.", exists=True)] = PATCH_MODEL,
    image: Annotated[
        Path | None, typer.Option(help="Folder of its image-level twin; adds Grad-CAM.", exists=True)
    ] = None,
    most: Annotated[
        int | None, typer.Option(help="Use so many radiographs, and so many findings of each CSV of boxes.", min=1)
    ] = None,
    resamples: Annotated[int, typer.Option(help="Bootstrap resamples.")] = 2_000,
) -> None:
    """Measure a segmenter and the zones on radiographs without drawn masks; writes its manifest and card."""
    figures = measure_segmenter(artifact, AnatomyData(data, tuple(boxes or ()), most), model, image, resamples)
    typer.echo(json.dumps(figures.metrics, indent=1))


@app.command("import")
def import_(
    weights: Annotated[Path, typer.Argument(help="The authors' checkpoint (.pt).", exists=True)],
    out: Annotated[Path, typer.Option(help="Folder of the artifact to write.")],
    backbone: Annotated[str, typer.Option(help="Backbone of the checkpoint.")] = "efficientnet_v2_s",
    patch_size: Annotated[int, typer.Option(help="Side of a patch, px; 512 for their image-level model.")] = 64,
) -> None:
    """Convert a checkpoint of the paper's authors into an artifact."""
    commands.import_checkpoint(weights, out, backbone, patch_size)


def _statuses(decided: Decided) -> str:
    counts = Counter(record.status for record in decided.records)
    return ", ".join(f"{count} {status}" for status, count in counts.items())


def main() -> None:
    """Entry point; a domain error, a missing file or a full disk prints its message and exits with 1."""
    try:
        app(prog_name="python -m training")
    except MedPatchNetError as error:
        # an error in a worker process of the loader arrives with its traceback, and ends with its message
        typer.echo(f"{error.code}: {error.detail.rstrip().splitlines()[-1]}", err=True)
        raise SystemExit(1) from None
    except OSError as error:
        typer.echo(f"{error.filename or 'a file'}: {error.strerror or error}", err=True)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
