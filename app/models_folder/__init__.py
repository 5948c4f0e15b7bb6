"""The models folder: artifacts come from a hub, a URL or a file, are listed, verified, exported and removed."""
