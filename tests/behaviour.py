"""Write what a client can observe of the service into a folder, one file each, so that two versions can be compared.

    uv run python -m tests.behaviour before     # in a checkout of the version before
    uv run python -m tests.behaviour after      # in this one
    diff -r before after

Values that differ from call to call (request ids, timings) are left out. The example film is that of pydicom-data.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from time import sleep
from typing import Any

import httpx
from pydicom.data import get_testdata_file

from app.settings import Settings

_VARIES = {"request_id", "timing_ms", "uptime_s"}
_DICOM = {"Content-Type": "application/dicom"}


def main(out: Path) -> None:
    """Start the service of this checkout and record its answers."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "settings.json").write_text(_json(_settings()))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MEDPATCHNET_")}
    command = [sys.executable, "-m", "app.cli", "serve", "--port", "0"]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        with httpx.Client(base_url=_address(process), timeout=120, trust_env=False) as client:
            while client.get("/readyz").status_code != 200:
                sleep(0.2)
            _record(client, out)
    finally:
        process.terminate()
        process.communicate()


def _record(client: httpx.Client, out: Path) -> None:
    film = Path(str(get_testdata_file("RG1_J2KR.dcm", download=False))).read_bytes()
    for name in ("openapi.json", "findings", "model"):
        (out / f"{Path(name).stem}.json").write_text(_json(client.get(f"/{name}").json()))
    requests = {
        "predict": "/predict?grids=true",
        "explain": "/explain?class=all",
        "explain_scaled": "/explain?class=all&map=scaled",
        "explain_unknown": "/explain?class=nothing",
    }
    for name, path in requests.items():
        (out / f"{name}.json").write_text(_json(client.post(path, content=film, headers=_DICOM).json()))
    for kind in ("sr", "sc", "gsps"):
        answer = client.post(f"/report?object={kind}", content=film, headers=_DICOM)
        boundary = re.search('boundary="?([^";]+)', answer.headers["content-type"])
        content = answer.content.replace(boundary[1].encode(), b"BOUNDARY") if boundary else answer.content
        (out / f"{kind}.dcm").write_bytes(content)
    overlay = client.post("/explain?class=Lung Lesion&format=png", content=film, headers=_DICOM)
    (out / "overlay.png").write_bytes(overlay.content)
    lines = client.get("/metrics").text.splitlines()
    (out / "metrics.txt").write_text("\n".join(sorted(line for line in lines if line.startswith("#"))))


def _settings() -> dict[str, Any]:
    fields = Settings.model_fields.items()
    return {name: {"default": str(field.default), "limits": str(field.metadata)} for name, field in fields}


def _json(value: Any) -> str:
    return json.dumps(_steady(value), indent=1, sort_keys=True) + "\n"


def _steady(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _steady(inner) for key, inner in value.items() if key not in _VARIES}
    return [_steady(inner) for inner in value] if isinstance(value, list) else value


def _address(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    for line in process.stderr:
        if "listening" in line and (match := re.search(r"http://[^\s\"]+", line)):
            return match[0]
    raise RuntimeError("the service ended before it listened")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
