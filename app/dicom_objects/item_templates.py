"""Content items of structured reports, encoded one by one, so that what reports have in common is made once.

A report has some hundred items. To build them all anew, and to have the whole tree walked and copied as highdicom does
for a document, takes several times as long as the network. Items are still made by highdicom and encoded by pydicom.
"""

from collections.abc import Iterable
from io import BytesIO

from pydicom.charset import convert_encodings, default_encoding
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset, write_sequence_item
from pydicom.tag import Tag

Value = str | float | list[float] | bytes
"""Of an element; that of a sequence is its items, encoded."""


class ItemTemplate:
    """An item that is made once, and encoded with other values in some of its elements. Safe from any thread."""

    def __init__(self, item: Dataset) -> None:
        stream = _stream()
        write_dataset(stream, item, default_encoding)
        encoded = stream.getvalue()
        kept = read_dataset(BytesIO(encoded), False, True, len(encoded))
        self._elements = {element.tag: element for element in kept.elements()}

    def encode(self, **values: Value) -> bytes:
        """The item, with values by keyword, as it lies in a sequence."""
        item = Dataset(self._elements)
        for keyword, value in values.items():
            put(item, keyword, value)
        return encode([as_encoded(item)])


def encode(items: Iterable[Dataset]) -> bytes:
    """Items as they lie in a sequence, in Explicit VR Little Endian."""
    stream = _stream()
    for item in items:
        write_sequence_item(stream, item, [default_encoding])  # their texts are ASCII, the same in all character sets
    return stream.getvalue()


def put(dataset: Dataset, keyword: str, value: Value) -> None:
    """Set an element. A data set that got an encoded value must go through ``as_encoded`` before it is written."""
    tag = Tag(keyword)
    if isinstance(value, bytes):
        dataset[tag] = RawDataElement(tag, "SQ", len(value), value, 0, False, True)
    else:
        dataset[tag] = DataElement(tag, dictionary_VR(tag), value)


def as_encoded(dataset: Dataset) -> Dataset:
    """Have what is encoded in a complete data set written as it is; else pydicom reads it and encodes it again."""
    characters = dataset.get("SpecificCharacterSet")
    dataset.set_original_encoding(False, True, convert_encodings(characters) if characters else default_encoding)
    return dataset


def _stream() -> DicomBytesIO:
    stream = DicomBytesIO()
    stream.is_little_endian, stream.is_implicit_VR = True, False
    return stream
