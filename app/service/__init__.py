"""The use cases, from bytes to results. No HTTP."""
