"""Zones of evidence in a request."""
