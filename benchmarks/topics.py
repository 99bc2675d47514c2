"""Topics against scikit-learn's Poisson NMF: objective, CPU seconds, and how well main topics tell sorted cells apart.

Usage: python benchmarks/topics.py [pbmc_facs.h5ad] [--long 1000]

Four kinds of blood cells, four topics. scikit-learn updates by multiplication (solver "mu"), from its default start and
from a random one; --long iterations say where its objective ends. Lower is better.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.decomposition import NMF

from count_mixture import FOUR, ONE, SORTED, accuracy
from kithkin.models.topics.topics import Topics
from timing import markdown


def divergence(X, loadings, factors) -> float:
    """Sum of x log(x / m) - x + m, with m the product of loadings (n x k) and factors (p x k)."""
    rows = np.repeat(np.arange(X.shape[0]), np.diff(X.indptr))
    model = np.einsum("ik,ik->i", loadings[rows], factors[X.indices])
    expected = float(loadings.sum(axis=0) @ factors.sum(axis=0))
    return float((X.data * np.log(X.data / np.maximum(model, 1e-300))).sum() - X.data.sum() + expected)


def row(name, X, truth, fit) -> list[str]:
    """Fit, and describe what came out."""
    begin = time.process_time()
    iterations, loadings, factors = fit()
    seconds = time.process_time() - begin
    loadings, factors = np.asarray(loadings, float), np.asarray(factors, float)
    weights = loadings * factors.sum(axis=0)
    right = accuracy(truth, weights.argmax(axis=1))
    loss = divergence(X, loadings, factors) / X.shape[0]
    return [name, f"{iterations}", f"{loss:.2f}", f"{seconds:.1f}", f"{right:.3f}"]


def ours(X, seed: int, max_iter: int = 100):
    """Topics with their defaults, one thread."""
    model = Topics(4, max_iter=max_iter, seed=seed).fit(X, ONE)
    return model.n_iter_, model.loadings_, model.factors_


def theirs(X, start: str, n_iterations: int, seed: int = 0):
    """Poisson NMF by multiplicative updates."""
    settings = {"solver": "mu", "beta_loss": "kullback-leibler", "tol": 0.0, "max_iter": n_iterations}
    model = NMF(4, init=start, random_state=seed, **settings)
    loadings = model.fit_transform(X)
    return model.n_iter_, loadings, model.components_.T


def main() -> None:
    """Print the table."""
    import anndata as ad

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, nargs="?", default=SORTED)
    parser.add_argument("--long", type=int, default=1000)
    options = parser.parse_args()
    cells = ad.read_h5ad(options.source)
    kinds = cells.obs["celltype"].astype(str).to_numpy()
    inside = np.isin(kinds, FOUR)
    X, truth = csr_matrix(cells.X[inside]).astype(float), np.unique(kinds[inside], return_inverse=True)[1]
    X = X[:, np.asarray(X.sum(axis=0)).ravel() > 0]
    ours(X[:50], 0, 3)
    rows = [row(f"Topics, seed {seed}", X, truth, lambda seed=seed: ours(X, seed)) for seed in range(3)]
    for start, n_iterations in (("nndsvda", 400), ("random", 400), ("nndsvda", options.long)):
        name = f"scikit-learn, start {start}"
        rows.append(row(name, X, truth, lambda s=start, n=n_iterations: theirs(X, s, n)))
    print(markdown(("", "iterations", "divergence of a cell", "CPU s", "accuracy"), rows))


if __name__ == "__main__":
    main()
