"""Whatever can be raised is mapped, whatever can be set is documented."""

import inspect
import os
import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from app import errors
from app.api.problems import STATUS
from app.settings import Settings

ROOT = Path(__file__).resolve().parent.parent.parent

DOMAIN_ERRORS = [
    member
    for _, member in inspect.getmembers(errors, inspect.isclass)
    if issubclass(member, errors.MedPatchNetError) and "code" in vars(member) and member is not errors.MedPatchNetError
]


@pytest.mark.parametrize("error", DOMAIN_ERRORS)
def test_every_domain_error_has_a_status(error):
    assert 400 <= STATUS[error] < 600


def test_error_codes_are_unique():
    codes = [error.code for error in DOMAIN_ERRORS]
    assert len(codes) == len(set(codes))


def test_every_setting_is_documented_with_its_default():
    readme = (ROOT / "README.md").read_text()
    table = readme[readme.index("<!-- settings:begin -->") : readme.index("<!-- settings:end -->")]
    assert table.strip() == f"<!-- settings:begin -->\n{settings_table()}".strip()


def settings_table() -> str:
    """The README's table of settings, from their definitions."""
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = "`models` beside the package" if name == "models_dir" else f"`{field.default}`"
        rows.append(f"| `MEDPATCHNET_{name.upper()}` | {default} | {field.description} |")
    return "\n".join(rows)


def test_settings_come_from_the_environment(monkeypatch):
    for name in [name for name in os.environ if name.startswith("MEDPATCHNET_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MEDPATCHNET_MODEL", "a, b")
    monkeypatch.setenv("MEDPATCHNET_MAX_BODY_BYTES", "4096")
    settings = Settings()
    assert settings.model_names == ["a", "b"]
    assert settings.max_body_bytes == 4096
    with pytest.raises(ValidationError):
        settings.port = 1


def test_only_settings_read_the_environment():
    """But for the decode pool, which hands it on to its processes, and torchrun's ranks, which exist nowhere else."""
    readers = {
        path.relative_to(ROOT).as_posix()
        for folder in ("app", "training")
        for path in (ROOT / folder).rglob("*.py")
        if re.search(r"os\.(environ|getenv)", path.read_text())
    }
    assert readers == {"app/decoding/pool.py", "training/fit/distributed.py"}
