"""Programs of Debian packages, and other things a machine may lack; where everything must run, lacking is failing."""

import os
import shutil
import sys
from pathlib import Path
from typing import NoReturn

import pytest


def lacking(what: str) -> NoReturn:
    """Skip the test, or fail it where MEDPATCHNET_TEST_REQUIRE_ALL is set, as in CI."""
    missing = f"{what} is not installed; .ci/run names the Debian package"
    (pytest.fail if os.environ.get("MEDPATCHNET_TEST_REQUIRE_ALL") else pytest.skip)(missing)


def installed(program: str, *folders: Path) -> str:
    """Path of a program in the search path or in further folders.

    What lies beside the interpreter does not count: pynetdicom installs scripts under names of dcmtk's programs.
    """
    own = Path(sys.executable).parent
    places = [*(folder for folder in os.get_exec_path() if Path(folder) != own), *map(str, folders)]
    return shutil.which(program, path=os.pathsep.join(places)) or lacking(program)
