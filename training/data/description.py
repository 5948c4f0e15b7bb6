"""Descriptions of data sets: provenance, licence and caveats, from a YAML file beside the data or named by a recipe."""

from collections.abc import Iterable
from pathlib import Path
from typing import Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.files import write_atomically
from app.patchnet.findings import FINDING_NAMES
from training.files import read_model

DESCRIPTION = "dataset.yaml"
"""Name of the description beside the CSV files of a data set."""


class DatasetDescription(BaseModel):
    """Facts about one data set, for the manifest and model card of models trained on it; None: not stated."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1)
    citation: str | None = None
    attribution: str | None = Field(default=None, description="The acknowledgement that publications have to print.")
    licence: str | None = Field(default=None, description="Licence or use agreement of the data.")
    weights_licence: str | None = Field(default=None, description="Licence of weights trained on the data.")
    label_origin: str | None = Field(default=None, description="How the labels were made, and by whom.")
    caveats: tuple[str, ...] = Field(default=(), description="Known limits of radiographs and labels, a sentence each.")
    derived: dict[str, str] = Field(
        default_factory=dict[str, str], description="Findings whose label was made from another finding's label."
    )
    intended_use: str | None = Field(default=None, description="Intended use of models trained on the data.")

    @model_validator(mode="after")
    def _known_findings(self) -> Self:
        unknown = sorted({*self.derived, *self.derived.values()} - set(FINDING_NAMES))
        if unknown:
            raise ValueError(f"derived names unknown findings: {', '.join(unknown)}")
        return self


def read_description(path: Path) -> DatasetDescription:
    """Read a description. Raises ConfigurationError with the reason."""
    return read_model(path, DatasetDescription)


def descriptions_beside(csv_files: Iterable[Path]) -> tuple[DatasetDescription, ...]:
    """The descriptions in the folders of CSV files, each once; folders without one are skipped."""
    folders = dict.fromkeys(csv_file.parent for csv_file in csv_files)
    return tuple(read_description(folder / DESCRIPTION) for folder in folders if (folder / DESCRIPTION).is_file())


def write_description(description: DatasetDescription, folder: Path) -> Path:
    """Write ``folder/dataset.yaml``; an existing file stays, because it can hold corrections."""
    path = folder / DESCRIPTION
    if not path.exists():
        text = yaml.safe_dump(description.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=110)
        with write_atomically(path) as fresh:
            fresh.write_text(text, encoding="utf-8")
    return path


_UNCERTAIN = "Labels come from reports, not from a reading of the images, and are noisy."

BY_LAYOUT = {
    "chexpert": DatasetDescription(
        name="CheXpert",
        citation="Irvin et al., CheXpert, AAAI 2019",
        attribution="Radiographs: CheXpert, Stanford University School of Medicine (Irvin et al., AAAI 2019).",
        licence="Stanford University Dataset Research Use Agreement: research use only, no redistribution of the data",
        label_origin="the label file given to `prepare`, by an automatic labeler of radiology reports",
        caveats=(_UNCERTAIN, "All radiographs are from one hospital.", "Uncertain labels (-1) count as unknown."),
    ),
    "mimic": DatasetDescription(
        name="MIMIC-CXR-JPG",
        citation="Johnson et al., MIMIC-CXR-JPG, 2019",
        attribution="Radiographs: MIMIC-CXR-JPG (Johnson et al., 2019), PhysioNet (Goldberger et al., 2000).",
        licence="PhysioNet Credentialed Health Data License 1.5.0: credentialed use, no redistribution of the data",
        label_origin="CheXpert's or NegBio's automatic labeler of radiology reports, by study",
        caveats=(_UNCERTAIN, "A label belongs to the study, so not every view of it has to show the finding."),
    ),
    "nih": DatasetDescription(
        name="NIH ChestX-ray14",
        citation="Wang et al., ChestX-ray8, CVPR 2017",
        attribution="Radiographs and labels: NIH Clinical Center (Wang et al., ChestX-ray8, CVPR 2017).",
        licence="free use with attribution",
        label_origin="text-mined from radiology reports by NIH",
        caveats=(
            _UNCERTAIN,
            "Lung Opacity is any of Infiltration, Consolidation, Edema, Pneumonia, Atelectasis, Mass and Nodule; Lung "
            "Lesion is Mass or Nodule; Pleural Other is Pleural Thickening.",
        ),
        derived={"Enlarged Cardiomediastinum": "Cardiomegaly"},
    ),
    "dicom": DatasetDescription(name="DICOM radiographs without description"),
}
"""What ``prepare`` writes beside a data set of each layout, to be corrected by hand where it does not fit."""
