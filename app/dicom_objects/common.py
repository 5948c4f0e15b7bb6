"""Attributes that all result objects share, and their encoding as files."""

from io import BytesIO

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import ExplicitVRLittleEndian

from app.dicom_objects.content import Report
from app.dicom_objects.source_image import copy_context, moment_of
from app.dicom_objects.uids import derived_uid

MANUFACTURER = "medpatchnet"
_IMPLEMENTATION = derived_uid("medpatchnet", "implementation")


def stamp(dataset: Dataset, report: Report, series_description: str) -> None:
    """Set date, time, equipment and context. The source gives date and time, so that a retry makes the same bytes."""
    made = moment_of(report.source)
    date, time = made.strftime("%Y%m%d"), made.strftime("%H%M%S")
    copy_context(report.source, dataset)
    for name in ("InstanceCreation", "Content", "Series", "PresentationCreation"):
        if f"{name}Date" in dataset or name in {"Content", "Series"}:
            setattr(dataset, f"{name}Date", date)
            setattr(dataset, f"{name}Time", time)
    if "DateOfSecondaryCapture" in dataset:
        dataset.DateOfSecondaryCapture, dataset.TimeOfSecondaryCapture = date, time
    for equipment in dataset.get("ContributingEquipmentSequence") or []:
        equipment.ContributionDateTime = date + time
    dataset.Manufacturer = MANUFACTURER
    dataset.ManufacturerModelName = report.algorithm.name
    dataset.DeviceSerialNumber = report.algorithm.weights_sha256[:16]
    dataset.SoftwareVersions = [report.algorithm.software_version, report.algorithm.version]
    dataset.SeriesDescription = series_description


def as_file(dataset: Dataset) -> bytes:
    """The bytes of a file in Explicit VR Little Endian."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = _IMPLEMENTATION
    meta.ImplementationVersionName = "MEDPATCHNET"
    dataset.file_meta = meta
    stream = BytesIO()
    dcmwrite(stream, dataset, enforce_file_format=True)
    return stream.getvalue()
