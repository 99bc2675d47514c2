"""Enrichment of pairs of clusters among neighbours in the tissue, against labels dealt out at random."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from kithkin.core.dataset import Dataset
from kithkin.core.errors import check
from kithkin.core.history import Step
from kithkin.core.keys import Key
from kithkin.models.spatial import NeighborhoodEnrichment
from kithkin.verbs.arguments.labels import as_labels, note_missing
from kithkin.verbs.spatial_neighbors import region_column


def neighborhood_enrichment(
    ds: Dataset,
    by: str = "obs/leiden",
    *,
    n_permutations: int = 1000,
    region: str | None = "auto",
    on: str = "obsp/spatial_connectivities",
    key: str | None = "auto",
    seed: int = 0,
) -> pd.DataFrame:
    """Enrichment of neighbours between clusters, against labels permuted over the cells.

    Parameters
    ----------
    ds
        The dataset.
    by
        Column of obs with the clusters.
    n_permutations
        Number of random permutations of the labels.
    region
        Column of obs with the image of each cell: labels are permuted within an image. "auto": obs/region if it is
        there. Without a column labels are permuted among all cells.
    on
        Graph of neighbours in the tissue.
    key
        Key under which the result is stored; without one it is only returned. "auto": uns/leiden_nhood_enrichment for
        obs/leiden, as in squidpy.
    seed
        Seed of the permutations.

    Returns
    -------
    DataFrame
        k x k z-scores: positive where two clusters are neighbours more often than by chance. Also stored: the counts.

    Raises
    ------
    MissingResultError
        If there are no clusters or no neighbours yet.

    References
    ----------
    Schapiro et al. 2017, doi:10.1038/nmeth.4391. Palla et al. 2022, doi:10.1038/s41592-021-01358-2.

    Examples
    --------
    >>> import kithkin as kk, numpy as np, tempfile
    >>> ds = kk.read(np.eye(36), to=tempfile.mkdtemp() + "/a.zarr")
    >>> half = np.repeat(["left", "right"], 18)
    >>> ds.write({"obsm/spatial": np.stack(np.divmod(np.arange(36.0), 6), axis=1), "obs/half": half})
    >>> _ = kk.spatial_neighbors(ds)
    >>> bool(neighborhood_enrichment(ds, "half").loc["left", "left"] > 2)
    True
    """
    clusters, region_ = Key.parse(by, "obs", option="by"), region_column(ds, region)
    target = Key.of(None if key == "auto" else key, str(clusters.beside("uns", "_nhood_enrichment")))
    check("/" not in target.name, f"key must name an element of uns, got {key!r}")
    by_, output = str(clusters), str(target)
    parameters = {"by": by_, "n_permutations": n_permutations, "region": region_, "on": on, "seed": seed}

    def compute() -> dict[str, Any]:
        labels = as_labels(ds.read(by_), by_, "by")
        note_missing(labels, by_)
        groups = None if region_ is None else as_labels(ds.read(region_), region_, "region").cat.codes.to_numpy()
        model = NeighborhoodEnrichment(n_permutations, seed=seed)
        model.fit(ds.read(on), labels.cat.codes.to_numpy().astype(np.int64), groups, ds.execution)
        k = len(labels.cat.categories)
        tables = [np.zeros((k, k), table.dtype) for table in (model.zscores_, model.counts_)]
        for table, found in zip(tables, (model.zscores_, model.counts_), strict=True):
            table[: len(found), : len(found)] = found  # the last categories may have no cells
        names = labels.cat.categories.astype(str).to_numpy(dtype=object)
        said = {name: value for name, value in parameters.items() if value is not None}
        return {output: {"zscore": tables[0], "count": tables[1], "names": names, "params": said}}

    inputs = (by_, on, *((region_,) if region_ else ()))
    found = ds.result(Step("neighborhood_enrichment", 1, parameters, inputs, (output,)), compute, store=key is not None)
    names = pd.Index([str(name) for name in found["names"]], name=clusters.name)
    return pd.DataFrame(found["zscore"], index=names, columns=names)
