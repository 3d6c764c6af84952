"""The command line; each command imports what it needs when it is run."""

from hostrisk.cli import measuring, models, scoring
from hostrisk.cli.program import main

__all__ = ["main", "measuring", "models", "scoring"]
