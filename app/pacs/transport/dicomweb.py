"""A DICOMweb archive (PS3.18): QIDO-RS to query, WADO-RS to retrieve, STOW-RS to store.

Every request URL consists of the configured root and validated UIDs: neither a caller nor a response can redirect it.
"""

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, cast

import httpx

from app.dicom_objects.source_image import FILM_CLASSES
from app.errors import NodeRefused, NodeUnavailable
from app.imaging.acceptance import MODALITIES, is_chest
from app.pacs.nodes import DicomWebNode, read_secret
from app.pacs.transport.multipart import DICOM, bundle, only_part
from app.pacs.transport.protocols import Receipts, is_uid
from app.pacs.transport.status import PROCESSING_FAILURE, problem_of
from app.pacs.values import FoundInstance, Problem, Result

_JSON = "application/dicom+json"
_MAX_RESPONSE_BYTES = 16 * 1024 * 1024
_MODALITY, _BODY_PART, _SERIES, _CLASS, _INSTANCE = "00080060", "00180015", "0020000E", "00080016", "00080018"
_FAILED, _REFERENCED, _REASON = "00081198", "00081155", "00081197"
# Waiting or the administrator of the node can resolve these; any other 4xx is about the request itself.
_TRANSIENT = {
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.TOO_EARLY,
    HTTPStatus.TOO_MANY_REQUESTS,
}


