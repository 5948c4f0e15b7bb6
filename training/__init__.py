"""Training, evaluation and import of the artifacts that the service loads."""
