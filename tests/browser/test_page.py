"""The page as a whole: accessible, complete in both languages, small, quick, and of one origin."""

import re
import zlib
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

import app.viewer
from tests.browser.conftest import on_disk
from tests.factories import chest_dicom

pytestmark = pytest.mark.integration

BUDGET_BYTES = 300_000
SOURCES = Path(app.viewer.__path__[0])
CODES = Path(app.viewer.__path__[0]).parent


def serious(page) -> list[str]:
    # axe-core is put into the page by the test; the page's own policy would refuse it, as it should
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [f"{item['id']}: {item['nodes'][0]['html']}" for item in found if item["impact"] in {"serious", "critical"}]


@pytest.mark.parametrize("locale", ["en-GB", "de-DE"])
def test_no_state_has_a_serious_accessibility_violation(new_page, rg1, locale):
    page = new_page(locale=locale)
    assert page.evaluate("document.documentElement.lang") == locale[:2]
    assert serious(page) == []
    page.set_input_files("#file", on_disk(rg1, "RG1.dcm"))
    expect(page.locator(".finding")).to_have_count(14)
    page.click("#ring")
    assert serious(page) == []
    page.click("#compare")
    assert serious(page) == []
    files = [on_disk(chest_dicom(), f"{name}.dcm") for name in "ab"]
    page.set_input_files("#file", files)
    expect(page.locator("#batch tbody img")).to_have_count(2)
    assert serious(page) == []
    page.click("#help")
    assert serious(page) == []
    page.keyboard.press("Escape")
    page.set_input_files("#file", on_disk(b"no film", "x.dcm"))
    expect(page.locator("#problem")).not_to_be_empty()
    assert serious(page) == []


def test_a_violation_would_be_seen(page):
    page.evaluate("document.getElementById('help').textContent = ''")
    assert any(line.startswith("button-name") for line in serious(page))


def words(page) -> tuple[dict[str, str], dict[str, str]]:
    code = """async () => [(await import("/viewer/english.js")).english, (await import("/viewer/german.js")).german]"""
    english, german = page.evaluate(code)
    return english, german


def test_no_word_is_missing_in_either_language(page):
    english, german = words(page)
    page_only_in_german = {name for name in german if name.startswith("problem ")}  # the service's details are English
    assert set(english) == set(german) - page_only_in_german
    assert all(text.strip() for text in [*english.values(), *german.values()])
    for name, text in english.items():
        assert set(re.findall(r"\{\w+\}", text)) == set(re.findall(r"\{\w+\}", german[name])), name
    html = (SOURCES / "index.html").read_text()
    code = "\n".join(path.read_text() for path in SOURCES.glob("*.js"))
    used = set(re.findall(r'data-(?:text|label)="(\w+)"', html)) | set(re.findall(r'\bsay\("(\w+)"', code))
    used |= set(re.findall(r'word: "(\w+)"', code))
    assert len(used) > 60
    assert used <= set(english)


def test_every_warning_of_the_service_has_words(page):
    english, _ = words(page)
    of_one = [path for path in CODES.rglob("*.py") if "comparison" not in path.parts]  # the page compares nothing
    sources = "\n".join(path.read_text() for path in of_one)
    codes = set(re.findall(r'ImageWarning\(\s*"(\w+)"', sources))
    assert len(codes) >= 6
    assert {f"warning {code}" for code in codes} <= set(english)


def test_the_page_is_small_quick_and_of_one_origin(opened, service, client):
    assert all(url.startswith((service.url, "blob:", "data:")) for url in opened.requests)
    names = {url for url in opened.requests if url == f"{service.url}/" or "/viewer/" in url}
    assert len(names) >= 20
    assert sum(len(zlib.compress(client.get(url).content)) for url in names) < BUDGET_BYTES
    policy = client.get("/").headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    assert not re.search(r"\sstyle=|\son\w+=|javascript:", client.get("/").text)
    tag = client.get("/").headers["etag"]
    assert client.get("/", headers={"If-None-Match": tag}).status_code == 304
    assert client.get("/viewer/..%2f..%2fsettings.py").status_code == 404


@pytest.mark.thorough
def test_nothing_but_the_stylesheet_delays_the_first_paint(page):
    page.wait_for_function("performance.getEntriesByName('first-contentful-paint').length > 0")
    blocking = page.evaluate(
        """performance.getEntriesByType("resource")
          .filter(entry => entry.renderBlockingStatus === "blocking").map(entry => new URL(entry.name).pathname)"""
    )
    assert blocking == ["/viewer/viewer.css"]


@pytest.mark.thorough
@pytest.mark.parametrize("size", [(1280, 800), (1920, 1080), (820, 1180), (390, 844)])
@pytest.mark.parametrize("locale", ["en-GB", "de-DE"])
def test_no_label_is_cut_off(new_page, rg1, size, locale):
    page = new_page(locale=locale, viewport={"width": size[0], "height": size[1]})
    page.set_input_files("#file", on_disk(rg1, "RG1.dcm"))
    expect(page.locator(".finding")).to_have_count(14)
    cut = page.evaluate(
        """() => [...document.querySelectorAll("button, label, select, summary, p, span, dt, dd, h1, h2")]
        .filter(element => element.checkVisibility() && !element.closest(".quiet") && element.textContent.trim())
        .filter(element => element.getBoundingClientRect().right > innerWidth + 1
          || getComputedStyle(element).display !== "inline" && element.scrollWidth > element.clientWidth + 1)
        .map(element => element.outerHTML.slice(0, 120))"""
    )
    assert cut == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
