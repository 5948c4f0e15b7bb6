"""The CPU cores that this process can use: those of its affinity, at most as many as the quotas of its control groups.

Python 3.11 reports neither; OpenVINO and torch follow the affinity alone, and a container with a quota of one core on a
host of 64 would start 64 threads, which the kernel then stops for most of each period.
"""

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_OWN_GROUPS = Path("/proc/self/cgroup")


def usable_cores(cgroups: Path = _CGROUPS, own_groups: Path = _OWN_GROUPS) -> int:
    """Number of usable cores, at least 1. A quota of part of a core counts as a whole one, so that none is left unused.

    ``cgroups`` is where the control groups are mounted (version 1, 2 or both), ``own_groups`` the file that names those
    of the process. The quotas of all parents apply too. Sources: cgroups(7); the kernel's cgroup-v2.rst (cpu.max) and
    sched-bwc.rst (cpu.cfs_quota_us).
    """
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [math.ceil(quota) for folder in _folders(cgroups, own_groups) for quota in _quotas(folder)]
    return max(1, min([available, *quotas]))


def _folders(cgroups: Path, own_groups: Path) -> Iterator[Path]:
    """The groups of the process and their parents. In a container only the root can exist: it then is the own group."""
    lines: list[str] = []
    with suppress(OSError):
        lines = own_groups.read_text(encoding="ascii", errors="replace").splitlines()
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = cgroups / "cpu" if controllers else cgroups  # "cpu" also where it is mounted as "cpu,cpuacct"
        own = root / path.strip("/")
        yield from (folder for folder in (own, *own.parents) if folder.is_relative_to(root))


def _quotas(folder: Path) -> Iterator[float]:
    """The quota of one group in cores, if it has one."""
    with suppress(OSError, ValueError):
        quota, period = (folder / "cpu.max").read_text(encoding="ascii").split()
        if quota != "max":
            yield int(quota) / int(period)
    with suppress(OSError, ValueError):
        quota = int((folder / "cpu.cfs_quota_us").read_text(encoding="ascii"))
        if quota > 0:
            yield quota / int((folder / "cpu.cfs_period_us").read_text(encoding="ascii"))
