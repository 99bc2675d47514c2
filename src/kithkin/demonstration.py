"""The demonstration: what kithkin makes of simulated counts and of real digits, without a network."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kithkin import datasets
from kithkin.core.dataset import Dataset
from kithkin.core.errors import ParameterError
from kithkin.plot.points.scatter import scatter
from kithkin.reports.build import report
from kithkin.reports.figures import figures
from kithkin.reports.summary import summary
from kithkin.verbs.run import run


def demo(
    to: str | Path = "demo",
    *,
    n_cells: int = 3000,
    memory: str | int | None = None,
    threads: int | None = None,
    seed: int = 0,
    say: Callable[[str], None] | None = None,
) -> Path:
    """Cluster simulated counts with known groups and real handwritten digits, with figures and a page of both.

    Needs no network. What an earlier demonstration left in the folder is replaced.

    Parameters
    ----------
    to
        Folder that receives the datasets and the figures.
    n_cells
        Number of simulated cells, at least 300.
    memory
        Budget for what is held at a time, such as "2GB".
    threads
        Threads of this process; one for each processor by default.
    seed
        Seed of the simulation and of all other random numbers.
    say
        Function such as print, called with a line of text after each step.

    Returns
    -------
    Path
        The folder: counts.zarr, digits.zarr, and a page and a folder of figures for each.

    Raises
    ------
    ParameterError
        If n_cells is less than 300.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> folder = demo(tempfile.mkdtemp(), n_cells=300)
    >>> kk.open(folder / "digits.zarr").shape
    (1797, 64)
    """
    if n_cells < 300:
        raise ParameterError(f"n_cells must be at least 300, got {n_cells}")
    folder, tell = Path(to), say or (lambda _line: None)
    folder.mkdir(parents=True, exist_ok=True)
    settings: dict[str, Any] = {"seed": seed, "memory": memory, "threads": threads, "say": tell, "overwrite": True}
    tell(f"{n_cells:,} simulated cells of 8 groups")
    counts = datasets.simulate_counts(n_cells, 2000, n_groups=8, seed=seed)
    clustered = run(counts, to=folder / "counts.zarr", cells="n_genes >= 100 and pct_mito < 20", **settings)
    _show(clustered, "obs/group", tell)
    tell("\n1,797 handwritten digits")
    digits = run(datasets.digits(), to=folder / "digits.zarr", kind="values", n_components=30, **settings)
    _show(digits, "obs/digit", tell)
    tell(f"\nThe pages, figures and datasets are in {folder.resolve()}")
    # the command is called by its path where it is installed beside Python and not on the path
    here = Path(sys.executable).with_name("kithkin")
    program = "kithkin" if shutil.which("kithkin") or not here.exists() else os.path.relpath(here)
    tell(f"Open {folder / 'counts.html'} in a browser, or go on: {program} info {folder / 'counts.zarr'}")
    return folder


def _show(ds: Dataset, truth: str, tell: Callable[[str], None]) -> None:
    """Draw the figures and the page beside the dataset, also by what is known to be true, and tell the summary."""
    folder = ds.path.with_suffix(".figures")
    figures(ds, folder)
    report(ds, ds.path.with_suffix(".html"))
    scatter(ds, color=["obs/leiden", truth]).savefig(folder / "truth.png", dpi=100)
    tell("")
    tell(summary(ds))
