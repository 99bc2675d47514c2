"""The vignette of counts in full: CPU seconds and peak of every section, and the figures of the page.

Usage: python benchmarks/counts.py pbmc_facs.h5ad [--figures docs/counts]

The blocks of docs/counts.md are run as they stand, one after the other. `--figures` copies the pictures that the page
shows.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from pathlib import Path

import pandas as pd

from digits import BLOCK, TITLE
from timing import Steps, total

PAGE = Path(__file__).parents[1] / "docs" / "counts.md"


def sections() -> list[tuple[str, str]]:
    """Heading and code of each section of the page."""
    text = PAGE.read_text(encoding="utf-8")
    starts = [(match.start(), match[1]) for match in TITLE.finditer(text)]
    found = []
    for (start, title), (stop, _) in zip(starts, [*starts[1:], (len(text), "")], strict=True):
        code = "".join(match[1] for match in BLOCK.finditer(text, start, stop))
        found += [(title, code)] if code else []
    return found


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
        steps, names = Steps(), {"__name__": "counts"}
        for title, code in sections():
            steps(title, lambda code=code: exec(compile(code, str(PAGE), "exec"), names))  # noqa: S102
        print({name: round(value, 1) for name, value in total(steps.rows).items()})
        if figures:
            figures.mkdir(exist_ok=True)
            for picture in Path().glob("*.png"):
                shutil.copy(picture, figures / picture.name)
        os.chdir(PAGE.parent)  # so that the folder can go


if __name__ == "__main__":
    main()
