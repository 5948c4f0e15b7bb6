"""Reading the image of a request: raw or as multipart, within limits of size and time, in memory only."""

import asyncio
from collections.abc import Iterator
from time import monotonic

from multipart import MultipartError, MultipartSegment, ParserLimitReached, PushMultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from app.audit import subject_var
from app.errors import (
    BodyTooLarge,
    DeadlineExceeded,
    EmptyBody,
    MalformedRequest,
    UnreadableImage,
    UnsupportedMediaType,
)
from app.imaging.sniffing import sniff
from app.service.comparison.results import Pair

RAW_TYPES = ("application/dicom", "image/png", "image/jpeg", "application/octet-stream")
FILE_PART = "file"
_MULTIPART = "multipart/form-data"
_DEFAULT_OF_CURL = "application/x-www-form-urlencoded"
_FRAMING_ALLOWANCE = 16 * 1024  # part headers and boundaries around a file of the largest size
_MAX_PARTS = 16


async def read_image(request: Request, max_bytes: int, deadline: float) -> bytes:
    """The bytes of the image of a request.

    The body is raw, with one of ``RAW_TYPES`` (no type counts as octet-stream), or multipart/form-data with one part
    named ``file``. The media type determines the framing only; the bytes determine the image format. Raw bytes of an
    image are also accepted as application/x-www-form-urlencoded, which ``curl --data-binary`` sends by default.
    ``deadline`` is on the ``time.monotonic`` clock.

    Raises:
        UnsupportedMediaType: another media type, or a compressed body.
        BodyTooLarge: more bytes than ``max_bytes``, counted while they arrive.
        EmptyBody: no bytes.
        DeadlineExceeded: the body did not arrive in time.
        MalformedRequest: broken multipart, or the client disconnected.
    """
    name, boundary = _framing(request)
    if boundary is not None:
        parts = await _read_form(request, boundary, max_bytes, deadline)
        return await recorded(_single(parts, FILE_PART, max_bytes))
    if name not in {*RAW_TYPES, _DEFAULT_OF_CURL}:
        raise _unsupported()
    body = await read_bounded(request, max_bytes, deadline)
    if name == _DEFAULT_OF_CURL and not _is_image(body):
        raise _unsupported()
    return await recorded(body)


async def read_pair(request: Request, max_bytes: int, deadline: float) -> Pair[bytes]:
    """The bytes of both images of a comparison, from multipart/form-data with the parts ``current`` and ``prior``.

    Each has at most ``max_bytes``. Raises what ``read_image`` raises.
    """
    _, boundary = _framing(request)
    if boundary is None:
        raise UnsupportedMediaType(f"send {_MULTIPART} with the parts {' and '.join(map(repr, Pair._fields))}")
    parts = await _read_form(request, boundary, len(Pair._fields) * max_bytes, deadline)
    files = [_single(parts, name, max_bytes) for name in Pair._fields]
    return Pair(*[await recorded(file) for file in files])


def _framing(request: Request) -> tuple[str, str | None]:
    """The media type of the body, and its boundary if it is multipart. Raises MalformedRequest without a boundary."""
    name, options = parse_options_header(request.headers.get("content-type", "application/octet-stream"))
    if name == _MULTIPART and not options.get("boundary"):
        raise MalformedRequest("multipart/form-data without a boundary")
    return name, options["boundary"] if name == _MULTIPART else None


def _unsupported() -> UnsupportedMediaType:
    return UnsupportedMediaType(f"send {', '.join(RAW_TYPES)}, or {_MULTIPART} with a part named '{FILE_PART}'")


def _is_image(body: bytes) -> bool:
    try:
        sniff(body)
    except UnreadableImage:
        return False
    return True


async def recorded(image: bytes) -> bytes:
    """The image, after its hash is recorded for the audit log."""
    subject = subject_var.get()
    if subject is not None:
        await asyncio.to_thread(subject.note_object, image)
    return image


async def read_bounded(request: Request, max_bytes: int, deadline: float) -> bytes:
    """A whole body, at most ``max_bytes``. Raises what ``read_image`` raises for bodies."""
    if (encoding := request.headers.get("content-encoding", "identity").strip().lower()) not in {"", "identity"}:
        raise UnsupportedMediaType(f"send the body without Content-Encoding; '{encoding[:20]}' is not supported")
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > max_bytes:
        raise _too_large(max_bytes)
    body = bytearray()
    try:
        async with asyncio.timeout(max(0.0, deadline - monotonic())):
            async for chunk in request.stream():
                body += chunk
                if len(body) > max_bytes:
                    raise _too_large(max_bytes)
    except TimeoutError:
        raise DeadlineExceeded("the body did not arrive before the deadline") from None
    except ClientDisconnect:
        raise MalformedRequest("the client disconnected before the body was complete") from None
    if not body:
        raise EmptyBody("the body is empty")
    return bytes(body)


def _too_large(max_bytes: int) -> BodyTooLarge:
    return BodyTooLarge(f"the body is larger than the limit of {max_bytes} bytes")


async def _read_form(
    request: Request, boundary: str, max_bytes: int, deadline: float
) -> list[tuple[str | None, bytes]]:
    """Name and content of every part of a form whose files have at most ``max_bytes``."""
    body = await read_bounded(request, max_bytes + _FRAMING_ALLOWANCE, deadline)
    try:
        return list(_parts(body, boundary))
    except ParserLimitReached:
        raise MalformedRequest(f"the multipart body has more than {_MAX_PARTS} parts, or too large headers") from None
    except MultipartError:
        raise MalformedRequest("the multipart body is broken or incomplete") from None


def _single(parts: list[tuple[str | None, bytes]], wanted: str, max_bytes: int) -> bytes:
    files = [content for name, content in parts if name == wanted]
    if len(files) != 1:
        raise MalformedRequest(f"expected one part named '{wanted}', found {len(files)}")
    image = files[0]
    if not image:
        raise EmptyBody(f"the part '{wanted}' is empty")
    if len(image) > max_bytes:
        raise _too_large(max_bytes)
    return image


def _parts(body: bytes, boundary: str) -> Iterator[tuple[str | None, bytes]]:
    """Name and content of every part. Raises MultipartError unless the body is complete and within the limits."""
    name: str | None = None
    chunks: list[bytes] = []
    with PushMultipartParser(boundary, max_segment_count=_MAX_PARTS) as parser:
        for event in parser.parse(body):
            if isinstance(event, MultipartSegment):
                name, chunks = event.name, []
            elif event is None:
                yield name, b"".join(chunks)
            else:
                chunks.append(bytes(event))
