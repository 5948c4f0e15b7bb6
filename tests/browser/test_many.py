"""Two films side by side, and a folder of them."""

import csv
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import centre, choose, frame, on_disk, open_radiograph, pixels
from tests.factories import chest_dicom, example

pytestmark = pytest.mark.integration


def cursor(page, index):
    """Where the frame's cursor is drawn is seen in its picture."""
    page.wait_for_timeout(120)
    return frame(page, index).screenshot()


@pytest.mark.thorough
def test_two_findings_of_one_film_with_a_linked_cursor(opened):
    opened.click("#compare")
    captions = opened.locator(".caption").all_inner_texts()
    assert len(set(captions)) == 2
    assert all(text.startswith("RG1.dcm") and text.endswith("%") for text in captions)
    opened.mouse.move(5, 5)
    before = cursor(opened, 1)
    opened.mouse.move(*centre(opened, 0))
    assert cursor(opened, 1) != before
    opened.click("#tool-patches")
    opened.mouse.click(*centre(opened, 0))
    expect(opened.locator("#exact")).to_contain_text("1 of 64 patches removed")
    choose(opened, "Edema")
    expect(opened.locator(".caption").nth(0)).to_contain_text("Edema")
    expect(opened.locator(".caption").nth(1)).not_to_contain_text("Edema")
    both = pixels(opened, 0), pixels(opened, 1)
    opened.mouse.move(*centre(opened, 0))
    opened.mouse.wheel(0, -600)
    assert (pixels(opened, 0) != both[0], pixels(opened, 1) != both[1]) == (True, True)


@pytest.mark.thorough
def test_two_films_side_by_side(opened):
    opened.click("#compare")
    film = on_disk(chest_dicom(), "second.dcm")
    opened.set_input_files("#file", film)
    expect(opened.locator(".caption").nth(1)).to_contain_text("second.dcm")
    expect(opened.locator(".caption").nth(0)).to_contain_text("RG1.dcm")
    before = cursor(opened, 1)
    opened.mouse.move(*centre(opened, 0))
    assert cursor(opened, 1) != before
    opened.mouse.click(*centre(opened, 0))
    expect(opened.locator("#warnings")).not_to_contain_text("upright")
    opened.mouse.click(*centre(opened, 1))
    expect(opened.locator("#warnings")).to_contain_text("upright")


HOSTILE = "=HYPERLINK(1) <img src=x onerror=alert(1)>.dcm"


@pytest.fixture
def folder(tmp_path, rg1) -> Path:
    folder = tmp_path / "films"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "chest.dcm").write_bytes(rg1)
    (folder / HOSTILE).write_bytes(chest_dicom())
    (folder / "leg.dcm").write_bytes(example("RG3_UNCR.dcm"))
    (folder / ".hidden").write_bytes(b"x")
    return folder


def test_a_folder_becomes_a_table(page, folder):
    page.set_input_files("#folder", folder)
    rows = page.locator("#batch tbody tr")
    expect(page.locator("#batch-progress")).to_have_text("3 of 3 analysed")
    expect(rows).to_have_count(3)
    expect(page.locator("#batch img")).to_have_count(2)
    expect(rows.filter(has_text="leg.dcm")).to_contain_text("not accepted")
    assert page.locator("#batch img[src='x']").count() == 0

    page.click('#batch [data-column="Lung Lesion"]')
    shares = [float(text.split()[0]) for text in rows.locator("td:nth-child(7)").all_inner_texts() if text]
    assert shares == sorted(shares, reverse=True)
    page.click('#batch [data-column="Lung Lesion"]')
    expect(page.locator('th:has([data-column="Lung Lesion"])')).to_have_attribute("aria-sort", "ascending")

    with page.expect_download() as download:
        page.click("#save-csv")
    with Path(download.value.path()).open(encoding="utf-8-sig", newline="") as file:
        table = list(csv.DictReader(file))
    by_name = {row["name"].rsplit("/", 1)[-1]: row for row in table}
    assert len(table) == 3
    assert 0 < float(by_name["chest.dcm"]["Lung Lesion"]) < 1
    assert by_name["leg.dcm"]["Lung Lesion"] == ""

    page.locator("#batch tbody button", has_text="chest.dcm").click()
    expect(page.locator(".caption").first).to_contain_text("chest.dcm")
    page.click("#close-batch")
    expect(page.locator("#batch")).to_be_hidden()


