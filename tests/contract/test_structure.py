"""The limits on the size of functions and packages that ARCHITECTURE.md sets."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
LONGEST_FUNCTION_LINES = 50
MOST_MODULES = 13
SOURCES = sorted(path for folder in ("app", "training") for path in (ROOT / folder).rglob("*.py"))
PACKAGES = sorted({path.parent for path in SOURCES} - {ROOT / "app"})  # app itself holds what all packages share


def test_functions_are_short():
    too_long = {
        f"{path.relative_to(ROOT)}:{node.name}": lines
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := (node.end_lineno or 0) - node.lineno + 1) > LONGEST_FUNCTION_LINES
    }
    assert too_long == {}


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_packages_have_few_modules(package):
    assert len([path for path in package.glob("*.py") if path.name != "__init__.py"]) <= MOST_MODULES


def test_the_groups_of_tests_reach_the_scheduler(request):
    """Otherwise every worker starts every server: pytest-xdist marks the group in the name, where pytest lets it."""
    assert "@contract/test_structure.py" in request.node.nodeid or not hasattr(request.config, "workerinput")
