"""From an image to features of cells and neighbours in the tissue: processor seconds, clock, and peak memory.

    python benchmarks/cell_features.py FOLDER [--threads 2] [--peer] [--points 1000000]

FOLDER holds image.ome.tif, cellMask.tif and cells.csv, as shared/bench/make_image.py writes them. Compiling is left
out: a small image comes first. The peer is scikit-image, on as many cells as take it a few seconds and scaled up:
regionprops for shapes and intensities, graycomatrix and graycoprops for five of the thirteen textures. `--points`
times the neighbours of so many random points, and the enrichment of ten clusters with 100 permutations.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

import kithkin as kk
from kithkin.models import NeighborhoodEnrichment, SpatialNeighbors
from kithkin.models.images.features import MEASURES
from kithkin.verbs.features import features
from kithkin.verbs.neighborhood_enrichment import neighborhood_enrichment
from kithkin.verbs.read_image import read_image
from kithkin.verbs.spatial_neighbors import spatial_neighbors
from timing import Steps

CELLS, LEVELS = 150, 16
PROPERTIES = (
    *("area", "area_convex", "eccentricity", "perimeter", "solidity", "orientation", "axis_major_length"),
    *("axis_minor_length", "extent", "intensity_mean", "intensity_std", "intensity_min", "intensity_max"),
    *("intensity_median", "centroid_weighted"),
)


def warm_up(scratch: Path) -> None:
    """Compile everything."""
    labels = np.kron(np.arange(1, 26).reshape(5, 5), np.pad(np.ones((8, 8), int), 2))
    pixels = np.random.default_rng(0).integers(0, 999, (2, 60, 60)).astype(np.uint16)
    features(read_image(pixels, labels, to=scratch / "warm.zarr"))


def ours(folder: Path, scratch: Path, threads: int) -> kk.core.dataset.Dataset:
    """Read, measure by each measure alone and by all, and join neighbours."""
    steps = Steps()
    parts = [folder / name for name in ("image.ome.tif", "cellMask.tif", "cells.csv")]
    ds = steps("read_image", lambda: read_image(*parts, to=scratch / "tissue.zarr", threads=threads))
    for measure in MEASURES:
        table = steps(f"features {measure}", lambda name=measure: features(ds, name, key=None))
        print(f"    {table.shape[1]} features of {len(table):,} cells")
    steps("features all", lambda: features(ds))
    steps("pca", lambda: kk.pca(ds, 50, on="obsm/features", normalize=None, scale=True))
    steps("neighbors", lambda: kk.neighbors(ds))
    steps("paris", lambda: kk.paris(ds))
    steps("kmeans", lambda: kk.kmeans(ds, 12, on="obsm/X_pca"))
    steps("spatial_neighbors", lambda: spatial_neighbors(ds))
    steps("neighborhood_enrichment", lambda: neighborhood_enrichment(ds, "obs/kmeans"))
    size = sum(file.stat().st_size for file in ds.path.rglob("*") if file.is_file())
    print(f"  {size / 1e6:.0f} MB on disk")
    return ds


def peer(ds: kk.core.dataset.Dataset) -> None:
    """Time scikit-image on a few cells."""
    from skimage.feature import graycomatrix, graycoprops
    from skimage.measure import regionprops

    rows = np.random.default_rng(0).choice(ds.n_obs, CELLS, replace=False)
    pixels, masks = ds.rows(rows, "obsm/thumbnails"), ds.rows(rows, "obsm/masks").astype(int)
    start = time.process_time()
    for cell, mask in zip(pixels, masks, strict=True):
        one = regionprops(mask, cell.transpose(1, 2, 0).astype(float))[0]
        for name in PROPERTIES:
            getattr(one, name)
    seconds = (time.process_time() - start) * ds.n_obs / CELLS
    print(f"  scikit-image, {len(PROPERTIES)} properties: {seconds:.0f} CPU s for all cells")
    start = time.process_time()
    for cell, mask in zip(pixels, masks, strict=True):
        box = tuple(slice(axis.min(), axis.max() + 1) for axis in np.nonzero(mask))
        for channel in cell:
            low, high = np.percentile(channel[mask > 0], [1, 99])
            grey = np.clip((channel[box] - low) / max(high - low, 1e-9) * LEVELS, 0, LEVELS - 1).astype(np.uint8)
            grey[mask[box] == 0] = LEVELS
            counts = graycomatrix(grey, [1], np.arange(4) * np.pi / 4, LEVELS + 1, symmetric=True)[:-1, :-1]
            for name in ("ASM", "contrast", "correlation", "homogeneity", "variance"):
                graycoprops(counts, name)
    seconds = (time.process_time() - start) * ds.n_obs / CELLS
    print(f"  scikit-image, 5 textures: {seconds:.0f} CPU s for all cells and channels")


def tissue(n_points: int) -> None:
    """Join random points, and test ten random clusters."""
    steps, rng = Steps(), np.random.default_rng(0)
    points, labels = rng.uniform(0, 1000, (n_points, 2)), rng.integers(0, 10, n_points)
    radius = 1000 / np.sqrt(n_points) * 1.5
    steps("knn", lambda: SpatialNeighbors("knn").fit(points))
    steps("radius", lambda: SpatialNeighbors("radius", radius=radius).fit(points))
    graph = steps("delaunay", lambda: SpatialNeighbors().fit(points)).connectivities_
    steps("enrichment, 100 times", lambda: NeighborhoodEnrichment(100).fit(graph, labels))


def main() -> None:
    """Read the arguments, and run what is asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--peer", action="store_true")
    parser.add_argument("--points", type=int)
    given = parser.parse_args()
    if given.folder is not None:
        with tempfile.TemporaryDirectory(dir=given.folder) as scratch:
            warm_up(Path(scratch))
            ds = ours(given.folder, Path(scratch), given.threads)
            if given.peer:
                peer(ds)
    if given.points:
        tissue(given.points)


if __name__ == "__main__":
    main()
