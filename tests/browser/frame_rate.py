"""``python -m tests.browser.frame_rate``: frames a second while brushing and panning, by the browser's own tracing."""

import json
import time
from collections.abc import Callable
from io import BytesIO
from itertools import pairwise

import numpy as np
from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

from tests.benchmarks.service import ours
from tests.browser.conftest import box_of, open_film
from tests.programs import installed

SECONDS = 4
SCREEN_HZ = 60


def large_film(side: int = 3000) -> bytes:
    rows, columns = np.mgrid[0:side, 0:side]
    values = (20000 * np.sin(rows / 190) * np.cos(columns / 230) + 32000).astype(np.uint16)
    stream = BytesIO()
    Image.fromarray(values).save(stream, format="PNG", compress_level=1)
    return stream.getvalue()


def drag(page: Page, seconds: float) -> None:
    """To and fro over the film, as evenly as a hand."""
    left, top, width, height = box_of(page)
    end, step = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        step += 1
        along = (np.sin(step / 20) + 1) / 2
        page.mouse.move(left + width * (0.25 + 0.5 * along), top + height * (0.25 + 0.5 * ((step / 150) % 1)))


def frames_of(trace: bytes) -> tuple[list[float], list[float]]:
    """Milliseconds from each frame of the page to the next, and milliseconds that each took to make."""
    events = [event for event in json.loads(trace)["traceEvents"] if event["name"] == "AnimationFrame"]
    events.sort(key=lambda event: event["ts"])
    begun = [event["ts"] for event in events if event["ph"] == "b"]
    made = [(two["ts"] - one["ts"]) / 1000 for one, two in pairwise(events) if one["ph"] == "b" and two["ph"] == "e"]
    return [(two - one) / 1000 for one, two in pairwise(begun)], made


def measured(page: Page, name: str, begin: Callable[[], None], end: Callable[[], None]) -> None:
    browser = page.context.browser
    begin()
    drag(page, 1)  # tiles and code are warm
    browser.start_tracing(page=page, categories=["devtools.timeline"])
    drag(page, SECONDS)
    between, made = frames_of(browser.stop_tracing())
    end()
    rate = 1000 * len(between) / sum(between)
    late = sum(time > 1.5 * 1000 / SCREEN_HZ for time in between) / len(between)
    middle, p95 = np.percentile(made, [50, 95])
    print(
        f"{name}: {rate:.1f} frames/s of {SCREEN_HZ}, {late:.1%} late (over 25 ms); "
        f"a frame is made in {middle:.1f} ms, p95 {p95:.1f} ms ({len(made)} frames)"
    )


def main() -> None:
    """Print a line for brushing over the grid, and one for panning a film of 3000 × 3000 pixels."""
    with ours() as (url, _), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=installed("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 800}, locale="en-GB")
        page.goto(url)
        open_film(page, large_film(), "large.png")
        expect(page.locator(".progress").first).to_be_empty()
        left, top, width, height = box_of(page)
        page.mouse.move(left + width / 2, top + height / 2)
        measured(page, "brushing over the 8 × 8 grid", page.mouse.down, page.mouse.up)
        page.select_option("#tool", "pan")
        page.mouse.move(left + width / 2, top + height / 2)
        page.mouse.wheel(0, -400)
        measured(page, "panning a film of 3000 × 3000", page.mouse.down, page.mouse.up)
        browser.close()


if __name__ == "__main__":
    main()
