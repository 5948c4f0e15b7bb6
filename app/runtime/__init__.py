"""The running process: the composition root, the HTTP server, the connection to the PACS."""
