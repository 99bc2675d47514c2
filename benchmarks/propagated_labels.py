"""Labels spread by `kithkin.propagate`: accuracy and calibration by alpha, beside plain neighbours and a linear model.

    python benchmarks/propagated_labels.py DATA --half choose
    python benchmarks/propagated_labels.py DATA --half confirm

DATA is a folder with pbmc_facs.h5ad, mnist_train.npz, panel/*.h5ad and samples/*.h5ad: labelled data of several
families, half of them to choose the defaults of alpha on, half to confirm them. Three tasks: labels of 1, 5 and 20 % of
the cells (three draws, one cell of each label at least) spread to the others; labels of all samples but one spread to
that one, over a graph of components as they are and after `kithkin.harmonize`; and labels of a reference, another half
of the cells or other samples, carried over by votes. Each line is a mean over draws: accuracy, mean accuracy of the
labels, expected calibration error without and with the temperature, negative log-likelihood without and with it, and
the temperature. All are of cells whose label the propagation never saw. "neighbours" are votes of the 15 nearest
labelled cells, "logistic" is a logistic regression on the same coordinates.
"""

from __future__ import annotations

import argparse
import logging
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import kithkin as kk
from kithkin.core.blocks import Array
from kithkin.core.dataset import Dataset
from kithkin.metrics.calibration import expected_calibration_error
from kithkin.models.neighbors.transfer import Votes
from kithkin.models.propagation.seeds import probabilities
from kithkin.verbs.arguments.seeds import seeds_from

ALPHAS = (0.3, 0.5, 0.7, 0.8, 0.9, 0.95)
SHARES, DRAWS = (0.01, 0.05, 0.2), 3
HALVES = {
    "choose": {
        "few": ("pbmc_facs", "pbmc_10x8", "osmfish", "pendigits"),
        "samples": ("pbmc_three_technologies",),
        "reference": ("pbmc_facs", "pbmc_10x8", "pbmc_three_technologies"),
    },
    "confirm": {
        "few": ("mnist", "kidney", "cite_cbmc"),
        "samples": ("ifnb_four_samples",),
        "reference": ("cite_cbmc", "kidney", "ifnb_four_samples"),
    },
}
COLUMNS = {  # label, sample
    "pbmc_facs": ("celltype", None),
    "pbmc_three_technologies": ("cell_type", "donor"),
    "ifnb_four_samples": ("cell_type", "sample"),
}


def loaded(data: Path, name: str) -> tuple[ad.AnnData, str | None]:
    """Read a file of the data with its labels in obs/label, and the name of the column of samples."""
    if name == "mnist":
        with np.load(data / "mnist_train.npz") as file:
            table = ad.AnnData(file["X"][:10_000].astype(np.float32))
            table.obs["label"] = file["y"][:10_000].astype(str)
        return table, None
    folder = data if name == "pbmc_facs" else data / ("samples" if name in COLUMNS else "panel")
    label, sample = COLUMNS.get(name, ("label", None))
    table = ad.read_h5ad(folder / f"{name}.h5ad")
    table.obs["label"] = table.obs[label].astype(str)
    return table, sample


def stored(table: ad.AnnData, folder: Path) -> Dataset:
    """Write a table to a new dataset, with its components."""
    shutil.rmtree(folder, ignore_errors=True)
    counts = bool((np.asarray(table.X[:20].sum(axis=1)) % 1 == 0).all()) and float(table.X[:20].max()) % 1 == 0
    counts = counts and table.n_vars > 20 and table.n_vars != 784
    ds = kk.read(table.copy(), to=folder, kind="counts" if counts else "values")
    if table.n_vars > 2500:
        kk.variable_genes(ds)
    settings: dict[str, Any] = {} if counts else {"normalize": None}
    if table.n_vars > 20:
        kk.pca(ds, min(20 if table.n_obs < 2000 else 50, table.n_vars - 3), **settings)
    return ds


def scored(P: Array, truth: Array) -> list[float]:
    """Accuracy, mean accuracy of the labels, calibration error and negative log-likelihood."""
    P = np.nan_to_num(P)
    right = P.argmax(axis=1) == truth
    of_labels = [right[truth == code].mean() for code in np.unique(truth)]
    likely = -np.log(np.maximum(P[np.arange(len(truth)), truth], 1e-6)).mean()
    return [right.mean(), np.mean(of_labels), expected_calibration_error(np.minimum(P.max(axis=1), 1), right), likely]


def line(before: list[float], after: list[float], temperature: float) -> list[float]:
    """List the figures of a line."""
    return [*before[:3], after[2], before[3], after[3], temperature]


def propagated(ds: Dataset, truth: Array, test: Array, alpha: float, *args: Any, **settings: Any) -> list[float]:
    """Propagate, and score the cells to test."""
    kk.propagate(ds, *args, alpha=alpha, **settings)
    F, about = ds.read("obsm/propagated")[test], ds.read("uns/propagated")
    codes = pd.Index(np.asarray(about["classes"], str)).get_indexer(truth[test])
    F, codes, T = F[codes >= 0], codes[codes >= 0], float(about["temperature"])
    return line(scored(probabilities(F), codes), scored(probabilities(F, T), codes), T)


