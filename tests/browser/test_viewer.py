"""The viewer in a real browser, on a real film, against a real service."""

import json
import re
import signal
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.factories import chest_dicom

pytestmark = pytest.mark.integration

BUDGET_BYTES = 300_000


@pytest.fixture(scope="module")
def browser(installed):
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=installed("chromium"), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser, service):
    context = browser.new_context(viewport={"width": 1280, "height": 800}, locale="en-GB")
    page = context.new_page()
    page.errors, page.requests = [], []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.on("console", lambda message: page.errors.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: page.requests.append(request.url))
    page.goto(service.url)
    yield page
    context.close()


@pytest.fixture
def opened(page, rg1) -> Page:
    page.set_input_files("#file", {"name": "RG1.dcm", "mimeType": "application/dicom", "buffer": rg1})
    expect(page.locator(".finding")).to_have_count(14, timeout=30_000)
    return page


def shown(page) -> dict[str, float]:
    rows = page.locator(".finding").all()
    return {
        row.get_attribute("data-finding"): float(row.locator(".value").get_attribute("data-probability"))
        for row in rows
        if row.locator(".value").get_attribute("data-probability")
    }


def click_patch(page, row, column):
    """A patch by its row and column, with the keyboard."""
    page.focus("#frame")
    page.keyboard.press("ArrowUp")
    for _ in range(8):
        page.keyboard.press("ArrowUp")
        page.keyboard.press("ArrowLeft")
    for _ in range(row):
        page.keyboard.press("ArrowDown")
    for _ in range(column):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")


def test_a_film_shows_its_findings_and_evidence(opened, client, rg1):
    expected = client.post("/predict", content=rg1).json()["findings"]
    values = shown(opened)
    known = {item["name"]: item["probability"] for item in expected if item["probability"] is not None}
    assert values == pytest.approx(known, abs=1e-6)
    order = [row.get_attribute("data-finding") for row in opened.locator(".finding").all()]
    assert order[: len(values)] == sorted(values, key=values.get, reverse=True)
    expect(opened.locator("#exact")).to_contain_text("mean of the grid")
    mean, logit = re.findall(r"-?\d+\.\d+", opened.locator("#exact").inner_text())[:2]
    assert float(mean) == pytest.approx(float(logit), abs=1e-5)
    assert "not looked at" in opened.locator("#warnings").inner_text()
    assert opened.errors == []


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
    expect(opened.locator("#exact")).to_contain_text("removed 29 of 64")
    opened.click("#undo")
    expect(opened.locator("#exact")).to_contain_text("removed 28 of 64")
    opened.click("#reset")
    expect(opened.locator("#exact")).to_contain_text("removed 0 of 64")


def test_a_click_and_a_stroke_remove_patches(opened):
    box = opened.locator("#frame").bounding_box()
    centre = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    opened.mouse.click(*centre)
    expect(opened.locator("#exact")).to_contain_text("removed 1 of 64")
    opened.mouse.move(centre[0] - 120, centre[1] - 120)
    opened.mouse.down()
    opened.mouse.move(centre[0] + 120, centre[1] - 120, steps=30)
    opened.mouse.up()
    removed = int(re.search(r"removed (\d+)", opened.locator("#exact").inner_text())[1])
    assert removed > 3
    expect(opened.locator("#cell")).to_contain_text("logits")


def test_decisive_sets_do_what_they_say(opened, client, rg1):
    explained = client.post("/explain?class=all", content=rg1).json()["explanations"]
    positive = [item for item in explained if item["positive"]]
    flipping = next(item for item in positive if item["decisive_patches"][0]["flip"])
    opened.locator(f'.finding[data-finding="{flipping["finding"]}"]').click()
    opened.click("#flip")
    assert shown(opened)[flipping["finding"]] < flipping["threshold"]
    opened.click("#reset")
    opened.click("#sufficient")
    assert shown(opened)[flipping["finding"]] >= flipping["threshold"]


def test_everything_can_be_done_with_the_keyboard(opened):
    opened.focus("#frame")
    for key in ("ArrowDown", "ArrowRight", "Space"):
        opened.keyboard.press(key)
    expect(opened.locator("#exact")).to_contain_text("removed 1 of 64")
    opened.keyboard.press("u")
    expect(opened.locator("#exact")).to_contain_text("removed 0 of 64")
    opened.keyboard.press("i")
    assert opened.get_attribute("#invert", "aria-pressed") == "true"
    before = opened.locator('.finding[aria-checked="true"]').get_attribute("data-finding")
    opened.keyboard.press("PageDown")
    assert opened.locator('.finding[aria-checked="true"]').get_attribute("data-finding") != before
    for key in ("+", "-", "f", "r"):
        opened.keyboard.press(key)
    assert opened.errors == []


