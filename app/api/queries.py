"""Query parameters of the image routes. Unknown parameters are rejected, so that a typo is noticed."""

from typing import Annotated, Any, Literal, Self, cast

from pydantic import Field, model_validator

from app.dicom_objects.content import ReportKind
from app.fhir.bundle import Release
from app.patchnet.findings import FINDING_NAMES
from app.patchnet.saliency import Border, MapKind
from app.rendering.overlay import ColourScale, FilmDepth, Palette
from app.validation import StrictModel

FhirKind = Literal["fhir", "fhir-r5"]
_RELEASES: dict[str, Release] = {"fhir": "R4", "fhir-r5": "R5"}


FindingNames = Annotated[
    list[str],
    Field(
        min_length=1,
        description="A finding by its name or an alias, or 'all'; repeat for more.",
        json_schema_extra={"items": {"type": "string", "enum": [*FINDING_NAMES, "all"]}},
    ),
]


class ImageQuery(StrictModel):
    """Parameters of every image route."""

    model: str | None = Field(None, description="A served model (default: the first one).")


class FilmQuery(StrictModel):
    """Parameters of ``POST /film``."""

    size: int | None = Field(
        None, ge=64, le=4096, description="Longest side in pixels (default: that of the radiograph)."
    )
    depth: FilmDepth = Field(FilmDepth.EIGHT, description="Bits per pixel.")


class DecisionQuery(ImageQuery):
    """Parameters of every route that decides about findings."""

    operating_point: str | None = Field(
        None, description="Operating point (`GET /findings` lists them); findings without it keep the one in force."
    )


class PredictQuery(DecisionQuery):
    """Parameters of ``POST /predict``."""

    grids: bool = Field(False, description="Include the patch-logit grids of all findings.")


class CompareQuery(DecisionQuery):
    """Parameters of ``POST /compare``."""

    finding: FindingNames = Field(default=["all"], alias="class")
    map: bool = Field(False, description="Include the difference map of each finding.")


class ReportQuery(DecisionQuery):
    """Parameters of ``POST /report``."""

    kinds: list[ReportKind | FhirKind] = Field(
        alias="object",
        min_length=1,
        description="sr: structured report; sc: secondary captures with overlays; gsps: outlines; seg: segmentation of "
        "lungs and heart. Repeat for more. "
        "fhir (R4), fhir-r5: FHIR resources, alone.",
    )
    finding: str | None = Field(
        None, alias="class", description="sc, gsps: this finding instead of the positive findings."
    )
    zones: bool = Field(False, description="sr: state in which zone of lungs and heart the evidence lies.")

    @property
    def fhir(self) -> Release | None:
        """The release of FHIR that is asked for; None: DICOM objects."""
        return next((_RELEASES[kind] for kind in self.kinds if kind in _RELEASES), None)

    @property
    def dicom_kinds(self) -> list[ReportKind]:
        """The kinds of DICOM objects that are asked for."""
        return cast("list[ReportKind]", [kind for kind in self.kinds if kind not in _RELEASES])

    @model_validator(mode="after")
    def _are_of_one_standard(self) -> Self:
        if self.fhir is not None and len(set(self.kinds)) > 1:
            raise ValueError("FHIR resources and other objects need a request each")
        return self


class ExplainQuery(DecisionQuery):
    """Parameters of ``POST /explain``."""

    finding: FindingNames = Field(alias="class")
    map: MapKind = Field("raw", description="raw: patch logits; scaled: patch logits scaled by the probability.")
    offset: int | None = Field(
        None, ge=1, description="Pixels between shifted grids, 1 to the patch size (default: the plain, exact grid)."
    )
    stride: int | None = Field(
        None,
        ge=1,
        json_schema_extra={"examples": [5]},
        description="Interpolate the map of offset 1 from every stride-th patch: odd, 1 to the patch size - 1.",
    )
    cell: int | None = Field(
        None,
        ge=1,
        description="JSON: side of the cells of the smooth map in model pixels. A cell is the mean of its pixels. Must "
        "divide the image size of the model (default: the cells on which the map is constant).",
    )
    border: Border = Field("coverage", description="How a shift-averaged map treats pixels near the border.")
    zones: bool = Field(False, description="JSON: sum the evidence over zones of the body, and measure the heart.")
    format: Literal["json", "png"] | None = Field(None, description="Takes precedence over the Accept header.")
    opacity: float | None = Field(None, ge=0, le=1, description="PNG: opacity of the evidence.")
    size: int | None = Field(
        None, ge=64, le=4096, description="PNG: longest side in pixels (default: that of the radiograph)."
    )
    legend: bool = Field(True, description="PNG: add a caption and the colour scale below the radiograph.")
    scale: ColourScale = Field(
        "fixed",
        description="PNG: fixed: colours comparable between all images of the model; display: the range of this map.",
    )
    palette: Palette = Field("red-blue", description="PNG: colours of evidence for and against the finding.")

    @model_validator(mode="before")
    @classmethod
    def _names_a_finding(cls, values: Any) -> Any:  # noqa: ANN401 - what was sent
        if isinstance(values, dict) and not values.get("class"):
            raise ValueError(f"class is missing; it is one of: {', '.join(FINDING_NAMES)}, all")
        return values
