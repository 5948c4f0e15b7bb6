"""The page of limits names settings and tests that exist, and every setting that is a limit."""

import re
from pathlib import Path

from app.settings import Settings

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = (ROOT / "docs/LIMITS.md").read_text()


def test_every_named_test_file_exists():
    named = set(re.findall(r"`((?:unit|integration)/[\w/]+\.py)`", PAGE))
    assert len(named) > 5
    for path in named:
        assert (ROOT / "tests" / path).is_file(), path


def test_every_limit_is_on_the_page():
    named = {name.lower() for name in re.findall(r"`(?:MEDPATCHNET|…)_([A-Z_]+)`", PAGE)}
    assert named <= set(Settings.model_fields)
    assert {name for name in Settings.model_fields if name.startswith("max_")} <= named
