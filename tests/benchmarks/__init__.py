"""Benchmarks: ours beside its peers, interleaved in one run. ``python -m tests.benchmarks --help``."""
