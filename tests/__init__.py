"""Tests; in processes side by side, each takes its share of the processors (this runs before torch is imported)."""

import os

if beside := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0")):
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // beside)))
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
