"""DICOM objects made from a prediction: structured report, secondary capture, presentation state."""