def test_hostile_names_and_texts_stay_text(page):
    page.evaluate("window.ran = false")
    script = "<img src=x onerror='window.ran=true'>"
    content = chest_dicom(PatientName=script, SeriesDescription=script, StudyDescription=script)
    page.set_input_files("#file", {"name": f"{script}.dcm", "mimeType": "text/html", "buffer": content})
    expect(page.locator(".finding")).to_have_count(14, timeout=30_000)
    wrong = chest_dicom(BodyPartExamined="<B>LEG</B>")
    page.set_input_files("#file", {"name": "x.dcm", "mimeType": "application/dicom", "buffer": wrong})
    expect(page.locator("#problem")).not_to_be_empty()
    assert page.locator("#problem b").count() == 0
    assert page.evaluate("window.ran") is False
    assert page.locator("img").count() == 0


def test_the_example_and_the_language(page):
    page.click("#example")
    expect(page.locator(".finding")).to_have_count(14, timeout=30_000)
    page.click("#language")
    expect(page.locator("#result-title")).to_have_text("Befunde")
    assert page.evaluate("document.documentElement.lang") == "de"
    with page.expect_download() as download:
        page.click("#save-json")
    assert len(json.loads(Path(download.value.path()).read_text())["explanations"]) == 14
    with page.expect_download() as picture:
        page.click("#save-png")
    assert Path(picture.value.path()).read_bytes().startswith(b"\x89PNG")


def test_scaled_evidence_palette_and_window_change_the_picture(opened):
    def picture():
        opened.wait_for_timeout(80)
        return opened.locator("#frame").screenshot()

    seen = [picture()]
    opened.check("#scaled")
    seen.append(picture())
    opened.select_option("#palette", "orange-purple")
    seen.append(picture())
    opened.locator("#contrast").fill("200")
    seen.append(picture())
    opened.locator("#opacity").fill("0")
    seen.append(picture())
    assert len(set(seen)) == len(seen)


def test_no_request_leaves_the_origin_and_the_page_is_small(opened, service, client):
    assert all(url.startswith((service.url, "blob:", "data:")) for url in opened.requests)
    names = [url for url in set(opened.requests) if url == f"{service.url}/" or "/viewer/" in url]
    assert len(names) >= 6
    size = sum(len(zlib.compress(client.get(url).content)) for url in names)
    assert size < BUDGET_BYTES
    policy = client.get("/").headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    tag = client.get("/").headers["etag"]
    assert client.get("/", headers={"If-None-Match": tag}).status_code == 304
    assert client.get("/viewer/..%2f..%2fsettings.py").status_code == 404


def test_an_unreachable_service_is_said_and_waited_for(browser, start_service, rg1):
    service = start_service()
    context = browser.new_context(locale="en-GB")
    page = context.new_page()
    page.goto(service.url)
    service.process.send_signal(signal.SIGSTOP)
    context.set_offline(True)
    page.set_input_files("#file", {"name": "a.dcm", "mimeType": "application/dicom", "buffer": rg1})
    expect(page.locator("#problem")).to_contain_text("cannot be reached")
    context.set_offline(False)
    service.process.send_signal(signal.SIGCONT)
    expect(page.locator(".finding")).to_have_count(14, timeout=30_000)
    expect(page.locator("#problem")).to_be_empty()
    context.close()


def test_a_service_with_keys_asks_for_one(browser, start_service, tmp_path, rg1):
    keys = tmp_path / "keys.json"
    made = subprocess.run(
        [sys.executable, "-m", "app.cli", "keys", "new", "viewer", "--scope", "explain", "--file", keys],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    key = re.search(r"mpn_\S+", made.stdout)[0]
    service = start_service(api_keys_file=keys, admin_port=0)
    context = browser.new_context(locale="en-GB")
    page = context.new_page()
    page.goto(service.url)
    page.set_input_files("#file", {"name": "a.dcm", "mimeType": "application/dicom", "buffer": rg1})
    expect(page.locator("#ask-key")).to_be_visible()
    page.fill("#key", key)
    page.click("#ask-key button")
    expect(page.locator(".finding")).to_have_count(14, timeout=30_000)
    context.close()
