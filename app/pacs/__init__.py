"""What goes back to the PACS: structured reports, overlays and presentation states. Knows no network and no web."""
