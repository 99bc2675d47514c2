"""Leiden from a neighbour graph: CPU seconds and modularity, beside scanpy and leidenalg.

Usage: python benchmarks/leiden.py graph.npz [--labels labels.npy] [--peer PYTHON]

graph.npz holds the connectivities (`scipy.sparse.save_npz`); labels.npy a known grouping, for the adjusted Rand index.
`--peer` names an interpreter that has scanpy and leidenalg.
"""

from __future__ import annotations

import argparse
import subprocess
import time

import numpy as np
from scipy import sparse
from sklearn.metrics import adjusted_rand_score

from kithkin.models.leiden import Leiden

PEER = """
import sys, time, warnings
import anndata as ad, numpy as np, scanpy as sc
from scipy import sparse
warnings.simplefilter("ignore")
graph = sparse.load_npz(sys.argv[1]).tocsr()
small = ad.AnnData(np.zeros((50, 1)))
data = ad.AnnData(np.zeros((graph.shape[0], 1)))
for flavor, options in {"igraph": {"directed": False}, "leidenalg": {}}.items():
    sc.tl.leiden(small, adjacency=sparse.csr_matrix(np.ones((50, 50))), flavor=flavor, n_iterations=2, **options)
    start = time.process_time()
    sc.tl.leiden(data, adjacency=graph, flavor=flavor, n_iterations=2, **options)
    seconds = time.process_time() - start
    codes = data.obs["leiden"].cat.codes.to_numpy()
    same = np.repeat(codes, np.diff(graph.indptr)) == codes[graph.indices]
    strength = np.bincount(codes, np.asarray(graph.sum(1)).ravel()) / graph.sum()
    modularity = graph.data[same].sum() / graph.data.sum() - (strength**2).sum()
    print(f"scanpy, {flavor}: {seconds:.2f} CPU s, {codes.max() + 1} clusters, modularity {modularity:.5f}", flush=True)
"""


def main() -> None:
    """Time kithkin, then the peer."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("graph")
    parser.add_argument("--labels")
    parser.add_argument("--peer")
    options = parser.parse_args()
    graph = sparse.load_npz(options.graph).tocsr()
    truth = None if options.labels is None else np.load(options.labels, allow_pickle=True)
    Leiden().fit(np.ones((50, 50), graph.dtype))
    for seed in range(3):
        start = time.process_time()
        model = Leiden(seed=seed).fit(graph)
        seconds = time.process_time() - start
        found = f"{model.n_clusters_} clusters, modularity {model.modularity_:.5f}"
        line = f"kithkin, seed {seed}: {seconds:.2f} CPU s, {found}"
        print(line if truth is None else f"{line}, ARI {adjusted_rand_score(truth, model.labels_):.4f}")
    if options.peer:
        subprocess.run([options.peer, "-c", PEER, options.graph], check=True)


if __name__ == "__main__":
    main()
