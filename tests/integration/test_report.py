"""What goes back to the PACS, checked by the tools that PACS vendors check with."""

import subprocess
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from io import BytesIO

import highdicom as hd
import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.uid import ComputedRadiographyImageStorage, DigitalXRayImageStorageForPresentation

from app.patchnet.findings import FINDINGS
from tests.factories import chest_dicom, png_file
from tests.programs import installed

pytestmark = pytest.mark.integration

DICOM = {"Content-Type": "application/dicom"}
KINDS = ("sr", "sc", "gsps")


def objects(client, image, kind, **query) -> list[bytes]:
    answer = client.post("/report", params={"object": kind, **query}, content=image, headers=DICOM)
    assert answer.status_code == 200, answer.text
    content_type = answer.headers["content-type"]
    if content_type == "application/dicom":
        return [answer.content]
    assert content_type.startswith('multipart/related; type="application/dicom"')
    message = message_from_bytes(f"Content-Type: {content_type}\r\n\r\n".encode() + answer.content)
    return [part.get_payload(decode=True) for part in message.get_payload()]


def problems_of(tmp_path, content: bytes) -> list[str]:
    path = tmp_path / "object.dcm"
    path.write_bytes(content)
    done = subprocess.run([installed("dciodvfy"), path], check=False, capture_output=True, text=True)
    return [line for line in (done.stderr + done.stdout).splitlines() if line.startswith("Error")]


@pytest.mark.parametrize("kind", [*KINDS, "seg"])
def test_objects_of_a_real_film_have_no_errors_and_lie_in_its_study(client, rg1, tmp_path, kind):
    source = dcmread(BytesIO(rg1), stop_before_pixels=True)
    found = objects(client, rg1, kind)
    assert found
    for content in found:
        assert problems_of(tmp_path, content) == []
        made = dcmread(BytesIO(content))
        for name in ("StudyInstanceUID", "PatientID", "PatientName", "AccessionNumber", "StudyDate"):
            assert made[name].value == source[name].value
        assert made.SeriesInstanceUID != source.SeriesInstanceUID
        assert made.Manufacturer == "medpatchnet"
    assert len({dcmread(BytesIO(content)).SeriesInstanceUID for content in found}) == 1


@pytest.mark.parametrize("kind", [*KINDS, "seg"])
def test_the_same_film_gives_the_same_objects_but_for_the_time(client, rg1, kind):
    first, second = (list(map(without_time, objects(client, rg1, kind))) for _ in range(2))
    assert first == second


def without_time(content: bytes) -> Dataset:
    """An object without what tells when it was made; the caption of a capture shows the time too."""
    made = dcmread(BytesIO(content))
    for element in list(made):
        if element.VR in {"DA", "TM"} or element.keyword == "PixelData":
            del made[element.tag]
    return made


def test_the_time_of_the_analysis_is_now_and_that_of_the_study_is_the_films(client, rg1):
    source = dcmread(BytesIO(rg1), stop_before_pixels=True)
    before = datetime.now(UTC) - timedelta(seconds=1)
    (made,) = map(dcmread, map(BytesIO, objects(client, rg1, "sr")))
    offset = made.TimezoneOffsetFromUTC
    analysed = datetime.strptime(made.ContentDate + made.ContentTime + offset, "%Y%m%d%H%M%S%z")
    assert before <= analysed <= datetime.now(UTC)
    assert (made.StudyDate, made.StudyTime) == (source.StudyDate, source.StudyTime)


MADE = {
    "without a date": {},
    "CR with a date": {"Modality": "CR", "SOPClassUID": ComputedRadiographyImageStorage, "StudyDate": "20260102"},
    "DX": {
        "Modality": "DX",
        "SOPClassUID": DigitalXRayImageStorageForPresentation,
        "PresentationIntentType": "FOR PRESENTATION",
    },
    "other characters": {"SpecificCharacterSet": "ISO_IR 192", "PatientName": "Жук^Анна", "BodyPartExamined": "THORAX"},
    "no patient": {"PatientName": None, "PatientID": None},
}


@pytest.mark.thorough
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("attributes", MADE.values(), ids=list(MADE))
def test_objects_of_made_films_have_no_errors(client, tmp_path, kind, attributes):
    film = chest_dicom(**attributes)
    for content in objects(client, film, kind, **({"class": "Edema"} if kind != "sr" else {})):
        assert problems_of(tmp_path, content) == []


