"""What is installed is locked with hashes, and listed in the bill of materials that the documented command makes."""

import json
import re
import shlex
import subprocess
import tomllib
from pathlib import Path

from tests.programs import installed

ROOT = Path(__file__).resolve().parent.parent.parent
LOCK = tomllib.loads((ROOT / "uv.lock").read_text())


def documented_command() -> list[str]:
    (command,) = re.findall(r"^(uv export .+) > sbom\.json$", (ROOT / "SECURITY.md").read_text(), re.MULTILINE)
    return shlex.split(command)


def test_every_locked_file_has_a_hash():
    files = [
        file
        for package in LOCK["package"]
        if "registry" in package["source"]
        for file in [*package.get("wheels", []), *([package["sdist"]] if "sdist" in package else [])]
    ]
    assert len(files) > 100
    assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", file["hash"]) for file in files)


def test_the_bill_of_materials_names_every_direct_dependency_with_its_locked_version():
    installed("uv")
    done = subprocess.run(documented_command(), cwd=ROOT, capture_output=True, text=True, check=True)
    bill = json.loads(done.stdout)
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.5")
    listed = {component["name"]: component for component in bill["components"]}
    locked = {package["name"]: package.get("version") for package in LOCK["package"]}
    (project,) = (package for package in LOCK["package"] if package["name"] == "medpatchnet")
    names = {needed["name"] for needed in project["dependencies"]}
    assert {"torch", "pydicom", "fastapi", "openvino"} <= names
    for name in names:
        assert listed[name]["version"] == locked[name]
        assert listed[name]["purl"] == f"pkg:pypi/{name}@{locked[name]}"
    assert "pytest" not in listed  # what tests need is not shipped
