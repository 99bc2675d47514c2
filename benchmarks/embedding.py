"""kithkin's UMAP against umap-learn's, from the same graph.

Run it as `python benchmarks/embedding.py points.npy graph.npz --labels labels.npy --peer OTHER/bin/python`, where
points.npy holds the rows the graph was made from (n x p), graph.npz the connectivities (`scipy.sparse.save_npz`),
and OTHER is an environment with umap-learn. Prints CPU seconds without compilation (both are warmed up on a small
graph first), trustworthiness, and the share of points whose nearest point in the map has the same label.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy import sparse
from sklearn.neighbors import NearestNeighbors

from kithkin.core.execute import Execution
from kithkin.models.umap import UMAP

PEER = """
import sys, time
import numpy as np
from scipy import sparse
from umap.umap_ import find_ab_params, simplicial_set_embedding

def embed(points, graph, min_dist, n_epochs):
    a, b = find_ab_params(1.0, min_dist)
    state = np.random.RandomState(0)
    result = simplicial_set_embedding(points, graph.tocoo(), 2, 1.0, a, b, 1.0, 5, n_epochs, init, state,
                                      "euclidean", {}, False, {}, False, parallel=False)
    return result[0]

points, graph, out, min_dist, n_epochs, init = sys.argv[1:]
points, graph = np.load(points), sparse.load_npz(graph)
embed(points[:2000], graph[:2000, :2000], 0.5, 5)
start, cpu = time.perf_counter(), time.process_time()
result = embed(points, graph, float(min_dist), int(n_epochs) or None)
np.savez(out, embedding=result, cpu=time.process_time() - cpu, wall=time.perf_counter() - start)
"""


def trustworthiness(points: np.ndarray, embedding: np.ndarray, k: int = 15, sample: int = 2000) -> float:
    """Mean over a sample of rows, ranks taken among all rows (Venna & Kaski 2001)."""
    n = len(points)
    rows = np.random.default_rng(0).choice(n, min(sample, n), replace=False)
    near = NearestNeighbors(n_neighbors=k + 1).fit(embedding).kneighbors(embedding[rows], return_distance=False)
    points = points.astype(np.float32)
    norms = np.einsum("ij,ij->i", points, points)
    penalty = 0.0
    for i, mapped in zip(rows, near, strict=True):
        distance = norms - 2 * points @ points[i]
        distance[i] = -np.inf
        neighbours = mapped[mapped != i][:k]
        rank = (distance[None, :] < distance[neighbours][:, None]).sum(axis=1)
        penalty += np.maximum(rank - k, 0).sum()
    return 1 - penalty * 2 / (len(rows) * k * (2 * n - 3 * k - 1))


def principal(points: np.ndarray) -> np.ndarray:
    """Two principal components; points themselves often are components already."""
    centered = points - points.mean(axis=0, dtype=np.float32)
    return centered @ np.linalg.eigh(centered.T @ centered)[1][:, :-3:-1]


def nearest_class(embedding: np.ndarray, labels: np.ndarray) -> float:
    """Share of points whose nearest point in the map has the same label."""
    near = NearestNeighbors(n_neighbors=2).fit(embedding).kneighbors(embedding, return_distance=False)
    other = np.where(near[:, 0] == np.arange(len(near)), near[:, 1], near[:, 0])
    return float((labels[other] == labels).mean())


def report(
    name: str, embedding: np.ndarray, cpu: float, wall: float, points: np.ndarray, labels: np.ndarray | None
) -> None:
    """Print one line."""
    accuracy = float("nan") if labels is None else nearest_class(embedding, labels)
    trust = trustworthiness(points, embedding)
    print(
        f"{name:12s} CPU {cpu:7.2f} s  wall {wall:7.2f} s  trustworthiness {trust:.4f}  nearest class {accuracy:.4f}",
        flush=True,
    )


def main() -> None:
    """Compare on the files named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("points", type=Path)
    parser.add_argument("graph", type=Path)
    parser.add_argument("--labels", type=Path)
    parser.add_argument("--peer", help="a Python interpreter with umap-learn")
    parser.add_argument("--peer-init", default="spectral", choices=("spectral", "pca", "random"))
    parser.add_argument("--min-dist", type=float, default=0.5)
    parser.add_argument("--epochs", type=int, default=0, help="0: by the number of rows")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    points, graph = np.load(arguments.points), sparse.load_npz(arguments.graph)
    labels = (
        np.unique(np.load(arguments.labels, allow_pickle=False), return_inverse=True)[1] if arguments.labels else None
    )
    execution = Execution(threads=arguments.threads)
    UMAP(n_epochs=2).fit(graph[:2000, :2000], principal(points[:2000]))
    model = UMAP(n_epochs=arguments.epochs or None, min_dist=arguments.min_dist)
    start, cpu = time.perf_counter(), time.process_time()
    model.fit(graph, principal(points), execution)
    report("kithkin", model.embedding_, time.process_time() - cpu, time.perf_counter() - start, points, labels)
    if arguments.peer:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "peer.npz"
            files = [str(arguments.points), str(arguments.graph), str(out)]
            settings = [str(arguments.min_dist), str(arguments.epochs), arguments.peer_init]
            subprocess.run([arguments.peer, "-W", "ignore", "-c", PEER, *files, *settings], check=True)
            peer = np.load(out)
            report("umap-learn", peer["embedding"], float(peer["cpu"]), float(peer["wall"]), points, labels)


if __name__ == "__main__":
    main()
