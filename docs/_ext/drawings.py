"""Pictures that the build draws: the Python blocks of the gallery are run, and `{drawn}` shows what they saved."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective

import kithkin

PAGE, FOLDER = "gallery.md", "_build/drawn"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def newest_source() -> float:
    """Time of the last change of the package."""
    return max(path.stat().st_mtime for path in Path(kithkin.__file__).parent.rglob("*.py"))


def run(program: str, folder: Path) -> None:
    """Run Python code in an empty folder, unless it ran there since it and the package were changed.

    Parameters
    ----------
    program
        The code.
    folder
        Where it runs and what it writes is kept.

    Raises
    ------
    ExtensionError
        If the code fails, with what it said.
    """
    done = folder / "done.py"  # the code that last ran to its end
    if done.exists() and done.read_text(encoding="utf-8") == program and done.stat().st_mtime > newest_source():
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    ran = subprocess.run([sys.executable, "-"], input=program, cwd=folder, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise ExtensionError(f"the code of {folder.name} failed:\n{ran.stderr}")
    done.write_text(program, encoding="utf-8")


def draw(app: Sphinx) -> None:
    """Run the blocks of the gallery in order, as its reader would."""
    source = Path(app.srcdir) / PAGE
    blocks = BLOCK.findall(source.read_text(encoding="utf-8"))
    run("\n".join(blocks), Path(app.srcdir) / FOLDER)


class Drawn(SphinxDirective):
    """Picture that a block of the page saved: its file, and below it what can be seen."""

    required_arguments = 1
    has_content = True
    option_spec: ClassVar = {"width": directives.length_or_percentage_or_unitless}

    def run(self) -> list[nodes.Node]:
        """Make an image whose caption and description is the content."""
        said = " ".join(self.content)
        image = nodes.image(uri=f"/{FOLDER}/{self.arguments[0]}", alt=said, **self.options)
        return [nodes.figure("", image, nodes.caption(said, said))]


def setup(app: Sphinx) -> dict[str, bool]:
    """Draw before the pages are read."""
    app.connect("builder-inited", draw)
    app.add_directive("drawn", Drawn)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
