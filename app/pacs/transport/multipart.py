"""DICOM files as multipart/related messages (PS3.18 section 8.6.1.2)."""

import secrets
from collections.abc import Iterable

from multipart import parse_options_header

DICOM = "application/dicom"
_RELATED = "multipart/related"
RELATED_DICOM = f'{_RELATED}; type="{DICOM}"'


def bundle(files: Iterable[bytes]) -> tuple[str, bytes]:
    """Media type and body of a request with DICOM files."""
    boundary = secrets.token_hex(16)
    head = f"--{boundary}\r\nContent-Type: {DICOM}\r\n\r\n".encode()
    body = b"".join(part for file in files for part in (head, file, b"\r\n")) + f"--{boundary}--\r\n".encode()
    return f"{RELATED_DICOM}; boundary={boundary}", body


def only_part(content_type: str, body: bytes) -> bytes:
    """The only file of a response, multipart or not. Raises ValueError for anything else."""
    media_type, options = parse_options_header(content_type)
    if media_type == DICOM:
        return body
    boundary = options.get("boundary")
    if media_type != _RELATED or not boundary:
        raise ValueError("neither a DICOM file nor parts of one")
    delimiter = b"--" + boundary.encode()
    start = body.find(delimiter)
    content = body.find(b"\r\n\r\n", start) + 4
    end = body.find(b"\r\n" + delimiter, content)
    if start < 0 or content < 4 or end < 0:
        raise ValueError("an incomplete part")
    if not body[end + 2 + len(delimiter) :].startswith(b"--"):
        raise ValueError("more than one part")
    return body[content:end]
