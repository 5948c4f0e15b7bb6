"""The viewer: its static files, the radiograph as decoded, and the example."""

import hashlib
from asyncio import to_thread
from importlib.resources import files
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import Response
from pydicom.data import get_testdata_file

from app.api.openapi import IMAGE_BODY, IMAGE_PROBLEMS, ServicesOf
from app.api.queries import FilmQuery
from app.api.responses import PNG, choose_media_type
from app.api.security import GuardedRoute, requires
from app.api.uploads import read_image
from app.errors import ResultNotFound
from app.rendering.overlay import render_film

router = APIRouter(route_class=GuardedRoute)

_MEDIA_TYPES = {"html": "text/html; charset=utf-8", "css": "text/css; charset=utf-8", "js": "text/javascript"}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_EXAMPLE = "RG1_J2KI.dcm"


def _read(name: str) -> bytes:
    return files("app.viewer").joinpath(name).read_bytes()


_NAMES = sorted(file.name for file in files("app.viewer").iterdir() if file.name.endswith((".css", ".js")))
_FILES = {name: _read(name) for name in ("index.html", *_NAMES)}


@router.get("/", include_in_schema=False)
@requires("public")
async def index(if_none_match: Annotated[str | None, Header()] = None) -> Response:
    """The page of the viewer."""
    return _file("index.html", if_none_match)


@router.get("/viewer/example", include_in_schema=False)
@requires("public")
async def example() -> Response:
    """A chest radiograph of the package ``pydicom-data``. Raises ResultNotFound if it is not installed."""
    path = get_testdata_file(_EXAMPLE, read=False, download=False)
    if path is None:
        raise ResultNotFound("the example radiograph is not installed on this service")
    return Response(await to_thread(Path(str(path)).read_bytes), media_type="application/dicom")


@router.get("/viewer/{name}", include_in_schema=False)
@requires("public")
async def viewer_file(name: str, if_none_match: Annotated[str | None, Header()] = None) -> Response:
    """A static file of the viewer. Raises ResultNotFound for any other name."""
    if name not in _NAMES:
        raise ResultNotFound("the viewer has no such file")
    return _file(name, if_none_match)


@router.post(
    "/film",
    responses={**IMAGE_PROBLEMS, 200: {"content": {PNG: {"schema": {"type": "string", "format": "binary"}}}}},
    openapi_extra=IMAGE_BODY,
)
@requires("explain")
async def film(
    request: Request,
    services: ServicesOf,
    query: Annotated[FilmQuery, Query()],
    accept: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> Response:
    """The decoded radiograph, display-ready, as a grayscale PNG in its own geometry."""
    choose_media_type(accept, [PNG])
    with services.lifecycle.admit(services.settings.request_timeout_s) as job:
        data = await read_image(request, services.settings.max_body_bytes, job.deadline)
        radiograph = await services.predictor.decode(data, job.deadline, job.watch)
        content = await to_thread(render_film, radiograph.pixels, query.size, query.depth)
    return Response(content, media_type=PNG)


def _file(name: str, known: str | None) -> Response:
    content = _FILES[name]
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {
        "ETag": tag,
        "Cache-Control": "no-cache",
        "Content-Security-Policy": _POLICY,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }
    if known is not None and tag in known:
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=_MEDIA_TYPES[name.rsplit(".", 1)[1]], headers=headers)
