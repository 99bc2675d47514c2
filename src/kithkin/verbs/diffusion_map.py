"""Diffusion over the neighbour graph: its map, the pseudotime in it, and how smooth values are over it."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from kithkin.core.blocks import Array
from kithkin.core.dataset import Dataset
from kithkin.core.history import Step
from kithkin.core.keys import Key
from kithkin.models.diffusion import DiffusionMap

log = logging.getLogger("kithkin")


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
        Number of columns, of which the first is that of eigenvalue 1 and shows nothing.
    on
        Graph of neighbours.
    key
        Key under which the result is stored; without one it is only returned.
    seed
        Seed of the first vector of the iteration.

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
    key_ = str(Key.of(key, "obsm/X_diffmap"))
    uns = eigenvalues_key(key_)
    parameters = {"n_components": n_components, "on": on, "seed": seed}

    def compute() -> dict[str, Any]:
        model = DiffusionMap(n_components, seed=seed).fit(ds.read(on), ds.execution)
        if model.n_parts_ > 1:
            log.warning("the graph has %s parts; columns of the map show what is within them", f"{model.n_parts_:,}")
        return {key_: model.embedding_.astype(np.float32), uns: model.eigenvalues_}

    step = Step("diffusion_map", 1, parameters, (on,), (key_, uns))
    return ds.result(step, compute, store=key is not None)  # type: ignore[no-any-return]


def eigenvalues_key(key: str) -> str:
    """Return the key of the eigenvalues of a map, as scanpy names it."""
    return f"uns/{Key.parse(key, 'obsm').name.removeprefix('X_')}_evals"
