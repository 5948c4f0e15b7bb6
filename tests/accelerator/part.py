"""One part in this process: ``python -m tests.accelerator.part NAME OUT SECONDS DEVICE QUICK DATA``."""

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import cast

from tests.accelerator.context import Context
from tests.accelerator.plan import Device

_FUNCTIONS = {
    "device": "device:device",
    "tests": "device:cuda_tests",
    "engines": "networks:engines",
    "maps": "networks:maps",
    "service": "service:service",
    "training": "training:training",
}


def run_of(name: str) -> Callable[[Context], None]:
    """The function of a part. Imported here, so that a part whose packages are missing does not stop the others."""
    module, function = _FUNCTIONS[name].split(":")
    return cast("Callable[[Context], None]", getattr(import_module(f"tests.accelerator.{module}"), function))


def main(name: str, out: str, seconds: str, device: str, quick: str, data: str) -> None:
    """Run a part; whatever stops it is recorded as not done."""
    context = Context(
        name, cast("Device", device), Path(out), float(seconds), quick == "1", Path(data) if data else None
    )
    try:
        run_of(name)(context)
    except Exception as error:  # noqa: BLE001 - the next part must run
        context.miss(f"the rest of {name}", error)


if __name__ == "__main__":
    main(*sys.argv[1:])
