"""Acceptance of chest radiographs by the attributes of a data set: facts, refusals and warnings."""

import re

from pydicom import uid
from pydicom.dataset import Dataset

from app.errors import NoPixels, NotAChestRadiograph
from app.imaging.dicom.attributes import Attributes
from app.imaging.dicom.body_part import is_chest, shown
from app.imaging.dicom.origin import acquired_at, patient_digest
from app.imaging.dicom.view import view_of, view_warnings
from app.imaging.radiograph import DecodeLimits, ImageFacts, ImageWarning

MODALITIES = ("CR", "DX", "DR")
_SOP_CLASS_MODALITIES: dict[str, str] = {
    uid.ComputedRadiographyImageStorage: "CR",
    uid.DigitalXRayImageStorageForPresentation: "DX",
    uid.DigitalXRayImageStorageForProcessing: "DX",
}
# Modalities that a refusal can quote: the other Defined Terms of PS3.3 C.7.3.1.1.1.
_OTHER_MODALITIES = frozenset(
    {"ANN", "AR", "ASMT", "AU", "BDUS", "BI", "BMD", "CT", "CTPROTOCOL", "DG", "DMS", "DOC", "ECG", "EEG", "EMG", "EOG"}
    | {"EPS", "ES", "FID", "GM", "HC", "HD", "IO", "IOL", "IVOCT", "IVUS", "KER", "KO", "LEN", "LS", "M3D", "MG", "MR"}
    | {"NM", "OAM", "OCT", "OP", "OPM", "OPT", "OPTBSV", "OPTENF", "OPV", "OSS", "OT", "PA", "PLAN", "POS", "PR", "PT"}
    | {"PX", "REG", "RESP", "RF", "RG", "RTDOSE", "RTIMAGE", "RTINTENT", "RTPLAN", "RTRAD", "RTRECORD", "RTSEGANN"}
    | {"RTSTRUCT", "RWV", "SEG", "SM", "SMR", "SR", "SRF", "STAIN", "TEXTUREMAP", "TG", "US", "VA", "XA", "XAPROTOCOL"}
    | {"XC"}
)
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_CODE_LENGTH = 16  # VR CS: PS3.5 table 6.2-1
_NOT_CODE = re.compile(r"[^A-Z0-9 _]")
_UID = re.compile(r"[0-9.]{1,64}")
_PIXEL_KEYWORDS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")


def known_transfer_syntax(transfer_syntax: uid.UID) -> str | None:
    """The UID where PS3.6 lists it as a transfer syntax; None for private ones: metric labels need a closed set."""
    return str(transfer_syntax) if transfer_syntax.is_transfer_syntax and not transfer_syntax.is_private else None


def modality_of(dataset: Dataset) -> str | None:
    """The Modality of a data set, else the modality of its SOP class."""
    return _modality(Attributes(dataset))


def body_part_of(dataset: Dataset) -> str | None:
    """The Body Part Examined of a data set in upper case."""
    return shown(Attributes(dataset).text("BodyPartExamined"))


def read_facts(attributes: Attributes, transfer_syntax: uid.UID) -> ImageFacts:
    """The facts of a data set, each value reduced to the characters of its value representation."""
    return ImageFacts(
        format="dicom",
        rows=attributes.integer("Rows") or 0,
        columns=attributes.integer("Columns") or 0,
        modality=_modality(attributes),
        body_part=shown(attributes.text("BodyPartExamined")),
        view=_code(attributes, "ViewPosition"),
        photometric_interpretation=_code(attributes, "PhotometricInterpretation"),
        transfer_syntax=known_transfer_syntax(transfer_syntax),
        study_instance_uid=_uid(attributes, "StudyInstanceUID"),
        series_instance_uid=_uid(attributes, "SeriesInstanceUID"),
        sop_instance_uid=_uid(attributes, "SOPInstanceUID"),
        projection=view_of(attributes),
        patient=patient_digest(attributes),
        acquired=acquired_at(attributes),
    )


def require_chest_radiograph(attributes: Attributes, facts: ImageFacts, limits: DecodeLimits) -> None:
    """Raise NoPixels without an image, NotAChestRadiograph unless it is one CR or DX frame of a chest."""
    _require_pixels(attributes, facts)
    if facts.modality not in MODALITIES:
        found = _quotable_modality(facts.modality)
        raise NotAChestRadiograph(f"{found} is not accepted; accepted are {', '.join(MODALITIES)}")
    body_part = attributes.text("BodyPartExamined")
    if not is_chest(body_part, limits.chest_body_parts):
        found = facts.body_part or "other than the chest"
        raise NotAChestRadiograph(
            f"body part {found} is not accepted; accepted are names of the chest as Body Part Examined, or none"
        )
    frames = attributes.integer("NumberOfFrames") or 1
    if frames > 1:
        raise NotAChestRadiograph(
            f"an object of {frames} frames is not accepted; accepted are those with a Number of Frames of 1"
        )
    if facts.photometric_interpretation == "PALETTE COLOR":
        raise NotAChestRadiograph("palette colour is not accepted; accepted are MONOCHROME1 and MONOCHROME2")


def read_warnings(attributes: Attributes) -> tuple[ImageWarning, ...]:
    """Warnings that follow from the attributes: view, orientation, processing, and secondary captures."""
    warnings = list(view_warnings(attributes))
    sop_class = attributes.text("SOPClassUID")
    if _intent(attributes, sop_class) == "FOR PROCESSING":
        detail = "this is an image for processing; the model was trained on images for presentation"
        warnings.append(ImageWarning("for_processing", detail))
    if sop_class.startswith(_SECONDARY_CAPTURE):
        detail = (
            "this is a secondary capture, such as a screenshot or a digitised film; its pixels can hold annotations"
        )
        warnings.append(ImageWarning("secondary_capture", detail))
    return tuple(warnings)


def _intent(attributes: Attributes, sop_class: str) -> str:
    """Presentation Intent Type (PS3.3 C.8.11.1), else by the SOP class."""
    if sop_class == uid.DigitalXRayImageStorageForProcessing:
        return "FOR PROCESSING"
    return re.sub(r"[\s_-]+", " ", attributes.text("PresentationIntentType").upper())


def _require_pixels(attributes: Attributes, facts: ImageFacts) -> None:
    if any(keyword in attributes.dataset for keyword in _PIXEL_KEYWORDS):
        return
    if facts.rows:
        raise NoPixels("the object describes an image but holds no pixel data; it is possibly truncated")
    found = _quotable_modality(facts.modality)
    raise NoPixels(f"{found} holds no image; accepted are images of {', '.join(MODALITIES)}")


def _modality(attributes: Attributes) -> str | None:
    return _code(attributes, "Modality") or _SOP_CLASS_MODALITIES.get(attributes.text("SOPClassUID"))


def _quotable_modality(modality: str | None) -> str:
    """A modality as quoted in refusals: Defined Terms only, since damage can shift patient data into any value."""
    if modality is None:
        return "an object without modality"
    return f"modality {modality}" if modality in MODALITIES or modality in _OTHER_MODALITIES else "an unknown modality"


def _code(attributes: Attributes, keyword: str) -> str | None:
    """A value of VR CS in upper case, reduced to its permitted characters and 16 of them."""
    text = _NOT_CODE.sub("", attributes.text(keyword).upper())
    return text.strip()[:_CODE_LENGTH] or None


def _uid(attributes: Attributes, keyword: str) -> str | None:
    """A UID as it is in the file: components with leading zeros identify the same object for all others too."""
    text = attributes.text(keyword)
    return text if _UID.fullmatch(text) else None
