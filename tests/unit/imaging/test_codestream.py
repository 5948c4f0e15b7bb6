import pytest
from pydicom import uid

from app.imaging.codestream import FrameSize, frame_size, jpeg_size
from app.imaging.dicom.encapsulation import without_trailer
from tests import factories as make


@pytest.mark.parametrize(
    "syntax", [uid.JPEGBaseline8Bit, uid.JPEGLSLossless, uid.JPEG2000Lossless], ids=lambda syntax: syntax.name
)
def test_the_size_is_read_from_the_header(syntax):
    frame = make.encoded_frame(make.film_8bit(), syntax, 8)
    assert frame_size(frame) == FrameSize(make.ROWS, make.COLUMNS, 1)


def test_the_samples_of_a_colour_frame_are_counted():
    assert frame_size(make.jpeg_file(make.colour_photo())) == FrameSize(make.ROWS, make.COLUMNS, 3)


def test_a_jpeg_2000_codestream_is_found_inside_a_jp2_file():
    frame = make.encoded_frame(make.film(), uid.JPEG2000Lossless)
    assert frame_size(b"\0\0\0\x0cjP  \r\n\x87\n" + frame) == FrameSize(make.ROWS, make.COLUMNS, 1)


def test_fill_bytes_and_standalone_markers_are_passed_over():
    frame = make.jpeg_file(make.film_8bit())
    assert jpeg_size(frame[:2] + b"\xff\xd0\xff\xff" + frame[3:]) == FrameSize(make.ROWS, make.COLUMNS, 1)


@pytest.mark.parametrize("frame", [b"", b"\xff\xd8", b"\xff\xd8" + bytes(20), b"\xff\x4f\xff\x51\0", b"text" * 30])
def test_a_frame_without_header_has_no_size(frame):
    assert frame_size(frame) is None


def test_a_segment_of_no_length_does_not_stop_the_search():
    assert jpeg_size(b"\xff\xd8" + b"\xff\xe0\0\0" * 1000) is None


def test_the_end_marker_is_found_behind_padding_only():
    frame = make.encoded_frame(make.film(), uid.JPEG2000Lossless)
    assert without_trailer(frame) == frame
    assert without_trailer(frame + bytes(20)) == frame
    assert without_trailer(frame[: len(frame) // 2]) is None
