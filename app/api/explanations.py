"""The answer of ``/explain`` and of the command line: the evidence as numbers or as a picture."""

import asyncio
from datetime import datetime
from typing import Literal

from app.api.queries import ExplainQuery
from app.api.schemas.explain import ExplainBody
from app.api.security import result_key
from app.errors import InvalidQuery, UntrainedFinding
from app.patchnet.findings import finding_indices
from app.patchnet.saliency import expand_grid
from app.rendering.captions import evidence_caption
from app.rendering.overlay import OverlayStyle, SaliencyLayer, display_limit, render_overlay
from app.service.admission import Admission
from app.service.explain import MapRequest, OnProgress
from app.service.models import ServedModel
from app.service.results import Explanations
from app.service.services import Services
from app.telemetry import request_id_var

ExplanationFormat = Literal["json", "png"]


def map_request(query: ExplainQuery, form: ExplanationFormat) -> MapRequest:
    """What to explain. Raises UnknownFinding, and InvalidQuery for a PNG of several findings."""
    findings = tuple(finding_indices(query.finding))
    if form == "png" and len(findings) != 1:
        raise InvalidQuery("a PNG shows one finding; request one class, or format=json")
    return MapRequest(findings, query.map, query.offset, query.stride, query.border, query.zones and form == "json")


def is_smooth(services: Services, model: ServedModel, asked: MapRequest) -> bool:
    """Whether a shift-averaged map is requested, which takes longer. Raises InvalidQuery for offset and stride."""
    return not services.explainer.lattices(model, asked).is_plain


def require_cell(query: ExplainQuery, model: ServedModel) -> None:
    """Raise InvalidQuery unless the cells of the smooth map divide the image size of the model."""
    if query.cell is not None and model.manifest.image_size % query.cell:
        raise InvalidQuery(f"cell must divide the model's image size, {model.manifest.image_size} px")


async def explain_image(
    services: Services,
    data: bytes,
    query: ExplainQuery,
    form: ExplanationFormat,
    admission: Admission,
    on_progress: OnProgress | None = None,
) -> bytes:
    """The body of the response, JSON or PNG. Stores the result for ``/whatif`` under the current request id."""
    model = services.models.get(query.model).at(query.operating_point)
    asked = map_request(query, form)
    require_cell(query, model)
    result = await services.explainer.explain(data, model, asked, admission.deadline, admission.watch, on_progress)
    services.recent.remember(result_key(), model, result.prediction.patch_logits)
    if form == "json":
        return ExplainBody.of(request_id_var.get(), result, admission.watch, query.cell).model_dump_json().encode()
    with admission.watch.stage("render"):
        return await asyncio.to_thread(overlay_png, result, query, services.settings.overlay_opacity)


def overlay_png(explanations: Explanations, query: ExplainQuery, opacity: float) -> bytes:
    """PNG of the evidence for the first finding over the original radiograph, in its geometry.

    Raises UntrainedFinding if the model has no evidence for it.
    """
    item = explanations.items[0]
    if item.grid is None:
        raise UntrainedFinding(f"'{item.score.name}' is untrained in this model, which has no evidence for it")
    patch_size = explanations.prediction.model.manifest.patch_size
    values = expand_grid(item.grid, patch_size) if item.saliency_map is None else item.saliency_map
    geometry = explanations.prediction.geometry
    layer = SaliencyLayer(values.numpy(), geometry.row, geometry.column, geometry.size)
    style = _style(query, layer, explanations.prediction.model.manifest.display_limit, opacity)
    caption = evidence_caption(item.score, explanations.prediction.model.manifest, datetime.now().astimezone())
    pixels = explanations.prediction.radiograph.pixels
    return render_overlay(pixels, layer, style, caption if query.legend else None)


def _style(query: ExplainQuery, layer: SaliencyLayer, limit: float, opacity: float) -> OverlayStyle:
    is_fixed = query.scale == "fixed"
    return OverlayStyle(
        limit=limit if is_fixed else display_limit(layer.values),
        opacity=opacity if query.opacity is None else query.opacity,
        size=query.size,
        palette=query.palette,
        scale_name="fixed scale" if is_fixed else "display scale of this map",
    )
