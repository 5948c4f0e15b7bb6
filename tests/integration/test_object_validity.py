"""Every object that is made stands up to the tools: dciodvfy, DCMTK, pydicom, highdicom, whatever the film says."""

import re
import subprocess
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

import highdicom as hd
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import DigitalXRayImageStorageForPresentation

from app import load
from app.imaging.dicom.file import silence
from app.patchnet.findings import FINDINGS
from tests.factories import chest_dataset, radiograph_of, write_dicom
from tests.integration.test_report import KINDS, objects, problems_of
from tests.programs import installed

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parent.parent.parent
TABLE = {(finding.code.value, finding.code.scheme, finding.code.meaning) for finding in FINDINGS}
A_FEW = 6


@pytest.fixture
def validate(client, tmp_path):
    """Make all objects of a film and hold them against every tool; tells how many of each kind there were."""
    tools = {name: installed(name) for name in ("dciodvfy", "dcentvfy", "dcmdump", "dsrdump", "dcmpschk")}

    def run(tool: str, *paths: Path) -> str:
        done = subprocess.run([tools[tool], *paths], check=False, capture_output=True)
        said = (done.stdout + done.stderr).decode(errors="replace")
        problems = [line for line in said.splitlines() if re.match(r"[EF](rror)?( -|:)", line)]
        assert (problems, done.returncode) == ([], 0), f"{tool}: {problems or said}"
        return said

    def check(film: bytes, **query: str) -> Counter[str]:
        counts: Counter[str] = Counter()
        folder = Path(mkdtemp(dir=tmp_path))
        together = [folder / "film.dcm"]
        together[0].write_bytes(film)
        for kind in (*KINDS, "seg"):
            asked = query if kind != "sr" else {}
            for number, content in enumerate(objects_or_none(client, film, kind, asked)):
                path = folder / f"{kind}-{number}.dcm"
                path.write_bytes(content)
                run("dciodvfy", path)
                run("dcmdump", path)
                CHECKS[kind](path, run)
                counts[kind] += 1
                together.append(path)
        run("dcentvfy", *together)  # patient and study are the same in all
        rmtree(folder)
        return counts

    return check


@pytest.fixture
def validate_many(validate):
    """``validate`` for many films, two at a time; tells all counts together."""

    def check(made: list[bytes]) -> Counter[str]:
        with ThreadPoolExecutor(2) as pool:
            return sum(pool.map(validate, made), Counter[str]())

    return check


def objects_or_none(client, film: bytes, kind: str, query: dict[str, str]) -> list[bytes]:
    """The objects of a kind: overlays there are for positive findings only, so there may be none (204).

    Made films have no lungs that a segmentation could show.
    """
    if kind == "seg":
        answer = client.post("/report", params={"object": "seg"}, content=film)
        if answer.status_code == 422:
            assert answer.json()["type"].endswith(":object_not_possible")
            return []
    if kind != "sc" or query:
        return objects(client, film, kind, **query)
    answer = client.post("/report", params={"object": "sc"}, content=film)
    return [] if answer.status_code == 204 else objects(client, film, "sc")


def check_report(path: Path, run) -> None:
    assert "UNVERIFIED" in run("dsrdump", path)
    report = hd.sr.srread(path)
    for group in report.content.get_planar_roi_measurement_groups():
        code = group.finding_type
        assert (code.value, code.scheme_designator, code.meaning) in TABLE


def check_capture(path: Path, run) -> None:
    image = hd.imread(path)
    frame = dcmread(path).pixel_array
    assert frame.shape == (image.Rows, image.Columns, 3)
    assert image.get_frame(1).shape == frame.shape


def check_state(path: Path, run) -> None:
    state = dcmread(path)
    if state.get("SpecificCharacterSet") != "ISO_IR 192":  # which dcmpschk does not know
        run("dcmpschk", path)
    layers = {layer.GraphicLayer for layer in state.GraphicLayerSequence}
    assert {item.GraphicLayer for item in state.GraphicAnnotationSequence} <= layers


