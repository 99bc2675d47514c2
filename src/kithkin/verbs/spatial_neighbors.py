"""Cells in the tissue: which lie beside each other, and which clusters do so more often than by chance."""

from __future__ import annotations

from typing import Any, Literal

from scipy import sparse

from kithkin.core.dataset import Dataset
from kithkin.core.history import Step
from kithkin.core.keys import column_key
from kithkin.models.spatial import SpatialNeighbors


def spatial_neighbors(
    ds: Dataset,
    *,
    method: Literal["delaunay", "radius", "knn"] = "delaunay",
    n_neighbors: int = 6,
    radius: float | None = None,
    region: str | None = "auto",
    on: str = "obsm/spatial",
    key: str | None = "spatial",
) -> sparse.csr_matrix:
    """Join cells that lie beside each other in the tissue.

    Parameters
    ----------
    ds
        The dataset.
    method
        "delaunay": cells whose regions (all that is nearer to them than to any other) touch. "radius": all within a
        distance. "knn": the nearest, joined if either is among the nearest of the other.
    n_neighbors
        Number of neighbours of a cell, for "knn".
    radius
        Largest distance, in the units of the coordinates; for "delaunay" and "knn" longer edges are left out.
    region
        Column of obs with the image of each cell: cells of different images are never joined. "auto": obs/region if it
        is there. Without a column all cells are in one image.
    on
        Coordinates, n x 2; n x 3 as well, except for "delaunay".
    key
        Key under which the result is stored; without one it is only returned. "spatial" stands for
        obsp/spatial_connectivities and obsp/spatial_distances, as in squidpy; any other name takes its place.

    Returns
    -------
    csr_matrix
        n x n, float32, symmetric: 1 for each pair of neighbours. Also stored: how far apart they are, and
        uns/spatial_neighbors.

    Raises
    ------
    MissingResultError
        If there are no coordinates.
    ParameterError
        If a setting is not possible.

    References
    ----------
    Palla et al. 2022, doi:10.1038/s41592-021-01358-2.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> ds = kk.read(np.eye(9), to=tempfile.mkdtemp() + "/a.zarr")
    >>> ds.write({"obsm/spatial": np.stack(np.divmod(np.arange(9.0), 3), axis=1)})
    >>> int(spatial_neighbors(ds, method="radius", radius=1).sum())
    24
    """
    name = (key or "spatial").removeprefix("obsp/").removeprefix("uns/")
    outputs = (f"obsp/{name}_connectivities", f"obsp/{name}_distances", f"uns/{name}_neighbors")
    region_ = _region(ds, region)
    parameters: dict[str, Any] = {"method": method, "radius": radius, "on": on, "region": region_}
    parameters["n_neighbors"] = n_neighbors if method == "knn" else None

    def compute() -> dict[str, Any]:
        groups = None if region_ is None else ds.read(region_).astype("category").cat.codes.to_numpy()
        model = SpatialNeighbors(method, n_neighbors=n_neighbors, radius=radius).fit(ds.read(on), groups)
        about = {"connectivities_key": outputs[0][5:], "distances_key": outputs[1][5:]}
        said = {k: value for k, value in parameters.items() if value is not None}
        found = model.connectivities_, model.distances_, about | {"params": said}
        return dict(zip(outputs, found, strict=True))

    step = Step("spatial_neighbors", 1, parameters, (on, *((region_,) if region_ else ())), outputs)
    return ds.result(step, compute, store=key is not None)


def _region(ds: Dataset, region: str | None) -> str | None:
    if region == "auto":
        return "obs/region" if "obs/region" in ds else None
    return None if region is None else column_key(region)
