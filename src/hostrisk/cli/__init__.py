"""The command line; each command imports what it needs when it is run."""

from hostrisk.cli import hosts, measuring, models, reviewing, scoring
from hostrisk.cli.program import main

__all__ = ["hosts", "main", "measuring", "models", "reviewing", "scoring"]
