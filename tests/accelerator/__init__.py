"""Everything that needs a CUDA device, in one command: ``python -m tests.accelerator --minutes 25 --out DIR``."""
