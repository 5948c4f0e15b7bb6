"""The Grayscale Softcopy Presentation State: outlines and labels over the original, whose pixels stay unchanged."""

from pydicom.dataset import Dataset
from pydicom.uid import GrayscaleSoftcopyPresentationStateStorage

from app.dicom_objects.attributes import first_text, numbers
from app.dicom_objects.common import as_file, referenced_image, series_description, stamp
from app.dicom_objects.content import Patch, Report, ReportedFinding
from app.dicom_objects.graphic_labels import Box, LabelLayout
from app.dicom_objects.grayscale_state import copy_grayscale
from app.rendering.wording import NOTICE, percent

_SERIES_NUMBER = 9003
_NOTICE_LAYER = "MPNNOTICE"


def presentation_state(report: Report, findings: tuple[ReportedFinding, ...]) -> bytes:
    """The strongest patches of each finding, in a graphic layer of its own. Source: PS3.3 A.33.1."""
    names = [finding.name for finding in findings]
    state = Dataset()
    state.SOPClassUID = GrayscaleSoftcopyPresentationStateStorage
    state.SOPInstanceUID = report.uid("gsps", *names)
    state.SeriesInstanceUID = report.uid("gsps", "series", *names)
    state.Modality = "PR"
    state.SeriesNumber, state.InstanceNumber = _SERIES_NUMBER, 1
    state.BodyPartExamined = "CHEST"
    state.ContentLabel = "AI_EVIDENCE"
    state.ContentDescription = "Patches with the strongest evidence"
    state.ContentCreatorName = None
    state.PresentationCreationDate = state.PresentationCreationTime = ""
    state.ReferencedSeriesSequence = [_referenced_series(report.source)]
    state.DisplayedAreaSelectionSequence = [_displayed_area(report)]
    copy_grayscale(report.source, state)
    _draw(state, report, findings)
    stamp(state, report, series_description("AI evidence outlines", names))
    return as_file(state, report)


def _draw(state: Dataset, report: Report, findings: tuple[ReportedFinding, ...]) -> None:
    """Layers and annotations of the findings, and a layer with the notice."""
    layout = LabelLayout(report.rows, report.columns)
    notice = _annotation(report, _NOTICE_LAYER, NOTICE, layout.place(NOTICE), ())
    layers, annotations = [_layer(_NOTICE_LAYER, 1, "Intended use")], [notice]
    for number, finding in enumerate(findings, 1):
        if finding.patches:
            label = f"{finding.name} {percent(finding.probability or 0.0)}"
            box = layout.place(label, finding.patches)
            layers.append(_layer(f"MPN{number}", number + 1, finding.name))
            annotations.append(_annotation(report, f"MPN{number}", label, box, finding.patches))
    state.GraphicLayerSequence = layers
    state.GraphicAnnotationSequence = annotations


def _referenced_series(source: Dataset) -> Dataset:
    series = Dataset()
    series.SeriesInstanceUID = first_text(source, "SeriesInstanceUID")
    series.ReferencedImageSequence = [referenced_image(source)]
    return series


def _displayed_area(report: Report) -> Dataset:
    """The whole image, fitted to the screen, with the pixel spacing or aspect ratio of the source (PS3.3 C.10.4)."""
    area = Dataset()
    area.DisplayedAreaTopLeftHandCorner = [1, 1]
    area.DisplayedAreaBottomRightHandCorner = [report.columns, report.rows]
    area.PresentationSizeMode = "SCALE TO FIT"
    for name in ("PixelSpacing", "ImagerPixelSpacing"):
        spacing = numbers(report.source, name)
        if len(spacing) == 2 and min(spacing) > 0:
            area.PresentationPixelSpacing = [f"{value:.10g}" for value in spacing]
            return area
    aspect = [round(value) for value in numbers(report.source, "PixelAspectRatio")]
    area.PresentationPixelAspectRatio = aspect if len(aspect) == 2 and min(aspect) > 0 else [1, 1]
    return area


def _layer(name: str, order: int, description: str) -> Dataset:
    layer = Dataset()
    layer.GraphicLayer, layer.GraphicLayerOrder, layer.GraphicLayerDescription = name, order, description
    return layer


def _annotation(report: Report, layer: str, label: str, box: Box, patches: tuple[Patch, ...]) -> Dataset:
    """The outlines of patches and a label, in pixels of the image (PS3.3 C.10.5)."""
    annotation = Dataset()
    annotation.ReferencedImageSequence = [referenced_image(report.source)]
    annotation.GraphicLayer = layer
    if patches:
        annotation.GraphicObjectSequence = [_outline(patch, report) for patch in patches]
    text = Dataset()
    text.BoundingBoxAnnotationUnits = "PIXEL"
    text.UnformattedTextValue = label
    text.BoundingBoxTopLeftHandCorner = [box.left, box.top]
    text.BoundingBoxBottomRightHandCorner = [box.right, box.bottom]
    text.BoundingBoxTextHorizontalJustification = "LEFT"
    annotation.TextObjectSequence = [text]
    return annotation


def _outline(patch: Patch, report: Report) -> Dataset:
    corners = patch.corners(report.rows, report.columns)
    outline = Dataset()
    outline.GraphicAnnotationUnits = "PIXEL"
    outline.GraphicDimensions = 2
    outline.NumberOfGraphicPoints = len(corners)
    outline.GraphicData = [coordinate for corner in corners for coordinate in corner]
    outline.GraphicType = "POLYLINE"
    outline.GraphicFilled = "N"
    return outline
