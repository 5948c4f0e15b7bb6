"""Acceptance of chest radiographs by the attributes of a data set: facts, refusals and warnings."""

import re
from typing import cast

from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from app.errors import ImageTooLarge, NoPixels, NotAChestRadiograph, UnreadableImage
from app.imaging.radiograph import DecodeLimits, ImageFacts, ImageWarning

MODALITIES = ("CR", "DX", "DR")
_SOP_CLASS_MODALITIES = {
    uid.ComputedRadiographyImageStorage: "CR",
    uid.DigitalXRayImageStorageForPresentation: "DX",
    uid.DigitalXRayImageStorageForProcessing: "DX",
}
# CHEST is the Defined Term of PS3.16 Annex L; the others are free or local words that devices write.
BODY_PARTS = frozenset({"CHEST", "THORAX", "LUNG", "LUNGS", "TORAX", "TORACE", "PULMON"})
# Values that a refusal can quote: Defined Terms of Modality (PS3.3 C.7.3.1.1.1), common ones of Body Part Examined.
_OTHER_MODALITIES = frozenset(
    {"ANN", "AR", "ASMT", "AU", "BDUS", "BI", "BMD", "CT", "CTPROTOCOL", "DG", "DMS", "DOC", "ECG", "EEG", "EMG", "EOG"}
    | {"EPS", "ES", "FID", "GM", "HC", "HD", "IO", "IOL", "IVOCT", "IVUS", "KER", "KO", "LEN", "LS", "M3D", "MG", "MR"}
    | {"NM", "OAM", "OCT", "OP", "OPM", "OPT", "OPTBSV", "OPTENF", "OPV", "OSS", "OT", "PA", "PLAN", "POS", "PR", "PT"}
    | {"PX", "REG", "RESP", "RF", "RG", "RTDOSE", "RTIMAGE", "RTINTENT", "RTPLAN", "RTRAD", "RTRECORD", "RTSEGANN"}
    | {"RTSTRUCT", "RWV", "SEG", "SM", "SMR", "SR", "SRF", "STAIN", "TEXTUREMAP", "TG", "US", "VA", "XA", "XAPROTOCOL"}
    | {"XC"}
)
_OTHER_BODY_PARTS = frozenset(
    {"ABDOMEN", "ABDOMENPELVIS", "ANKLE", "ARM", "BREAST", "CALCANEUS", "CHESTABDOMEN", "CHESTABDPELVIS", "CLAVICLE"}
    | {"COCCYX", "CSPINE", "ELBOW", "EXTREMITY", "FACE", "FEMUR", "FINGER", "FOOT", "FOREARM", "HAND", "HEAD", "HEEL"}
    | {"HIP", "HUMERUS", "JAW", "KNEE", "LEG", "LSPINE", "MANDIBLE", "NECK", "NOSE", "ORBIT", "PELVIS", "RIB", "RIBS"}
    | {"SACRUM", "SCAPULA", "SHOULDER", "SKULL", "SPINE", "SSPINE", "STERNUM", "THIGH", "THUMB", "TOE", "TSPINE"}
    | {"TIBIA", "WHOLEBODY", "WHOLE BODY", "WRIST"}
)
_VIEW_WORDS = frozenset(
    {
        "PA",
        "AP",
        "LAT",
        "LATERAL",
        "LL",
        "RL",
        "FRONTAL",
        "UPRIGHT",
        "ERECT",
        "SUPINE",
        "BED",
        "PORT",
        "PORTABLE",
        "VIEW",
    }
)
_LATERAL_VIEWS = frozenset({"LL", "RL", "LATERAL", "LAT", "LLAT", "RLAT"})
# PS3.16 CID 4010: lateral, left and right lateral, as SNOMED CT and as SNOMED RT.
_LATERAL_CODES = frozenset({"399067008", "399173006", "399198007", "R-102CD", "R-10232", "R-10236"})
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_CODE_LENGTH = 16  # VR CS: PS3.5 table 6.2-1
_NOT_CODE = re.compile(r"[^A-Z0-9 _]")
_UID = re.compile(r"[0-9.]{1,64}")
_PIXEL_KEYWORDS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")


def known_transfer_syntax(transfer_syntax: uid.UID) -> str | None:
    """The UID where PS3.6 lists it as a transfer syntax; None for private ones, whose number is unbounded."""
    return str(transfer_syntax) if transfer_syntax.is_transfer_syntax and not transfer_syntax.is_private else None


def modality_of(dataset: Dataset) -> str | None:
    """The Modality of a data set, else the modality of its SOP class."""
    return _code(dataset, "Modality") or _SOP_CLASS_MODALITIES.get(dataset.get("SOPClassUID"))


def body_part_of(dataset: Dataset) -> str | None:
    """The Body Part Examined of a data set."""
    return _code(dataset, "BodyPartExamined")


