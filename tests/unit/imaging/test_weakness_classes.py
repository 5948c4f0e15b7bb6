"""One family of files for each class of weakness published for DICOM servers in 2026, made here by code.

Header overrun, deflate bomb, lying lengths, dimension overflow, palette overflow: each ends as a refusal, soon, and
without the memory that the file asks for.
"""

import struct
import tracemalloc
import zlib
from io import BytesIO
from time import process_time

import numpy as np
import pytest
from pydicom import Dataset, uid
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.filewriter import write_file_meta_info
from pydicom.sequence import Sequence

from app.errors import ImageError
from app.imaging.decode import decode_image
from app.imaging.radiograph import DecodeLimits
from tests import factories as make

MIB = 1024 * 1024
LIMITS = DecodeLimits(pixels=4_000_000, inflated_bytes=16 * MIB)
PIXELS = b"\xe0\x7f\x10\x00"


def element(tag: int, vr: bytes, length: int, value: bytes) -> bytes:
    """An explicit little endian element that claims any length."""
    head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr)
    long = vr in {b"OB", b"OW", b"SQ", b"UN", b"UT", b"OD", b"OL"}
    return head + (struct.pack("<HI", 0, length) if long else struct.pack("<H", length)) + value


def after_meta(syntax: str, body: bytes) -> bytes:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = uid.DigitalXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = "1.2.826.0.1.3680043.8.498.1"
    meta.TransferSyntaxUID = uid.UID(syntax)
    head = BytesIO()
    write_file_meta_info(head, meta)
    return bytes(128) + b"DICM" + head.getvalue() + body


def film_with(tag_bytes: bytes, offset: int, change: bytes) -> bytes:
    """The example film with some bytes behind a tag replaced."""
    data = bytearray(make.chest_dicom())
    place = data.index(tag_bytes) + offset
    data[place : place + len(change)] = change
    return bytes(data)


def encapsulated(pixel_data: bytes, syntax: str = uid.JPEG2000Lossless) -> bytes:
    dataset = make.chest_dataset()
    dataset.PixelData = pixel_data
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    return make.write_dicom(dataset, syntax)


def j2k_of(rows: int, columns: int) -> bytes:
    frame = bytearray(make.encoded_frame(make.film(), uid.JPEG2000Lossless))
    place = frame.index(b"\xff\x51") + 6
    frame[place : place + 8] = struct.pack(">II", columns, rows)
    return bytes(frame)


def item(length: int, value: bytes) -> bytes:
    return struct.pack("<HHI", 0xFFFE, 0xE000, length) + value


def lut(keyword: str, descriptor: list[int], entries: int, **more: object) -> bytes:
    table = Dataset()
    table.add_new(0x00283002, "US", descriptor)
    table.add_new(0x00283006, "OW", bytes(2 * entries))
    return make.chest_dicom(**{keyword: Sequence([table])}, **more)


def palette(entries_claimed: int, bytes_there: int) -> bytes:
    dataset = make.chest_dataset(make.film_8bit(), 8)
    dataset.PhotometricInterpretation = "PALETTE COLOR"
    for group in (0x1101, 0x1102, 0x1103):
        dataset.add_new(0x00280000 + group, "US", [entries_claimed, 0, 16])
        dataset.add_new(0x00280000 + group + 0x100, "OW", bytes(bytes_there))
    return make.write_dicom(dataset)


def deflated(packed: bytes) -> bytes:
    return after_meta(uid.DeflatedExplicitVRLittleEndian, packed)


def squeeze(data: bytes) -> bytes:
    packer = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


