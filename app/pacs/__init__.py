"""Everything between the service and a PACS: configuration, routing, transport, store and background work."""
