"""A fast PNG writer: about half the time of a general encoder at about the same size, for radiographs and overlays."""

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GRAYSCALE, _TRUECOLOUR = 0, 2
_FILTER_UP = 2  # difference from the byte above, for all rows; general encoders try five filters
_LEVEL, _MEMORY = 1, 9


def encode_png(image: NDArray[np.uint8] | NDArray[np.uint16]) -> bytes:
    """A lossless PNG of an image [H, W] or [H, W, 3]. Source: PNG, third edition, sections 9.2 and 11.2."""
    rows, columns = image.shape[:2]
    bits = 8 * image.itemsize
    flat = np.ascontiguousarray(image.astype(f">u{image.itemsize}", copy=False)).view(np.uint8).reshape(rows, -1)
    filtered = np.empty((rows, 1 + flat.shape[1]), np.uint8)
    filtered[:, 0] = _FILTER_UP
    filtered[0, 1:] = flat[0]
    np.subtract(flat[1:], flat[:-1], out=filtered[1:, 1:])
    deflate = zlib.compressobj(_LEVEL, zlib.DEFLATED, zlib.MAX_WBITS, _MEMORY, zlib.Z_RLE)
    colour = _GRAYSCALE if image.ndim == 2 else _TRUECOLOUR
    header = struct.pack(">IIBBBBB", columns, rows, bits, colour, 0, 0, 0)
    body = deflate.compress(filtered.data) + deflate.flush()
    return b"".join((_SIGNATURE, _chunk(b"IHDR", header), _chunk(b"IDAT", body), _chunk(b"IEND", b"")))


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
