"""Conversion to Implicit VR keeps every value byte for byte."""

from io import BytesIO

import pytest
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset

from app.pacs.transport.implicit_vr import as_implicit_vr


def encoded(dataset: Dataset, *, implicit: bool) -> bytes:
    from pydicom.filebase import DicomBytesIO

    stream = DicomBytesIO()
    stream.is_implicit_VR, stream.is_little_endian = implicit, True
    write_dataset(stream, dataset)
    return stream.getvalue()


def nested(*, undefined: bool) -> Dataset:
    """Two levels of sequences, pixel data and a private element, with defined or undefined lengths."""
    deep, item, dataset = Dataset(), Dataset(), Dataset()
    deep.TextValue = "13 %"
    item.CodeValue, item.ContentSequence = "81827009", [deep]
    dataset.PatientID, dataset.ContentSequence, dataset.OtherPatientIDsSequence = "0042", [item, Dataset()], []
    dataset.Rows, dataset.Columns, dataset.BitsAllocated, dataset.SamplesPerPixel = 1, 3, 8, 1
    dataset.PixelRepresentation, dataset.PixelData = 0, b"\1\2\3\0"
    dataset["PixelData"].VR = "OB"
    dataset.add_new(0x00091001, "UN", b"\xff\0")
    for sequence in (dataset["ContentSequence"], item["ContentSequence"]):
        sequence.is_undefined_length = undefined
        for each in sequence.value:
            each.is_undefined_length_sequence_item = undefined
    return dataset


@pytest.mark.parametrize("undefined", [True, False])
def test_the_result_has_the_same_elements(undefined):
    dataset = nested(undefined=undefined)
    converted = as_implicit_vr(encoded(dataset, implicit=False))
    assert converted == encoded(nested(undefined=False), implicit=True)


def test_text_that_contradicts_its_character_set_keeps_its_bytes():
    dataset = Dataset()
    dataset.SpecificCharacterSet, dataset.PatientID = "ISO_IR 192", "M__ller"
    explicit = encoded(dataset, implicit=False).replace(b"M__ller", b"M\xfc\xfcller")
    read = read_dataset(BytesIO(as_implicit_vr(explicit)), is_implicit_VR=True, is_little_endian=True)
    assert read.get_item("PatientID").value == b"M\xfc\xfcller "


@pytest.mark.parametrize("cut", [3, 9, 15])
def test_a_truncated_data_set_is_an_error(cut):
    dataset = Dataset()
    dataset.PatientID = "0042567890"
    with pytest.raises(ValueError, match="truncated"):
        as_implicit_vr(encoded(dataset, implicit=False)[:cut])
