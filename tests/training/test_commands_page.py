"""Every training command is documented. Here and not among the contract tests, because the import takes seconds."""

from tests.contract.reference_tables import commands, follow
from training.__main__ import app


def test_every_training_command_is_documented():
    follow("TRAINING.md", commands("python -m training", app))
