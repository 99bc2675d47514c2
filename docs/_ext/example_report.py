"""The live example: the demonstration on simulated counts, shown by `kk.report` as one file beside the pages."""

from __future__ import annotations

import shutil
from pathlib import Path

from docutils import nodes
from drawings import run
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import kithkin as kk

FOLDER, FILE = "_build/report", "report.html"
PROGRAM = f"""
import kithkin as kk

cells = kk.datasets.simulate_counts(3000, 2000, n_groups=8)
ds = kk.run(cells, to="counts.zarr", cells="n_genes >= 100 and pct_mito < 20")
kk.paris(ds)
kk.report(ds, "{FILE}")
"""
WRITTEN = "report" in kk.__all__  # the only guard: without `kk.report` the page says so, and nothing is run


def write(app: Sphinx) -> None:
    """Make the report, if it is not there already."""
    if WRITTEN and app.builder.format == "html":
        run(PROGRAM, Path(app.srcdir) / FOLDER)


def put(app: Sphinx, error: Exception | None) -> None:
    """Copy the report to the files of the site."""
    if WRITTEN and error is None and app.builder.format == "html":
        shutil.copy(Path(app.srcdir) / FOLDER / FILE, Path(app.outdir) / "_static" / FILE)


class ExampleReport(SphinxDirective):
    """Frame with the report, which can run its own script and offer downloads, and reach nothing else."""

    def run(self) -> list[nodes.Node]:
        """Make the frame, and a link that opens the report by itself."""
        if not WRITTEN:
            said = "This version does not write reports; kk.summary and kk.figures show the same results."
            return [nodes.paragraph(said, said)]
        frame = (
            f'<p><a href="_static/{FILE}">Open it by itself</a></p>\n'
            f'<iframe class="example-report" src="_static/{FILE}" title="Report of 3,000 simulated cells"'
            ' sandbox="allow-scripts allow-downloads" loading="lazy"></iframe>'
        )
        return [nodes.raw("", frame, format="html")]


def setup(app: Sphinx) -> dict[str, bool]:
    """Run before the pages are read, and copy after they are written."""
    app.connect("builder-inited", write)
    app.connect("build-finished", put)
    app.add_directive("example-report", ExampleReport)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
