"""The README's examples, run as printed."""

import re
import subprocess
import sys

import pytest

from tests.programs import installed

pytestmark = pytest.mark.integration


@pytest.fixture
def readme(pytestconfig):
    return (pytestconfig.rootpath / "README.md").read_text()


def run(command, folder):
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=600)


def test_the_python_example_runs(readme, service, rg1, tmp_path):
    (example,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    (tmp_path / "film.dcm").write_bytes(rg1)
    script = tmp_path / "example.py"
    script.write_text(example.replace("http://127.0.0.1:8000", service.url))
    done = run([sys.executable, script], tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Pleural Effusion" in done.stdout
    assert "grid_mean" in done.stdout


def test_the_curl_examples_run(readme, service, rg1, tmp_path):
    installed("curl")
    (tmp_path / "film.dcm").write_bytes(rg1)
    (tmp_path / "film.png").write_bytes(rg1)  # the bytes decide, not the name
    (section,) = re.findall(r"^## Call it\n(.*?)^## ", readme, re.DOTALL | re.MULTILINE)
    (block,) = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    script = block.replace("http://127.0.0.1:8000", service.url).replace("curl ", "curl -sSf ")
    done = run(["sh", "-ec", script], tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count('"Pleural Effusion"') == 2
    assert (tmp_path / "overlay.png").read_bytes().startswith(b"\x89PNG")


def test_the_two_commands_are_the_projects(readme):
    for command in ("pip install uv && uv run medpatchnet demo", "pip install uv && uv run pytest"):
        assert command in readme
