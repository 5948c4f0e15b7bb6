"""Protocols of the PACS: DICOMweb and DIMSE, as client and as server. Independent of the database."""