def check_segmentation(path: Path, run) -> None:
    segmentation = hd.seg.segread(path)
    assert segmentation.number_of_segments == len(segmentation.SegmentSequence) == dcmread(path).NumberOfFrames == 3
    assert dcmread(path).pixel_array.any(axis=(1, 2)).all()


CHECKS = {"sr": check_report, "sc": check_capture, "gsps": check_state, "seg": check_segmentation}


def films(shared: Path) -> list[Path]:
    return sorted((shared / "data/nih-cxr/test").rglob("*.jpg"))


def test_a_real_film(rg1, validate):
    counts = validate(rg1)
    assert counts["sr"] == counts["gsps"] == counts["seg"] == 1
    assert counts["sc"] > 1


@pytest.mark.thorough
def test_a_report_by_default_settings_is_short_and_begins_with_its_conclusion(rg1, tmp_path):
    path = tmp_path / "sr.dcm"
    with load() as model:
        (content,) = model.report(rg1)
    path.write_bytes(content)
    done = subprocess.run([installed("dsr2html"), path], check=True, capture_output=True, text=True)
    lines = done.stdout.splitlines()
    assert len(lines) <= 120
    title = next(number for number, line in enumerate(lines) if line.startswith("<h1>"))  # below the table of the study
    assert re.match(r"No finding is positive|Positive", lines[title + 1])


