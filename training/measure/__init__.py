"""Measuring a model: metrics, evaluation, subgroups, the cost of reduced precision."""
