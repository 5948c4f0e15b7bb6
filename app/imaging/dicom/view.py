"""The view of a radiograph: lateral or not, mirrored or rotated, by the attributes that describe it."""

import re
import unicodedata

from app.imaging.dicom.attributes import Attributes
from app.imaging.radiograph import ImageWarning, View

_LATERAL_WORDS = frozenset(
    {"LL", "RL", "LAT", "LATERAL", "LATERALE", "LATERALIS", "LLAT", "RLAT", "LATL", "LATR", "LTLAT", "RTLAT"}
    | {
        "LEFTLATERAL",
        "RIGHTLATERAL",
        "LLATERAL",
        "RLATERAL",
        "LATERALL",
        "LATERALR",
        "PROFIL",
        "PROFILE",
        "PERFIL",
        "SEITLICH",
        "SEITENBILD",
        "LATERO",
        "БОКОВАЯ",
        "БІЧНА",
    }
    | {"側面", "側位", "侧位", "左側位", "左侧位", "右側位", "右侧位", "측면", "ΠΛΑΓΙΑ", "ΠΡΟΦΙΛ"}
)
# Decubitus and oblique views can have the word lateral in their name, but are not lateral views.
_NOT_LATERAL_WORDS = frozenset({"DECUBITUS", "DECUB", "LLD", "RLD", "OBLIQUE", "OBL", "LLO", "RLO"})
_PA_WORDS, _AP_WORDS = frozenset({"PA", "POSTEROANTERIOR"}), frozenset({"AP", "ANTEROPOSTERIOR"})
_FRONTAL_WORDS = _PA_WORDS | _AP_WORDS | {"FRONTAL"}
# PS3.16 CID 4010: lateral, left lateral and right lateral in SNOMED CT and SNOMED RT.
_LATERAL_CODES = frozenset({"399067008", "399173006", "399198007", "R-102CD", "R-10236", "R-10232"})
# PS3.16 CID 4010: postero-anterior and antero-posterior in SNOMED CT and SNOMED RT.
_PA_CODES, _AP_CODES = frozenset({"272479007", "R-40888", "R-10214"}), frozenset({"399348003", "R-10206"})
# Patient Orientation of a frontal view: the row and the column direction (PS3.3 C.7.6.1.1.1).
_HORIZONTAL, _VERTICAL, _SAGITTAL = frozenset("LR"), frozenset("HF"), frozenset("AP")
_UPRIGHT = ("L", "F")
_MIRRORED = frozenset({("R", "F"), ("L", "H"), ("F", "L"), ("H", "R")})


def view_warnings(attributes: Attributes) -> tuple[ImageWarning, ...]:
    """Warnings for a lateral view, and for a frontal view whose orientation is mirrored or rotated."""
    orientation = _orientation(attributes)
    if _is_lateral(attributes, orientation):
        return (ImageWarning("lateral_view", "this is a lateral view; the model was validated on frontal views only"),)
    if orientation in _MIRRORED:
        detail = "the radiograph is mirrored according to its Patient Orientation; left and right are exchanged"
        return (ImageWarning("mirrored", detail),)
    if orientation is not None and orientation != _UPRIGHT and set(orientation) <= _HORIZONTAL | _VERTICAL:
        return (ImageWarning("rotated", "the radiograph is rotated according to its Patient Orientation"),)
    return ()


def view_of(attributes: Attributes) -> View | None:
    """The view by the first attribute that describes it; None where none does, and for decubitus and oblique views."""
    if _is_lateral(attributes, _orientation(attributes)):
        return "lateral"
    position, body_part = _words(attributes.text("ViewPosition")), _words(attributes.text("BodyPartExamined"))
    codes = _view_codes(attributes)
    if position:
        return _frontal_view(position)
    if codes:
        return "PA" if codes & _PA_CODES else "AP" if codes & _AP_CODES else None
    return _frontal_view(body_part)


def _frontal_view(words: frozenset[str]) -> View | None:
    is_pa, is_ap = bool(words & _PA_WORDS), bool(words & _AP_WORDS)
    if is_pa == is_ap or words & (_NOT_LATERAL_WORDS | _LATERAL_WORDS):
        return None
    return "PA" if is_pa else "AP"


def _view_codes(attributes: Attributes) -> frozenset[str]:
    return frozenset(item.text("CodeValue") for item in attributes.items("ViewCodeSequence"))


def _is_lateral(attributes: Attributes, orientation: tuple[str, str] | None) -> bool:
    """By the orientation, or by the first of View Position, View Code Sequence and Body Part Examined that is given."""
    if orientation is not None and _SAGITTAL & set(orientation) and _VERTICAL & set(orientation):
        return True
    view = _words(attributes.text("ViewPosition"))
    if view:
        return _names_lateral(view)
    codes = _view_codes(attributes)
    if codes:
        return bool(codes & _LATERAL_CODES)
    words = _words(attributes.text("BodyPartExamined"))
    return _names_lateral(words) and not words & _FRONTAL_WORDS


def _names_lateral(words: frozenset[str]) -> bool:
    return bool(words & _LATERAL_WORDS) and not words & _NOT_LATERAL_WORDS


def _orientation(attributes: Attributes) -> tuple[str, str] | None:
    """The main direction of the rows and of the columns; None where the attribute is absent or has another form."""
    values = [value.strip(" \0").upper() for value in attributes.full_text("PatientOrientation").split("\\")]
    if len(values) != 2 or not all(re.fullmatch(r"[LRAPHF]{1,3}", value) for value in values):
        return None
    return values[0][0], values[1][0]


def _words(text: str) -> frozenset[str]:
    upper = unicodedata.normalize("NFKC", text).upper()
    return frozenset(re.findall(r"[^\W_]+", upper))
