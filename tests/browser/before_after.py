"""``python -m tests.browser.before_after CHECKOUT``: results of an older version beside those of this one, as pictures.

``CHECKOUT`` is a folder of the older version with its environment (``uv sync``). Each version serves the model that it
contains. Writes the viewer, a secondary capture and an overlay of the example radiograph to ``docs``: the older
version on the left, this one on the right.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import httpx
from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright
from pydicom import dcmread

from tests.benchmarks.service import free_port, running
from tests.browser.conftest import ANSWER_MS, on_disk
from tests.factories import example
from tests.programs import installed

ROOT = Path(__file__).resolve().parent.parent.parent
RADIOGRAPH, FINDING = "RG1_UNCR.dcm", "Lung Lesion"
HEIGHT, GAP = 520, 12  # of the pictures, in pixels


class Pictures(NamedTuple):
    """What a version makes of the example radiograph; each field names a file."""

    viewer: Image.Image
    capture: Image.Image
    overlay: Image.Image


@contextmanager
def served(checkout: Path) -> Iterator[str]:
    """The URL of a service that runs from a checkout, with its default model and settings."""
    port = free_port()
    command = [str(checkout / ".venv/bin/python"), "-m", "app.cli", "serve", "--port", str(port)]
    with running(command, url := f"http://127.0.0.1:{port}", "/readyz", folder=checkout):
        yield url


def pictures_of(checkout: Path) -> Pictures:
    """The pictures that the version in a checkout makes."""
    with served(checkout) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=installed("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 800}, locale="en-GB")
        pictures = Pictures(viewer(url, page), capture(url), overlay(url))
        browser.close()
    return pictures


def viewer(url: str, page: Page) -> Image.Image:
    page.goto(url)
    page.set_input_files("#file", on_disk(example(RADIOGRAPH), "RG1.dcm"))
    expect(page.locator("[data-finding]").first).to_be_visible(timeout=ANSWER_MS)
    page.wait_for_timeout(2000)  # until the map is drawn, which older pages do not mark
    return Image.open(BytesIO(page.screenshot()))


def capture(url: str) -> Image.Image:
    answer = post(url, "/report", object="sc", **{"class": FINDING})
    content_type = answer.headers["content-type"]
    message = message_from_bytes(f"Content-Type: {content_type}\r\n\r\n".encode() + answer.content)
    instance = next(part for part in message.walk() if not part.is_multipart()).get_payload(decode=True)
    return Image.fromarray(dcmread(BytesIO(instance)).pixel_array)


def overlay(url: str) -> Image.Image:
    return Image.open(BytesIO(post(url, "/explain", format="png", **{"class": FINDING}).content))


def post(url: str, path: str, **query: str) -> httpx.Response:
    headers = {"Content-Type": "application/dicom"}
    answer = httpx.post(url + path, params=query, content=example(RADIOGRAPH), headers=headers, timeout=300)
    return answer.raise_for_status()


def side_by_side(before: Image.Image, after: Image.Image) -> Image.Image:
    """Both pictures at one height, with a gap."""
    left, right = (
        image.convert("RGB").resize((round(image.width * HEIGHT / image.height), HEIGHT), Image.Resampling.LANCZOS)
        for image in (before, after)
    )
    joined = Image.new("RGB", (left.width + GAP + right.width, HEIGHT), "white")
    joined.paste(left, (0, 0))
    joined.paste(right, (left.width + GAP, 0))
    return joined


def main() -> None:
    """Write one WebP for each kind of picture."""
    before, after = pictures_of(Path(sys.argv[1]).resolve()), pictures_of(ROOT)
    for kind in Pictures._fields:
        picture = side_by_side(getattr(before, kind), getattr(after, kind))
        picture.save(ROOT / "docs" / f"before-after-{kind}.webp", quality=80, method=6)


if __name__ == "__main__":
    main()
