"""Measuring a model: metrics, evaluation, subgroups, accuracy cost of reduced precision."""
