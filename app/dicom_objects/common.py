"""Attributes that all result objects share, and their encoding as files."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_file_meta_info
from pydicom.tag import BaseTag, Tag
from pydicom.uid import ExplicitVRLittleEndian

from app.dicom_objects.attributes import encoded_dataset, encoded_element, first_text, numbers, texts
from app.dicom_objects.content import Report
from app.dicom_objects.source_image import context
from app.dicom_objects.uids import derived_uid
from app.rendering.wording import listed

MANUFACTURER = "medpatchnet"
_IMPLEMENTATION = derived_uid("medpatchnet", "implementation")
_PREAMBLE = b"\0" * 128 + b"DICM"
_OFFSET_LENGTH, _LONGEST_LO = 5, 64
_ORIENTATIONS = frozenset("ALRPFH")
_LONGEST_ORIENTATION = 3
_LOSSY_SYNTAXES = {"1.2.840.10008.1.2.4.50": "ISO_10918_1", "1.2.840.10008.1.2.4.51": "ISO_10918_1"}
"""Transfer syntaxes that are lossy by definition, with the defined term of PS3.3 C.7.6.1.1.5.1."""


def stamp(dataset: Dataset, report: Report, description: str) -> None:
    """Set equipment, series description, and date and time: those of the analysis."""
    analysed = local_time(report)
    date, time = analysed.strftime("%Y%m%d"), analysed.strftime("%H%M%S")
    for name in ("InstanceCreation", "Content", "Series", "PresentationCreation"):
        if f"{name}Date" in dataset or name in {"InstanceCreation", "Content", "Series"}:
            setattr(dataset, f"{name}Date", date)
            setattr(dataset, f"{name}Time", time)
    dataset.Manufacturer = MANUFACTURER
    dataset.ManufacturerModelName = report.algorithm.name
    dataset.DeviceSerialNumber = report.algorithm.weights_sha256[:16]
    dataset.SoftwareVersions = [report.algorithm.software_version, report.algorithm.version]
    dataset.SeriesDescription = description


def series_description(title: str, names: Sequence[str]) -> str:
    """A title with as many names as a Series Description holds, 64 characters, and the number of the others."""
    for shown in range(len(names), 0, -1):
        others = [f"{len(names) - shown} more"] if shown < len(names) else []
        text = f"{title}: {listed([*names[:shown], *others])}"
        if len(text) <= _LONGEST_LO:
            return text
    return title if names else f"{title}: none"


def referenced_image(source: Dataset) -> Dataset:
    """A reference to the source, as an item of a sequence (PS3.3 10.8)."""
    image = Dataset()
    image.ReferencedSOPClassUID = first_text(source, "SOPClassUID")
    image.ReferencedSOPInstanceUID = first_text(source, "SOPInstanceUID")
    return image


def orientation(source: Dataset) -> list[str] | None:
    """Patient Orientation of the source where it is valid (PS3.3 C.7.6.1.1.1), else none: it cannot be guessed."""
    value = texts(source, "PatientOrientation")
    valid = all(0 < len(part) <= _LONGEST_ORIENTATION and set(part) <= _ORIENTATIONS for part in value)
    return value if valid and len(value) == 2 else None


def copy_lossy_compression(source: Dataset, dataset: Dataset, transfer_syntax: str | None) -> None:
    """Lossy compression of the source, also by its transfer syntax: it stays lossy (PS3.3 C.7.6.1.1.5)."""
    method = _LOSSY_SYNTAXES.get(transfer_syntax or "")
    flag = first_text(source, "LossyImageCompression")
    if flag == "01" or method is not None:
        dataset.LossyImageCompression = "01"
        ratios, methods = numbers(source, "LossyImageCompressionRatio"), texts(source, "LossyImageCompressionMethod")
        if ratios and len(ratios) == len(methods) and all(methods):
            dataset.LossyImageCompressionRatio = [f"{ratio:.6g}" for ratio in ratios]
            dataset.LossyImageCompressionMethod = methods
        elif method is not None:
            dataset.LossyImageCompressionMethod = method
    elif flag == "00":
        dataset.LossyImageCompression = "00"


def local_time(report: Report) -> datetime:
    """When the analysis was made, in the time zone of the source's dates and times; else in that of the machine.

    Timezone Offset From UTC applies to all dates and times of an object (PS3.3 C.12.1.1), so it decides.
    """
    offset = first_text(report.source, "TimezoneOffsetFromUTC")
    if len(offset) == _OFFSET_LENGTH and offset[0] in "+-" and offset[1:].isdecimal() and offset[1:].isascii():
        minutes = int(offset[1:3]) * 60 + int(offset[3:])
        if minutes < 24 * 60:
            return report.analysed_at.astimezone(timezone(timedelta(minutes=minutes if offset[0] == "+" else -minutes)))
    return report.analysed_at.astimezone()


def as_file(dataset: Dataset, report: Report, encoded: Mapping[str, bytes] | None = None) -> bytes:
    """The bytes of a file in Explicit VR Little Endian, with the patient and study of the source.

    ``encoded`` holds encoded items of sequences by keyword.
    """
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = _IMPLEMENTATION
    meta.ImplementationVersionName = "MEDPATCHNET"
    stream = DicomBytesIO()
    stream.write(_PREAMBLE)
    write_file_meta_info(stream, meta)
    elements: dict[BaseTag, bytes] = context(report.source)
    for keyword, items in (encoded or {}).items():
        elements[Tag(keyword)] = encoded_element(Tag(keyword), "SQ", items)
    stream.write(encoded_dataset(dataset, elements))
    return stream.getvalue()
