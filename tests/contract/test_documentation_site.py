"""The documentation builds as a site, without a warning and without anything from another host."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
_LOADED = re.compile(r"<(?:script|img|iframe|source)\b[^>]*\bsrc=\"([^\"]+)\"|<link\b[^>]*\bhref=\"([^\"]+)\"")


def pages() -> list[Path]:
    """The pages as they are written."""
    return [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The built site. Every page is in the navigation; a broken link or anchor is a warning, and that an error."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def test_pages_load_nothing_from_other_hosts(site):
    built = list(site.rglob("*.html"))
    assert len(built) > 20
    loaded = {"".join(target) for page in built for target in _LOADED.findall(page.read_text())}
    assert any(target.endswith(".js") for target in loaded)
    assert {target for target in loaded if re.match(r"\w+:|//", target)} == set()
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(@import|url\()[\s\"'(]*(https?:)?//", sheet.read_text()), sheet.name


def test_the_search_index_is_part_of_the_site(site):
    index = (site / "search/search_index.json").read_text()
    assert "MEDPATCHNET_RETRY_GIVE_UP_S" in index


def test_every_file_that_a_page_names_exists():
    """Links are checked by the build; these are paths in code style."""
    named = {
        (page.name, path)
        for page in pages()
        if page.name != "CHANGELOG.md"
        for path in re.findall(r"`((?:app|training|tests|deploy|docs|models)/[\w./-]+\.\w+)`", page.read_text())
    }
    assert len(named) > 15
    assert {(page, path) for page, path in named if not (ROOT / path).exists()} == set()


def test_no_page_installs_the_package_from_a_registry():
    """It is in none; whoever registers the name would be installed."""
    for page in pages():
        assert not re.search(r"pip install [^&\n]*medpatchnet", page.read_text()), page.name


def test_the_readme_is_one_page():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 100
