"""The source instance of a report: safe reading, and the attributes that are copied from it."""

from datetime import datetime

from pydicom import uid
from pydicom.charset import python_encoding
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from app.errors import NoSourceObject
from app.imaging.dicom_file import read_file, read_transfer_syntax, silence
from app.imaging.radiograph import DecodeLimits
from app.imaging.sniffing import sniff

FILM_CLASSES = frozenset(
    {
        uid.ComputedRadiographyImageStorage,
        uid.DigitalXRayImageStorageForPresentation,
        uid.DigitalXRayImageStorageForProcessing,
    }
)
"""The SOP classes that are analysed. Results have other classes, so they are never analysed themselves."""

_IDENTITY = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")
_REQUIRED_EMPTY = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate",
    "StudyTime", "ReferringPhysicianName",
)  # fmt: skip
_COPIED = (
    "SpecificCharacterSet", "TimezoneOffsetFromUTC", "IssuerOfPatientID", "IssuerOfPatientIDQualifiersSequence",
    "PatientAge", "PatientSize", "PatientWeight", "OtherPatientIDsSequence", "StudyDescription",
    "IssuerOfAccessionNumberSequence", "ReferencedStudySequence", "PatientIdentityRemoved", "DeidentificationMethod",
    "ClinicalTrialSponsorName", "ClinicalTrialProtocolID", "ClinicalTrialSubjectID", "ConsultingPhysicianName",
    "PhysiciansOfRecord", "ProcedureCodeSequence", "ReferencedRequestSequence",
)  # fmt: skip


def read_source(data: bytes, limits: DecodeLimits) -> Dataset:
    """The data set of a DICOM file without its pixels.

    Missing type 2 attributes are added, empty. Raises NoSourceObject for another format or for an object without the
    UIDs that a reference needs, and what reading raises.
    """
    if sniff(data) != "dicom":
        raise NoSourceObject("a report refers to a DICOM object; this is none")
    with silence():
        try:
            syntax, start = read_transfer_syntax(data)
            dataset = read_file(data, syntax, start, limits).dataset
        except InvalidDicomError:
            raise NoSourceObject("a report refers to a DICOM object; this one cannot be read") from None
        missing = [name for name in _IDENTITY if not dataset.get(name)]
        if missing:
            raise NoSourceObject(f"a report cannot refer to this object: it has no {', '.join(missing)}")
        kept = Dataset()
        for element in dataset:
            if element.tag.group not in {0x7FE0, 0x6000} and element.tag.group % 2 == 0 and element.tag.group != 2:
                kept.add(element)
        for name in _REQUIRED_EMPTY:
            if name not in kept:
                setattr(kept, name, None)
        _settle_characters(kept)
    return kept


def _settle_characters(dataset: Dataset) -> None:
    """Keep the character set if PS3.3 C.12.1.1.2 defines it, else use UTF-8 for the same characters."""
    terms = dataset.get("SpecificCharacterSet")
    if terms is None:
        return
    dataset.decode()
    named = [terms] if isinstance(terms, str) else list(terms)
    extended = all(term in python_encoding and (not term or term.startswith("ISO 2022")) for term in named)
    if not (extended or (len(named) == 1 and named[0] in python_encoding)):
        dataset.SpecificCharacterSet = "ISO_IR 192"


def copy_context(source: Dataset, target: Dataset) -> None:
    """Copy the patient, study and request attributes that highdicom has not copied already."""
    for name in _COPIED:
        if name in source and name not in target:
            target[name] = source[name]


def moment_of(source: Dataset) -> datetime:
    """Date and time of the acquisition, else of the content, series or study, else 1900-01-01.

    It depends on the source alone, so that repeated reports are the same object.
    """
    for day, time in (
        ("AcquisitionDate", "AcquisitionTime"), ("ContentDate", "ContentTime"),
        ("SeriesDate", "SeriesTime"), ("StudyDate", "StudyTime"),
    ):  # fmt: skip
        date_text, time_text = str(source.get(day) or ""), str(source.get(time) or "000000")
        try:
            return datetime.strptime(date_text + (time_text.split(".", maxsplit=1)[0] + "000000")[:6], "%Y%m%d%H%M%S")
        except ValueError:
            continue
    return datetime(1900, 1, 1)
