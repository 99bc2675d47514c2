"""The command line: `kithkin`, `cut_cells` and `cut_tiles`."""

from kithkin.cli.main import COMMANDS, main

__all__ = ["COMMANDS", "main"]
