"""``python -m tests.browser.screenshots``: the pictures of the README, made of the example film."""

import shutil
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

from tests.benchmarks.service import ours

OUT = Path(__file__).resolve().parent.parent.parent / "docs"


def removed_ring(page: Page) -> None:
    page.click("#ring")


STATES = {
    "viewer": lambda page: page.locator('.finding[data-finding="Lung Lesion"]').click(),
    "viewer-question": removed_ring,
}


def main() -> None:
    """Write one picture for each state, as JPEG."""
    OUT.mkdir(exist_ok=True)
    with ours() as (url, _), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 800}, locale="en-GB")
        page.goto(url)
        page.click("#example")
        expect(page.locator(".finding")).to_have_count(14, timeout=60_000)
        for name, reach in STATES.items():
            reach(page)
            page.wait_for_timeout(300)
            page.screenshot(path=OUT / f"{name}.jpg", type="jpeg", quality=70)
        browser.close()


if __name__ == "__main__":
    main()
