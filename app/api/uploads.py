"""Reading the image of a request: bounded in size and time, in memory (never on disk), raw or as multipart."""

import asyncio
import hashlib
from dataclasses import dataclass, field
from time import monotonic

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from app.audit import subject_var
from app.errors import BodyTooLarge, DeadlineExceeded, EmptyBody, MalformedRequest, UnsupportedMediaType

RAW_TYPES = ("application/dicom", "image/png", "image/jpeg", "application/octet-stream")
FILE_PART = "file"
_MULTIPART = "multipart/form-data"
_FRAMING_ALLOWANCE = 16 * 1024  # part headers and boundaries around a file of the largest size
_MOST_PARTS = 16


async def read_image(request: Request, max_bytes: int, deadline: float) -> bytes:
    """The bytes of the one image of a request.

    A raw body of one of ``RAW_TYPES`` (no type counts as octet-stream), or multipart/form-data with one part named
    ``file``. The type only says how the body is framed; which image format it holds is decided by its bytes.
    ``deadline`` is on the ``time.monotonic`` clock.

    Raises:
        UnsupportedMediaType: another type.
        BodyTooLarge: more bytes than ``max_bytes`` arrived, counted while they stream in.
        EmptyBody: no bytes.
        DeadlineExceeded: the body did not arrive in time.
        MalformedRequest: broken multipart, or the client went away.
    """
    media_type, options = parse_options_header(request.headers.get("content-type", "application/octet-stream"))
    name = media_type.decode("latin-1").lower()
    if name == _MULTIPART:
        boundary = options.get(b"boundary")
        if not boundary:
            raise MalformedRequest("multipart/form-data without a boundary")
        body = await read_bounded(request, max_bytes + _FRAMING_ALLOWANCE, deadline)
        return await _noted(_only_file(body, boundary, max_bytes))
    if name not in RAW_TYPES:
        raise UnsupportedMediaType(f"send {', '.join(RAW_TYPES)}, or {_MULTIPART} with a part named '{FILE_PART}'")
    return await _noted(await read_bounded(request, max_bytes, deadline))


async def _noted(image: bytes) -> bytes:
    """The image, once the audit log knows which it is."""
    subject = subject_var.get()
    if subject is not None:
        digest = await asyncio.to_thread(hashlib.sha256, image)
        subject.object_sha256 = digest.hexdigest()
    return image


async def read_bounded(request: Request, max_bytes: int, deadline: float) -> bytes:
    """A whole body. Raises BodyTooLarge, EmptyBody, DeadlineExceeded and MalformedRequest as ``read_image`` does."""
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
        raise MalformedRequest("the client went away before the body was complete") from None
    if not body:
        raise EmptyBody("the body is empty")
    return bytes(body)


def _too_large(max_bytes: int) -> BodyTooLarge:
    return BodyTooLarge(f"the body is larger than the limit of {max_bytes} bytes")


@dataclass
class _Part:
    header_name: bytearray = field(default_factory=bytearray)
    header_value: bytearray = field(default_factory=bytearray)
    name: bytes = b""
    content: list[bytes] = field(default_factory=list[bytes])

    def end_header(self) -> None:
        if bytes(self.header_name).lower() == b"content-disposition":
            _, options = parse_options_header(bytes(self.header_value))
            self.name = options.get(b"name", b"")
        self.header_name.clear()
        self.header_value.clear()


@dataclass
class _Parts:
    """Collects the parts of one body from the parser's callbacks."""

    parts: list[_Part] = field(default_factory=list[_Part])
    ended: bool = False

    def begin(self) -> None:
        if len(self.parts) == _MOST_PARTS:
            raise MalformedRequest(f"more than {_MOST_PARTS} parts")
        self.parts.append(_Part())

    def header_name(self, data: bytes, start: int, end: int) -> None:
        self.parts[-1].header_name += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self.parts[-1].header_value += data[start:end]

    def header_end(self) -> None:
        self.parts[-1].end_header()

    def content(self, data: bytes, start: int, end: int) -> None:
        self.parts[-1].content.append(data[start:end])

    def end(self) -> None:
        self.ended = True


def _only_file(body: bytes, boundary: bytes, max_bytes: int) -> bytes:
    collected = _Parts()
    parser = MultipartParser(
        boundary,
        {
            "on_part_begin": collected.begin,
            "on_header_field": collected.header_name,
            "on_header_value": collected.header_value,
            "on_header_end": collected.header_end,
            "on_part_data": collected.content,
            "on_end": collected.end,
        },
    )
    try:
        parser.write(body)
        parser.finalize()
    except FormParserError:
        raise MalformedRequest("the multipart body is broken") from None
    if not collected.ended:
        raise MalformedRequest("the multipart body ends before its closing boundary")
    files = [part for part in collected.parts if part.name == FILE_PART.encode()]
    if len(files) != 1:
        raise MalformedRequest(f"expected one part named '{FILE_PART}', found {len(files)}")
    image = b"".join(files[0].content)
    if not image:
        raise EmptyBody(f"the part '{FILE_PART}' is empty")
    if len(image) > max_bytes:
        raise _too_large(max_bytes)
    return image
