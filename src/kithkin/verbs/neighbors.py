"""Nearest neighbours and their graph."""

from __future__ import annotations

import logging
from typing import Any, Literal

from scipy import sparse

from kithkin.core.dataset import Dataset
from kithkin.core.history import Step
from kithkin.core.keys import Key
from kithkin.models.neighbors.neighbors import Neighbors

log = logging.getLogger("kithkin")

ENOUGH = 0.9  # recall, below which a note says so


def neighbors(
    ds: Dataset,
    n_neighbors: int = 15,
    *,
    method: Literal["auto", "exact", "partitioned"] = "auto",
    metric: Literal["euclidean", "cosine"] = "euclidean",
    on: str = "obsm/X_pca",
    key: str | None = "neighbors",
    seed: int = 0,
) -> sparse.csr_matrix:
    """Find the nearest neighbours of every cell, and weigh them as UMAP does.

    Parameters
    ----------
    ds
        The dataset.
    n_neighbors
        Number of neighbours of a cell, itself included.
    method
        "exact", "partitioned", or "auto": exact below 40,000 cells.
    metric
        Distance between cells.
    on
        Coordinates to compare. With "cosine" also X as it is stored, in parts that fit the memory: exact, for some
        ten thousand cells.
    key
        Key under which the result is stored; without one it is only returned. "neighbors" stands for obsp/distances and
        obsp/connectivities; any other name is put before these.
    seed
        Seed of the k-means partitions.

    Returns
    -------
    csr_matrix
        n x n, float32: the connectivities. Also stored: the distances, and uns/neighbors with the recall, the fraction
        of the nearest neighbours that were found: 1 of an exact search, else estimated by an exact search for 1,000
        cells. Below 0.9 a note says so.

    Raises
    ------
    MissingResultError
        If there are no such coordinates yet.

    References
    ----------
    McInnes, Healy and Melville 2018, arXiv:1802.03426.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> ds = kk.read(kk.datasets.simulate_counts(100, 200, 2), to=tempfile.mkdtemp() + "/a.zarr")
    >>> _ = kk.pca(ds, 5)
    >>> kk.neighbors(ds).shape
    (100, 100)
    """
    about_key = Key.parse("neighbors" if key is None else key, "uns", "obsp").beside("uns")
    prefix = "" if about_key.name == "neighbors" else f"{about_key.name}_"
    links, lengths = Key("obsp", f"{prefix}connectivities"), Key("obsp", f"{prefix}distances")
    outputs = (str(links), str(lengths), str(about_key))
    parameters = {"n_neighbors": n_neighbors, "method": method, "metric": metric, "on": on, "seed": seed}

    def compute() -> dict[str, Any]:
        model = Neighbors(n_neighbors, method=method, metric=metric, seed=seed)
        model.fit(ds.blocks(on), ds.execution, spill=ds.spill)
        about = {
            "connectivities_key": links.name,
            "distances_key": lengths.name,
            "params": {
                "n_neighbors": n_neighbors,
                "method": "umap",
                "metric": metric,
                "use_rep": Key.parse(on).name or on,
            },
            "recall": model.recall_,
        }
        if model.recall_ < ENOUGH:
            said = "about %.0f%% of the nearest neighbours were found (recall %.2f): method='exact' finds all, slowly"
            log.warning(said, 100 * model.recall_, model.recall_)
        return dict(zip(outputs, (model.connectivities_, model.distances_graph_, about), strict=True))

    step = Step("neighbors", 4, parameters, (on,), outputs)
    return ds.result(step, compute, store=key is not None)
