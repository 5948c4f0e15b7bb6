"""Content items of structured reports, encoded one by one, so that the parts all reports share are built once.

A report has about a hundred items. highdicom builds, walks and copies the whole tree for each document, which takes
several times as long as the model. Here highdicom builds each kind of item once, and pydicom encodes it.
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
"""Value of an element; ``bytes`` are the encoded items of a sequence."""


class ItemTemplate:
    """An item that is built once and encoded many times, with new values for some elements. Thread-safe."""

    def __init__(self, item: Dataset) -> None:
        stream = _stream()
        write_dataset(stream, item, default_encoding)
        encoded = stream.getvalue()
        kept = read_dataset(BytesIO(encoded), False, True, len(encoded))
        self._elements = {element.tag: element for element in kept.elements()}

    def encode(self, **values: Value) -> bytes:
        """The item with values by keyword, encoded as an item of a sequence."""
        item = Dataset(self._elements)
        for keyword, value in values.items():
            put(item, keyword, value)
        return encode([as_encoded(item)])


def encode(items: Iterable[Dataset]) -> bytes:
    """Items of a sequence, in Explicit VR Little Endian."""
    stream = _stream()
    for item in items:
        write_sequence_item(stream, item, [default_encoding])  # their texts are ASCII, the same in all character sets
    return stream.getvalue()


def put(dataset: Dataset, keyword: str, value: Value) -> None:
    """Set an element. Call ``as_encoded`` before writing a data set that has an encoded value."""
    tag = Tag(keyword)
    if isinstance(value, bytes):
        dataset[tag] = RawDataElement(tag, "SQ", len(value), value, 0, False, True)
    else:
        dataset[tag] = DataElement(tag, dictionary_VR(tag), value)


def as_encoded(dataset: Dataset) -> Dataset:
    """Make pydicom write encoded values of a complete data set unchanged, without decoding and encoding them again."""
    characters = dataset.get("SpecificCharacterSet")
    dataset.set_original_encoding(False, True, convert_encodings(characters) if characters else default_encoding)
    return dataset


def _stream() -> DicomBytesIO:
    stream = DicomBytesIO()
    stream.is_little_endian, stream.is_implicit_VR = True, False
    return stream
