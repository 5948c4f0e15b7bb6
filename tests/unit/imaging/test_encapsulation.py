"""Compressed frames are found in encapsulations as faulty as viewers accept them, and never invented."""

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import uid

from app.errors import UnreadableImage
from app.imaging.decode import decode_image
from app.imaging.dicom.encapsulation import single_frame
from app.imaging.radiograph import DecodeLimits
from tests import factories as make

LIMITS = DecodeLimits()
DELIMITER = b"\xfe\xff\xdd\xe0\0\0\0\0"
SYNTAXES = [uid.JPEG2000Lossless, uid.JPEGLSLossless, uid.JPEGLosslessSV1, uid.RLELossless]
CODESTREAMS = SYNTAXES[:3]


def item(value: bytes) -> bytes:
    value += b"\0" * (len(value) % 2)
    return b"\xfe\xff\x00\xe0" + len(value).to_bytes(4, "little") + value


def file_of(syntax: str, fragments: list[bytes], table: bytes | None = b"", end: bytes = DELIMITER) -> bytes:
    """A film whose pixel data are these fragments behind this offset table."""
    whole = make.compressed_dicom(make.encoded_frame(make.film(), syntax), syntax, make.film())
    start = whole.index(b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff") + 12
    items = [] if table is None else [item(table)]
    return whole[:start] + b"".join([*items, *map(item, fragments)]) + end


def shown(data: bytes) -> np.ndarray:
    return decode_image(data, LIMITS).pixels


EXPECTED = shown(make.chest_dicom())


@pytest.fixture(scope="module")
def frames() -> dict[str, bytes]:
    return {syntax: make.encoded_frame(make.film(), syntax) for syntax in SYNTAXES}


@pytest.mark.parametrize("table", [b"", b"\0\0\0\0", b"\x14\0\0\0", b"\xff\xff\xff\xff", b"\0\0\0\0\x20\0\0\0"])
@pytest.mark.parametrize("syntax", SYNTAXES)
def test_the_offset_table_does_not_matter(frames, syntax, table):
    assert np.allclose(shown(file_of(syntax, [frames[syntax]], table)), EXPECTED, atol=1e-6)


@pytest.mark.parametrize("syntax", CODESTREAMS)
def test_a_missing_offset_table_does_not_matter(frames, syntax):
    assert np.allclose(shown(file_of(syntax, [frames[syntax]], None)), EXPECTED, atol=1e-6)


@pytest.mark.parametrize("parts", [2, 5])
@pytest.mark.parametrize("syntax", SYNTAXES)
def test_several_fragments_are_one_frame(frames, syntax, parts):
    frame = frames[syntax] + b"\0" * (len(frames[syntax]) % 2)
    step = len(frame) // parts // 2 * 2
    cut = [frame[begin : begin + step] for begin in range(0, len(frame), step)]
    assert np.allclose(shown(file_of(syntax, cut)), EXPECTED, atol=1e-6)


@pytest.mark.parametrize("trailer", [bytes(20), b"\xff" * 7, b" " * 100, bytes(5000)])
@pytest.mark.parametrize("syntax", CODESTREAMS)
def test_what_follows_the_end_marker_does_not_matter(frames, syntax, trailer):
    assert np.allclose(shown(file_of(syntax, [frames[syntax] + trailer])), EXPECTED, atol=1e-6)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_missing_sequence_delimiter_does_not_matter(frames, syntax):
    assert np.allclose(shown(file_of(syntax, [frames[syntax]], end=b"")), EXPECTED, atol=1e-6)


@pytest.mark.parametrize("end", [DELIMITER, b""])
@pytest.mark.parametrize("syntax", CODESTREAMS)
def test_a_truncated_frame_is_still_refused(frames, syntax, end):
    frame = frames[syntax]
    with pytest.raises(UnreadableImage, match="end marker"):
        shown(file_of(syntax, [frame[: len(frame) // 2]], end=end))


@given(st.binary(max_size=200))
def test_any_bytes_are_fragments_or_a_refusal(data):
    with suppress(UnreadableImage):
        assert isinstance(single_frame(data), bytes)
