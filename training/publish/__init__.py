"""Publishing a model: calibration, artifact, model card and figures."""
