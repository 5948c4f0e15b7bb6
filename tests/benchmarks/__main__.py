"""``python -m tests.benchmarks [PART …]`` prints tables and writes ``.runs/benchmarks.json``; it asserts nothing."""

from pathlib import Path
from typing import Annotated

import typer
from pydicom.data import get_testdata_file

from app.runtime.allocator import keep_large_blocks
from tests.benchmarks import networks, service, stages
from tests.benchmarks.measure import Report, machine

PARTS = ("engines", "maps", "stages", "explanation", "http", "latency", "mixed", "memory", "start")


def main(
    parts: Annotated[list[str] | None, typer.Argument(help=f"Any of {', '.join(PARTS)}; default: all.")] = None,
    rounds: Annotated[int, typer.Option(help="Rounds of each comparison.")] = 24,
    requests: Annotated[int, typer.Option(help="Requests of the memory test.")] = 10_000,
    out: Annotated[Path, typer.Option(help="Where the figures are written.")] = Path(".runs/benchmarks.json"),
) -> None:
    """Measure the service and its peers on this machine."""
    keep_large_blocks()  # as `serve` does; also for the peers in this process
    report = Report(machine())
    known = {
        "engines": lambda: networks.engines(report, rounds),
        "maps": lambda: networks.maps(report, rounds),
        "stages": lambda: stages.stages(report, rounds, Path(str(get_testdata_file("RG1_J2KR.dcm", download=False)))),
        "explanation": lambda: stages.explanation(report, rounds),
        "http": lambda: service.throughput(report, max(1, rounds // 6)),
        "latency": lambda: service.latency(report),
        "mixed": lambda: service.mixed(report),
        "memory": lambda: service.memory(report, requests),
        "start": lambda: service.start(report),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    for part in parts or PARTS:
        if part not in known:
            raise typer.BadParameter(f"no such part: {part}")
        known[part]()
        report.write(out)


if __name__ == "__main__":
    typer.run(main)
