"""The examples of the documentation, run as printed."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.programs import installed
from tests.waiting import eventually
from training.data.layouts import chexpert

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parent.parent.parent
HOST = "127.0.0.1:8000"
ADDRESS = f"http://{HOST}"


def blocks(page, language):
    """The code blocks of a page, in order."""
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)


def shell(script, folder, url, **variables):
    """Run shell commands in a folder as from a checkout: `uv run` is the interpreter of the tests."""
    installed("curl")
    script = script.replace(ADDRESS, url).replace("curl ", "curl -sSf ")
    script = script.replace("uv run medpatchnet", f"{sys.executable} -m app.cli").replace(
        "uv run python", sys.executable
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | variables
    command = ["sh", "-ec", script]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def folder(tmp_path, rg1):
    """Where a reader is: a folder with a radiograph."""
    (tmp_path / "film.dcm").write_bytes(rg1)
    return tmp_path


def test_the_two_commands_are_the_projects():
    demo, tests, *_ = blocks("README.md", "sh")
    assert (demo, tests) == ("pip install uv && uv run medpatchnet demo\n", "pip install uv && uv run pytest\n")


def test_the_five_calls_of_the_readme(service, tmp_path, rg1):
    serve, fetch, calls, _ = blocks("README.md", "sh")[2:]
    assert serve == "uv run medpatchnet serve\n"
    shell(fetch, tmp_path, service.url)
    assert (tmp_path / "film.dcm").read_bytes() == rg1
    output = shell(calls, tmp_path, service.url)
    assert calls.count("curl ") == 5
    assert output.count('"findings":[') == 2  # of the prediction and of the catalogue
    assert '"explanations":[{"finding":"Lung Lesion"' in output
    assert (tmp_path / "evidence.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "report.dcm").read_bytes()[128:132] == b"DICM"


def test_the_call_with_a_key_of_the_readme(guarded, keys, folder):
    make, serve, call = blocks("README.md", "sh")[5].splitlines()
    assert serve == "MEDPATCHNET_API_KEYS_FILE=keys.json uv run medpatchnet serve --host 0.0.0.0"
    key = shell(f"{make}; echo $KEY", keys[0].parent, guarded.url).strip()  # a further key for the running service
    url = guarded.url.replace("0.0.0.0", "127.0.0.1")
    eventually(lambda: httpx.get(f"{url}/findings", headers={"X-API-Key": key}, trust_env=False).is_success)
    assert '"Pleural Effusion"' in shell(call, folder, url, KEY=key)


def test_the_calls_of_the_interface_page(service, folder):
    (calls,) = blocks("docs/API.md", "sh")
    assert shell(calls, folder, service.url).count('"Pleural Effusion"') == 2
    assert (folder / "overlay.png").read_bytes().startswith(b"\x89PNG")


def printed_by(example, folder, service):
    """What a Python example prints with the address of a running service."""
    script, host = folder / "example.py", service.url.removeprefix("http://")
    script.write_text(example.replace(ADDRESS, service.url).replace(HOST, host))
    done = subprocess.run(
        [sys.executable, script], cwd=folder, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_python_clients_of_the_interface_page(service, folder):
    of_httpx, of_triton = blocks("docs/API.md", "python")
    printed = printed_by(of_httpx, folder, service)
    assert "Pleural Effusion" in printed
    assert "grid_mean" in printed
    assert printed_by(of_triton, folder, service).startswith("[[")


def executed(notebook, folder):
    """The cells of a notebook with their outputs, after it was executed without an error."""
    done_file = folder / "done.ipynb"
    command = [sys.executable, "-m", "jupyter", "execute", ROOT / "notebooks" / notebook, f"--output={done_file}"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "IPYTHONDIR": str(folder)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=1200)
    assert done.returncode == 0, done.stderr
    return json.loads(done_file.read_text())["cells"]


@pytest.mark.thorough
def test_the_notebook_explains_a_prediction_exactly(tmp_path):
    cells = executed("explain.ipynb", tmp_path)
    outputs = [output for cell in cells for output in cell.get("outputs", ()) if output.get("name") != "stderr"]
    printed, overlay, check = outputs
    assert "image/png" in overlay["data"]
    probability = float("".join(printed["text"]).split()[0])
    assert float("".join(check["data"]["text/plain"])) == pytest.approx(probability, abs=1e-6)


def test_the_python_page_shows_the_notebook():
    (example,) = blocks("docs/PYTHON.md", "python")
    cells = json.loads((ROOT / "notebooks/explain.ipynb").read_text())["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert code[0] == example.rstrip("\n")
    assert len([line for line in example.splitlines() if line]) <= 10


@pytest.mark.thorough
def test_the_notebook_about_own_data_ends_with_a_validated_finding(tmp_path):
    cells = executed("your_data.ipynb", tmp_path)
    outputs = [output for cell in cells for output in cell.get("outputs", ())]
    printed = "".join("".join(output["text"]) for output in outputs if output.get("name") == "stdout")
    assert "160 radiographs, 0 rejected" in printed
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert re.search(r"^validated \w+ True$", printed, re.MULTILINE)


def test_the_script_for_padchest_writes_what_prepare_reads(tmp_path):
    (script,) = blocks("docs/YOUR_DATA.md", "python")
    header = "ImageID,ImageDir,PatientID,PatientSex_DICOM,Projection,Labels"
    rows = [
        "a.png,0,7,F,PA,\"['pleural effusion', 'cardiomegaly ']\"",
        "b.png,1,7,F,L,\"['normal']\"",
        "c.png,2,8,M,AP,\"['exclude']\"",
        "d.png,2,9,M,AP_horizontal,\"['normal']\"",
    ]
    (tmp_path / "PADCHEST.csv").write_text("\n".join([header, *rows]) + "\n")
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True, timeout=60)
    films = list(chexpert(tmp_path, tmp_path / "padchest.csv"))
    assert [film.file.relative_to(tmp_path).as_posix() for film in films] == ["0/a.png", "2/c.png", "2/d.png"]
    assert [film.patient for film in films] == ["7", "8", "9"]
    assert [film.labels["Cardiomegaly"] for film in films] == ["1", "", "0"]
    assert [film.labels["No Finding"] for film in films] == ["0", "", "1"]
    assert films[0].labels["Support Devices"] == ""


def test_the_job_of_the_cluster_is_a_script_of_the_shell():
    (job,) = blocks("docs/YOUR_DATA.md", "bash")
    subprocess.run(["bash", "-n"], input=job, text=True, check=True, timeout=60)
