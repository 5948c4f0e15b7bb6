"""Benchmarks of the service and its peers, interleaved in one run. ``python -m tests.benchmarks --help``."""