@pytest.mark.thorough
def test_reference_films_as_dicom_have_no_errors(shared, client, tmp_path):
    """Real films, wrapped as CR objects."""
    films = sorted((shared / "data" / "nih-cxr" / "test").rglob("*.[jp][pn]g"))[:4]
    for path in films:
        pixels = np.asarray(Image.open(path).convert("L"), dtype=np.uint16) * 16
        content = chest_dicom(pixels, SOPClassUID=ComputedRadiographyImageStorage)
        for kind in KINDS:
            for made in objects(client, content, kind, **({"class": "Pleural Effusion"} if kind != "sr" else {})):
                assert problems_of(tmp_path, made) == []


def test_the_report_says_what_predict_says(client, rg1, tmp_path):
    (content,) = objects(client, rg1, "sr")
    predicted = {item["name"]: item for item in client.post("/predict", content=rg1, headers=DICOM).json()["findings"]}
    path = tmp_path / "sr.dcm"
    path.write_bytes(content)
    report = hd.sr.srread(path)
    codes = {(finding.code.value, finding.code.scheme): finding.name for finding in FINDINGS}

    def name_of(code) -> str:
        return codes[(code.value, code.scheme_designator)]

    regions = report.content.get_planar_roi_measurement_groups()
    assert {name_of(region.finding_type) for region in regions} == {
        name for name, item in predicted.items() if item["positive"] and name != "No Finding"
    }
    source = dcmread(BytesIO(rg1), stop_before_pixels=True)
    values, decisions = {}, {}
    for region in regions:
        name = name_of(region.finding_type)
        values[name], threshold, _ = (measurement.value for measurement in region.get_measurements())
        assert threshold == pytest.approx(predicted[name]["threshold"], abs=1e-6)
        outline = region.roi.value
        assert (outline >= 0).all()
        assert (outline <= [source.Columns, source.Rows]).all()
        np.testing.assert_array_equal(outline[0], outline[-1])
    (rest,) = (
        item for item in dcmread(path).ContentSequence if item.get("ConceptNameCodeSequence")[0].CodeValue == "C0034375"
    )
    for item in rest.ContentSequence:
        name = codes[
            (item.ConceptNameCodeSequence[0].CodeValue, item.ConceptNameCodeSequence[0].CodingSchemeDesignator)
        ]
        if item.ValueType == "NUM":
            values[name] = float(item.MeasuredValueSequence[0].NumericValue)
        else:
            decisions[name] = item.ConceptCodeSequence[0].CodeMeaning == "Present"
    scored = {name: item["probability"] for name, item in predicted.items() if item["probability"] is not None}
    assert values == pytest.approx(scored, abs=1e-6)
    assert all(predicted[name]["positive"] is decision for name, decision in decisions.items())


def test_the_report_is_read_by_a_person_first(client, rg1, tmp_path):
    (content,) = objects(client, rg1, "sr")
    path = tmp_path / "sr.dcm"
    path.write_bytes(content)
    printed = subprocess.run([installed("dsrdump"), "+Pl", path], capture_output=True, text=True, check=True).stdout
    assert "Completion Flag     : PARTIAL" in printed
    assert "UNVERIFIED" in printed
    page = subprocess.run([installed("dsr2html"), path], capture_output=True, text=True, check=True).stdout
    assert page.count("not a medical device") == 1
    body = page.split("<h1>", 1)[1]
    assert body.splitlines()[1].startswith("Positive at the operating point ")
    assert len(page.splitlines()) < 220


