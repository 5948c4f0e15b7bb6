"""A real browser with the same real server as in the integration tests."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.factories import example
from tests.integration.conftest import client, service, start_service
from tests.programs import installed

__all__ = ["client", "service", "start_service"]

ANSWER_MS = 60_000  # generous: a busy machine is slow
expect.set_options(timeout=ANSWER_MS)
_FILES = TemporaryDirectory()  # of this process; removed at its end


@pytest.fixture(scope="session")
def rg1() -> bytes:
    """A real chest radiograph with several masses, uncompressed so that it is read quickly."""
    return example("RG1_UNCR.dcm")


@pytest.fixture(scope="package")  # ends before other tests: Playwright keeps an event loop running in this thread
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=installed("chromium"), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def new_page(browser, service):
    """Open the viewer in a window of its own; every error of the page ends the test."""
    contexts = []
    errors: list[str] = []

    def make(url: str = service.url, **options) -> Page:
        window = {"viewport": {"width": 1280, "height": 800}, "locale": "en-GB", **options}
        contexts.append(browser.new_context(**window))
        page = contexts[-1].new_page()
        page.set_default_timeout(ANSWER_MS)
        page.requests = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda request: page.requests.append(request.url))
        page.goto(url)
        return page

    yield make
    for context in contexts:
        context.close()
    assert errors == []


@pytest.fixture
def page(new_page) -> Page:
    return new_page()


@pytest.fixture
def opened(page, rg1) -> Page:
    open_radiograph(page, rg1)
    return page


def open_radiograph(page: Page, content: bytes, name: str = "RG1.dcm") -> None:
    page.set_input_files("#file", on_disk(content, name))
    expect(page.locator(".caption").first).to_contain_text("%", timeout=ANSWER_MS)


def on_disk(content: bytes, name: str) -> Path:
    """A file with this content. The browser reads it at once; as a buffer, 8 MB take it eight seconds."""
    file = Path(_FILES.name) / hashlib.sha256(content).hexdigest()[:16] / name
    if not file.exists():
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(content)
    return file


def choose(page: Page, finding: str) -> None:
    """Select a finding, in its fold where it is folded."""
    row = page.locator(f'.finding[data-finding="{finding}"]')
    if not row.is_visible():
        page.locator(".fold", has=row).locator("summary").click()
    row.click()


def frame(page: Page, index: int = 0):
    return page.locator(".frame").nth(index)


def box_of(page: Page, index: int = 0) -> tuple[float, float, float, float]:
    """Left, top, width and height of a frame."""
    box = frame(page, index).bounding_box()
    return box["x"], box["y"], box["width"], box["height"]


def centre(page: Page, index: int = 0) -> tuple[float, float]:
    left, top, width, height = box_of(page, index)
    return left + width / 2, top + height / 2


def pixels(page: Page, index: int = 0) -> bytes:
    """What the canvas of the radiograph in a frame shows, once it is painted."""
    page.wait_for_timeout(120)
    return bytes(
        page.evaluate(
            """index => { const canvas = document.querySelectorAll(".frame canvas")[2 * index];
            const {width, height} = canvas; const data = canvas.getContext("2d").getImageData(0, 0, width, height).data;
            return Array.from(data).filter((_, at) => at % 400 === 0); }""",
            index,
        )
    )
