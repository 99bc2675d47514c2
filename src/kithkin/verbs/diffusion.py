"""Diffusion over the neighbour graph: its map, the pseudotime in it, and how smooth values are over it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from kithkin.core.blocks import Array
from kithkin.core.dataset import Dataset
from kithkin.core.errors import check
from kithkin.core.history import Step
from kithkin.core.keys import column_key
from kithkin.models.autocorrelation import Autocorrelation
from kithkin.models.diffusion import DiffusionMap, diffusion_pseudotime
from kithkin.models.walk import Walk
from kithkin.verbs.seeds import seeds_of
from kithkin.verbs.values import values_of

log = logging.getLogger("kithkin")
SCORES = ("morans_i", "morans_pval", "morans_pval_sampled", "gearys_c", "gearys_pval", "gearys_pval_sampled")


def diffusion_map(
    ds: Dataset,
    n_components: int = 15,
    *,
    on: str = "obsp/connectivities",
    key: str | None = "obsm/X_diffmap",
    seed: int = 0,
) -> Array:
    """Diffusion map of the neighbour graph: the slowest modes of a random walk, whatever the density of the cells.

    Parameters
    ----------
    ds
        The dataset.
    n_components
        Columns, of which the first is that of eigenvalue 1 and shows nothing.
    on
        Graph of neighbours.
    key
        Where the map goes; None: only return.
    seed
        Of the first vector of the iteration.

    Returns
    -------
    ndarray
        n x n_components, float32. Also stored: the eigenvalues in uns, as scanpy does (uns/diffmap_evals).

    Raises
    ------
    MissingResultError
        If there is no graph yet.
    ParameterError
        If there are fewer cells than n_components.

    Notes
    -----
    In a graph of several connected parts the columns after the first show what is within parts, where scanpy's tell
    one part from another; a note says how many there are.

    References
    ----------
    Coifman and Lafon 2006, doi:10.1016/j.acha.2006.04.006. Haghverdi, Buettner and Theis 2015,
    doi:10.1093/bioinformatics/btv325.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> ds = kk.read(kk.datasets.simulate_counts(100, 200, 2), to=tempfile.mkdtemp() + "/a.zarr")
    >>> _ = kk.pca(ds, 5), kk.neighbors(ds)
    >>> diffusion_map(ds, 4).shape, "uns/diffmap_evals" in ds
    ((100, 4), True)
    """
    key_ = column_key(key or "X_diffmap", "obsm")
    uns = _eigenvalues_key(key_)
    parameters = {"n_components": n_components, "on": on, "seed": seed}

    def compute() -> dict[str, Any]:
        model = DiffusionMap(n_components, seed=seed).fit(ds.read(on), ds.execution)
        if model.n_parts_ > 1:
            log.warning("the graph has %s parts; columns of the map show what is within them", f"{model.n_parts_:,}")
        return {key_: model.embedding_.astype(np.float32), uns: model.eigenvalues_}

    step = Step("diffusion_map", 1, parameters, (on,), (key_, uns))
    return ds.result(step, compute, store=key is not None)  # type: ignore[no-any-return]


def pseudotime(
    ds: Dataset,
    root: str | int,
    *,
    n_components: int = 10,
    by: str = "obsm/X_diffmap",
    on: str = "obsp/connectivities",
    key: str | None = "obs/pseudotime",
) -> pd.Series[Any]:
    """Diffusion pseudotime: how far each cell is from a root, over walks of all lengths on the neighbour graph.

    Parameters
    ----------
    ds
        The dataset, with a diffusion map.
    root
        Cell to start from: its name or number; or a condition on obs such as "celltype == 'stem'", of whose cells the
        one nearest to their middle in the map is taken.
    n_components
        Columns of the map to use, the first one included; no more than there are.
    by
        Diffusion map.
    on
        Graph that the map was made from.
    key
        Column of obs; None: only return.

    Returns
    -------
    Series
        n values from 0, the root, to 1; NaN for cells in other parts of the graph than the root.

    Raises
    ------
    MissingResultError
        If there is no map yet.
    ParameterError
        If there is no such cell.

    References
    ----------
    Haghverdi, Büttner, Wolf, Buettner and Theis 2016, doi:10.1038/nmeth.3971.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> ds = kk.read(kk.datasets.simulate_counts(100, 200, 2), to=tempfile.mkdtemp() + "/a.zarr")
    >>> _ = kk.pca(ds, 5), kk.neighbors(ds), diffusion_map(ds)
    >>> time = pseudotime(ds, root=7)
    >>> float(time.iloc[7]), float(time.max())
    (0.0, 1.0)
    """
    key_, by = column_key(key or "pseudotime"), column_key(by, "obsm")
    ds.need(by)
    inputs = (by, _eigenvalues_key(by), on)
    check(n_components >= 2, f"n_components must be at least 2, got {n_components}")
    found, more = _root(ds, root, by)
    parameters = {"root": str(ds.obs_names[found]), "n_components": n_components, "from": root}

    def compute() -> dict[str, Any]:
        table, values = (np.asarray(ds.read(name)) for name in inputs[:2])
        parts = Walk(ds.read(on), ds.execution).parts()[1]
        time = diffusion_pseudotime(table[:, :n_components], values[:n_components], found, parts)
        if np.isnan(time).any():
            count = f"{np.isnan(time).sum():,}"
            log.warning("%s of %s cells have no pseudotime: no walk leads there from the root", count, f"{ds.n_obs:,}")
        return {key_: pd.Series(time, index=ds.obs_names, name=key_[4:])}

    step = Step("pseudotime", 1, parameters, (*inputs, *more), (key_,))
    return ds.result(step, compute, store=key is not None)  # type: ignore[no-any-return]


def graph_score(
    ds: Dataset,
    values: str | Sequence[str] | Any,
    *,
    normalize: Literal["log1p"] | None = "log1p",
    n_permutations: int = 100,
    on: str = "obsp/connectivities",
    key: str | None = "uns/graph_score",
    seed: int = 0,
) -> pd.DataFrame:
    """How smooth genes or scores are over the neighbour graph: Moran's I and Geary's C, tested by permutation.

    Parameters
    ----------
    ds
        The dataset.
    values
        One or several of: a gene, "obs/score", "obsm/topics", "var/highly_variable" (the genes that it marks); or n or
        n x g numbers. Many genes are streamed, so many at a time as the budget allows.
    normalize
        "log1p": genes as log1p(count / total * 10,000). None: counts as they are.
    n_permutations
        Random permutations of the cells, for the sampled p-values; these take most of the time: 0 leaves them out.
    on
        Graph of neighbours.
    key
        Where the table goes, in uns; None: only return.
    seed
        Of the permutations.

    Returns
    -------
    DataFrame
        One row for each value, genes first: morans_i (1 smooth, 0 chance), morans_pval (from the mean and variance over
        all permutations), morans_pval_sampled (from random ones), and the same for gearys_c (0 smooth, 1 chance).
        NaN for values that do not vary.

    Raises
    ------
    MissingResultError
        If there is no graph, or a column is not there.
    ParameterError
        If a gene is unknown, or a value is missing.

    References
    ----------
    Moran 1950, doi:10.1093/biomet/37.1-2.17. Geary 1954, doi:10.2307/2986645.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> ds = kk.read(kk.datasets.simulate_counts(200, 300, 3), to=tempfile.mkdtemp() + "/a.zarr")
    >>> _ = kk.pca(ds, 5), kk.neighbors(ds)
    >>> table = graph_score(ds, ["obsm/X_pca", "obs/n_counts"], n_permutations=20)
    >>> bool(table.loc["X_pca[0]", "morans_i"] > 0.5), table.shape
    (True, (6, 6))
    """
    wanted = values_of(ds, values, normalize)
    uns = key if key is not None and key.startswith("uns/") else f"uns/{key or 'graph_score'}"
    parameters = {"n_permutations": n_permutations, "on": on, "seed": seed} | wanted.parameters

    def compute() -> dict[str, Any]:
        model = Autocorrelation(n_permutations, seed=seed).fit(ds.read(on), wanted.tables(), ds.execution)
        columns = {name: getattr(model, f"{name}_") for name in SCORES}
        return {uns: pd.DataFrame(columns, index=pd.Index(wanted.names, dtype=object))}

    step = Step("graph_score", 1, parameters, (on, *wanted.inputs), (uns,))
    return ds.result(step, compute, store=key is not None)  # type: ignore[no-any-return]


def _eigenvalues_key(key: str) -> str:
    """Where the eigenvalues of a map are: scanpy's name for the usual one."""
    return f"uns/{key.removeprefix('obsm/').removeprefix('X_')}_evals"


def _root(ds: Dataset, root: str | int, by: str) -> tuple[int, tuple[str, ...]]:
    """Number of the cell that is meant, and what was read to find it."""
    if isinstance(root, (int, np.integer)) and not isinstance(root, bool):
        check(0 <= root < ds.n_obs, f"root must be in 0..{ds.n_obs - 1}, got {root}")
        return int(root), ()
    check(isinstance(root, str), f"root must be a name, a number or a condition, got {type(root).__name__}")
    given = seeds_of(ds, str(root))
    check(given.single, f"root must be a name, a number or a condition, got {root!r}")
    chosen = np.flatnonzero(given.read()[:, 0])
    places = np.asarray(ds.read(by))[chosen, 1:]
    middle = np.median(places, axis=0)
    return int(chosen[np.square(places - middle).sum(axis=1).argmin()]), given.inputs