def test_sites_are_the_strongest_zones_of_explain_in_a_short_valid_report(client, rg1, tmp_path):
    (content,) = objects(client, rg1, "sr", zones="true")
    assert problems_of(tmp_path, content) == []
    path = tmp_path / "object.dcm"
    subprocess.run([installed("dsrdump"), path], capture_output=True, check=True)
    explained = client.post("/explain?class=all&zones=true", content=rg1, headers=DICOM).json()["zones"]["findings"]
    ledgers = {ledger["finding"]: ledger for ledger in explained}
    groups = hd.sr.srread(path).content.get_planar_roi_measurement_groups()
    assert groups
    for group in groups:
        ledger = ledgers[group.tracking_identifier]
        _, best = max((zone["share_for"], zone["zone"]) for zone in ledger["zones"][:7])
        (site,) = group.finding_sites
        words = {site.value.meaning.split()[0].lower(), (site.laterality.meaning if site.laterality else "").lower()}
        assert words == ({"mediastinum", ""} if best == "heart_mediastinum" else set(best.split("_")))
        share, outside = (
            measurement.value for measurement in group.get_measurements() if measurement.name.value.endswith("SHARE")
        )
        assert share == pytest.approx(max(zone["share_for"] for zone in ledger["zones"][:7]), abs=1e-4)
        assert outside == pytest.approx(ledger["outside_share"], abs=1e-4)


def test_an_overlay_for_every_positive_finding_or_the_one_asked_for(client, rg1):
    predicted = client.post("/predict", content=rg1, headers=DICOM).json()["findings"]
    positives = {item["name"]: item for item in predicted if item["positive"] and item["name"] != "No Finding"}
    ranked = sorted(positives, key=lambda name: -positives[name]["probability"] / positives[name]["threshold"])
    captures = [dcmread(BytesIO(content)) for content in objects(client, rg1, "sc")]
    assert [capture.ImageComments.split(": ")[0].rsplit(" ", 2)[0] for capture in captures] == ranked
    assert [capture.InstanceNumber for capture in captures] == list(range(1, len(ranked) + 1))
    (one,) = objects(client, rg1, "sc", **{"class": "edema"})
    capture = dcmread(BytesIO(one))
    assert "Edema" in capture.DerivationDescription
    assert capture.SeriesDescription == "AI evidence: Edema"
    assert capture.pixel_array.shape[2] == 3
    assert np.ptp(capture.pixel_array.astype(int), axis=2).max() > 40  # colour


def test_the_presentation_state_outlines_patches_of_the_original(client, rg1):
    source = dcmread(BytesIO(rg1), stop_before_pixels=True)
    (content,) = objects(client, rg1, "gsps", **{"class": "Lung Opacity"})
    state = dcmread(BytesIO(content))
    (reference,) = state.ReferencedSeriesSequence[0].ReferencedImageSequence
    assert reference.ReferencedSOPInstanceUID == source.SOPInstanceUID
    texts = [text.UnformattedTextValue for item in state.GraphicAnnotationSequence for text in item.TextObjectSequence]
    assert any("Research use only" in text for text in texts)
    assert any(text.startswith("Lung Opacity") for text in texts)


def test_the_segmentation_has_the_lungs_on_their_sides_of_the_radiograph(client, rg1):
    source = dcmread(BytesIO(rg1), stop_before_pixels=True)
    (content,) = objects(client, rg1, "seg")
    segmentation = hd.seg.segread(BytesIO(content))
    assert (segmentation.Rows, segmentation.Columns) == (source.Rows, source.Columns)
    right, left, heart = segmentation.get_pixels_by_source_instance([source.SOPInstanceUID])[0].transpose(2, 0, 1)
    middles = [np.flatnonzero(organ.any(axis=0)).mean() for organ in (right, heart, left)]
    assert middles == sorted(middles)
    assert all(0.02 < organ.mean() < 0.32 for organ in (right, left, heart))


@pytest.mark.parametrize(
    ("image", "query", "status", "code"),
    [
        (lambda: png_file(np.eye(128, dtype=np.uint8) * 200), "object=sr", 422, "no_source_object"),
        (lambda: chest_dicom(StudyInstanceUID=None), "object=sr", 422, "no_source_object"),
        (chest_dicom, "object=sc&class=Fracture", 422, "invalid_query"),
        (chest_dicom, "object=sc&class=Nonsense", 422, "unknown_finding"),
        (chest_dicom, "object=seg", 422, "object_not_possible"),
        (chest_dicom, "object=pdf", 422, "invalid_query"),
    ],
)
def test_what_cannot_be_reported_is_refused(client, image, query, status, code):
    answer = client.post(f"/report?{query}", content=image())
    assert (answer.status_code, answer.json()["type"].rsplit(":", 1)[-1]) == (status, code)
