"""Every setting, metric, error, warning and command is documented: the tables of the reference pages are the code's.

To accept a change: ``UPDATE_SNAPSHOTS=1 uv run pytest tests/contract tests/training/test_commands_page.py``; then read
the difference.
"""

import json
import re

from app.cli.main import app as command_line
from tests.contract.reference_tables import ROOT, commands, follow, metrics, problems, settings


def test_every_setting_is_documented():
    follow("SETTINGS.md", settings())


def test_every_metric_is_documented():
    follow("METRICS.md", metrics())


def test_every_error_is_documented():
    follow("ERRORS.md", problems())


def test_every_command_is_documented():
    follow("COMMANDS.md", commands("medpatchnet", command_line))


def test_the_warnings_are_those_of_the_page():
    made = set()
    for path in (ROOT / "app").rglob("*.py"):
        made |= set(re.findall(r"ImageWarning\(\s*\"(\w+)\"", path.read_text()))
    _, _, section = (ROOT / "docs/ERRORS.md").read_text().partition("## Warnings\n")
    assert made == set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))


def test_every_route_and_query_parameter_is_documented():
    page = (ROOT / "docs/API.md").read_text()
    code = " ".join(re.findall(r"`([^`\n]+)`", page))
    paths = json.loads((ROOT / "tests/contract/openapi.json").read_text())["paths"]
    operations = [operation for methods in paths.values() for operation in methods.values()]
    parameters = [parameter for operation in operations for parameter in operation.get("parameters", ())]
    wanted = {*paths, *(parameter["name"] for parameter in parameters if parameter["in"] == "query")}
    assert {name for name in wanted if not re.search(rf"(?<![\w/]){re.escape(name)}(?![\w/])", code)} == set()
