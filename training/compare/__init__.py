"""Patch evidence beside post-hoc methods, on films where radiologists marked what they saw."""
