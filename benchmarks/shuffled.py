"""Labels that mean nothing: the share of genes that tests call different, beside scanpy's and SciPy's asymptotic p.

Usage: python benchmarks/shuffled.py [pbmc_facs.h5ad] [--draws 5]

Groups of 10, 50 and a third of the cells are drawn at random and tested against all other cells. Scanpy must be there.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import anndata as ad
import numpy as np
import scanpy as sc

from kithkin.models import Markers
from timing import markdown

FACS = Path(__file__).parents[2] / "shared" / "data" / "pbmc_facs.h5ad"


def rates(p: np.ndarray, adjusted: np.ndarray) -> list[float]:
    """Percentages of p below 0.05 and 0.001, and of adjusted p below 0.05."""
    return [100 * float(share.mean()) for share in (p < 0.05, p < 0.001, adjusted < 0.05)]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", nargs="?", default=str(FACS))
    parser.add_argument("--draws", type=int, default=5)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    cells = ad.read_h5ad(options.source)
    cells = cells[:, np.asarray((cells.X > 0).sum(axis=0)).ravel() > 0].copy()
    counts, totals = cells.X.astype(np.uint16), np.asarray(cells.X.sum(axis=1)).ravel()
    sc.pp.normalize_total(cells, target_sum=1e4)
    sc.pp.log1p(cells)
    rows = []
    for method in ("wilcoxon", "t-test"):
        for n in (10, 50, cells.n_obs // 3):
            ours, theirs = [], []
            for seed in range(options.draws):
                labels = np.zeros(cells.n_obs, int)
                labels[np.random.default_rng(seed).permutation(cells.n_obs)[:n]] = 1
                model = Markers(method, pairs=[(1, 0)]).fit(counts, labels, totals=totals)
                ours.append(rates(model.pvals_[0], model.pvals_adj_[0]))
                cells.obs["by"] = np.where(labels == 1, "a", "b")
                ties = {"tie_correct": True} if method == "wilcoxon" else {}
                sc.tl.rank_genes_groups(cells, "by", groups=["a"], method=method, **ties)
                found = sc.get.rank_genes_groups_df(cells, "a")
                theirs.append(rates(found["pvals"].to_numpy(), found["pvals_adj"].to_numpy()))
            for name, shares in (("kithkin", ours), ("scanpy", theirs)):
                rows.append([f"{method}, {n:,} cells, {name}", *(f"{x:.2f}" for x in np.mean(shares, axis=0))])
    print(markdown(("", "p < 0.05, %", "p < 0.001, %", "adjusted p < 0.05, %"), rows))


if __name__ == "__main__":
    main()