class DicomWebClient:
    """One node, as source and as target. Use on one event loop, as an asynchronous context manager."""

    def __init__(self, node: DicomWebNode, max_instance_bytes: int) -> None:
        """``max_instance_bytes`` limits the size of a retrieved object."""
        self._node = node
        self._max_instance_bytes = max_instance_bytes
        self._root = node.url.rstrip("/")
        self._client = httpx.AsyncClient(
            timeout=node.timeout_s,
            verify=str(node.ca_file) if node.ca_file else True,
            follow_redirects=False,
            trust_env=False,
        )

    async def __aenter__(self) -> "DicomWebClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def find_instances(self, study_uid: str) -> list[FoundInstance]:
        """The chest radiographs of a study by modality, body part and class. Raises NodeUnavailable, NodeRefused."""
        found: list[FoundInstance] = []
        all_series = await self._query(f"studies/{study_uid}/series", {"includefield": _BODY_PART})
        if not all_series:
            raise NodeRefused("the source has no such study")
        for series in all_series:
            if _text(series, _MODALITY) not in MODALITIES or not is_chest(_text(series, _BODY_PART).upper()):
                continue
            series_uid = _uid(series, _SERIES)
            instances = await self._query(f"studies/{study_uid}/series/{series_uid}/instances", {})
            found += [
                FoundInstance(study_uid, series_uid, _uid(instance, _CLASS), _uid(instance, _INSTANCE))
                for instance in instances
                if _text(instance, _CLASS) in FILM_CLASSES
            ]
        return found

    async def fetch(self, study_uid: str, series_uid: str, sop_instance_uid: str) -> bytes:
        """One object in the transfer syntax in which it is stored. Raises NodeUnavailable, NodeRefused."""
        path = f"studies/{study_uid}/series/{series_uid}/instances/{sop_instance_uid}"
        accept = f'multipart/related; type="{DICOM}"; transfer-syntax=*'
        response = await self._request("GET", path, self._max_instance_bytes, headers={"Accept": accept})
        _require_success(response)
        try:
            return only_part(response.headers.get("content-type", ""), response.content)
        except ValueError as error:
            raise NodeUnavailable(f"the response of the source is unreadable: {error}") from None

    async def send(self, results: Sequence[Result]) -> Receipts:
        """Store objects, and verify each by query. Raises NodeUnavailable."""
        media_type, body = bundle(result.content for result in results)
        headers = {"Content-Type": media_type, "Accept": _JSON}
        response = await self._request("POST", "studies", _MAX_RESPONSE_BYTES, headers=headers, content=body)
        failed = _failures(response)
        if not response.is_success and response.status_code != HTTPStatus.CONFLICT:
            problem = _problem(response)
            return {result.sop_instance_uid: failed.get(result.sop_instance_uid, problem) for result in results}
        return {
            result.sop_instance_uid: failed.get(result.sop_instance_uid) or await self._verify(result, response)
            for result in results
        }

    async def _verify(self, result: Result, stored: httpx.Response) -> Problem | None:
        query = {_INSTANCE: result.sop_instance_uid}
        if await self._query(f"studies/{result.study_uid}/instances", query):
            return None
        if stored.is_success:
            return Problem(NodeUnavailable.code, "the target confirmed the object but does not return it in a query")
        return _problem(stored)

    async def _query(self, path: str, params: Mapping[str, str]) -> list[object]:
        response = await self._request("GET", path, _MAX_RESPONSE_BYTES, headers={"Accept": _JSON}, params=params)
        if response.status_code in {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_FOUND}:
            return []
        _require_success(response)
        found = _parsed(response)
        if not isinstance(found, list):
            raise NodeUnavailable("the query response of the node is not DICOM JSON")
        return cast("list[object]", found)

    async def _request(
        self,
        method: str,
        path: str,
        max_bytes: int,
        *,
        headers: Mapping[str, str],
        params: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> httpx.Response:
        """The complete response, of at most ``max_bytes``. Raises NodeUnavailable, NodeRefused."""
        url = f"{self._root}/{path}"
        all_headers = {**headers, **self._credentials()}
        try:
            async with self._client.stream(
                method, url, headers=all_headers, params=params, content=content
            ) as response:
                body = bytearray()
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > max_bytes:
                        raise NodeRefused(f"the response of the node is larger than {max_bytes} bytes")
        except (httpx.TransportError, httpx.DecodingError) as error:
            raise NodeUnavailable(f"the node cannot be reached: {type(error).__name__}") from None
        kept = {name: value for name, value in response.headers.items() if name == "content-type"}
        return httpx.Response(response.status_code, headers=kept, content=bytes(body))

    def _credentials(self) -> dict[str, str]:
        """Read for every request, so that a rotated secret takes effect at once. Raises ConfigurationError."""
        if self._node.token_file is not None:
            return {"Authorization": f"Bearer {read_secret(self._node.token_file)}"}
        if self._node.username is not None and self._node.password_file is not None:
            request = httpx.Request("GET", self._root)
            auth = httpx.BasicAuth(self._node.username, read_secret(self._node.password_file))
            return {"Authorization": next(auth.auth_flow(request)).headers["Authorization"]}
        return {}


def _require_success(response: httpx.Response) -> None:
    if not response.is_success:
        problem = _problem(response)
        raise (NodeRefused if problem.permanent else NodeUnavailable)(problem.detail)


def _problem(response: httpx.Response) -> Problem:
    """The problem of a status; never quotes the body, which can repeat what was sent."""
    status = response.status_code
    permanent = response.is_client_error and status not in _TRANSIENT
    code = NodeRefused.code if permanent else NodeUnavailable.code
    return Problem(code, f"the node returned status {status}", permanent)


def _failures(response: httpx.Response) -> dict[str, Problem]:
    """The objects that a STOW-RS response lists as failed (PS3.18 section 10.5.3), for any status."""
    try:
        body = _parsed(response)
    except NodeUnavailable:
        return {}
    failed: dict[str, Problem] = {}
    for item in _values(body, _FAILED):
        reason = _first(item, _REASON)
        failed[_text(item, _REFERENCED)] = problem_of(reason if isinstance(reason, int) else PROCESSING_FAILURE)
    return failed


def _parsed(response: httpx.Response) -> object:
    if not response.content:
        return []
    try:
        return json.loads(response.content)
    except (ValueError, RecursionError):
        raise NodeUnavailable("the response of the node is not JSON") from None


def _values(attributes: object, tag: str) -> list[object]:
    """The values of an attribute of the DICOM JSON model; empty if the response has another form."""
    try:
        values = cast(Any, attributes)[tag]["Value"]
    except (KeyError, IndexError, TypeError):
        return []
    return cast("list[object]", values) if isinstance(values, list) else []


def _first(attributes: object, tag: str) -> object:
    return next(iter(_values(attributes, tag)), None)


def _text(attributes: object, tag: str) -> str:
    value = _first(attributes, tag)
    return value.strip(" \0") if isinstance(value, str) else ""


def _uid(attributes: object, tag: str) -> str:
    text = _text(attributes, tag)
    if not is_uid(text):
        raise NodeUnavailable("the query response of the node contains no valid UID")
    return text
