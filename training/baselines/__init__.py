"""Networks that explain by prototypes, which the paper compared with, for several findings at once."""
