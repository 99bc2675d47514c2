"""The vignette of counts in full: CPU seconds and peak of every section, and the figures of the page.

Usage: python benchmarks/counts.py pbmc_facs.h5ad [--figures docs/counts]

The blocks of docs/counts.md are run as they stand, one after the other. `--figures` copies the pictures that the page
shows.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

import pandas as pd

from pages import DOCS, run_page


def main() -> None:
    """Run the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("--figures", type=Path)
    options = parser.parse_args()
    source, figures = options.source.resolve(), options.figures.resolve() if options.figures else None
    with tempfile.TemporaryDirectory() as folder, pd.option_context("display.width", 120, "display.max_columns", 20):
        os.chdir(folder)
        Path("pbmc_facs.h5ad").symlink_to(source)
        run_page("counts", figures)
        os.chdir(DOCS)  # so that the folder can go


if __name__ == "__main__":
    main()
