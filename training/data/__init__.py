"""Data sets: their layouts on disk, preparation, loading and augmentation."""
