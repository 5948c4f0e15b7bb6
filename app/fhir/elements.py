"""FHIR data types of what a report holds: codes, identifiers, references, dates."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydicom.charset import convert_encodings, decode_bytes
from pydicom.dataset import Dataset

from app.dicom_objects.attributes import first_text, text_bytes, texts
from app.patchnet.findings import Code

Element = dict[str, Any]
"""A FHIR element or resource as JSON."""

UCUM = "http://unitsofmeasure.org"
_DICOM_UID, _OID = "urn:dicom:uid", "urn:oid:"
_IDENTIFIER_TYPES = "http://terminology.hl7.org/CodeSystem/v2-0203"
_SYSTEMS = {
    "SCT": "http://snomed.info/sct",
    "DCM": "http://dicom.nema.org/resources/ontology/DCM",
    "99MPN": "urn:medpatchnet:codes",
}
_DELIMITERS = {0x5C}  # of the values of an attribute: a backslash


def concept(code: Code, text: str = "") -> Element:
    """A CodeableConcept of a DICOM code."""
    return coded(_SYSTEMS[code.scheme], code.value, code.meaning, text)


def coded(system: str, code: str, display: str, text: str = "") -> Element:
    """A CodeableConcept of one code."""
    return {"coding": [{"system": system, "code": code, "display": display}]} | ({"text": text} if text else {})


def quantity(value: float) -> Element:
    """A Quantity without a unit, such as a probability."""
    return {"value": round(value, 6), "unit": "1", "system": UCUM, "code": "1"}


def uid_identifier(uid: str) -> Element:
    """An Identifier that is a DICOM UID. Source: FHIR R4, ImagingStudy.identifier."""
    return {"system": _DICOM_UID, "value": f"{_OID}{uid}"}


def uid_of(identifier: Element) -> str:
    """The UID of an Identifier that is one."""
    return str(identifier["value"]).removeprefix(_OID)


def full_url(uid: str) -> str:
    """The address of a resource within its bundle, from a UID of the form 2.25.<number>."""
    return UUID(int=int(uid.removeprefix("2.25."))).urn


def subject(source: Dataset) -> Element:
    """The patient as a logical reference by Patient ID; nothing if the source has none."""
    patient_id = decoded_text(source, "PatientID")
    if not patient_id:
        return {}
    issuer = decoded_text(source, "IssuerOfPatientID")
    identifier = _identifier("MR", "Medical record number", patient_id)
    if issuer:
        identifier["assigner"] = {"display": issuer}
    return {"subject": {"type": "Patient", "identifier": identifier}}


def order(source: Dataset) -> Element:
    """The order as a logical reference by Accession Number; nothing if the source has none."""
    number = decoded_text(source, "AccessionNumber")
    if not number:
        return {}
    return {"basedOn": [{"type": "ServiceRequest", "identifier": _identifier("ACSN", "Accession ID", number)}]}


def imaging_study(source: Dataset) -> Element:
    """The study as a logical reference by its Study Instance UID."""
    return {"type": "ImagingStudy", "identifier": uid_identifier(first_text(source, "StudyInstanceUID"))}


def study_date(source: Dataset) -> Element:
    """The date of the radiograph; nothing where none is valid. Without a time, because FHIR asks for its zone."""
    for keyword in ("AcquisitionDate", "ContentDate", "StudyDate"):
        try:
            day = datetime.strptime(first_text(source, keyword), "%Y%m%d")
        except ValueError:
            continue
        return {"effectiveDateTime": day.date().isoformat()}
    return {}


def decoded_text(source: Dataset, keyword: str) -> str:
    """The first value of a text attribute in its character set; characters that cannot be decoded become U+FFFD."""
    value = text_bytes(source, keyword) or b""
    terms = [term for term in texts(source, "SpecificCharacterSet") if term]
    try:
        text = decode_bytes(value, convert_encodings(terms or [""]), _DELIMITERS)
    except (LookupError, UnicodeError, ValueError):
        text = value.decode("ascii", "replace")
    return "".join(letter for letter in text.split("\\", maxsplit=1)[0] if letter.isprintable()).strip()


def _identifier(kind: str, display: str, value: str) -> Element:
    return {"type": coded(_IDENTIFIER_TYPES, kind, display), "value": value}
