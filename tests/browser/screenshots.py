"""``python -m tests.browser.screenshots``: the pictures of the README, from radiographs of ``pydicom-data`` only."""

from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

from tests.benchmarks.service import ours
from tests.browser.conftest import ANSWER_MS, choose, on_disk
from tests.factories import example
from tests.programs import installed

OUT = Path(__file__).resolve().parent.parent.parent / "docs"
FOLDER = ("RG1_UNCR.dcm", "RG1_UNCI.dcm", "RG3_UNCR.dcm")


def evidence(page: Page) -> None:
    page.click("#example")
    expect(page.locator(".finding")).to_have_count(14, timeout=ANSWER_MS)
    choose(page, "Lung Lesion")


def question(page: Page) -> None:
    page.click("#ring")


def comparison(page: Page) -> None:
    page.click("#reset")
    page.click("#compare")
    choose(page, "Pleural Effusion")
    page.mouse.move(300, 450)


def table(page: Page) -> None:
    page.click("#compare")
    films = [on_disk(example(name), name) for name in FOLDER]
    page.set_input_files("#file", films)
    expect(page.locator("#batch-progress")).to_have_text("3 of 3 analysed", timeout=ANSWER_MS)


STATES: dict[str, Callable[[Page], None]] = {
    "viewer": evidence, "viewer-question": question, "viewer-compare": comparison, "viewer-batch": table,
}  # fmt: skip


def main() -> None:
    """Write one JPEG for each state, replacing the previous one."""
    OUT.mkdir(exist_ok=True)
    with ours() as (url, _), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=installed("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 800}, locale="en-GB")
        page.goto(url)
        for name, reach in STATES.items():
            reach(page)
            page.wait_for_timeout(500)
            page.screenshot(path=OUT / f"{name}.jpg", type="jpeg", quality=70)
        browser.close()


if __name__ == "__main__":
    main()
