"""Run the command line as ``python -m hostrisk``."""

from __future__ import annotations

from hostrisk.cli import main

if __name__ == "__main__":
    main(prog_name="hostrisk")
