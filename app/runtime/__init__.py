"""The running process: composition root, HTTP server, connection to the PACS."""
