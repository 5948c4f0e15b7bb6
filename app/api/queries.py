"""The query parameters of the image routes. Unknown names are refused, so that a typo cannot go unnoticed."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from app.dicom_objects.content import ReportKind
from app.patchnet.saliency import Border, MapKind
from app.rendering.overlay import ColourScale, FilmDepth, Palette


class ImageQuery(BaseModel):
    """Parameters of every image route."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str | None = Field(None, description="A served model; the default one if left out.")


class FilmQuery(BaseModel):
    """Parameters of ``POST /film``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: int | None = Field(None, ge=64, le=4096, description="Longest side in pixels (default: the film's).")
    depth: FilmDepth = Field(FilmDepth.EIGHT, description="Bits of a pixel.")


class PredictQuery(ImageQuery):
    """Parameters of ``POST /predict``."""

    grids: bool = Field(False, description="Add all patch-logit grids.")


class ReportQuery(ImageQuery):
    """Parameters of ``POST /report``."""

    kind: ReportKind = Field(
        alias="object", description="sr: structured report; sc: overlays as secondary captures; gsps: outlines."
    )
    finding: str | None = Field(None, alias="class", description="sc, gsps: this finding instead of the positive ones.")


class ExplainQuery(ImageQuery):
    """Parameters of ``POST /explain``."""

    finding: list[str] = Field(alias="class", min_length=1, description="A finding; repeat for more, or 'all'.")
    map: MapKind = Field("raw", description="Patch logits as they are, or scaled by the probability.")
    offset: int | None = Field(
        None, ge=1, description="Pixels between shifted grids, 1 to the patch size (default: the plain, exact grid)."
    )
    stride: int | None = Field(
        None,
        ge=1,
        json_schema_extra={"examples": [5]},
        description="The map of offset 1, interpolated between every so many patches: odd, 1 to the patch size - 1.",
    )
    cell: int | None = Field(
        None,
        ge=1,
        description="JSON: side of the smooth map's cells in model pixels, each the mean of its pixels; must divide "
        "the model's image size (default: the cells on which the map is constant).",
    )
    border: Border = Field("coverage", description="How a shift-averaged map treats pixels near the border.")
    format: Literal["json", "png"] | None = Field(None, description="Overrides the Accept header.")
    opacity: float | None = Field(None, ge=0, le=1, description="PNG: opacity of the evidence over the film.")
    size: int | None = Field(
        None, ge=64, le=4096, description="PNG: longest side of the radiograph in pixels (default: its own)."
    )
    legend: bool = Field(True, description="PNG: caption and colour scale in a band below the radiograph.")
    scale: ColourScale = Field(
        "fixed",
        description="PNG: fixed: colours comparable between all images of the model; display: the range of this map.",
    )
    palette: Palette = Field("red-blue", description="PNG: colours for and against.")
