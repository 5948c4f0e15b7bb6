"""Background work on instances from the PACS: analysis, delivery, retries. All state is in the store."""
