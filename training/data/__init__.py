"""Data sets: layouts on disk, preparation, loading and augmentation."""
