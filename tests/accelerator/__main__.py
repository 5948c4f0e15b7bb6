"""Run every part in a process of its own, with a deadline; write JSON and a page of tables."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from time import monotonic
from typing import Annotated, cast

import typer

from tests.accelerator.context import Tables
from tests.accelerator.plan import PARTS, Clock, Device, Part

_ROOT = Path(__file__).resolve().parent.parent.parent
_GRACE_S = 15.0
"""After its deadline a part can stop by itself for so long; then it is killed."""


def main(
    out: Annotated[Path, typer.Option(help="Folder of the results.")],
    minutes: Annotated[float, typer.Option(help="Time of the whole run.", min=0.1)] = 25,
    device: Annotated[str, typer.Option(help="cuda; or cpu, to rehearse the run.")] = "cuda",
    quick: Annotated[bool, typer.Option(help="The smallest sizes, to rehearse the run.")] = False,
    data: Annotated[Path | None, typer.Option(help="Folder with train.csv and valid.csv, or a recipe.yaml.")] = None,
    part: Annotated[list[str] | None, typer.Option(help="Only this part; can be repeated.")] = None,
) -> None:
    """Test, measure and train on an accelerator; every result is written before the next part begins."""
    out.mkdir(parents=True, exist_ok=True)
    begin, clock, results = monotonic(), Clock(minutes * 60), {}
    for each in PARTS:
        if part and each.name not in part:
            continue
        seconds = clock.seconds_for(each, monotonic() - begin)
        results[each.name] = _run(each, out, seconds, cast("Device", device), quick, data)
        _write(out, results)
    _write(out, results)
    typer.echo(f"wrote {out / 'report.json'} and {out / 'report.md'} after {monotonic() - begin:.0f} s")


def _run(part: Part, out: Path, seconds: float, device: Device, quick: bool, data: Path | None) -> Tables:
    """Run a part; its tables, with a note where it failed or was stopped."""
    typer.echo(f"== {part.name}, {seconds:.0f} s")
    file, begin = out / f"{part.name}.json", monotonic()
    file.unlink(missing_ok=True)
    command = [sys.executable, "-m", "tests.accelerator.part", part.name, str(out), str(seconds), device]
    command += [str(int(quick)), str(data) if data else ""]
    process = subprocess.Popen(command, cwd=_ROOT, start_new_session=True)
    try:
        status = process.wait(seconds + _GRACE_S)
        reason = "" if status == 0 else f"ended with status {status}"
    except subprocess.TimeoutExpired:
        reason = "stopped at its deadline"
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    tables: Tables = json.loads(file.read_text()) if file.exists() else {}
    if reason:
        tables.setdefault("Not done", []).append({"what": f"the rest of {part.name}", "reason": reason})
    tables["Time"] = [{"part": part.name, "s": monotonic() - begin}]
    return tables


def _write(out: Path, results: dict[str, Tables]) -> None:
    (out / "report.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    lines = ["# Run on an accelerator", ""]
    for tables in results.values():
        for title, rows in tables.items():
            names = list(dict.fromkeys(name for row in rows for name in row))
            lines += [f"## {title}", "", f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
            lines += [f"| {' | '.join(_cell(row.get(name, '')) for name in names)} |" for row in rows]
            lines.append("")
    (out / "report.md").write_text("\n".join(lines), encoding="utf-8")


def _cell(value: float | str) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    typer.run(main)
