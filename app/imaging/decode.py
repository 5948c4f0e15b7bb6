"""Bytes → Radiograph: the one entry to all readers."""

from app.errors import NotAChestRadiograph
from app.imaging.dicom import decode_dicom
from app.imaging.radiograph import DecodeLimits, Radiograph
from app.imaging.raster import decode_raster
from app.imaging.sniffing import sniff


def decode_image(data: bytes, limits: DecodeLimits) -> Radiograph:
    """Decode a DICOM, PNG or JPEG file, told apart by its bytes, into display-ready pixels.

    Raises the ``ImageError`` that says why it is no single-frame grayscale chest radiograph; no other exception.
    """
    kind = sniff(data)
    radiograph = decode_dicom(data, limits) if kind == "dicom" else decode_raster(data, kind, limits)
    if radiograph.pixels.min() == radiograph.pixels.max():
        raise NotAChestRadiograph(
            "all pixels have the same value once displayed; accepted is an exposed film",
            radiograph.facts.transfer_syntax,
        )
    return radiograph
