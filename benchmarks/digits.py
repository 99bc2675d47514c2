"""The vignette of the handwritten digits in full: CPU seconds and peak of every step, and how good the clusters are.

Usage: python benchmarks/digits.py mnist_train.npz [--figures docs/digits]

The blocks of docs/digits.md are run as they stand, one after the other, on the 60,000 images of the file (X and y, as
MNIST is often kept), which are written as IDX files first. `--figures` copies the pictures that the page shows.
"""

from __future__ import annotations

import argparse
import gzip
import os
import tempfile
from pathlib import Path

import numpy as np

import kithkin as kk
from pages import run_page


def write_idx(source: Path, folder: Path) -> Path:
    """Write the images and labels of an npz as MNIST is served, and return the path of the images."""
    data = np.load(source)
    images, labels = data["X"].reshape(-1, 28, 28).astype(np.uint8), data["y"].astype(np.uint8)
    for name, values in (("images-idx3", images), ("labels-idx1", labels)):
        head = b"\0\0\x08" + bytes([values.ndim]) + b"".join(size.to_bytes(4, "big") for size in values.shape)
        with gzip.open(folder / f"train-{name}-ubyte.gz", "wb", compresslevel=1) as file:
            file.write(head + values.tobytes())
    return folder / "train-images-idx3-ubyte.gz"


def main() -> None:
    """Run the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("--figures", type=Path)
    options = parser.parse_args()
    figures = options.figures.resolve() if options.figures else None
    with tempfile.TemporaryDirectory() as folder:
        images = write_idx(options.source, Path(folder))
        os.chdir(folder)
        kk.datasets.mnist = lambda *_, **__: images
        run_page("digits", figures)
        ds = kk.open("digits.zarr")
        for n_clusters in ("auto", 20):
            kk.paris(ds, n_clusters, key="obs/cut")
            found = kk.compare(ds, "obs/cut", to="obs/label")
            print(f"cut {n_clusters}: {len(found.purity)} clusters, ARI {found.ari:.3f}, NMI {found.nmi:.3f}, "
                  f"purity {found.majority_accuracy:.3f}")  # fmt: skip


if __name__ == "__main__":
    main()
