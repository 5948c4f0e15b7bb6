"""What a user sees of the training commands where something is missing: a message and a status, no traceback."""

import pytest
import torch
from typer.testing import CliRunner

from training.__main__ import app, main


def test_a_device_that_is_missing_is_a_usage_error(tmp_path):
    (tmp_path / "x.csv").touch()
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    for device, message in (("cuda", "no CUDA device"), ("tpu", "not auto, cpu or cuda")):
        done = CliRunner().invoke(
            app, ["reference", "--artifact", "x", "--data", str(tmp_path / "x.csv"), "--device", device]
        )
        assert done.exit_code == 2
        assert message in " ".join(done.output.replace("│", " ").split())


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (OSError(28, "No space left on device", "report.html"), "report.html: No space left on device"),
        (FileNotFoundError(2, "No such file or directory", "best.pt"), "best.pt: No such file or directory"),
    ],
)
def test_a_full_disk_or_a_missing_file_ends_with_its_name(monkeypatch, capsys, failure, message):
    def fails(**_):
        raise failure

    monkeypatch.setattr("training.__main__.app", fails)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    assert capsys.readouterr().err.strip() == message
