"""Whose radiograph it is and when it was made, for comparisons: without a value that identifies the patient."""

import hashlib
import re
from datetime import datetime

from app.imaging.dicom.attributes import Attributes

_DATE = re.compile(r"(\d{4})[.]?(\d{2})[.]?(\d{2})")  # with points in files before DICOM 3.0 (PS3.5 table 6.2-1, note)
_TIME = re.compile(r"(\d{2})[:]?(\d{2})?[:]?(\d{2})?")
_DATE_TIME = re.compile(r"(\d{8})(\d{0,6})")


def patient_digest(attributes: Attributes) -> str | None:
    """A hash of the Patient ID, which is equal for equal IDs; None without one. Never for an answer or a log."""
    patient = attributes.full_text("PatientID")
    return hashlib.sha256(patient.encode("utf-8", "surrogatepass")).hexdigest() if patient else None


def acquired_at(attributes: Attributes) -> str | None:
    """When the radiograph was acquired, else when its study began: YYYYMMDD, with as much of HHMMSS as is known.

    Malformed and impossible dates are left out.
    """
    whole = _DATE_TIME.match(attributes.text("AcquisitionDateTime"))
    if whole and _is_date(whole[1]):
        return whole[1] + whole[2][: len(whole[2]) // 2 * 2]
    for moment in ("Acquisition", "Study"):
        date = _DATE.fullmatch(attributes.text(f"{moment}Date"))
        if date and _is_date("".join(date.groups())):
            time = _TIME.match(attributes.text(f"{moment}Time"))
            return "".join(date.groups()) + "".join(part or "" for part in (time.groups() if time else ()))
    return None


def _is_date(digits: str) -> bool:
    try:
        datetime.strptime(digits, "%Y%m%d")
    except ValueError:
        return False
    return True
