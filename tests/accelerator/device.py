"""What the machine is, what is installed on it, and the tests that need the device."""

import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import torch

from tests.accelerator.context import Context

_ROOT = Path(__file__).resolve().parent.parent.parent
_NEEDED = ("torch", "torchvision", "numpy", "fastapi", "pydicom", "openvino", "httpx", "tensorboard")


def device(context: Context) -> None:
    """The device and its memory, the driver, and the versions of what the other parts use."""
    if context.device == "cuda":
        facts = torch.cuda.get_device_properties(0)
        context.add(
            "Device",
            {
                "name": facts.name,
                "count": torch.cuda.device_count(),
                "memory GiB": facts.total_memory / 2**30,
                "capability": f"{facts.major}.{facts.minor}",
                "cuda": str(torch.version.cuda),
                "bfloat16": str(torch.cuda.is_bf16_supported()),
            },
        )
    for name in _NEEDED:
        try:
            context.add("Packages", {"package": name, "version": version(name)})
        except PackageNotFoundError:
            reason = "imported from elsewhere" if find_spec(name) else "not installed"
            context.miss(f"package {name}", reason)


def cuda_tests(context: Context) -> None:
    """The tests that need a CUDA device; without one, the same files, whose other tests run."""
    report = context.out / "tests.xml"
    chosen = ["-m", "cuda"] if context.device == "cuda" else []
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-n",
        "0",
        "-p",
        "no:cacheprovider",
        f"--junitxml={report}",
        *chosen,
    ]
    command += ["tests/unit/inference/test_cuda.py"]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False)
    if not report.exists():
        context.miss("tests", (done.stdout + done.stderr).strip().splitlines()[-1])
        return
    suite = ElementTree.parse(report).getroot()[0]
    counts = {name: int(suite.get(name, "0")) for name in ("tests", "failures", "errors", "skipped")}
    context.add("Tests", {**counts, "seconds": float(suite.get("time", "0"))})
    for case in suite.iter("testcase"):
        if (fault := case.find("failure")) is not None or (fault := case.find("error")) is not None:
            context.miss(f"{case.get('classname')}::{case.get('name')}", fault.get("message", "failed"))