HEADER_OVERRUN = {
    "an element longer than the file": lambda: after_meta(
        uid.ExplicitVRLittleEndian, element(0x00080060, b"UT", 0xFFFFFFF0, b"CR")
    ),
    "a meta group that claims four gigabytes": lambda: (
        bytes(128) + b"DICM" + element(0x00020000, b"UL", 4, b"\xf0\xff\xff\xff") + bytes(8)
    ),
    "a meta element longer than the file": lambda: (
        bytes(128) + b"DICM" + element(0x00020010, b"UN", 0x7FFFFFFF, b"1.2.840")
    ),
    "nothing behind the magic": lambda: bytes(128) + b"DICM",
    "half an element header": lambda: after_meta(uid.ExplicitVRLittleEndian, b"\x08\x00\x60\x00C"),
    "a VR that does not exist": lambda: after_meta(
        uid.ExplicitVRLittleEndian, element(0x00080060, b"\xff\xff", 4, b"CR")
    ),
}
DEFLATE_BOMB = {
    "one element of zeros": make.deflate_bomb,
    "many small elements": lambda: deflated(squeeze(element(0x00091001, b"LO", 2, b"AA") * 4_000_000)),
    "a bomb that never ends": lambda: deflated(squeeze(bytes(64 * MIB))[:-8]),
    "a bomb without magic": lambda: make.deflate_bomb(64 * MIB)[132:],
}
LYING_LENGTHS = {
    "pixels shorter than they claim": lambda: film_with(PIXELS, 8, struct.pack("<I", 0x7FFFFFFE))[:-5000],
    "pixels longer than they claim": lambda: film_with(PIXELS, 8, struct.pack("<I", 2)),
    "pixels of undefined length without items": lambda: film_with(PIXELS, 8, b"\xff\xff\xff\xff"),
    "a fragment longer than the file": lambda: encapsulated(item(0, b"") + item(0x7FFFFFF0, b"\xff\x4f\xff\x51")),
    "a fragment of undefined length": lambda: encapsulated(item(0, b"") + item(0xFFFFFFFF, b"\xff\x4f")),
    "an offset table beyond the file": lambda: encapsulated(
        item(8, b"\xf0\xff\xff\x7f" * 2) + item(4, b"\xff\x4f\xff\x51")
    ),
    "an offset table that is all there is": lambda: encapsulated(item(0xFFFFFFF0, b"")),
    "run lengths that point outside": lambda: encapsulated(
        encapsulate([struct.pack("<16I", 2, 0xFFFFFFF0, 64, *[0] * 13) + bytes(64)]), uid.RLELossless
    ),
    "fifteen run lengths of nothing": lambda: encapsulated(
        encapsulate([struct.pack("<16I", 0xFFFFFFFF, *[64] * 15)]), uid.RLELossless
    ),
}
DIMENSION_OVERFLOW = {
    "65535 × 65535": lambda: make.chest_dicom(Rows=65535, Columns=65535),
    "a product that is small modulo 2³²": lambda: make.chest_dicom(Rows=32768, Columns=65535, BitsAllocated=16),
    "no rows": lambda: make.chest_dicom(Rows=0),
    "two billion frames": lambda: make.chest_dicom(NumberOfFrames="2147483647"),
    "minus one frame's worth of samples": lambda: make.chest_dicom(SamplesPerPixel=65535),
    "64 bits a sample": lambda: make.chest_dicom(BitsAllocated=64, BitsStored=64),
    "no bits a sample": lambda: make.chest_dicom(BitsAllocated=0, BitsStored=0),
    "a codestream of 2³² - 1 squared": lambda: make.compressed_dicom(
        j2k_of(2**32 - 1, 2**32 - 1), uid.JPEG2000Lossless, make.film()
    ),
    "a codestream larger than its object": lambda: make.compressed_dicom(
        j2k_of(60000, 60000), uid.JPEG2000Lossless, make.film()
    ),
    "a PNG of 2³¹ - 1 squared": lambda: make.png_header(2**31 - 1, 2**31 - 1),
}
PALETTE_OVERFLOW = {
    "a palette of 65536 entries in two bytes": lambda: palette(0, 2),
    "a palette without an entry": lambda: palette(256, 0),
}
TABLE_OVERFLOW = {
    "a display table that is shorter than it claims": lambda: lut("VOILUTSequence", [65535, 0, 16], 3),
    "a display table without entries": lambda: lut("VOILUTSequence", [0, 0, 16], 0),
    "a display table that begins past its end": lambda: lut("VOILUTSequence", [4, 65535, 16], 1),
    "a modality table that is shorter than it claims": lambda: lut("ModalityLUTSequence", [65535, 0, 16], 3),
}
FAMILIES = {
    "header overrun": HEADER_OVERRUN,
    "deflate bomb": DEFLATE_BOMB,
    "lying lengths": LYING_LENGTHS,
    "dimension overflow": DIMENSION_OVERFLOW,
    "palette overflow": PALETTE_OVERFLOW,
}
FILES = [pytest.param(make_file, id=f"{family}: {kind}") for family, kinds in FAMILIES.items() for kind, make_file in kinds.items()]  # fmt: skip  # noqa: E501


@pytest.fixture(scope="module")
def ordinary_s():
    """Processor seconds that an ordinary radiograph takes here and now."""
    content, begin = make.example("RG1_J2KR.dcm"), process_time()
    decode_image(content, DecodeLimits())
    return process_time() - begin


@pytest.mark.parametrize("make_file", FILES)
def test_a_file_of_a_published_weakness_is_refused_fast_and_small(make_file, ordinary_s):
    data = make_file()
    tracemalloc.start()
    begin = process_time()
    try:
        with pytest.raises(ImageError) as refusal:
            decode_image(data, LIMITS)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert process_time() - begin < 10 * ordinary_s
    assert peak < 4 * LIMITS.inflated_bytes + 4 * len(data)
    assert make.SENTINEL not in refusal.value.detail


@pytest.mark.parametrize("make_file", TABLE_OVERFLOW.values(), ids=TABLE_OVERFLOW)
def test_a_table_that_overflows_is_left_out(make_file):
    radiograph = decode_image(make_file(), LIMITS)
    assert np.array_equal(radiograph.pixels, decode_image(make.chest_dicom(), LIMITS).pixels)
    assert "malformed_attribute" in [warning.code for warning in radiograph.warnings]


def test_a_length_that_lies_around_whole_pixels_changes_no_pixel():
    lying = decode_image(film_with(PIXELS, 8, struct.pack("<I", 0x7FFFFFFE)), LIMITS)
    assert np.array_equal(lying.pixels, decode_image(make.chest_dicom(), LIMITS).pixels)


def test_the_film_the_files_are_made_from_is_read():
    assert np.ptp(decode_image(make.chest_dicom(), LIMITS).pixels) > 0
