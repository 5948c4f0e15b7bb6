"""Decode an image file of any accepted format."""

from app.errors import NotAChestRadiograph
from app.imaging.dicom.reader import decode_dicom
from app.imaging.radiograph import DecodeLimits, Radiograph
from app.imaging.raster import decode_raster
from app.imaging.sniffing import sniff


def decode_image(data: bytes, limits: DecodeLimits) -> Radiograph:
    """Decode a DICOM, PNG or JPEG file into display-ready pixels. The format is detected from the bytes.

    Raises an ``ImageError`` unless the file is a single-frame grayscale chest radiograph; no other exception.
    """
    kind = sniff(data)
    radiograph = decode_dicom(data, limits) if kind == "dicom" else decode_raster(data, kind, limits)
    if radiograph.pixels.min() == radiograph.pixels.max():
        raise NotAChestRadiograph(
            "all displayed pixels have the same value; only exposed radiographs are accepted",
            radiograph.facts.transfer_syntax,
        )
    return radiograph
