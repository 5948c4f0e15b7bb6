"""The manifest of an artifact: everything that was measured about a model."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, JsonValue, model_validator

from app.patchnet.findings import FINDING_NAMES
from app.patchnet.preprocessing import PREPROCESSING
from app.validation import StrictModel

SCHEMA_VERSION = 2
_ROUNDING = 1e-3

FindingStatus = Literal["validated", "weak", "derived", "imported", "untrained"]
ReducedPrecision = Literal["bfloat16", "float16"]
Probability = Annotated[float, Field(ge=0, le=1)]
NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,63}$"
"""Names of artifacts."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def _adds_to_one(shares: tuple[float, ...]) -> tuple[float, ...]:
    if abs(sum(shares) - 1) > _ROUNDING:
        raise ValueError("shares do not add to 1")
    return shares


class Quality(StrictModel):
    """Measured quality of one finding on held-out radiographs."""

    dataset: str = Field(description="Name of the held-out radiographs.")
    positives: int = Field(ge=0)
    negatives: int = Field(ge=0)
    auroc: Probability
    auroc_interval: tuple[Probability, Probability] = Field(description="95 % bootstrap interval.")
    average_precision: Probability | None = None
    sensitivity: Probability | None = Field(default=None, description="At the threshold.")
    specificity: Probability | None = Field(default=None, description="At the threshold.")
    calibration_error: Probability | None = Field(default=None, description="Expected calibration error.")


OperatingPointName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]


class OperatingPoint(StrictModel):
    """A named threshold of one finding, and its figures measured on one set of radiographs."""

    threshold: Annotated[float, Field(gt=0, lt=1)] = Field(description="Probability from which a finding is positive.")
    sensitivity: Probability | None = None
    specificity: Probability | None = None
    ppv: Probability | None = Field(default=None, description="Positive predictive value at ``prevalence``.")
    npv: Probability | None = Field(default=None, description="Negative predictive value at ``prevalence``.")
    prevalence: Probability | None = Field(default=None, description="Share of positive radiographs.")
    positives: int | None = Field(default=None, ge=0)
    negatives: int | None = Field(default=None, ge=0)
    dataset: str | None = Field(default=None, description="Name of the radiographs.")


class FindingRecord(StrictModel):
    """One finding of an artifact.

    ``status``: validated (measured well enough, see ``quality``), weak (measured, but too few radiographs or too low an
    AUROC to decide by), derived (its label was made from another finding's), imported (weights of another origin, not
    measured here) or untrained (the weights never saw a label; its values are not served).
    """

    name: str
    status: FindingStatus
    operating_points: dict[OperatingPointName, OperatingPoint] = Field(
        default_factory=dict[str, OperatingPoint], description="Thresholds by name."
    )
    quality: Quality | None = None

    @model_validator(mode="after")
    def _status_fits(self) -> Self:
        if self.status == "validated" and self.quality is None:
            raise ValueError(f"'{self.name}' has the status validated without a measured quality")
        if self.status == "untrained" and (self.operating_points or self.quality is not None):
            raise ValueError(f"'{self.name}' has the status untrained, but has an operating point or a quality")
        return self


REGIONS = ("border", "upper_left", "upper_right", "lower_left", "lower_right")
"""Location of evidence: the outermost ring of patches, or a quarter of the rest, as displayed."""

Shares = Annotated[tuple[Probability, ...], AfterValidator(_adds_to_one)]


class Reference(StrictModel):
    """Distribution of the results on known radiographs, to detect drift; see ``app.patchnet.reference``."""

    dataset: str = Field(description="Name of the radiographs.")
    films: int = Field(gt=0)
    probability_tenths: dict[str, Shares] = Field(
        description="By finding: share of radiographs with a probability up to 0.1, above 0.1 up to 0.2, …"
    )
    evidence_regions: Shares = Field(description=f"Mean shares of the positive evidence: {', '.join(REGIONS)}.")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if not set(self.probability_tenths) <= set(FINDING_NAMES):
            raise ValueError("the reference has unknown findings")
        if any(len(shares) != 10 for shares in self.probability_tenths.values()):
            raise ValueError("the reference does not have ten shares for every finding")
        if len(self.evidence_regions) != len(REGIONS):
            raise ValueError(f"the reference does not have {len(REGIONS)} shares of evidence")
        return self


class PrecisionRecord(StrictModel):
    """Accuracy cost of a reduced arithmetic, against float32 on the same radiographs."""

    precision: ReducedPrecision
    allowed: bool = Field(description="Whether the service can use it.")
    dataset: str = Field(description="Name of the radiographs.")
    films: int = Field(gt=0)
    mean_auroc: Probability
    mean_auroc_change: float = Field(description="Against float32.")
    largest_auroc_change: float = Field(ge=0, description="Of any finding, either way.")
    mean_probability_change: Probability = Field(description="Absolute change, over radiographs and findings.")
    largest_probability_change: Probability


