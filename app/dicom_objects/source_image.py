"""The source instance of a report: safe reading, and the attributes that are copied from it."""

from pydicom import config, uid
from pydicom.charset import python_encoding
from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.tag import BaseTag, Tag
from pydicom.valuerep import validate_value

from app.dicom_objects.attributes import all_text, encoded_copy, encoded_element, first_text, text_bytes, texts
from app.errors import NoSourceObject
from app.imaging.dicom.file import read_file, read_transfer_syntax, silence
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
_ALWAYS_COPIED = (
    "StudyInstanceUID", "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID",
    "StudyDate", "StudyTime", "ReferringPhysicianName",
)  # fmt: skip
_COPIED_WHERE_VALID = (
    "TimezoneOffsetFromUTC", "IssuerOfPatientID", "IssuerOfPatientIDQualifiersSequence", "PatientAge", "PatientSize",
    "PatientWeight", "OtherPatientIDsSequence", "StudyDescription", "IssuerOfAccessionNumberSequence",
    "ReferencedStudySequence", "PatientIdentityRemoved", "DeidentificationMethod", "ClinicalTrialSponsorName",
    "ClinicalTrialProtocolID", "ClinicalTrialSubjectID", "ConsultingPhysicianName", "PhysiciansOfRecord",
    "ProcedureCodeSequence", "ReferencedRequestSequence",
)  # fmt: skip
_FORMATTED_VRS = frozenset({"AS", "CS", "DA", "DS", "DT", "IS", "TM", "UI"})
_PIXEL_GROUP, _OVERLAY_GROUP, _META_GROUP = 0x7FE0, 0x6000, 0x0002
_ESCAPE = 0x1B


def read_source(data: bytes, limits: DecodeLimits) -> Dataset:
    """The data set of a DICOM file without its pixels, private attributes and overlays. No value is decoded.

    Raises NoSourceObject for another format or for an object without the UIDs that a reference needs, and what reading
    raises.
    """
    if sniff(data) != "dicom":
        raise NoSourceObject("a report refers to a DICOM object; the file is in another format")
    with silence():
        try:
            syntax, start = read_transfer_syntax(data)
            dataset = read_file(data, syntax, start, limits).dataset
        except InvalidDicomError:
            raise NoSourceObject("a report refers to a DICOM object; the file cannot be read as one") from None
        kept = Dataset()
        kept.set_original_encoding(*dataset.original_encoding)
        for tag in dataset.keys():  # noqa: SIM118 - iterating a data set decodes its values
            if _is_kept(tag):
                kept[tag] = dataset.get_item(tag)
        missing = [name for name in _IDENTITY if not first_text(kept, name)]
        if missing:
            raise NoSourceObject(f"a report cannot refer to this object: it has no {', '.join(missing)}")
    return kept


def _is_kept(tag: BaseTag) -> bool:
    return tag.group not in {_PIXEL_GROUP, _OVERLAY_GROUP, _META_GROUP} and not tag.is_private


def context(source: Dataset) -> dict[BaseTag, bytes]:
    """Encoded patient, study and request attributes with the bytes of the source, and its character set.

    Identifying attributes are always there, as PS3.3 requires, and unchanged even where the source breaks a rule: a
    changed identifier would be another patient's. Optional attributes are left out where their format is invalid.
    """
    copied: dict[BaseTag, bytes] = {}
    for name in _ALWAYS_COPIED:
        tag = Tag(name)
        copied[tag] = encoded_copy(source, name) or encoded_element(tag, dictionary_VR(tag), b"")
    for name in _COPIED_WHERE_VALID:
        element = encoded_copy(source, name) if _is_valid(source, name) else None
        if element is not None:
            copied[Tag(name)] = element
    terms = _character_set(source, b"".join(all_text(source, name) for name in (*_ALWAYS_COPIED, *_COPIED_WHERE_VALID)))
    if terms is not None:
        copied[Tag("SpecificCharacterSet")] = encoded_element(Tag("SpecificCharacterSet"), "CS", terms)
    return dict(sorted(copied.items()))


def _is_valid(source: Dataset, name: str) -> bool:
    """Whether a value has the format of its VR; free texts always have one."""
    vr = dictionary_VR(Tag(name))
    if vr not in _FORMATTED_VRS:
        return True
    try:
        for value in texts(source, name):
            validate_value(vr, value, config.RAISE)
    except ValueError:
        return False
    return True


def _character_set(source: Dataset, copied: bytes) -> bytes | None:
    """The Specific Character Set that goes with copied bytes; None for the default repertoire.

    That of the source, unless no term of PS3.3 C.12.1.1.2 allows it: then it is left out for bytes that are all ASCII,
    and reduced to UTF-8 where that is one of several terms and the bytes are UTF-8.
    """
    declared = text_bytes(source, "SpecificCharacterSet")
    terms = texts(source, "SpecificCharacterSet")
    if not declared or _are_defined(terms):
        return declared
    if copied.isascii() and _ESCAPE not in copied:
        return None
    return b"ISO_IR 192" if len(terms) > 1 and "ISO_IR 192" in terms and _is_utf8(copied) else declared


def _are_defined(terms: list[str]) -> bool:
    extended = all(term in python_encoding and (not term or term.startswith("ISO 2022")) for term in terms)
    return extended or (len(terms) == 1 and terms[0] in python_encoding)


def _is_utf8(copied: bytes) -> bool:
    try:
        copied.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