def read_facts(dataset: Dataset, transfer_syntax: uid.UID) -> ImageFacts:
    """The facts of a data set, each value reduced to the characters of its value representation."""
    return ImageFacts(
        format="dicom",
        rows=_number(dataset, "Rows"),
        columns=_number(dataset, "Columns"),
        modality=modality_of(dataset),
        body_part=body_part_of(dataset),
        view=_code(dataset, "ViewPosition"),
        photometric_interpretation=_code(dataset, "PhotometricInterpretation"),
        transfer_syntax=known_transfer_syntax(transfer_syntax),
        study_instance_uid=_uid(dataset, "StudyInstanceUID"),
        series_instance_uid=_uid(dataset, "SeriesInstanceUID"),
        sop_instance_uid=_uid(dataset, "SOPInstanceUID"),
    )


def require_chest_radiograph(dataset: Dataset, facts: ImageFacts) -> None:
    """Raise NoPixels without an image, NotAChestRadiograph unless it is one CR or DX frame of a chest."""
    _require_pixels(dataset, facts)
    if facts.modality not in MODALITIES:
        found = _quotable_modality(facts.modality)
        raise NotAChestRadiograph(f"{found} is not accepted; accepted are {', '.join(MODALITIES)}")
    if not is_chest(facts.body_part):
        found = facts.body_part if facts.body_part in _OTHER_BODY_PARTS else "other than the chest"
        raise NotAChestRadiograph(f"body part {found} is not accepted; accepted are CHEST, THORAX or none")
    frames = _number(dataset, "NumberOfFrames")
    if frames > 1:
        raise NotAChestRadiograph(
            f"an object of {frames} frames is not accepted; accepted are objects of a single frame"
        )
    if facts.photometric_interpretation == "PALETTE COLOR":
        raise NotAChestRadiograph("palette colour is not accepted; accepted are MONOCHROME1 and MONOCHROME2")


def require_size(rows: int, columns: int, limits: DecodeLimits) -> None:
    """Raise UnreadableImage for an empty image, ImageTooLarge for more than ``limits.pixels``."""
    if rows < 1 or columns < 1:
        raise UnreadableImage(f"an image of {rows} × {columns} pixels has no extent")
    if rows * columns > limits.pixels:
        raise ImageTooLarge(f"{rows} × {columns} pixels exceed the limit of {limits.pixels}")


def is_chest(body_part: str | None) -> bool:
    """Whether a Body Part Examined is empty or names only the chest; words for views are allowed beside it."""
    words = {word for word in re.split(r"[^A-Z]+", body_part or "") if word}
    return words - _VIEW_WORDS <= BODY_PARTS


def read_warnings(dataset: Dataset, facts: ImageFacts) -> tuple[ImageWarning, ...]:
    """Warnings that follow from the attributes: a lateral view, a secondary capture."""
    warnings: list[ImageWarning] = []
    codes = {str(item.get("CodeValue")) for item in dataset.get("ViewCodeSequence") or ()}
    if facts.view in _LATERAL_VIEWS or (facts.view is None and codes & _LATERAL_CODES):
        detail = "this is a lateral view; the model was validated on frontal views only"
        warnings.append(ImageWarning("lateral_view", detail))
    if str(dataset.get("SOPClassUID", "")).startswith(_SECONDARY_CAPTURE):
        detail = (
            "this is a secondary capture, such as a screenshot or a digitised film; its pixels can hold annotations"
        )
        warnings.append(ImageWarning("secondary_capture", detail))
    return tuple(warnings)


def _require_pixels(dataset: Dataset, facts: ImageFacts) -> None:
    if any(keyword in dataset for keyword in _PIXEL_KEYWORDS):
        return
    if facts.rows:
        raise NoPixels("the object describes an image but holds no pixel data; it is possibly truncated")
    found = _quotable_modality(facts.modality)
    raise NoPixels(f"{found} holds no image; accepted are images of {', '.join(MODALITIES)}")


def _quotable_modality(modality: str | None) -> str:
    """A modality as quoted in refusals: Defined Terms only, since damage can shift patient data into any value."""
    if modality is None:
        return "an object without modality"
    return f"modality {modality}" if modality in MODALITIES or modality in _OTHER_MODALITIES else "an unknown modality"


def _code(dataset: Dataset, keyword: str) -> str | None:
    """A value of VR CS in upper case, reduced to its permitted characters and 16 of them."""
    text = _NOT_CODE.sub("", _first_text(dataset, keyword).upper())
    return text.strip()[:_CODE_LENGTH] or None


def _uid(dataset: Dataset, keyword: str) -> str | None:
    text = _first_text(dataset, keyword)
    return text if _UID.fullmatch(text) else None


def _number(dataset: Dataset, keyword: str) -> int:
    text = _first_text(dataset, keyword)
    return int(text) if text else 0


def _first_text(dataset: Dataset, keyword: str) -> str:
    value = cast(object, dataset.get(keyword))
    if isinstance(value, MultiValue):  # where a single value is permitted
        value = next(iter(cast("MultiValue[object]", value)), None)
    return "" if value is None else str(value).strip("\0 ")
