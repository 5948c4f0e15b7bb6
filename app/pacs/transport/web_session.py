"""HTTP requests to one DICOMweb node: credentials, limits, and status codes as errors.

Every request URL consists of the configured root and validated UIDs: neither a caller nor a response can redirect it.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import cast

import httpx

from app.errors import NodeRefused, NodeUnavailable
from app.pacs.nodes import DicomWebNode, read_secret
from app.pacs.transport.dicom_json import parsed
from app.pacs.values import Problem

JSON = "application/dicom+json"
MAX_RESPONSE_BYTES = 16 * 1024 * 1024
# Waiting or the administrator of the node can resolve these; any other 4xx is about the request itself.
_TRANSIENT = {
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.TOO_EARLY,
    HTTPStatus.TOO_MANY_REQUESTS,
}
_HINTS: dict[int, str] = {
    HTTPStatus.UNAUTHORIZED: ": it does not accept the password or token",
    HTTPStatus.FORBIDDEN: ": the user has no permission",
}


class WebSession:
    """The connection pool of one node. Use on one event loop."""

    def __init__(self, node: DicomWebNode) -> None:
        self._node = node
        self._root = node.url.rstrip("/")
        self._client = httpx.AsyncClient(
            timeout=node.timeout_s,
            verify=str(node.ca_file) if node.ca_file else True,
            follow_redirects=False,
            trust_env=False,
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def query(self, path: str, params: Mapping[str, str] | None = None) -> list[object] | None:
        """The rows of a query; None for status 404. Raises NodeUnavailable, NodeRefused."""
        response = await self.request("GET", path, MAX_RESPONSE_BYTES, headers={"Accept": JSON}, params=params)
        if response.status_code == HTTPStatus.NOT_FOUND:
            return None
        require_success(response)
        try:
            rows = parsed(response.content)
        except ValueError:
            rows = None
        if not isinstance(rows, list):
            raise NodeUnavailable("the query response of the node is not DICOM JSON")
        return cast("list[object]", rows)

    async def request(
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


def require_success(response: httpx.Response) -> None:
    """Raise NodeRefused or NodeUnavailable unless the status is one of success."""
    if not response.is_success:
        problem = problem_of_status(response)
        raise (NodeRefused if problem.permanent else NodeUnavailable)(problem.detail)


def problem_of_status(response: httpx.Response) -> Problem:
    """The problem of a status; never quotes the body, which can repeat what was sent."""
    status = response.status_code
    permanent = response.is_client_error and status not in _TRANSIENT
    code = NodeRefused.code if permanent else NodeUnavailable.code
    return Problem(code, f"the node returned status {status}{_HINTS.get(status, '')}", permanent)
