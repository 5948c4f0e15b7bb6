"""The command line: parsing and printing, and what its commands do without a server."""
