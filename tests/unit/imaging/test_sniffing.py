import pytest

from app.errors import UnreadableImage
from app.imaging.sniffing import sniff
from tests import factories as make


def test_formats_are_told_by_their_bytes():
    gray = make.film_8bit()
    assert sniff(make.chest_dicom()) == "dicom"
    assert sniff(make.png_file(gray)) == "png"
    assert sniff(make.jpeg_file(gray)) == "jpeg"


def test_dicom_wins_over_what_its_preamble_pretends():
    data = make.chest_dicom()
    png = make.png_file(make.film_8bit())
    assert sniff(png[:128] + data[128:]) == "dicom"


def test_a_data_set_without_preamble_is_dicom():
    data = make.chest_dicom()
    assert sniff(data[132:]) == "dicom"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x08",
        b"GIF89a" + bytes(300),
        b"%PDF-1.7 " + bytes(300),
        b"the patient has no fever " * 20,
        b"\x08\x00\x05\xff\x10\x00\x00\x00\x00\x00\x00\x00",
        b"\x08\x00\xf5\x00\x10\x00\x00\x00\x00\x00\x00\x00",
    ],
)
def test_other_bytes_are_refused_naming_what_is_accepted(data):
    with pytest.raises(UnreadableImage, match="DICOM, PNG nor JPEG"):
        sniff(data)
