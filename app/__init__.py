"""Chest X-ray findings with exact, additive evidence, served over HTTP."""
