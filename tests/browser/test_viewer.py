"""The viewer in a real browser, on a real film, against a real service."""

import json
import re
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from playwright.sync_api import expect

from tests.browser.conftest import centre, choose, frame, on_disk, open_radiograph
from tests.browser.interruptible_proxy import InterruptibleProxy
from tests.factories import chest_dicom

pytestmark = pytest.mark.integration


def shown(page) -> dict[str, float]:
    rows = page.locator(".finding").all()
    return {
        row.get_attribute("data-finding"): float(row.locator(".value").get_attribute("data-probability"))
        for row in rows
        if row.locator(".value").get_attribute("data-probability")
    }


def click_patch(page, row, column):
    """Remove a patch by its row and column, with the keyboard."""
    frame(page).focus()
    page.keyboard.press("b")
    page.keyboard.press("ArrowUp")
    for _ in range(8):
        page.keyboard.press("ArrowUp")
        page.keyboard.press("ArrowLeft")
    for _ in range(row):
        page.keyboard.press("ArrowDown")
    for _ in range(column):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    page.keyboard.press("Escape")


def test_a_film_shows_its_findings_and_evidence(opened, client, rg1):
    expected = client.post("/predict", content=rg1).json()["findings"]
    values = shown(opened)
    known = {item["name"]: item["probability"] for item in expected if item["probability"] is not None}
    assert values == pytest.approx(known, abs=1e-6)
    expect(opened.locator("#exact")).to_contain_text("mean of the grid")
    mean, logit = re.findall(r"-?\d+\.\d+", opened.locator("#exact").inner_text())[:2]
    assert float(mean) == pytest.approx(float(logit), abs=1e-5)
    assert "outside the analysed square" in opened.locator("#warnings").inner_text()
    expect(opened.locator("#notice")).to_contain_text("Research use only")
    expect(opened.locator('.finding[data-finding="Fracture"]')).to_contain_text("untrained")
    expect(opened.locator("#figures")).to_contain_text("AUROC")


@pytest.mark.parametrize("rule", ["drop", "neutral"])
def test_removed_patches_give_the_probabilities_of_whatif(opened, client, rg1, rule):
    opened.select_option("#rule", rule)
    opened.click("#ring")
    click_patch(opened, 3, 4)
    answer = client.post("/predict", content=rg1)
    ring = [[row, column] for row in range(8) for column in range(8) if {row, column} & {0, 7}]
    question = {"request_id": answer.json()["request_id"], "remove": [*ring, [3, 4]], "rule": rule}
    expected = client.post("/whatif", json=question).json()["findings"]
    after = {item["name"]: item["after"]["probability"] for item in expected}
    known = {name: probability for name, probability in after.items() if probability is not None}
    assert shown(opened) == pytest.approx(known, abs=1e-6)
    expect(opened.locator("#exact")).to_contain_text("29 of 64 patches removed")
    opened.click("#undo")
    expect(opened.locator("#exact")).to_contain_text("28 of 64 patches removed")
    opened.click("#reset")
    expect(opened.locator("#exact")).to_contain_text("0 of 64 patches removed")


@pytest.mark.thorough
def test_a_click_and_a_stroke_remove_patches(opened):
    x, y = centre(opened)
    opened.click("#tool-patches")
    opened.mouse.click(x, y)
    expect(opened.locator("#exact")).to_contain_text("1 of 64 patches removed")
    opened.mouse.move(x - 120, y - 120)
    opened.mouse.down()
    opened.mouse.move(x + 120, y - 120, steps=4)
    opened.mouse.up()
    removed = int(re.search(r"(\d+) of 64 patches removed", opened.locator("#exact").inner_text())[1])
    assert removed > 3
    expect(opened.locator("#cell")).to_contain_text(re.compile(r"logits, evidence .* % of all evidence .* to the mean"))
    opened.click("#undo")
    expect(opened.locator("#exact")).to_contain_text("1 of 64 patches removed")


def test_decisive_sets_do_what_they_say(opened, client, rg1):
    explained = client.post("/explain?class=all", content=rg1).json()["explanations"]
    positive = [item for item in explained if item["positive"]]
    flipping = next(item for item in positive if item["decisive_patches"][0]["flip"])
    choose(opened, flipping["finding"])
    opened.click("#flip")
    opened.click("#apply-set")
    assert shown(opened)[flipping["finding"]] < flipping["threshold"]
    opened.click("#reset")
    opened.click("#sufficient")
    opened.click("#apply-set")
    assert shown(opened)[flipping["finding"]] >= flipping["threshold"]


