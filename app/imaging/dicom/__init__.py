"""The DICOM reader: from a file to display-ready pixels, facts and warnings."""
