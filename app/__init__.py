"""Chest X-ray findings with exact, additive evidence, served over HTTP."""

from importlib.metadata import version

__version__ = version("medpatchnet")
