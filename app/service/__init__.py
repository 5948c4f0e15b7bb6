"""The use cases: bytes → result. No HTTP types, no drawing."""
