"""The result of a radiograph as FHIR resources."""
