"""Nothing phones home, by what is installed and served.

What running processes reach: ``test_nothing_leaves`` and ``test_privacy``.
"""

import re
import sys
import tomllib
from importlib.metadata import distributions
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from app.api.viewer import _POLICY
from app.runtime.application import create_app
from app.settings import Settings

ROOT = Path(__file__).resolve().parent.parent.parent
REPORTS_USE = "openvino-telemetry"
_FOREIGN = re.compile(r"\b[a-z]+://|[\"'(]//[a-z]", re.IGNORECASE)


def test_the_package_that_reports_the_use_of_openvino_is_not_installed():
    names = {re.sub(r"[-_.]+", "-", found.metadata["Name"]).lower() for found in distributions()}
    assert "openvino" in names
    assert REPORTS_USE not in names


def test_the_lock_file_has_no_package_that_reports_the_use_of_openvino():
    lock = tomllib.loads((ROOT / "uv.lock").read_text())
    assert REPORTS_USE not in {package["name"] for package in lock["package"]}
    assert [override["name"] for override in lock["manifest"]["overrides"]] == [REPORTS_USE]


def test_it_is_not_used_where_an_installation_without_the_lock_file_has_it():
    import app

    assert app.__name__ in sys.modules
    with pytest.raises(ImportError):
        import openvino_telemetry  # noqa: F401 # pyright: ignore[reportMissingImports]


def test_no_file_of_the_viewer_refers_to_another_origin():
    files = [path for path in (ROOT / "app/viewer").iterdir() if path.suffix in {".html", ".css", ".js"}]
    assert len(files) > 20
    assert [path.name for path in files if _FOREIGN.search(path.read_text())] == []


def test_the_policy_of_the_viewer_allows_its_own_origin_alone():
    sources = {word for directive in _POLICY.split(";") for word in directive.split()[1:]}
    assert sources == {"'none'", "'self'", "blob:", "data:"}


def test_the_page_of_the_interactive_documentation_loads_nothing_from_another_origin():
    page = TestClient(create_app(Settings())).get("/docs").text
    assert "swagger-ui-bundle.js" in page
    assert not _FOREIGN.search(page)
