"""Embeddings of thumbnails by principal components and by the autoencoder: what they take, and what turning does.

    python benchmarks/image_embedding.py SOURCE [--threads 1] [--n_epochs N]

SOURCE is a dataset that `read_image` wrote, or a folder with pairs NAME_imc.tiff and NAME_mask.tiff. Each method runs
in a process of its own: processor seconds of fit and transform, and peak memory (VmHWM). Then, of up to 2,000 cells:
how far a turn by a random angle moves a cell, and how far a quarter turn, in units of the mean distance between two
cells; how often the cell itself is the nearest of all to its turned thumbnail; which share of a cell's 10 nearest
neighbours in the embedding are among its 10 nearest by mean intensities, and in the same Leiden cluster of these; and
how well the mean of those 10 tells the area and the eccentricity of a cell (share of the variance).
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

import kithkin as kk
from kithkin.core.execute import Execution
from kithkin.models import Leiden, Neighbors
from kithkin.models.images.encoder import ImageEncoder
from kithkin.models.images.pca import ImagePCA
from kithkin.verbs.read_image import read_image
from timing import peak_memory, run_apart

METHODS = ("pca", "autoencoder")
CELLS, NEAREST = 2000, 10


def turned(pixels: np.ndarray, masks: np.ndarray, angles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Thumbnails and masks, each turned by its angle in degrees."""
    found, seen = pixels.astype(np.float32), masks.copy()
    for k, angle in enumerate(angles):
        found[k] = ndimage.rotate(found[k], angle, axes=(1, 2), reshape=False, order=1, mode="nearest")
        seen[k] = ndimage.rotate(masks[k].astype(np.float32), angle, reshape=False, order=1) > 1 / 2
    return found, seen


def distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Euclidean, between all rows."""
    squares = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T
    return np.sqrt(np.maximum(squares, 0))


def nearest(rows: np.ndarray) -> np.ndarray:
    """The nearest other rows of each."""
    between = distances(rows, rows)
    np.fill_diagonal(between, np.inf)
    return np.argsort(between, axis=1, kind="stable")[:, :NEAREST]


def quality(model: Any, pixels: np.ndarray, masks: np.ndarray, obs: Any, means: np.ndarray) -> dict[str, float]:
    """What turning does to an embedding, and what its neighbours share."""
    codes = model.transform(pixels, masks).astype(np.float64)
    between = distances(codes, codes)
    usual = between[np.triu_indices(len(codes), 1)].mean()
    angles = np.random.default_rng(0).uniform(0, 360, len(codes))
    again = model.transform(*turned(pixels, masks, angles)).astype(np.float64)
    quarter = model.transform(np.rot90(pixels, 1, (2, 3)), np.rot90(masks, 1, (1, 2))).astype(np.float64)
    found = {
        "turned": np.linalg.norm(again - codes, axis=1).mean() / usual,
        "quarter": np.linalg.norm(quarter - codes, axis=1).mean() / usual,
        "itself": float((distances(again, codes).argmin(axis=1) == np.arange(len(codes))).mean()),
    }
    near, theirs = nearest(codes), nearest(means)
    found["shared"] = float((near[:, :, None] == theirs[:, None]).any(2).mean())
    graph = Neighbors(15).fit(means).connectivities_
    labels = Leiden().fit(graph).labels_
    found["cluster"] = float((labels[near] == labels[:, None]).mean())
    found["chance"] = float(((np.bincount(labels) / len(labels)) ** 2).sum())
    for name in ("area", "eccentricity"):
        values = obs[name].to_numpy(float)
        found[name] = float(1 - ((values[near].mean(1) - values) ** 2).mean() / values.var())
    return found


def measure(path: str, method: str, n_epochs: int | None, threads: int) -> dict[str, Any]:
    """One method on one dataset."""
    ds = kk.open(path, threads=threads)
    execution = Execution.of(None, threads, None, False)
    k = min(32, ds.n_obs - 1)
    model = ImagePCA(k) if method == "pca" else ImageEncoder(k, n_epochs=n_epochs, torch_threads=threads)
    blocks = ds.blocks("obsm/thumbnails"), ds.blocks("obsm/masks")
    start, cpu = time.perf_counter(), time.process_time()
    model.fit(*blocks, execution)
    fitted = time.process_time()
    model.transform(*blocks, execution)
    row = {"fit_cpu_s": fitted - cpu, "transform_cpu_s": time.process_time() - fitted}
    row |= {"wall_s": time.perf_counter() - start, "peak_MB": peak_memory()}
    chosen = np.sort(np.random.default_rng(0).permutation(ds.n_obs)[:CELLS])
    pixels, masks = (ds.rows(chosen, key) for key in ("obsm/thumbnails", "obsm/masks"))
    means = np.log1p(np.asarray(ds.rows(chosen, "X"), np.float64))
    means = (means - means.mean(0)) / np.maximum(means.std(0), 1e-9)
    return row | quality(model, pixels, masks.astype(bool), ds.obs.iloc[chosen], means)


def main() -> None:
    """Make the dataset if need be, and measure both methods."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--n_epochs", type=int)
    parser.add_argument("--child", choices=METHODS)
    given = parser.parse_args()
    if given.child:
        print(json.dumps(measure(str(given.source), given.child, given.n_epochs, given.threads)))
        return
    scratch = Path(tempfile.mkdtemp())
    try:
        source = given.source
        if not (source / "zarr.json").is_file():
            names = sorted(path.name.removesuffix("_imc.tiff") for path in source.glob("*_imc.tiff"))
            parts = {name: (source / f"{name}_imc.tiff", source / f"{name}_mask.tiff", None) for name in names}
            read_image(parts, to=scratch / "tissue.zarr")
            source = scratch / "tissue.zarr"
        shape = " x ".join(map(str, kk.open(source).blocks("obsm/thumbnails").shape))
        print(f"{given.source.name}: {shape}, {given.threads} threads")
        extra = [] if given.n_epochs is None else ["--n_epochs", str(given.n_epochs)]
        for method in METHODS:
            row = run_apart(sys.executable, __file__, method, [str(source), *extra], given.threads)
            print(f"  {method:<12}" + "  ".join(f"{name} {value:.3g}" for name, value in row.items()), flush=True)
    finally:
        shutil.rmtree(scratch)


if __name__ == "__main__":
    main()
