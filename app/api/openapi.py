"""What the routes share: their dependencies, and the parts of the OpenAPI document that FastAPI cannot derive."""

from typing import Annotated, Any

from fastapi import Depends, Header, Request

from app.api.problems import PROBLEM_JSON, PROBLEM_SCHEMA
from app.api.uploads import FILE_PART, RAW_TYPES
from app.service.comparison.results import Pair
from app.service.services import Services


async def get_services(request: Request) -> Services:
    """The services that the composition root attached. A coroutine: FastAPI runs plain functions in a thread."""
    services: Services = request.app.state.services
    return services


ServicesOf = Annotated[Services, Depends(get_services)]
Accept = Annotated[str | None, Header(include_in_schema=False)]

BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
"""Media type object of a body of bytes."""

_FORM: dict[str, Any] = {
    "schema": {"type": "object", "required": [FILE_PART], "properties": {FILE_PART: BINARY["schema"]}}
}
IMAGE_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "The file of a radiograph: DICOM, PNG or JPEG. To try it, save the "
        "[example radiograph](viewer/example) of the package pydicom-data and choose it as the file.",
        "content": {**dict.fromkeys(RAW_TYPES, BINARY), "multipart/form-data": _FORM},
    }
}
"""The body of a request with an image."""

PAIR_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "The files of two radiographs of one patient: DICOM, PNG or JPEG.",
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": [*Pair._fields],
                    "properties": dict.fromkeys(Pair._fields, BINARY["schema"]),
                }
            }
        },
    }
}
"""The body of a request with two images."""


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Problem responses with these statuses."""
    content = {PROBLEM_JSON: {"schema": PROBLEM_SCHEMA}}
    return {status: {"description": "Problem", "content": content} for status in statuses}


IMAGE_PROBLEMS = problems(400, 401, 403, 406, 413, 415, 422, 429, 500, 503, 504)
