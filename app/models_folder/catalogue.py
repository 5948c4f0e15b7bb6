"""The catalogue of published weights, from a YAML file in the package."""

from difflib import get_close_matches
from pathlib import Path

from pydantic import Field, TypeAdapter, ValidationError

from app.errors import ConfigurationError
from app.patchnet.checkpoint import ImportedWeights
from app.patchnet.manifest import NAME_PATTERN, Sha256
from app.validation import StrictModel, describe
from app.yaml_files import read_yaml

CATALOGUE = Path(__file__).with_name("catalogue.yaml")


class CatalogueEntry(StrictModel):
    """Published weights: a file of a hub repository, and what its owner states about it."""

    name: str = Field(pattern=NAME_PATTERN, description="Name of the artifact.")
    repository: str = Field(pattern=r"^[^/]+/[^/]+$")
    file: str
    revision: str
    sha256: Sha256 | None = Field(description="Hash of the file, where it is known.")
    backbone: str
    patch_size: int = Field(gt=0)
    megabytes: int = Field(gt=0)
    licence: str
    licence_source: str
    attribution: str
    training_data: str
    figures: dict[str, float] = Field(description="As published, not measured here.")
    figures_source: str

    @property
    def address(self) -> str:
        """The file at its revision, as text."""
        return f"{self.repository}@{self.revision}/{self.file}"

    @property
    def published(self) -> str:
        """The published figures as a sentence."""
        figures = ", ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in self.figures.items())
        return f"{figures} ({self.figures_source})"

    def imported(self, name: str, source: str, command: str) -> ImportedWeights:
        """What the artifact ``name`` states about these weights."""
        return ImportedWeights(
            name=name,
            source=source,
            command=command,
            backbone=self.backbone,
            patch_size=self.patch_size,
            licence=f"{self.licence}, as stated in {self.licence_source}",
            attribution=self.attribution,
            training_data=self.training_data,
            published=self.published,
            metrics={f"published.{figure}": value for figure, value in self.figures.items()},
        )


def read_catalogue(path: Path = CATALOGUE) -> dict[str, CatalogueEntry]:
    """The entries by name. Raises ConfigurationError with the reason."""
    try:
        entries = TypeAdapter(list[CatalogueEntry]).validate_python(read_yaml(path))
    except ValidationError as error:
        raise ConfigurationError(f"{path}: {'; '.join(describe(error))}") from None
    return {entry.name: entry for entry in entries}


def entry_of(name: str, catalogue: dict[str, CatalogueEntry]) -> CatalogueEntry:
    """The entry with that name. Raises ConfigurationError with the known names and the nearest."""
    if (entry := catalogue.get(name)) is not None:
        return entry
    near = get_close_matches(name, catalogue, 1)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    raise ConfigurationError(f"the catalogue has no '{name}'; it has: {', '.join(catalogue)}{hint}")
