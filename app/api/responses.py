"""Responses: which media type a client accepts, and the bodies in it."""

import json
from collections.abc import Sequence
from typing import Any

from fastapi import Response
from pydantic import BaseModel

from app.errors import NotAcceptable
from app.fhir.bundle import VERSIONS, Release
from app.pacs.transport.multipart import DICOM, bundle
from app.service.objects import Objects

JSON, PNG, FHIR = "application/json", "image/png", "application/fhir+json"
OBJECT_PROBLEMS = "X-Object-Problems"


def json_answer(body: BaseModel, status: int = 200) -> Response:
    """A JSON response."""
    return Response(body.model_dump_json(), status, media_type=JSON)


def dicom_answer(made: Objects) -> Response:
    """One file as ``application/dicom``, several as ``multipart/related`` (PS3.18, 8.6.1.2), none as 204.

    Kinds that could not be made are listed in the header ``X-Object-Problems``, as JSON.
    """
    failures = [{"object": kind, "code": error.code, "detail": error.detail} for kind, error in made.problems.items()]
    headers = {OBJECT_PROBLEMS: json.dumps(failures)} if failures else {}
    if not made.files:
        return Response(status_code=204, headers=headers)
    if len(made.files) == 1:
        return Response(made.files[0], headers=headers, media_type=DICOM)
    media_type, body = bundle(made.files)
    return Response(body, headers={"Content-Type": media_type} | headers)


def fhir_answer(bundle: dict[str, Any], release: Release) -> Response:
    """A FHIR resource; the media type states the release (FHIR R4, 3.1.0.1.10)."""
    return Response(json.dumps(bundle), media_type=f"{FHIR}; fhirVersion={VERSIONS[release]}")


def choose_media_type(accept: str | None, offered: Sequence[str]) -> str:
    """The offered type that an ``Accept`` header prefers; the first one offered wins ties and a missing header.

    Source: RFC 9110, 12.5.1. Raises NotAcceptable if the header excludes every offered type.
    """
    if accept is None or not accept.strip():
        return offered[0]
    ranges = [_parse(part) for part in accept.split(",")]
    best = max(offered, key=lambda media_type: _quality(media_type, ranges))
    if _quality(best, ranges) <= 0:
        raise NotAcceptable(f"the response is available as {' or '.join(offered)}")
    return best


def _parse(part: str) -> tuple[str, float]:
    media_range, *parameters = (piece.strip() for piece in part.lower().split(";"))
    quality = 1.0
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                quality = float(value)
            except ValueError:
                quality = 0.0
    return media_range, quality


def _quality(media_type: str, ranges: Sequence[tuple[str, float]]) -> float:
    """The quality of the most specific range that matches a type."""
    patterns = ("*/*", media_type.split("/", maxsplit=1)[0] + "/*", media_type)  # from general to specific
    matching = [(patterns.index(name), quality) for name, quality in ranges if name in patterns]
    return max(matching, default=(0, 0.0))[1]
