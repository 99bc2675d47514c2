"""Cards: rules of a few features against a full linear model, and applied to cells with antibodies.

Usage: python benchmarks/card.py sorted ../shared/data/pbmc_facs.h5ad [--splits 8]
       python benchmarks/card.py antibodies ../shared/data/pbmc_facs.h5ad ../shared/data/samples/citeseq_hto.h5ad

`sorted` makes a card of the ten sorted kinds on three quarters of the cells, and prints the macro-F1 on the others
beside that of a logistic regression of scikit-learn on all genes, log1p(count / total * 10,000), with the better of two
penalties; for several seeds of the split. "none" counts as wrong. `antibodies` applies the card of all sorted kinds to
other blood, and holds the labels against kinds that antibodies tell: positive are cells beyond the threshold of Otsu on
the logarithm of CD4, CD8, CD19 and CD11c; cells that are positive for two of them are left out.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd

from timing import markdown, peak_memory

ANTIBODIES = {"CD4": "CD4 T", "CD8": "CD8 T", "CD19": "B", "CD11c": "myeloid"}
KINDS = {"CD14+ Monocyte": "myeloid", "CD19+ B": "B", "CD34+": "CD34", "CD56+ NK": "NK", "none": "none"}


def broad(name: str) -> str:
    """Name the kind, as antibodies tell it, of a sorted population."""
    return KINDS.get(name) or f"{name[:3]} T"


def logarithms(X: Any) -> Any:
    """Normalise counts as log1p(count / total * 10,000)."""
    scaled = X.astype(np.float64).multiply(1e4 / np.maximum(X.sum(axis=1), 1)).tocsr()
    return scaled.log1p()


def linear(X: Any, codes: Any, held: Any, other: Any = None) -> tuple[float, Any]:
    """Return the macro-F1 of logistic regression on held-out rows, better of two penalties, and labels of others."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import f1_score

    fitted = []
    for strength in (0.01, 1.0):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = LogisticRegression(C=strength, max_iter=150).fit(X[~held], codes[~held])
        f1 = f1_score(codes[held], model.predict(X[held]), average="macro")
        fitted.append((f1, None if other is None else model.predict(other)))
    return max(fitted, key=lambda one: one[0])


def sorted_cells(path: Path, splits: int, folder: Path) -> None:
    """Print the figures of several splits."""
    import kithkin as kk
    from kithkin.models.support.halves import quarters_of

    source = anndata.read_h5ad(path)
    ds = kk.read(path, to=folder / "sorted.zarr", progress=False)
    codes, X = source.obs["celltype"].astype("category").cat.codes.to_numpy(), logarithms(source.X)
    rows = []
    for seed in range(splits):
        began = time.process_time()
        card = kk.card(ds, "celltype", key=None, seed=seed)
        seconds = time.process_time() - began
        f1 = (2 / (1 / card.table["precision"] + 1 / card.table["recall"])).mean()
        full, _ = linear(X, codes, quarters_of(len(codes), seed) == 0)
        n = sum(len(rule.conditions) for rule in card.rules)
        rows.append([seed, f1, full, f1 / full, len(card.json.encode()), n, seconds])
    mean = ["mean", *np.mean([row[1:] for row in rows], axis=0).tolist()]
    head = ["split", "card", "linear model", "ratio", "bytes", "conditions", "CPU s"]
    print(markdown(head, [[one if isinstance(one, str) else f"{one:.3g}" for one in row] for row in [*rows, mean]]))
    print(kk.card(ds, "celltype", key=None).text)
    print(f"peak memory {peak_memory():.0f} MB")


def otsu(values: Any) -> float:
    """Return the threshold that parts values into two groups with the most variance between them."""
    ordered = np.sort(values)
    n, sums = len(ordered), np.cumsum(ordered)
    i = np.arange(1, n)
    between = i * (n - i) * (sums[:-1] / i - (sums[-1] - sums[:-1]) / (n - i)) ** 2
    best = int(between.argmax())
    return float(ordered[best] + ordered[best + 1]) / 2


def antibodies(path: Path, other: Path, folder: Path) -> None:
    """Print the labels by a card, and by a full linear model, beside those by antibodies."""
    import kithkin as kk

    source, cells = anndata.read_h5ad(path), anndata.read_h5ad(other)
    card = kk.card(kk.read(path, to=folder / "sorted.zarr", progress=False), "celltype")
    found = kk.apply(kk.read(other, to=folder / "other.zarr", progress=False), card)["label"].astype(str).map(broad)
    told = pd.DataFrame(
        {kind: (x := np.log1p(cells.obsm["ADT"][name].to_numpy())) > otsu(x) for name, kind in ANTIBODIES.items()}
    )
    truth = told.idxmax(axis=1).where(told.sum(axis=1) == 1, "").to_numpy()
    names = [name.removeprefix("hg19_") for name in cells.var_names]
    symbols = source.var["symbol"].astype(str)
    shared = [s for s in symbols[~symbols.duplicated(keep=False)] if s in set(names)]
    kinds = source.obs["celltype"].astype(str).to_numpy()
    own = logarithms(source.X)[:, pd.Index(symbols).get_indexer_for(shared)]
    theirs = logarithms(cells.X)[:, pd.Index(names).get_indexer(shared)]
    full = pd.Series(linear(own, kinds, np.arange(len(kinds)) % 4 == 0, theirs)[1]).map(broad)
    known = truth != ""
    for name, labels in (("card", found.to_numpy()), ("linear model", full.to_numpy())):
        right = float((labels[known] == truth[known]).mean())
        print(f"{name}: {right:.3f} of {int(known.sum())} cells are named as antibodies tell them")
        print(pd.crosstab(pd.Series(truth[known], name="antibodies"), pd.Series(labels[known], name=name)))


def main() -> None:
    """Read the arguments and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["sorted", "antibodies"])
    parser.add_argument("path", type=Path)
    parser.add_argument("other", type=Path, nargs="?")
    parser.add_argument("--splits", type=int, default=8)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        if given.what == "sorted":
            sorted_cells(given.path, given.splits, Path(name))
        else:
            antibodies(given.path, given.other, Path(name))


if __name__ == "__main__":
    main()
