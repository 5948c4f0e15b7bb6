"""The command that scores an archive, without a run."""

import sys

from typer.testing import CliRunner

from app.cli.batch import ProgressReport
from app.cli.main import app


def test_without_the_extra_the_error_names_its_packages(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("app.batch")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    result = CliRunner().invoke(app, ["batch", "archive", "--out", "results"])
    assert result.exit_code == 1
    assert "(ray[data], pyarrow, fsspec): uv sync --extra batch" in result.stderr


def test_progress_is_printed_at_the_start_and_from_time_to_time(monkeypatch, capsys):
    from app.batch.run import Progress

    now = [100.0]
    monkeypatch.setattr("app.cli.batch.monotonic", lambda: now[0])
    report, progress = ProgressReport(), Progress(known=7, total=400)
    report.show(progress)
    for _ in range(4):
        now[0] += 5
        progress.add({"scored": 49, "refused": 1, "unchanged": 0, "left": []})
        report.show(progress)
    report.end(progress)
    assert capsys.readouterr().err.splitlines() == [
        "7 films are in the data set, 400 to do",
        "100 of 400, 10.0/s, 0 min left",
        "200 of 400, 10.0/s, 0 min left",
        "196 scored, 4 refused, 0 unchanged; 10.0/s",
    ]
