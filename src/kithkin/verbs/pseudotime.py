"""Diffusion pseudotime: how far each cell is from a root, over walks of all lengths on the neighbour graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from kithkin.core.dataset import Dataset
from kithkin.core.errors import check
from kithkin.core.history import Step
from kithkin.core.keys import Key
from kithkin.models.diffusion import diffusion_pseudotime
from kithkin.models.graphs.walk import Walk
from kithkin.verbs.arguments.seeds import seeds_of
from kithkin.verbs.diffusion_map import eigenvalues_key, log


def pseudotime(
    ds: Dataset,
    root: str | int,
    *,
    n_components: int = 10,
    by: str = "obsm/X_diffmap",
    on: str = "obsp/connectivities",
    key: str | None = "obs/pseudotime",
) -> pd.Series[Any]:
    """Diffusion pseudotime: distance of each cell from a root, over walks of all lengths on the neighbour graph.

    Parameters
    ----------
    ds
        The dataset, with a diffusion map.
    root
        Cell to start from: its name or number; or a condition on obs such as "celltype == 'stem'", of whose cells the
        one nearest to their middle in the map is taken.
    n_components
        Number of columns of the map to use, the first one included; no more than there are.
    by
        Diffusion map to measure in.
    on
        Graph that the map was made from.
    key
        Key under which the result is stored; without one it is only returned.

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
    >>> _ = kk.pca(ds, 5), kk.neighbors(ds), kk.diffusion_map(ds)
    >>> time = pseudotime(ds, root=7)
    >>> float(time.iloc[7]), float(time.max())
    (0.0, 1.0)
    """
    target, by = Key.of(key, "obs/pseudotime"), str(Key.parse(by, "obsm", option="by"))
    ds.need(by)
    inputs = (by, eigenvalues_key(by), on)
    check(n_components >= 2, f"n_components must be at least 2, got {n_components}")
    more: tuple[str, ...] = ()  # what is read to find the root
    if isinstance(root, (int, np.integer)) and not isinstance(root, bool):
        check(0 <= root < ds.n_obs, f"root must be in 0..{ds.n_obs - 1}, got {root}")
        found = int(root)
    else:
        check(isinstance(root, str), f"root must be a name, a number or a condition, got {type(root).__name__}")
        given = seeds_of(ds, str(root))
        check(given.single, f"root must be a name, a number or a condition, got {root!r}")
        chosen, more = np.flatnonzero(given.read()[:, 0]), given.inputs
        places = np.asarray(ds.read(by))[chosen, 1:]
        found = int(chosen[np.square(places - np.median(places, axis=0)).sum(axis=1).argmin()])
    parameters = {"root": str(ds.obs_names[found]), "n_components": n_components, "from": root}

    def compute() -> dict[str, Any]:
        table, values = (np.asarray(ds.read(name)) for name in inputs[:2])
        parts = Walk(ds.read(on), ds.execution).parts()[1]
        time = diffusion_pseudotime(table[:, :n_components], values[:n_components], found, parts)
        if np.isnan(time).any():
            count = f"{np.isnan(time).sum():,}"
            log.warning("%s of %s cells have no pseudotime: no walk leads there from the root", count, f"{ds.n_obs:,}")
        return {str(target): pd.Series(time, index=ds.obs_names, name=target.name)}

    step = Step("pseudotime", 1, parameters, (*inputs, *more), (str(target),))
    return ds.result(step, compute, store=key is not None)  # type: ignore[no-any-return]
