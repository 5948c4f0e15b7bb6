"""Programs that some tests need and a machine can lack; in CI a missing one is a failure."""

import os
import shutil
import sys
from pathlib import Path
from typing import NoReturn

import pytest


def lacking(what: str) -> NoReturn:
    """Skip the test, or fail it where TEST_REQUIRE_ALL is set, as in CI."""
    missing = f"{what} is not installed; .ci/run names the Debian package"
    (pytest.fail if os.environ.get("TEST_REQUIRE_ALL") else pytest.skip)(missing)


def installed(program: str, *folders: Path) -> str:
    """Path of a program in the search path or in ``folders``; the test is skipped, or fails in CI, where there is none.

    The folder of the interpreter is left out: pynetdicom installs scripts there under the names of dcmtk's programs.
    """
    own = Path(sys.executable).parent
    places = [*(folder for folder in os.get_exec_path() if Path(folder) != own), *map(str, folders)]
    return shutil.which(program, path=os.pathsep.join(places)) or lacking(program)