@pytest.mark.thorough
@pytest.mark.reference_data
def test_a_few_films(shared, validate):
    chosen = films(shared)[:: len(films(shared)) // A_FEW][:A_FEW]
    counts = sum((validate(radiograph_of(film)) for film in chosen), Counter[str]())
    assert counts["sr"] == counts["gsps"] == A_FEW
    assert counts["sc"] > A_FEW


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.reference_data
def test_all_films(shared, validate_many):
    counts = validate_many([radiograph_of(film) for film in films(shared)])
    print(dict(counts))
    assert counts["sr"] == counts["gsps"] == 450


IN_THE_FIRST_TIER = {"odd patient orientation", "Japanese", "longest strings", "a DX", "no patient"}
VARIATIONS: dict[str, dict[str, object]] = {
    "no patient orientation": {},
    "patient orientation": {"PatientOrientation": ["L", "F"]},
    "empty patient orientation": {"PatientOrientation": None},
    "odd patient orientation": {"PatientOrientation": ["L", "F", "X"]},
    "no accession number": {"AccessionNumber": None},
    "an empty accession number": {"AccessionNumber": ""},
    "Laterality": {"Laterality": "L"},
    "empty Laterality": {"Laterality": ""},
    "Image Laterality": {"ImageLaterality": "U"},
    "Japanese": {
        "SpecificCharacterSet": ["", "ISO 2022 IR 87"],
        "PatientName": "Yamada^Tarou=山田^太郎=やまだ^たろう",
        "StudyDescription": "胸部正面",
    },
    "Japanese katakana": {
        "SpecificCharacterSet": ["ISO 2022 IR 13", "ISO 2022 IR 87"],
        "PatientName": "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう",
    },
    "Korean": {"SpecificCharacterSet": ["", "ISO 2022 IR 149"], "PatientName": "Hong^Gildong=洪^吉洞=홍^길동"},
    "Chinese": {
        "SpecificCharacterSet": "GB18030",
        "PatientName": "Wang^XiaoDong=王^小东",
        "StudyDescription": "胸部正位",
    },
    "Unicode": {
        "SpecificCharacterSet": "ISO_IR 192",
        "PatientName": "Ξένος^Ζωή",
        "ReferringPhysicianName": "Müller^Jürgen",
    },
    "Latin 1": {"SpecificCharacterSet": "ISO_IR 100", "PatientName": "Buc^Jérôme", "StudyDescription": "Thorax à plat"},
    "longest strings": {
        "PatientName": "A" * 64,
        "PatientID": "9" * 64,
        "AccessionNumber": "1" * 16,
        "StudyID": "2" * 16,
        "StudyDescription": "d" * 64,
        "ReferringPhysicianName": "R" * 64,
    },
    "characters of another name": {"SpecificCharacterSet": "ISO_IR 999", "PatientName": "Plain^Name"},
    "characters in contradiction": {
        "SpecificCharacterSet": ["ISO_IR 192", "ISO 2022 IR 87"],
        "PatientName": "山田^太郎",
    },
    "a DX": {"SOPClassUID": DigitalXRayImageStorageForPresentation, "PresentationIntentType": "FOR PRESENTATION"},
    "times of every form": {"StudyDate": "20260102", "StudyTime": "1011", "AcquisitionDate": "20260102"},
    "no patient": {"PatientName": None, "PatientID": None},
    "a veterinary age": {"PatientAge": "012M", "PatientSex": "O", "PatientBirthDate": "20250101"},
}


VARIED = [
    pytest.param(attributes, id=name, marks=() if name in IN_THE_FIRST_TIER else pytest.mark.thorough)
    for name, attributes in VARIATIONS.items()
]


@pytest.mark.parametrize("attributes", VARIED)
def test_films_as_archives_send_them(validate, attributes):
    dataset = chest_dataset(AccessionNumber="A1", StudyDate="20260102")
    with silence():
        for name, value in attributes.items():
            setattr(dataset, name, value)
    validate(write_dicom(dataset), **{"class": "Pleural Effusion"})


def test_identifiers_beyond_the_limit_are_not_cut(client, tmp_path):
    """A cut identifier would be another patient's: the object breaks the limit as its film does, and no other."""
    too_long = {"PatientID": "9" * 80, "AccessionNumber": "1" * 40, "StudyID": "S" * 30, "StudyDescription": "d" * 200}
    film = write_dicom(chest_dataset(**too_long))
    for kind in KINDS:
        for content in objects(client, film, kind, **({} if kind == "sr" else {"class": "Edema"})):
            with silence():
                made = dcmread(BytesIO(content))
                assert {name: made[name].value for name in too_long} == too_long
            *told, _ = problems_of(tmp_path, content)
            assert len(told) == len(too_long)
            assert all("Length invalid for this VR" in line for line in told)


@pytest.mark.parametrize("name", ["Japanese", "Japanese katakana", "Korean", "Chinese", "Unicode", "Latin 1"])
def test_names_keep_their_characters(client, name):
    attributes = VARIATIONS[name]
    film = write_dicom(chest_dataset(**attributes))
    for kind in KINDS:
        query = {} if kind == "sr" else {"class": "Edema"}
        for content in objects(client, film, kind, **query):
            made = dcmread(BytesIO(content))
            assert made.SpecificCharacterSet == attributes["SpecificCharacterSet"]
            assert str(made.PatientName) == attributes["PatientName"]
            assert str(made.get("StudyDescription", "")) == attributes.get("StudyDescription", "")


def test_private_attributes_stay_with_the_film(client, validate):
    dataset = chest_dataset()
    block = dataset.private_block(0x0019, "A MODALITY", create=True)
    block.add_new(0x01, "LO", "PRIVATE SENTINEL")
    block.add_new(0x02, "SQ", [Dataset()])
    dataset.add_new((0x0021, 0x1001), "UN", b"an orphan without its creator.")
    film = write_dicom(dataset)
    validate(film, **{"class": "Edema"})
    for kind in KINDS:
        for content in objects(client, film, kind, **({} if kind == "sr" else {"class": "Edema"})):
            assert b"PRIVATE SENTINEL" not in content
            assert not [element for element in dcmread(BytesIO(content)) if element.tag.is_private]


def test_codes_of_findings_are_written_in_one_place():
    """Only the table of findings knows a code of a finding, so that no two objects can disagree."""
    for finding in FINDINGS:
        spelled = re.compile(rf"""["']{re.escape(finding.code.value)}["']""")
        places = {path.name for path in (ROOT / "app").rglob("*.py") if spelled.search(path.read_text())}
        assert places == {"findings.py"}, finding.name
