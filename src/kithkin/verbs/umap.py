"""Maps of a dataset in two dimensions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from kithkin.core.blocks import Array
from kithkin.core.dataset import Dataset
from kithkin.core.errors import check
from kithkin.core.history import Step
from kithkin.core.keys import Key
from kithkin.models.pca.pca import PCA
from kithkin.models.umap import UMAP

DIRECTIONS = 10  # in which a map begins whose neighbours are those of X


def umap(
    ds: Dataset,
    *,
    n_epochs: int | None = None,
    min_dist: float = 0.5,
    spread: float = 1.0,
    init: str = "pca",
    n_centers: int | None = None,
    on: str = "obsp/connectivities",
    key: str | None = "obsm/X_umap",
    seed: int = 0,
    callback: Callable[[int, Array], Any] | None = None,
) -> Array:
    """Map the cells to two dimensions so that neighbours stay together (UMAP).

    Parameters
    ----------
    ds
        The dataset.
    n_epochs
        Rounds of optimisation; by default 500 up to 10,000 cells, else 200.
    min_dist
        Smallest distance between cells, in units of the map.
    spread
        Scale of the map.
    init
        Initialisation: "pca" (the first two components), "kmeans" (components of k-means centroids), or a key of
        coordinates. Of neighbours in X it is made of the leading directions of rows of length one.
    n_centers
        Number of centroids of the "kmeans" initialisation; 256 by default.
    on
        Graph of neighbours.
    key
        Key under which the result is stored; without one it is only returned.
    seed
        Seed of the random numbers. The map is the same for every number of threads.
    callback
        Function that is called as callback(epoch, coordinates) after each round; the map is then computed even if it is
        stored already.

    Returns
    -------
    ndarray
        n x 2, float32.

    Raises
    ------
    MissingResultError
        If there is no graph yet.
    ParameterError
        If n_centers is given for another start than "kmeans".

    References
    ----------
    McInnes, Healy and Melville 2018, arXiv:1802.03426.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> ds = kk.read(kk.datasets.simulate_counts(100, 200, 2), to=tempfile.mkdtemp() + "/a.zarr")
    >>> _ = kk.pca(ds, 5), kk.neighbors(ds)
    >>> kk.umap(ds, n_epochs=20).shape
    (100, 2)
    """
    target = Key.of(key, "obsm/X_umap")
    key_, uns = str(target), f"uns/{target.name.removeprefix('X_')}"
    check(n_centers is None or init == "kmeans", f"n_centers has no effect with init={init!r}: it is for 'kmeans'")
    if init in ("pca", "kmeans"):  # the map starts in the space in which the graph was made
        ds.need(on)
        name = Key.parse(on).name.removesuffix("connectivities").rstrip("_") or "neighbors"
        about = ds.read(f"uns/{name}") if f"uns/{name}" in ds else {}
        used = about.get("params", {}).get("use_rep", "X_pca")
        start = "X" if used in ("X", "") else f"obsm/{used}"  # "": of neighbours in X before the name was stored
        made = f"init must be a key of coordinates: {start}, from which {on} was made, is not there"
        check(start in ds, made)
    else:
        about, start = {}, str(Key.parse(init, "obsm", option="init"))
    parameters = {"n_epochs": n_epochs, "min_dist": min_dist, "spread": spread, "init": init, "on": on, "seed": seed}
    centers = {} if n_centers is None else {"n_centers": n_centers}

    def compute() -> dict[str, Any]:
        given = init if init in ("pca", "kmeans") else ds.read(start)[:, :2]
        shape: dict[str, Any] = {"n_epochs": n_epochs, "min_dist": min_dist, "spread": spread}
        model = UMAP(**shape, init=given, **centers, callback=callback, seed=seed)
        model.fit(ds.blocks(on), _start(ds, start, about, init), ds.execution)
        return {key_: model.embedding_, uns: {"params": {"a": model.a_, "b": model.b_}}}

    step = Step("umap", 2, parameters | centers, (on, start), (key_, uns))
    if callback is not None and key is not None:
        values = compute()
        return ds.result(step, lambda: values)  # type: ignore[no-any-return]
    return ds.result(step, compute, store=key is not None)  # type: ignore[no-any-return]


def _start(ds: Dataset, start: str, about: Mapping[str, Any], init: str) -> Array:
    """Read the coordinates in which the map begins, of which "pca" needs two."""
    if start == "X":
        return _directions(ds, about)
    if init != "pca":
        return ds.read(start)  # type: ignore[no-any-return]
    blocks: Any = ds.blocks(start)
    return np.concatenate([blocks.read(*rows)[:, :2].copy() for rows in blocks.ranges])


def _directions(ds: Dataset, about: Mapping[str, Any]) -> Array:
    """Compute leading directions of X; of rows of length one without the first, which is about their mean."""
    k, cosine = min(DIRECTIONS, *ds.shape), about["params"].get("metric") == "cosine"
    if not cosine:
        return PCA(k, normalize=None).fit_transform(ds.blocks("X"), execution=ds.execution)
    model = PCA(min(k + 1, *ds.shape), normalize="unit", method="truncated")
    return model.fit_transform(ds.blocks("X"), execution=ds.execution)[:, 1:]
