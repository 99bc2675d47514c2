"""Analysis of a source from end to end: clusters, a map and markers."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np

from kithkin.core.dataset import Dataset
from kithkin.core.dataset import open as open_dataset
from kithkin.core.errors import KithkinError, check, check_choice, check_seed
from kithkin.core.group_support import APART
from kithkin.core.heap import peak_memory
from kithkin.core.transaction import replace_dataset, writing
from kithkin.core.words import THINGS
from kithkin.io.formats.kind import sentence_of_kind
from kithkin.io.formats.samples import find_samples
from kithkin.models.table.normalize import is_log_normalized
from kithkin.verbs.arguments.batches import batches_of, check_kept
from kithkin.verbs.harmonize import harmonize
from kithkin.verbs.leiden import leiden
from kithkin.verbs.markers import markers
from kithkin.verbs.neighbors import neighbors
from kithkin.verbs.pca import pca
from kithkin.verbs.quality import quality
from kithkin.verbs.read import check_elsewhere, is_import_of, read
from kithkin.verbs.scale import scale as scale_columns
from kithkin.verbs.subset import is_subset_of, rows_kept, subset
from kithkin.verbs.support import support
from kithkin.verbs.umap import umap
from kithkin.verbs.variable_genes import FEWEST, variable_genes

Say = Callable[[str], None]
T = TypeVar("T")
CHOOSE = "Choose another name, or use overwrite=True to replace it."
# of Leiden, and neighbours; those of a table of values with few columns; docs/benchmarks.md says how they were chosen
RESOLUTION, N_NEIGHBORS = 0.7, 15
COARSE, MORE_NEIGHBORS, FEW_COLUMNS = 0.3, 20, 50
MOST_GONE = 0.5  # of the cells: where a filter leaves fewer, the run says what can be done
FEWEST_GENES, FEW_CELLS = 200, 50  # of a cell that is kept by default; a table of fewer keeps every gene that is seen


def run(
    source: Any,
    *,
    to: str | Path,
    kind: Literal["auto", "counts", "values", "images"] = "auto",
    columns: str | Sequence[str] | None = None,
    ignore: str | Sequence[str] | None = None,
    id: str | None = None,
    scale: Literal["auto", "none", "standard", "robust"] = "auto",
    missing: Literal["median", "drop", "error"] = "median",
    categories: str | Iterable[str] | None = None,
    cells: str = "auto",
    genes: str = "auto",
    flavor: Literal["auto", "vst", "dispersion"] = "auto",
    n_genes: int = 3000,
    n_components: int = 50,
    n_neighbors: int | None = None,
    resolution: float | None = None,
    layer: str | None = None,
    raw: bool = False,
    genome: str | None = None,
    sample: str = "obs/sample",
    join: Literal["outer", "inner"] = "outer",
    match: Literal["auto", "names", "ids", "symbols"] = "auto",
    batch: str | None = None,
    overwrite: bool = False,
    seed: int = 0,
    memory: str | int | None = None,
    threads: int | None = None,
    executor: Executor | None = None,
    progress: bool | None = None,
    say: Say | None = None,
) -> Dataset:
    """Analyse a source from end to end: clusters, a map and markers.

    A table of counts is imported to `<to without .zarr>.raw.zarr` and filtered to `to`, which gets variable genes,
    principal components, neighbours, a map, clusters and markers. A table of values is imported to `to`; its columns
    are scaled instead. Steps that are there already and still follow from the same source and parameters are not done
    again, so that an interrupted run continues where it stopped.

    Parameters
    ----------
    source
        Any source that kithkin.read reads; several samples, or a sheet of samples, become one dataset.
    to
        Path of the finished dataset, such as "pbmc.zarr".
    kind
        What the table holds: "counts"; "values", without quality, filters, variable genes and normalisation; "images",
        whose rows are brought to unit length; "auto" decides by names and values, as `kithkin.read` does.
    columns
        Columns of a table to take, such as "age,height"; all by default.
    ignore
        Columns of a table to leave out.
    id
        Column of a table with the names of the rows.
    scale
        Scaling of the columns of a table of values: see `kithkin.scale`.
    missing
        Rows with missing values in a table of values: "median" fills them in before the components, "drop" leaves them
        out, "error" refuses them.
    categories
        Columns of obs whose labels take part in the distances of a table of values, as columns of 0 and 1.
    cells
        Condition on the cells to keep. "auto": "n_genes >= 200 and pct_mito < 20"; where this would remove more than
        half of the cells for their genes, as in a small panel, a fifth of the median number of genes instead of 200.
    genes
        Condition on the genes to keep. "auto": "n_cells >= 3", and "n_cells >= 1" where there are fewer than 50 cells.
    flavor
        Measure of variability: "vst" needs integers, "dispersion" does not. "auto": "vst".
    n_genes
        Number of variable genes; all, if there are fewer.
    n_components
        Number of principal components; fewer, if the table is smaller.
    n_neighbors
        Number of neighbours of a cell, itself included; by default 15, and 20 for values of at most 50 columns.
    resolution
        Resolution of Leiden: higher values give more and smaller clusters; by default 0.7, and 0.3 for values of at
        most 50 columns.
    layer
        Layer to take as X (h5ad, Zarr, loom, AnnData); X itself by default.
    raw
        Take X from raw (h5ad, Zarr, AnnData).
    genome
        Genome to take from a 10x HDF5 file with several.
    sample
        Column for the name of the sample of each cell, where there are several.
    join
        Genes to take of several samples: "outer" takes those of any, "inner" those of all.
    match
        Genes that are the same in several samples: by their "names", "ids" or "symbols"; see `kithkin.read`.
    batch
        Column of obs with batches whose differences are taken out, such as "obs/sample": variable genes are those of
        all batches, and neighbours, map and clusters come from harmonised components. See `kithkin.harmonize`.
    overwrite
        Start again, and replace the datasets that are there.
    seed
        Seed of the random numbers.
    memory
        Budget for what is held at a time, such as "2GB".
    threads
        Threads of this process; one for each processor by default.
    executor
        Any concurrent.futures.Executor for the work on blocks.
    progress
        Progress bars; by default they are shown on a terminal only.
    say
        Function such as print, called with the plan and with a line after each step.

    Returns
    -------
    Dataset
        The finished dataset.

    Raises
    ------
    FormatError
        If the source does not hold what its format promises.
    KithkinError
        If `to` is there and was made from something else.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> counts = kk.datasets.simulate_counts(300, 400, 3)
    >>> ds = kk.run(counts, to=tempfile.mkdtemp() + "/a.zarr")
    >>> ds.read("obs/leiden").nunique() >= 3
    True
    """
    # Long: it is the journey itself, a line for each step
    check_choice("kind", kind, ("auto", "counts", "values", "images"))
    check_choice("scale", scale, ("auto", "none", "standard", "robust"))
    check_choice("missing", missing, ("median", "drop", "error"))
    check_seed(seed)
    samples = find_samples(source)
    check_elsewhere(to, source, samples)
    work = _Work(Path(to).expanduser().absolute(), say or (lambda _: None), overwrite)
    settings: dict[str, Any] = {"layer": layer, "raw": raw, "genome": genome, "transpose": False, "kind": kind}
    settings |= {"columns": columns, "ignore": ignore, "id": id, "missing": "keep" if missing == "median" else missing}
    settings |= {"sample": sample, "join": join, "match": match}
    execution = {"memory": memory, "threads": threads, "executor": executor, "progress": progress}
    ds = work.import_source(source, settings, execution, kind)
    counts, images = ds.kind == "counts", ds.kind == "images"
    if not counts:
        ds = work.rename(ds)
    rows_called, columns_called = THINGS[ds.kind]
    work.say(f"{ds.n_obs:,} {rows_called} x {ds.n_vars:,} {columns_called}")
    work.say(sentence_of_kind(*ds.kind_and_reason))
    coarse = ds.kind == "values" and ds.n_vars <= FEW_COLUMNS
    if n_neighbors is None:
        n_neighbors = MORE_NEIGHBORS if coarse else N_NEIGHBORS
    if resolution is None:
        resolution = COARSE if coarse else RESOLUTION
    normalize: Literal["log1p", "unit"] | None = "log1p" if counts else "unit" if images else None
    measure: Literal["vst", "dispersion"] = "vst" if flavor == "auto" else flavor
    on, first = "X", []
    if counts:
        cells, genes = default_filters(ds, cells, genes)
        first = [f"subset (cells with {cells}; genes with {genes})", "variable-genes"]
    elif scale == "auto" and not images and (ds.blocks().is_sparse or is_log_normalized(ds.blocks())):
        work.say("values of genes: the columns are not scaled")
    elif not images and (scale != "none" or categories or "var/n_missing" in ds):
        on, first = "obsm/X_scaled", [f"scale ({scale})"]
    if batch is not None:
        batch = checked_batch(ds, batch, cells if counts else None, measure)
    elif samples is not None:
        work.say(f"several samples: batch={sample!r} takes out what differs between them")
    work.plan([*first, "pca", *(["harmonize"] if batch else []), "neighbors", "umap", "leiden", "markers", "support"])
    if counts:
        ds = work.filter(ds, cells, genes)
        work.step("variable-genes", lambda: variable_genes(ds, min(n_genes, ds.n_vars), flavor=measure, batch=batch))
    elif on != "X":
        fill: Literal["median", "error"] = "error" if missing == "error" else "median"
        work.step("scale", lambda: scale_columns(ds, scale, missing=fill, categories=categories))
    width = min(n_genes, ds.n_vars) if counts else ds.n_vars if on == "X" else ds.read(on).shape[1]
    enough = ds.n_obs >= 3 and width >= 2
    check(enough, f"{ds.name} has {ds.n_obs} rows and {width} columns: a map needs 3 rows and 2 columns at least")
    n_components = min(n_components, ds.n_obs - 1, max(2, width - 1))
    work.step("pca", lambda: pca(ds, n_components, normalize=normalize, on=on, seed=seed))
    if batch is not None:
        work.step("harmonize", lambda: harmonize(ds, batch, seed=seed))
    space = "obsm/X_pca" if batch is None else "obsm/X_harmony"
    work.step("neighbors", lambda: neighbors(ds, min(n_neighbors, ds.n_obs), on=space, seed=seed))
    work.step("umap", lambda: umap(ds, seed=seed))
    work.step("leiden", lambda: leiden(ds, resolution, seed=seed))
    work.say_why(ds, None if counts else space, seed)
    return ds


def checked_batch(ds: Dataset, batch: str, cells: str | None, measure: str) -> str:
    """Check batches, and before anything is written that a filter leaves enough of them; return their key."""
    batches = batches_of(ds, batch)
    if cells is not None:
        quality(ds)
        check_kept(batches, rows_kept(ds, cells), cells, FEWEST[measure])
    return batches.key


def default_filters(ds: Dataset, cells: str, genes: str) -> tuple[str, str]:
    """Replace "auto" by conditions on cells and genes that suit the table.

    Examples
    --------
    >>> import kithkin as kk, numpy as np, tempfile
    >>> panel = kk.read(np.full((60, 40), 1), to=tempfile.mkdtemp() + "/panel.zarr", kind="counts")
    >>> default_filters(panel, "auto", "auto")
    ('n_genes >= 8 and pct_mito < 20', 'n_cells >= 3')
    """
    if cells == "auto":
        n_genes = quality(ds)["n_genes"].to_numpy()
        fewest = FEWEST_GENES if np.mean(n_genes >= FEWEST_GENES) > 0.5 else max(1, int(np.median(n_genes)) // 5)
        cells = f"n_genes >= {min(fewest, FEWEST_GENES)} and pct_mito < 20"
    if genes == "auto":
        genes = f"n_cells >= {3 if ds.n_obs >= FEW_CELLS else 1}"
    return cells, genes


@dataclass
class _Work:
    """Steps of the run, with the destination and the function that reports progress."""

    to: Path
    say: Say
    overwrite: bool
    n_done: int = 0
    n_steps: int = 0  # known once the source is read

    @property
    def raw_path(self) -> Path:
        return self.to.with_name(f"{self.to.name.removesuffix('.zarr')}.raw.zarr")

    def plan(self, steps: list[str]) -> None:
        """Say the steps that follow, and count them."""
        self.n_steps = self.n_done + len(steps)
        self.say(f"plan: {' -> '.join(steps)}")

    def step(self, name: str, do: Callable[[], T]) -> T:
        """Do one step and say what it took."""
        began = time.perf_counter()
        result = do()
        self.done(name, f"{time.perf_counter() - began:7.1f} s   peak memory {peak_memory() / 1e6:6.0f} MB")
        return result

    def say_why(self, ds: Dataset, space: str | None, seed: int) -> None:
        """Find the markers of the clusters, and which are told apart: by counts, or by values of a space."""
        n_clusters = ds.read("obs/leiden").nunique()
        if n_clusters == 1:
            self.say("markers: there is one cluster, and nothing to compare it with")
            return
        self.step("markers", lambda: markers(ds, "obs/leiden", normalize="log1p" if space is None else None))
        self.step("support", lambda: support(ds, on=space or "X", seed=seed))
        left, apart = ds.read("obs/support").nunique(), APART["halves" if space is None else "dip"]
        self.say(f"support: {left} of {n_clusters} clusters are told apart by {apart}")

    def done(self, name: str, what: str) -> None:
        """Say that a step is done."""
        self.n_done += 1
        number = f"step {self.n_done} of {self.n_steps}: " if self.n_steps else ""
        self.say(f"{number}{name:<16} {what}")

    def import_source(self, source: Any, settings: dict[str, Any], execution: dict[str, Any], kind: str) -> Dataset:
        """Import the source, or open the dataset that is there, if it came from this very source."""
        values_before = kind == "auto" and self.to.exists() and not self.raw_path.exists()
        target = self.to if kind == "values" or (values_before and not self.overwrite) else self.raw_path
        self.say(f"import {named(source)} to {target}")
        if target.exists() and not self.overwrite:
            ds = open_dataset(target, **execution)
            if not is_import_of(ds, source, settings):
                raise KithkinError(f"{target} was made from something else. {CHOOSE}")
            self.done("convert", "is there already")
            return ds
        settings = {**settings, **execution, "overwrite": self.overwrite}
        return self.step("convert", lambda: read(source, to=target, **settings))

    def rename(self, ds: Dataset) -> Dataset:
        """Give an imported table that is not filtered the name of the finished dataset."""
        if ds.path == self.to:
            return ds
        if self.to.exists():
            open_dataset(self.to)  # what is no dataset is refused here, and kept
            if not self.overwrite:
                raise KithkinError(f"{self.to} was made from something else. {CHOOSE}")
        with writing(ds.path), writing(self.to) as staging:
            os.rename(ds.path, staging / "dataset")
            try:
                replace_dataset(staging / "dataset", self.to)
            except BaseException:
                os.rename(staging / "dataset", ds.path)
                raise
        return Dataset(self.to, ds.execution)

    def filter(self, ds: Dataset, cells: str, genes: str) -> Dataset:
        """Keep the cells and genes that meet the conditions, or open the dataset that is there, if it is just that."""
        quality(ds)
        execution = ds.execution
        if self.to.exists() and not self.overwrite:
            part = Dataset(open_dataset(self.to).path, execution)
            if not is_subset_of(part, ds, cells, genes):
                raise KithkinError(f"{self.to} was made from something else or with other filters. {CHOOSE}")
            self.done("subset", "is there already")
            return part
        part = self.step("subset", lambda: subset(ds, cells=cells, genes=genes, to=self.to, overwrite=self.overwrite))
        self.say(sentence_of_filter(part.read("uns/subset")))
        return part


def sentence_of_filter(record: Mapping[str, Any]) -> str:
    """Say how many cells and genes a filter has removed, by which condition; and what to do where most are gone.

    Examples
    --------
    >>> genes = {"before": 90, "kept": 90, "removed": {}}
    >>> sentence_of_filter({"cells": {"before": 50, "kept": 49, "removed": {"n_genes >= 9": 1}}, "genes": genes})
    'subset: 1 of 50 cells (2 %) went: 1 not n_genes >= 9; 0 of 90 genes went'
    """
    said, most = [], False
    for name in ("cells", "genes"):
        before, kept = int(record[name]["before"]), int(record[name]["kept"])
        reasons = {reason: int(number) for reason, number in record[name].get("removed", {}).items() if int(number)}
        why = ", ".join(f"{number:,} not {reason}" for reason, number in reasons.items())
        share = f" ({100 * (before - kept) / before:.0f} %)" if why else ""
        said.append(f"{before - kept:,} of {before:,} {name}{share} went{f': {why}' if why else ''}")
        most = most or (name == "cells" and kept < before * MOST_GONE)
    advice = (
        ". That is more than half of the cells: give a milder condition, such as "
        "cells=\"n_genes >= 10\", or if these are no counts of genes, kind='images' or "
        "kind='values', which filter nothing"
    )
    return f"subset: {'; '.join(said)}{advice if most else ''}"


def named(source: Any) -> str:
    """Name a source in a line of progress.

    Examples
    --------
    >>> named("a.h5ad"), named(["a.h5ad", "b.h5ad"])
    ('a.h5ad', '2 samples')
    """
    if isinstance(source, (str, Path)):
        return str(source)
    return f"{len(source)} samples" if isinstance(source, (list, tuple, Mapping)) else type(source).__name__