def test_everything_can_be_done_with_the_keyboard(opened):
    frame(opened).focus()
    for key in ("b", "ArrowDown", "ArrowRight", "Space"):
        opened.keyboard.press(key)
    expect(opened.locator("#exact")).to_contain_text("1 of 64 patches removed")
    expect(opened.locator("#spoken")).to_contain_text("row 1, column 2")
    opened.keyboard.press("u")
    expect(opened.locator("#exact")).to_contain_text("0 of 64 patches removed")
    opened.keyboard.press("i")
    expect(opened.locator("#invert")).to_have_attribute("aria-pressed", "true")
    before = opened.locator('.finding[aria-checked="true"]').get_attribute("data-finding")
    opened.keyboard.press("PageDown")
    assert opened.locator('.finding[aria-checked="true"]').get_attribute("data-finding") != before
    for key, tool in (("v", "pan"), ("w", "window"), ("b", "patches")):
        opened.keyboard.press(key)
        expect(opened.locator(f"#tool-{tool}")).to_have_attribute("aria-pressed", "true")
    opened.keyboard.press("3")
    expect(opened.locator("#preset")).to_have_value("own")
    opened.keyboard.press("0")
    expect(opened.locator("#preset")).to_have_value("file")
    for key in ("+", "-", "f", "t", "x", "r", "Shift+ArrowLeft"):
        opened.keyboard.press(key)
    opened.keyboard.press("c")
    expect(opened.locator(".pane:visible")).to_have_count(2)
    frame(opened).focus()
    opened.keyboard.press("?")
    expect(opened.locator("#help-page")).to_be_visible()
    expect(opened.locator("#help-keys tr")).to_have_count(20)
    opened.keyboard.press("Escape")
    expect(opened.locator("#help-page")).to_be_hidden()


@pytest.mark.thorough
def test_findings_are_chosen_with_the_arrow_keys(opened):
    opened.locator('.finding[aria-checked="true"]').focus()
    names = [row.get_attribute("data-finding") for row in opened.locator(".finding:not(.untrained)").all()]
    for name in [*names[1:], names[0]]:  # opens the folds on its way, and starts again at the end
        opened.keyboard.press("ArrowDown")
        expect(opened.locator(".finding:focus")).to_have_attribute("data-finding", name)


def test_hostile_names_and_texts_stay_text(page):
    page.evaluate("window.ran = false")
    script = "<img src=x onerror='window.ran=true'>"
    content = chest_dicom(PatientName=script, SeriesDescription=script, StudyDescription=script)
    open_radiograph(page, content, f"{script}.dcm")
    expect(page.locator(".caption").first).to_contain_text("<img")
    wrong = chest_dicom(BodyPartExamined="<B>LEG</B>")
    page.set_input_files("#file", on_disk(wrong, "x.dcm"))
    expect(page.locator("#problem")).not_to_be_empty()
    assert page.locator("#problem b").count() == 0
    assert page.evaluate("window.ran") is False
    assert page.locator("img").count() == 0


def test_the_example_opens_and_the_numbers_are_saved(page):
    page.click("#example")
    expect(page.locator(".finding")).to_have_count(14)
    page.click("#ring")
    with page.expect_download() as download:
        page.click("#save-json")
    saved = json.loads(Path(download.value.path()).read_text())
    assert (len(saved["explanations"]), len(saved["removed"]), saved["rule"]) == (14, 28, "drop")
    with page.expect_download() as picture:
        page.click("#save-png")
    assert Path(picture.value.path()).read_bytes().startswith(b"\x89PNG")


def test_a_dicom_film_has_reports_to_save(opened):
    saved = []
    for kind in ("sr", "sc"):
        with opened.expect_download() as download:
            opened.click(f"#save-{kind}")
        saved.append(pydicom.dcmread(BytesIO(Path(download.value.path()).read_bytes())))
    assert saved[0].Modality == "SR"
    assert "PixelData" in saved[1]


@pytest.mark.thorough
def test_an_unreachable_service_is_said_and_waited_for(new_page, service, rg1):
    with InterruptibleProxy(service.url) as proxy:
        proxy.open()
        page = new_page(proxy.url)
        proxy.close()
        page.set_input_files("#file", on_disk(rg1, "a.dcm"))
        expect(page.locator("#problem")).to_contain_text("Service unreachable")
        proxy.open()
        expect(page.locator(".finding")).to_have_count(14)
        expect(page.locator("#problem")).to_be_empty()


@pytest.mark.thorough
def test_a_service_with_keys_asks_for_one(new_page, start_service, tmp_path, rg1):
    keys = tmp_path / "keys.json"
    made = subprocess.run(
        [sys.executable, "-m", "app.cli", "keys", "new", "viewer", "--scope", "explain", "--file", keys],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    key = re.search(r"mpn_\S+", made.stdout)[0]
    page = new_page(start_service(api_keys_file=keys, admin_port=0).url)
    page.set_input_files("#file", on_disk(rg1, "a.dcm"))
    for given, is_wrong in (("wrong", False), (key, True)):
        expect(page.locator("#ask-key")).to_be_visible()
        expect(page.locator("#key-wrong")).to_be_visible(visible=is_wrong)
        page.fill("#key", given)
        page.click("#ask-key button")
    expect(page.locator(".finding")).to_have_count(14)
    page.click("#save-sr")
    expect(page.locator("#problem")).to_contain_text("scope")
