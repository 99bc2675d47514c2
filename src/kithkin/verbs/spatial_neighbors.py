"""Neighbours of cells in the tissue."""

from __future__ import annotations

import logging
from typing import Any, Literal

import numpy as np
from scipy import sparse

from kithkin.core.dataset import Dataset
from kithkin.core.errors import check
from kithkin.core.history import Step
from kithkin.core.keys import Key
from kithkin.io.cutting.job import is_square, parse_micrometres
from kithkin.models.spatial import SpatialNeighbors
from kithkin.verbs.arguments.labels import as_labels

log = logging.getLogger("kithkin")
SPATIAL = "obsm/spatial"  # coordinates in pixels


def spatial_neighbors(
    ds: Dataset,
    *,
    method: Literal["delaunay", "radius", "knn"] = "delaunay",
    n_neighbors: int = 6,
    radius: float | str | None = None,
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
        Largest distance, in the units of the coordinates, or in micrometres such as "30um"; for "delaunay" and "knn"
        longer edges are left out.
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
        n x n, float32, symmetric: 1 for each pair of neighbours. Also stored: their distances, in the units of the
        radius, and uns/spatial_neighbors. Where pixels are not square distances are in micrometres.

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
    target = Key.parse("spatial" if key is None else key, "uns", "obsp")
    links, lengths = target.beside("obsp", "_connectivities"), target.beside("obsp", "_distances")
    outputs = (str(links), str(lengths), str(target.beside("uns", "_neighbors")))
    region_ = region_column(ds, region)
    parameters: dict[str, Any] = {"method": method, "radius": radius, "on": on, "region": region_}
    parameters["n_neighbors"] = n_neighbors if method == "knn" else None
    length = parse_micrometres(radius)
    check(
        not isinstance(radius, str) or length is not None, f"radius must be a number or such as '30um', got {radius!r}"
    )
    sizes = _pixel_sizes(ds, region_) if on == SPATIAL else {}
    known = bool(sizes) and all(size is not None for size in sizes.values())
    check(length is None or known, f"{ds.path.name} does not say how large a pixel is: give radius in pixels")
    odd = next((size for size in sizes.values() if size is not None and not is_square(size)), None)
    if odd is not None:
        told = f"pixels are {odd[0]:g} um high and {odd[1]:g} um wide"
        check(radius is None or length is not None, f"radius must be in micrometres, such as '30um', since {told}")
        log.warning("%s, not square: distances are in micrometres", told)
    settings = parameters | ({"pixel_sizes": sizes} if length is not None or odd is not None else {})

    def compute() -> dict[str, Any]:
        labels = None if region_ is None else as_labels(ds.read(region_), region_, "region")
        groups, points = None if labels is None else labels.cat.codes.to_numpy(), ds.read(on)
        if "pixel_sizes" in settings:
            names = np.full(len(points), "") if labels is None else labels.astype(str).to_numpy()
            points = np.array(points, float)
            for name, size in sizes.items():
                height, width = size or (1.0, 1.0)
                points[names == name, :2] *= (width, height)
        limit = length if length is not None else radius
        model = SpatialNeighbors(method, n_neighbors=n_neighbors, radius=limit).fit(points, groups)  # type: ignore[arg-type]
        keys = {"connectivities_key": links.name, "distances_key": lengths.name}
        said = {name: value for name, value in parameters.items() if value is not None}
        results = model.connectivities_, model.distances_, keys | {"params": said}
        return dict(zip(outputs, results, strict=True))

    step = Step("spatial_neighbors", 1, settings, (on, *((region_,) if region_ else ())), outputs)
    return ds.result(step, compute, store=key is not None)


def _pixel_sizes(ds: Dataset, region: str | None) -> dict[str, tuple[float, float] | None]:
    """Read height and width of a pixel in each image, in micrometres; None where they are not known."""
    names = [""] if region is None else ds.read(region).astype("category").cat.categories.astype(str).tolist()
    pictures = ds.read("uns/spatial") if "uns/spatial" in ds else {}
    common = ds.read("uns/thumbnails") if "uns/thumbnails" in ds else {}
    sizes: dict[str, tuple[float, float] | None] = {}
    for name in names:
        picture = pictures.get(name) or (next(iter(pictures.values())) if len(pictures) == 1 else {})
        about = picture.get("metadata", {}) if isinstance(picture, dict) else {}
        known = next((one for one in (about, common) if "pixel_size" in one or "pixel_width" in one), {})
        height, width = (float(known.get(side, known.get("pixel_size", 0))) for side in ("pixel_height", "pixel_width"))
        sizes[name] = (height, width) if min(height, width) > 0 else None
    return sizes


def region_column(ds: Dataset, region: str | None) -> str | None:
    """Resolve the column of obs with the image of each cell."""
    if region == "auto":
        return "obs/region" if "obs/region" in ds else None
    return None if region is None else str(Key.parse(region, "obs", option="region"))
