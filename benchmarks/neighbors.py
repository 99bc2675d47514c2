"""Nearest neighbours: recall against exact search, processor seconds and peak memory, kithkin beside its peers.

    python benchmarks/neighbors.py rows.npy [--neighbors 15] [--peers sklearn pynndescent] [--threads 2]
    python benchmarks/neighbors.py --made isotropic --rows 35000
    python benchmarks/neighbors.py --made groups --rows 1000000 --peers

Every method runs in a process of its own, after a small run that compiles it. Without a file rows are made: groups with
fifty directions of noise, or data without structure (normal in 20 dimensions, the same with 50 far outliers, uniform in
50). "told" is the recall that kithkin estimates. Recall is measured on 500 rows, whose exact neighbours are found in
double precision.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np

METHODS = {"kithkin": "partitioned", "kithkin-exact": "exact", "sklearn": "brute", "pynndescent": "NN-descent"}


def made(kind: str, n: int) -> np.ndarray:
    """Make groups in ten directions with noise in fifty, or rows without structure."""
    rng = np.random.default_rng(0)
    if kind == "uniform":
        return rng.random((n, 50)).astype(np.float32)
    if kind in ("isotropic", "outliers"):
        X = rng.normal(size=(n, 20))
        if kind == "outliers":
            X[rng.choice(n, 50, replace=False)] += 100 * rng.normal(size=(50, 20))
        return X.astype(np.float32)
    centers = np.zeros((25, 50))
    centers[:, :10] = 6 * rng.normal(size=(25, 10))
    return (centers[rng.integers(0, 25, n)] + rng.normal(size=(n, 50))).astype(np.float32)


def indices(method: str, X: np.ndarray, k: int, threads: int) -> tuple[np.ndarray, float]:
    """Find the k nearest others of each row, and the recall that the method tells."""
    if method.startswith("kithkin"):
        from kithkin.core.execute import Execution
        from kithkin.models.neighbors.neighbors import Neighbors

        model = Neighbors(k + 1, method=METHODS[method]).fit(X, Execution(threads=threads))
        return model.indices_, model.recall_
    if method == "sklearn":
        from sklearn.neighbors import NearestNeighbors

        return NearestNeighbors(n_neighbors=k, algorithm="brute", n_jobs=threads).fit(X).kneighbors()[1], 1.0
    from pynndescent import NNDescent

    return NNDescent(X, n_neighbors=k + 1, n_jobs=threads, random_state=0).neighbor_graph[0][:, 1:], float("nan")


def peak() -> float:
    """Largest resident size of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6


def child(method: str, file: str, k: int, threads: int) -> dict[str, float]:
    """Run one method on the file: seconds of processor and of the clock, MB, recall."""
    X = np.load(file)
    indices(method, X[:3000], k, threads)
    before, cpu, clock = peak(), time.process_time(), time.perf_counter()
    found, told = indices(method, X, k, threads)
    figures = {"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - clock, "extra_MB": peak() - before}
    queries, hits = np.random.default_rng(0).choice(len(X), 500, replace=False), 0
    wide = X.astype(np.float64)
    squares = np.einsum("ij,ij->i", wide, wide)
    for row in queries:
        distances = squares - 2 * (wide @ wide[row])
        distances[row] = np.inf
        hits += len(np.intersect1d(np.argpartition(distances, k)[:k], found[row]))
    return {"recall": hits / (500 * k), "told": told, **figures}


def main() -> None:
    """Run every method that is installed and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", nargs="?")
    parser.add_argument("--made", choices=["groups", "isotropic", "outliers", "uniform"], default="groups")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--neighbors", type=int, default=15, help="without the row itself")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--peers", nargs="*", default=["kithkin-exact", "sklearn", "pynndescent"])
    parser.add_argument("--child")
    options = parser.parse_args()
    if options.child:
        print(json.dumps(child(options.child, options.file, options.neighbors, options.threads)))
        return
    with tempfile.TemporaryDirectory() as folder:
        file = options.file or str(Path(folder) / "rows.npy")
        if not options.file:
            np.save(file, made(options.made, options.rows))
        print(f"{'method':16}{'recall':>8}{'told':>8}{'CPU s':>8}{'wall s':>8}{'extra MB':>10}")
        for method in ["kithkin", *options.peers]:
            if find_spec(method.split("-")[0]) is None:
                print(f"{method:16} not installed")
                continue
            command = [sys.executable, __file__, file, "--child", method, "--neighbors", str(options.neighbors)]
            command += ["--threads", str(options.threads)]
            limits = {"OPENBLAS_NUM_THREADS": str(options.threads), "NUMBA_NUM_THREADS": str(options.threads)}
            done = subprocess.run(command, env={**os.environ, **limits}, check=True, stdout=subprocess.PIPE, text=True)
            row = json.loads(done.stdout.splitlines()[-1])
            print(f"{method:16}{row['recall']:8.3f}{row['told']:8.3f}", end="")
            print(f"{row['cpu_s']:8.1f}{row['wall_s']:8.1f}{row['extra_MB']:10.0f}")


if __name__ == "__main__":
    main()
