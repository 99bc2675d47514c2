"""The command line: `kithkin`, `cut_cells` and `cut_tiles`."""

from kithkin.cli.commands import COMMANDS
from kithkin.cli.main import main

__all__ = ["COMMANDS", "main"]
