"""Real films with faults: the example chest of pydicom-data, shrunk, with attributes as the field writes them."""

from functools import cache
from io import BytesIO

import numpy as np
from pydicom import Dataset, dcmread

from app.imaging.decode import decode_image
from app.imaging.radiograph import DecodeLimits, Radiograph
from tests import factories as make

LIMITS = DecodeLimits()


@cache
def pixels_of_rg1() -> np.ndarray:
    """The example chest [326, 307] uint16 of 15 bits, MONOCHROME1."""
    whole = np.frombuffer(dcmread(BytesIO(make.example("RG1_UNCR.dcm"))).PixelData, dtype="<u2").reshape(1955, 1841)
    return np.ascontiguousarray(whole[::6, ::6])


def film(stored: np.ndarray | None = None, **attributes: object) -> Dataset:
    """A data set of the example chest with a window; an attribute of None is left out."""
    shown: dict[str, object] = {"PhotometricInterpretation": "MONOCHROME1", "WindowCenter": 15000, "WindowWidth": 30000}
    kept = {name: value for name, value in (shown | attributes).items() if value is not None}
    return make.chest_dataset(pixels_of_rg1() if stored is None else stored, 15, **kept)


def decode(dataset: Dataset | bytes) -> Radiograph:
    return decode_image(dataset if isinstance(dataset, bytes) else make.write_dicom(dataset), LIMITS)


def with_bytes(dataset: Dataset, keyword: str, vr: bytes, value: bytes) -> bytes:
    """The file of a data set, explicit little endian, in which an element has this value representation and value."""
    from pydicom.datadict import tag_for_keyword

    marker = b"MARKED12"
    dataset.add_new(tag_for_keyword(keyword), "CS", marker.decode())
    data = make.write_dicom(dataset)
    start = data.index(b"CS" + len(marker).to_bytes(2, "little") + marker)
    value += b" " * (len(value) % 2) if vr not in {b"US", b"SS"} else b""
    return data[:start] + vr + len(value).to_bytes(2, "little") + value + data[start + 4 + len(marker) :]


def codes(radiograph: Radiograph) -> set[str]:
    return {warning.code for warning in radiograph.warnings}