class StrideRecord(StrictModel):
    """Correlation of a map that classifies only every ``stride``-th patch with the map of offset 1."""

    stride: int = Field(gt=0)
    fewer_passes: float = Field(gt=0, description="Patches of the map of offset 1 per patch of this map.")
    dataset: str = Field(description="Name of the radiographs.")
    films: int = Field(gt=0)
    maps: int = Field(gt=0, description="Radiographs times findings.")
    window: int = Field(gt=0, description="Side of the compared central square of the maps, px.")
    median_correlation: float = Field(ge=-1, le=1)
    low_correlation: float = Field(ge=-1, le=1, description="5th percentile of the correlation.")
    least_correlation: float = Field(ge=-1, le=1)


class Step(StrictModel):
    """One step of the history of the weights: what was done, by which command, from which input.

    ``source_sha256`` is the hash of the input: of the downloaded file, or of the weights of the artifact that the step
    began with. ``source_manifest_sha256`` is the hash of that artifact's manifest, which contains its own history, so
    that the steps form a hash chain.
    """

    command: str
    at: datetime
    source: str = Field(description="Where the input came from: a file of a hub, a URL, or name and version.")
    source_sha256: Sha256
    source_manifest_sha256: Sha256 | None = None
    films: int | None = Field(default=None, gt=0, description="Number of radiographs that were used.")
    films_sha256: Sha256 | None = Field(default=None, description="Hash of the radiographs and their labels.")


class Description(StrictModel):
    """A manifest without the hash of the weights: the input of ``save``."""

    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    version: str
    backbone: str
    image_size: int = Field(default=512, gt=0)
    patch_size: int = Field(default=64, gt=0)
    preprocessing: str = PREPROCESSING
    findings: tuple[FindingRecord, ...]
    default_operating_point: OperatingPointName = Field(
        default="balanced", description="The operating point in force unless a site or a caller names another."
    )
    display_limit: float = Field(gt=0, description="Symmetric limit of the overlay's colour scale, in logits.")
    intended_use: str
    training_data: str
    attribution: str
    licence: str
    created: datetime
    recipe: dict[str, JsonValue] = Field(
        default_factory=dict[str, JsonValue], description="How the weights were trained."
    )
    metrics: dict[str, float] = Field(default_factory=dict[str, float], description="Summary figures, named by split.")
    reference: Reference | None = Field(default=None, description="Distribution of the results on known radiographs.")
    precisions: tuple[PrecisionRecord, ...] = Field(default=(), description="Reduced arithmetics that were measured.")
    strides: tuple[StrideRecord, ...] = Field(default=(), description="Fidelity of strided maps.")
    history: tuple[Step, ...] = Field(default=(), description="How the weights came to be, oldest step first.")

    @model_validator(mode="after")
    def _fits_this_version(self) -> Self:
        names = tuple(record.name for record in self.findings)
        if names != FINDING_NAMES:
            raise ValueError(f"the findings must be exactly, and in this order: {', '.join(FINDING_NAMES)}")
        if self.image_size % self.patch_size:
            raise ValueError(f"patches of {self.patch_size} px do not tile an image of {self.image_size} px")
        if self.preprocessing != PREPROCESSING:
            raise ValueError(f"trained with the preprocessing '{self.preprocessing}', this version has {PREPROCESSING}")
        return self

    @property
    def patches_per_side(self) -> int:
        """P."""
        return self.image_size // self.patch_size

    @property
    def thresholds(self) -> dict[str, float]:
        """By finding: the threshold of the default operating point, where it exists."""
        points = {record.name: record.operating_points.get(self.default_operating_point) for record in self.findings}
        return {name: point.threshold for name, point in points.items() if point is not None}

    @property
    def allowed_precisions(self) -> tuple[ReducedPrecision, ...]:
        """Reduced arithmetics in which the weights can be served."""
        return tuple(record.precision for record in self.precisions if record.allowed)


def _from_version_1(content: dict[str, Any]) -> dict[str, Any]:
    """Convert a manifest of schema 1, where each finding had one threshold, to schema 2."""
    findings: list[dict[str, Any]] = []
    for record in content.get("findings", ()):
        kept = {key: value for key, value in record.items() if key != "threshold"}
        if (threshold := record.get("threshold")) is not None:
            quality = record.get("quality") or {}
            measured = {key: quality.get(key) for key in ("sensitivity", "specificity")}
            kept["operating_points"] = {"balanced": {"threshold": threshold, **measured}}
        findings.append(kept)
    return {**content, "findings": findings, "schema_version": SCHEMA_VERSION}


class Manifest(Description):
    """The content of ``manifest.json``."""

    @model_validator(mode="before")
    @classmethod
    def _read_older_versions(cls, content: Any) -> Any:  # noqa: ANN401 - what a JSON file holds
        if isinstance(content, dict) and content.get("schema_version") == 1:
            return _from_version_1(content)
        return content

    schema_version: Literal[2] = SCHEMA_VERSION
    weights_sha256: Sha256
