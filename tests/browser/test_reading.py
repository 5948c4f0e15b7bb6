"""What a reader of a radiograph sees of the decisions, with a model whose decisions are known."""

import csv
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.artifacts import POSITIVE, WITHOUT_DECISION, with_known_decisions
from tests.browser.conftest import box_of, centre, choose, frame, on_disk, open_radiograph
from tests.factories import example

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def known(start_service, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return start_service("--model", str(with_known_decisions(folder)), admin_port=0)


@pytest.fixture
def reading(new_page, known, rg1):
    page = new_page(known.url)
    open_radiograph(page, rg1)
    return page


def listed(page, selector: str) -> list[str]:
    return [row.get_attribute("data-finding") for row in page.locator(selector).all()]


def test_positive_findings_come_first_no_finding_apart_and_the_rest_is_folded(reading):
    visible = listed(reading, ".finding:visible")
    assert set(visible[:2]) == POSITIVE
    assert visible[2:] == ["No Finding"]
    expect(reading.locator(".fold[open]")).to_have_count(0)
    expect(reading.locator(".finding")).to_have_count(14)
    assert reading.locator('.finding[aria-checked="true"]').get_attribute("data-finding") == visible[0]


def test_no_finding_names_the_findings_that_contradict_it(reading):
    row = reading.locator('.finding[data-finding="No Finding"]')
    for finding in POSITIVE:
        expect(row.locator(".contradiction")).to_contain_text(finding)
    expect(row.locator(".mark")).to_be_empty()
    reading.click("#language")
    expect(row.locator(".contradiction")).to_contain_text("Lungenverschattung")


def test_another_operating_point_decides_again_and_keeps_the_removed_patches(reading):
    reading.click("#ring")
    reading.focus("#point")
    reading.keyboard.press("End")
    expect(reading.locator(".finding.positive")).to_have_count(0)
    expect(reading.locator("#findings .none")).to_be_visible()
    expect(reading.locator("#provenance")).to_contain_text("Operating point: specific")
    expect(reading.locator("#reset")).to_be_enabled()
    reading.click("#language")
    expect(reading.locator("#point option:checked")).to_have_text("spezifisch")
    reading.select_option("#point", "")
    expect(reading.locator(".finding.positive").first).to_be_visible()


@pytest.mark.thorough
def test_reports_are_of_the_chosen_operating_point(reading):
    reading.select_option("#point", "specific")
    expect(reading.locator(".finding.positive")).to_have_count(0)
    with reading.expect_request("**/report?**") as asked, reading.expect_download():
        reading.click("#save-sr")
    assert asked.value.url.endswith("operating_point=specific")


@pytest.mark.parametrize(("finding", "status"), WITHOUT_DECISION.items())
def test_a_finding_without_a_decision_is_marked_and_never_positive(reading, finding, status):
    choose(reading, finding)
    row = reading.locator(f'.finding[data-finding="{finding}"]')
    expect(row).to_contain_text(f"({status})")
    expect(row.locator(".mark")).to_be_empty()
    expect(reading.locator("#headline")).to_contain_text("no decision")
    expect(reading.locator("#provenance")).to_contain_text(status.capitalize())
    expect(reading.locator("#sufficient")).to_be_disabled()


def test_the_selected_finding_shows_its_operating_point_and_its_measured_quality(reading):
    figures = dict(
        zip(
            reading.locator("#figures dt").all_inner_texts(),
            reading.locator("#figures dd").all_inner_texts(),
            strict=True,
        )
    )
    assert {figures[name] for name in ("Sensitivity", "Specificity", "PPV", "NPV")} == {"88 %", "63 %", "37 %", "95 %"}
    assert figures["Threshold"] == "0.0 %"
    expect(reading.locator("#provenance")).to_contain_text("Operating point: balanced")
    expect(reading.locator("#provenance")).to_contain_text("natural: 82 positive, 318 negative. Prevalence 20.5 %")


@pytest.mark.thorough
def test_the_selected_finding_stays_in_sight(reading):
    frame(reading).focus()
    for _ in range(13):
        reading.keyboard.press("PageDown")
        for element in ("#headline", '.finding[aria-checked="true"]'):
            expect(reading.locator(element)).to_be_in_viewport(ratio=0.9)


@pytest.mark.thorough
def test_a_picture_without_positive_findings_says_so(page):
    code = """async () => {
      const {Reading} = await import("/viewer/reading.js"), {FindingList} = await import("/viewer/findings.js");
      const grid = probability => ({rows: 1, patch_logits: [[Math.log(probability / (1 - probability))]]});
      const item = (finding, positive, probability) => ({finding, positive, probability, grid: grid(probability),
        threshold: 0.5, status: "validated", geometry: {}, decisive_patches: []});
      const explanations = [item("No Finding", true, 0.9), item("Edema", false, 0.2), item("Fracture", false, 0.3)];
      const reading = new Reading({result: {image: {}, explanations}, facts: new Map()});
      const box = document.getElementById("findings"); document.getElementById("result").classList.remove("empty");
      new FindingList(box, () => {}).show(reading, reading.first, reading.decisions("drop"), "en");
      return reading.first; }"""
    assert page.evaluate(code) == "No Finding"
    expect(page.locator("#findings .none")).to_have_text("No finding positive")
    expect(page.locator(".finding:visible")).to_have_count(1)
    expect(page.locator(".finding.positive")).to_have_attribute("data-finding", "No Finding")


@pytest.mark.thorough
def test_the_share_of_a_patch_is_that_of_the_evidence_of_its_sign(page):
    code = """async ([grid, cell]) => (await import("/viewer/evidence.js")).shareOf(grid, cell)"""
    grid = [[3.0, -8.0], [1.0, 0.0]]  # the sum is negative
    assert [page.evaluate(code, [grid, cell]) for cell in range(4)] == [0.75, 1.0, 0.25, None]


@pytest.mark.thorough
def test_pointing_at_a_patch_names_its_side_and_its_share(reading):
    frame(reading).focus()
    texts = []
    for key in ["ArrowUp", *["ArrowRight"] * 7]:
        reading.keyboard.press(key)
        texts.append(reading.locator("#cell").inner_text())
    for text in texts:
        side = "for" if ": +" in text else "against"
        assert f"evidence {side} " in text
        share = float(text.split("% of all")[0].split()[-1])
        assert 0 <= share <= 100
        assert f"adds {'+' if side == 'for' else '-'}" in text


def test_a_smallest_set_is_outlined_and_explained_without_removing_patches(reading):
    before = frame(reading).screenshot()
    reading.click("#sufficient")
    expect(reading.locator("#about-set")).to_contain_text("is not the probability of the radiograph")
    expect(reading.locator("#exact")).to_contain_text("0 of 64 patches removed")
    reading.wait_for_timeout(120)
    assert frame(reading).screenshot() != before
    reading.click("#apply-set")
    expect(reading.locator("#exact")).not_to_contain_text("; 0 of 64")
    reading.click("#sufficient")
    expect(reading.locator("#about-set")).to_be_empty()


@pytest.mark.thorough
def test_files_are_named_by_radiograph_and_finding_and_reported_as_saved(reading):
    finding = reading.locator('.finding[aria-checked="true"]').get_attribute("data-finding").lower().replace(" ", "-")
    expected = {
        "png": f"RG1-{finding}.png", "json": "RG1.json", "sr": "RG1-sr.dcm", "sc": f"RG1-{finding}-sc.dcm",
    }  # fmt: skip
    for kind, name in expected.items():
        with reading.expect_download() as download:
            reading.click(f"#save-{kind}")
        assert download.value.suggested_filename == name
        expect(reading.locator("#saved")).to_have_text(f"Saved: {name}")


@pytest.mark.thorough
def test_the_table_is_saved_with_thresholds_operating_points_status_and_model(new_page, known, rg1):
    page = new_page(known.url)
    files = [on_disk(rg1, f"{name}.dcm") for name in "ab"]
    page.set_input_files("#file", files)
    expect(page.locator("#batch-progress")).to_have_text("2 of 2 analysed")
    with page.expect_download() as download:
        page.click("#save-csv")
    with Path(download.value.path()).open(encoding="utf-8-sig", newline="") as file:
        row = next(csv.DictReader(file))
    with known.client() as client:
        served = client.get("/model").json()["model"]
    assert (row["model"], row["version"], row["weights sha256"]) == (
        served["name"], served["version"], served["weights_sha256"],
    )  # fmt: skip
    for finding, positive, status in (("Lung Opacity", "true", "validated"), ("Pneumonia", "", "weak")):
        assert 0 < float(row[finding]) < 1
        assert row[f"{finding} positive"] == positive
        assert row[f"{finding} status"] == status
        assert row[f"{finding} operating point"] == "balanced"
        assert float(row[f"{finding} threshold"]) > 0


def test_a_refused_file_clears_the_result_before_it(reading):
    wrong = on_disk(example("RG3_UNCR.dcm"), "leg.dcm")
    reading.set_input_files("#file", wrong)
    expect(reading.locator("#problem")).to_contain_text("leg.dcm")
    expect(reading.locator(".caption").first).to_have_text("leg.dcm")
    for element in (".finding", "#headline:visible", "#figures:visible", "#save:visible", ".corner.patient span"):
        expect(reading.locator(element)).to_have_count(0)
    assert not any(
        reading.evaluate(
            """() => [...document.querySelectorAll(".frame canvas")].slice(0, 2).map(canvas => canvas.getContext("2d")
            .getImageData(0, 0, canvas.width, canvas.height).data.some((value, at) => at % 4 < 3 && value))"""
        )
    )


def test_the_evidence_hides_with_h_and_while_h_is_held(reading):
    def shown() -> bool:
        reading.wait_for_timeout(120)
        code = """() => { const canvas = document.querySelectorAll(".frame canvas")[1];
          return canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.some(v => v); }"""
        return reading.evaluate(code)

    frame(reading).focus()
    assert shown()
    reading.keyboard.press("h")
    expect(reading.locator("#hide")).to_have_attribute("aria-pressed", "true")
    assert not shown()
    reading.keyboard.press("h")
    assert shown()
    reading.keyboard.down("h")
    reading.wait_for_timeout(600)
    assert not shown()
    reading.keyboard.up("h")
    assert shown()


def test_removing_patches_is_a_mode_that_is_entered_and_left(reading):
    removed = reading.locator("#exact")
    reading.mouse.click(*centre(reading))
    x, y = centre(reading)
    reading.mouse.move(x, y)
    reading.mouse.down()
    reading.mouse.move(x + 60, y + 40, steps=4)
    reading.mouse.up()
    expect(removed).to_contain_text("0 of 64 patches removed")
    expect(reading.locator("#preset")).to_have_value("own")  # the left button windows
    reading.keyboard.press("Space")
    expect(removed).to_contain_text("0 of 64 patches removed")
    expect(reading.locator("#spoken")).to_contain_text("Press B first")
    reading.click("#tool-patches")
    expect(reading.locator(".mode")).to_have_count(2)
    expect(reading.locator(".mode").first).to_be_visible()
    reading.mouse.click(*centre(reading))
    expect(removed).to_contain_text("1 of 64 patches removed")
    reading.keyboard.press("Escape")
    expect(reading.locator(".mode").first).to_be_hidden()
    expect(reading.locator("#tool-window")).to_have_attribute("aria-pressed", "true")


@pytest.mark.thorough
def test_on_a_phone_the_radiograph_comes_first(new_page, known, rg1):
    page = new_page(known.url, viewport={"width": 390, "height": 844}, has_touch=True)
    open_radiograph(page, rg1)
    _, top, _, height = box_of(page)
    assert top + height <= 844
    assert top < page.locator(".tools").bounding_box()["y"]
    assert top < page.locator("#findings").bounding_box()["y"]
