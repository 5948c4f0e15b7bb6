"""The route of the shadow model: how its results differ from those of the default model."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from app.api.openapi import problems
from app.api.responses import json_answer
from app.api.schemas.shadow import ShadowBody
from app.api.security import GuardedRoute, requires
from app.errors import NoShadowModel
from app.shadow.shadow import Shadow

router = APIRouter(route_class=GuardedRoute)


async def get_shadow(request: Request) -> Shadow:
    """The shadow from the composition root. Raises NoShadowModel if none is configured."""
    shadow: Shadow | None = request.app.state.shadow
    if shadow is None:
        raise NoShadowModel("no shadow model is configured: set MEDPATCHNET_SHADOW_MODEL")
    return shadow


@router.get("/shadow", response_model=ShadowBody, responses=problems(401, 403, 404, 429))
@requires("operations")
async def shadow_report(shadow: Annotated[Shadow, Depends(get_shadow)]) -> Response:
    """How the results of the shadow model differ from those of the default model, since the start."""
    return json_answer(ShadowBody.of(shadow))