@pytest.mark.thorough
def test_several_dropped_files_become_a_table(page, rg1):
    code = """([one, two]) => { const data = new DataTransfer();
      for (const name of [one, two]) data.items.add(new File(["no film"], name)); return data; }"""
    data = page.evaluate_handle(code, ["a.dcm", HOSTILE])
    frame(page).dispatch_event("drop", {"dataTransfer": data})
    expect(page.locator("#batch-progress")).to_have_text("2 of 2 analysed")


def test_no_field_of_a_csv_is_a_formula(page):
    code = "async fields => (await import('/viewer/csv.js')).csv([fields])"
    hostile = ["=1+1", "+1", "-1", "@SUM(1)", "\t=1", "\r=1", " =1", 'a"b', "a,b", "plain"]
    text = page.evaluate(code, hostile).lstrip("\ufeff")
    read = next(csv.reader([text], strict=True)) if "\r=" not in text else next(csv.reader(text.splitlines(True)))
    assert all(not field.lstrip().startswith(("=", "+", "-", "@")) for field in read)
    assert read[-3:] == ['a"b', "a,b", "plain"]
    assert page.evaluate(code, [-0.5]).strip("\ufeff\r\n") == "-0.5"


def open_prior(page, content: bytes, name: str = "prior.dcm") -> None:
    page.set_input_files("#prior", on_disk(content, name))
    expect(page.locator(".caption").nth(1)).to_contain_text("%")


@pytest.mark.thorough
@pytest.mark.parametrize(("locale", "text"), [("en-GB", "1 day earlier"), ("de-DE", "1 Tag früher")])
def test_an_interval_of_one_day_is_in_the_singular(new_page, locale, text):
    code = "async dates => (await import('/viewer/patient.js')).intervalText(...dates.map(studyDate => ({studyDate})))"
    assert new_page(locale=locale).evaluate(code, ["20240301", "20240302"]) == text


def test_a_prior_is_shown_beside_with_linked_windows_zoom_and_orientation(page):
    open_radiograph(page, chest_dicom(StudyDate="20240310"))
    open_prior(page, chest_dicom(StudyDate="20240301"))
    expect(page.locator(".caption").nth(1)).to_contain_text("9 days earlier")
    expect(page.locator(".caption").nth(0)).not_to_contain_text("days")
    x, y = centre(page, 1)
    for act in (
        lambda: (page.mouse.move(x, y), page.mouse.down(), page.mouse.move(x - 70, y + 30), page.mouse.up()),
        lambda: page.mouse.wheel(0, -500),
        lambda: page.click("#rotate"),
    ):
        before = pixels(page, 0), pixels(page, 1)
        act()
        assert (pixels(page, 0) != before[0], pixels(page, 1) != before[1]) == (True, True)
    page.click("#link")
    before = pixels(page, 0), pixels(page, 1)
    page.select_option("#preset", "lungs")
    assert (pixels(page, 0) == before[0], pixels(page, 1) != before[1]) == (True, True)


@pytest.mark.thorough
def test_a_prior_of_another_patient_is_warned_about(page):
    open_radiograph(page, chest_dicom(PatientID="ONE", StudyDate="20240310"))
    open_prior(page, chest_dicom(PatientID="TWO", StudyDate="20240301"))
    expect(page.locator("#warnings")).to_contain_text("different patient IDs")
    expect(page.locator(".caption").nth(1)).not_to_contain_text("earlier")


@pytest.mark.thorough
def test_a_refused_prior_leaves_the_radiograph_beside_it(opened):
    opened.set_input_files("#prior", on_disk(b"no image", "leg.dcm"))
    expect(opened.locator("#problem")).to_contain_text("leg.dcm")
    expect(opened.locator(".finding")).to_have_count(0)
    expect(opened.locator(".caption").first).to_contain_text("RG1.dcm")
    opened.mouse.click(*centre(opened, 0))
    expect(opened.locator("#problem")).to_be_empty()
    expect(opened.locator(".finding")).to_have_count(14)
