"""Stores objects by STOW-RS (PS3.18 section 10.5), and determines the outcome of each object separately."""

from collections.abc import Sequence
from http import HTTPStatus

import httpx

from app.errors import NodeRefused, NodeUnavailable
from app.pacs.transport.dicom_json import (
    FAILED_SEQUENCE,
    FAILURE_REASON,
    INSTANCE,
    REFERENCED_INSTANCE,
    first,
    parsed,
    text,
    values,
)
from app.pacs.transport.multipart import bundle
from app.pacs.transport.protocols import Receipts
from app.pacs.transport.status import PROCESSING_FAILURE, is_stored, problem_of
from app.pacs.transport.web_session import JSON, MAX_RESPONSE_BYTES, WebSession, problem_of_status
from app.pacs.values import Problem, Result

_UNVERIFIED = Problem(NodeUnavailable.code, "the target confirmed the object but does not return it in a query")


async def store(session: WebSession, results: Sequence[Result]) -> Receipts:
    """Store objects. If the node refuses the whole request, each object is sent alone. Raises NodeUnavailable."""
    response = await _post(session, results)
    if len(results) > 1 and _is_about_content(response):
        return {result.sop_instance_uid: await _store_alone(session, result) for result in results}
    listed = _listed(response)
    return {result.sop_instance_uid: await _outcome(session, result, response, listed) for result in results}


async def _outcome(
    session: WebSession, result: Result, response: httpx.Response, listed: dict[str, Problem | None]
) -> Problem | None:
    """None if the node has the object: by its own statement, or found by query."""
    uid = result.sop_instance_uid
    if uid in listed and listed[uid] is None:
        return None
    is_final = response.is_success or response.status_code == HTTPStatus.CONFLICT or _is_about_content(response)
    if is_final and await _is_found(session, result):
        return None
    return listed.get(uid) or (_UNVERIFIED if response.is_success else problem_of_status(response))


async def _store_alone(session: WebSession, result: Result) -> Problem | None:
    try:
        return (await store(session, [result]))[result.sop_instance_uid]
    except (NodeUnavailable, NodeRefused) as error:
        return Problem(error.code, error.detail, permanent=isinstance(error, NodeRefused))


async def _post(session: WebSession, results: Sequence[Result]) -> httpx.Response:
    media_type, body = bundle(result.content for result in results)
    headers = {"Content-Type": media_type, "Accept": JSON}
    return await session.request("POST", "studies", MAX_RESPONSE_BYTES, headers=headers, content=body)


def _is_about_content(response: httpx.Response) -> bool:
    """Whether one of the objects can be the reason for the failure of the whole request."""
    if response.status_code == HTTPStatus.CONFLICT:  # lists the outcome of each object
        return False
    return problem_of_status(response).permanent or response.status_code == HTTPStatus.INTERNAL_SERVER_ERROR


def _listed(response: httpx.Response) -> dict[str, Problem | None]:
    """The outcomes of the objects in the Failed SOP Sequence, for any status: None if the node has the object."""
    try:
        body = parsed(response.content)
    except ValueError:
        return {}
    listed: dict[str, Problem | None] = {}
    for item in values(body, FAILED_SEQUENCE):
        given = first(item, FAILURE_REASON)
        reason = given if type(given) is int and given > 0 else PROCESSING_FAILURE
        listed[text(item, REFERENCED_INSTANCE)] = None if is_stored(reason) else problem_of(reason)
    return listed


async def _is_found(session: WebSession, result: Result) -> bool:
    """Whether a query returns the object; some archives ignore the filter, so the rows are compared."""
    uid = result.sop_instance_uid
    try:
        rows = await session.query(f"studies/{result.study_uid}/instances", {INSTANCE: uid})
    except (NodeUnavailable, NodeRefused):
        return False
    return any(text(row, INSTANCE) == uid for row in rows or ())
