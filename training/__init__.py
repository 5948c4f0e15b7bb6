"""Training, evaluation and import of the artefacts that the service loads."""