def peers(X: Array, truth: Array, known: Array, test: Array) -> Iterator[tuple[str, list[float]]]:
    """Score plain neighbours and a linear model."""
    codes, names = pd.factorize(truth[known], sort=True)
    test = test & np.isin(truth, names)
    own = pd.Index(names).get_indexer(truth[test])
    votes = Votes(min(15, len(codes))).fit(X[known], codes, X[test]).votes_
    linear = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300)).fit(X[known], codes)
    for name, P in (("neighbours", votes), ("logistic", linear.predict_proba(X[test]))):
        yield name, line(scored(P, own), scored(P, own), 1.0)


def compared(ds: Dataset, on: str, truth: Array, known: Array) -> Iterator[tuple[str, list[float]]]:
    """Score every method with some labels known."""
    real = ~np.isin(truth, ["NA", "nan"])
    known, test = known & real, ~known & real
    seeds = pd.Series(truth, index=ds.obs_names).where(known)
    for alpha in ALPHAS:
        yield f"{alpha}", propagated(ds, truth, test, alpha, seeds)
    yield from peers(np.asarray(ds.read(on)), truth, known, test)


def draw(truth: Array, share: float, seed: int) -> Array:
    """Draw a share of the cells, and one of each label at least."""
    rng = np.random.default_rng(seed)
    known = np.zeros(len(truth), bool)
    known[rng.choice(len(truth), round(share * len(truth)), replace=False)] = True
    for label in np.unique(truth):
        if not known[truth == label].any():
            known[rng.choice(np.flatnonzero(truth == label))] = True
    return known


def few_labels(table: ad.AnnData, folder: Path) -> Iterator[tuple[str, str, list[float]]]:
    """Spread a share of the labels to the other cells."""
    ds, truth = stored(table, folder), table.obs["label"].to_numpy(str)
    on = "obsm/X_pca" if "obsm/X_pca" in ds else "X"
    kk.neighbors(ds, on=on)
    for share in SHARES:
        for seed in range(DRAWS):
            for name, figures in compared(ds, on, truth, draw(truth, share, seed)):
                yield f"{100 * share:.0f} % known", name, figures


def left_out(table: ad.AnnData, sample: str, folder: Path) -> Iterator[tuple[str, str, list[float]]]:
    """Spread the labels of all samples but one to that one."""
    ds, truth, samples = stored(table, folder), table.obs["label"].to_numpy(str), table.obs[sample].to_numpy(str)
    for task, on in (("sample, as it is", "obsm/X_pca"), ("sample, harmonized", "obsm/X_harmony")):
        if on == "obsm/X_harmony":
            kk.harmonize(ds, sample)
        kk.neighbors(ds, on=on)
        for one in np.unique(samples):
            for name, figures in compared(ds, on, truth, samples != one):
                yield task, name, figures


def references(table: ad.AnnData, sample: str | None, folder: Path) -> Iterator[tuple[str, str, list[float]]]:
    """Carry labels over from a reference: another half of the cells, or the other samples."""
    halves = (
        np.random.default_rng(0).choice(["a", "b"], table.n_obs) if sample is None else table.obs[sample].to_numpy()
    )
    for one in np.unique(halves):
        reference, ds = (
            stored(table[halves != one], folder / "reference.zarr"),
            stored(table[halves == one], folder / "ds"),
        )
        kk.neighbors(ds)
        truth = table.obs["label"].to_numpy(str)[halves == one]
        votes = seeds_from(ds, reference, "label", 15, 0)
        codes = pd.Index(votes.classes).get_indexer(truth)
        P, test = votes.read(), ~np.isin(truth, ["NA", "nan"])
        plain = scored(P[codes >= 0], codes[codes >= 0])
        for alpha in ALPHAS:
            yield "reference", f"{alpha}", propagated(ds, truth, test, alpha, "label", reference=reference)
        yield "reference", "neighbours", line(plain, plain, 1.0)


def main() -> None:
    """Print a table for each task of each set, and the means over the sets."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--half", choices=list(HALVES), required=True)
    parser.add_argument("--only", help="one of the sets")
    options = parser.parse_args()
    logging.getLogger("kithkin").setLevel(logging.ERROR)
    means: dict[tuple[str, str], list[list[float]]] = defaultdict(list)
    print(f"{'':26}{'task':20}{'alpha':11} acc.  of labels  ECE  calibrated  NLL  calibrated  T")
    for kind, names in HALVES[options.half].items():
        for name in names:
            if options.only not in (None, name):
                continue
            table, sample = loaded(options.data, name)
            found: dict[tuple[str, str], list[list[float]]] = defaultdict(list)
            with tempfile.TemporaryDirectory() as folder:
                if kind == "few":
                    rows = few_labels(table, Path(folder) / "ds")
                elif kind == "samples":
                    rows = left_out(table, str(sample), Path(folder) / "ds")
                else:
                    rows = references(table, sample, Path(folder))
                for task, method, figures in rows:
                    found[task, method].append(figures)
            for key, lines in found.items():
                means[key].append(list(np.mean(lines, axis=0)))
                print(f"{name:26}{key[0]:20}{key[1]:11}", "  ".join(f"{v:.3f}" for v in means[key][-1]), flush=True)
    for key, lines in means.items():
        print(f"{'mean':26}{key[0]:20}{key[1]:11}", "  ".join(f"{v:.3f}" for v in np.mean(lines, axis=0)))


if __name__ == "__main__":
    main()
