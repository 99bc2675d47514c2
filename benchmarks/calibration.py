"""Calibration of the mixture's probabilities: confidence beside the share that is right, exact and calibrated.

Usage: python benchmarks/calibration.py [NAME ...] [--threads 1]

Labelled cells of `../shared/data`, all genes, as many clusters as labels; a cluster stands for its most common label,
and labels are used for nothing else. "sorted ten", "sorted five", "sorted four": blood cells of pbmc_facs. "ifnb",
"control": four samples of blood cells, half of them stimulated, and the others alone. The panel: "dropseq_3cl",
"zeisel3", "pbmc_10x8", "osmfish", "starmap", "kidney". Of known truth: "drawn", from a mixture with the parameters of
the ten sorted kinds at a tenth of their counts; "programs", the same with five programs of genes that rise and fall
together in all kinds, which the model does not have, by a standard deviation of 0.5 a gene and at half of the counts.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from scipy.sparse import csr_matrix

import kithkin as kk
from kithkin.core.execute import Execution
from kithkin.metrics.calibration import expected_calibration_error
from timing import markdown

DATA = Path(__file__).parents[1] / ".." / "shared" / "data"
SORTED = DATA / "pbmc_facs.h5ad"
FOUR = ["CD19+ B", "CD8+ Cytotoxic T", "CD4+/CD25 T Reg", "CD14+ Monocyte"]
PANEL = ("dropseq_3cl", "zeisel3", "pbmc_10x8", "osmfish", "starmap", "kidney")
NAMES = ("sorted four", "sorted five", "sorted ten", "ifnb", "control", *PANEL, "drawn", "programs")
HEADER = ["cells", "K", "right", "confidence", "error", "agreement", "T", "calibrated", "error", "CPU s, fit", "more"]


def of_file(path: Path, column: str, chosen=None):
    """Counts and labels of a file."""
    import anndata as ad

    cells = ad.read_h5ad(path)
    cells = cells if chosen is None else cells[chosen(cells.obs)]
    labels = cells.obs[column].astype(str).to_numpy()
    X = csr_matrix(cells.X).astype(np.int32)
    keep = ~np.isin(labels, ["NA", "nan"]) & (np.asarray(X.sum(axis=1)).ravel() > 0)
    return X[keep], labels[keep]


def drawn(part: float, spread: float):
    """Draw counts from the parameters of the sorted kinds, with programs of genes on top where spread is above 0."""
    X, labels = of_file(SORTED, "celltype")
    fitted = kk.models.fit_given_labels(X, labels, mean_shape=2)
    random = np.random.default_rng(0)
    group = random.integers(0, len(fitted.groups), 3000)
    size = part * random.choice(np.asarray(X.sum(axis=1)).ravel(), len(group))
    loadings = random.normal(0, spread / np.sqrt(5), (5, X.shape[1]))
    rows = []
    for k, s in zip(group, size, strict=True):
        phi = np.exp(fitted.log_dispersion[k])
        shape = 1 / np.maximum(phi, 1e-6)
        varied = np.where(phi > 0, random.gamma(shape) / shape, 1.0)
        rate = np.exp(fitted.log_mean[k] + random.normal(size=5) @ loadings) * varied
        rows.append(csr_matrix(random.poisson(s * rate / max(rate.sum(), 1e-9))))
    from scipy.sparse import vstack

    table = vstack(rows, "csr").astype(np.int32)
    keep = np.asarray(table.sum(axis=1)).ravel() > 0
    return table[keep], group[keep].astype(str)


def load(name: str):
    """Counts and labels of a data set."""
    ifnb = DATA / "samples" / "ifnb_four_samples.h5ad"
    if name == "drawn":
        return drawn(0.1, 0.0)
    if name == "programs":
        return drawn(0.5, 0.5)
    if name in PANEL:
        return of_file(DATA / "panel" / f"{name}.h5ad", "label")
    if name == "sorted four":
        return of_file(SORTED, "celltype", lambda obs: obs["celltype"].isin(FOUR))
    if name == "control":
        return of_file(ifnb, "cell_type", lambda obs: obs["condition"].astype(str).str.lower().str.startswith("c"))
    path, column = {
        "sorted five": (SORTED, "subpop"),
        "sorted ten": (SORTED, "celltype"),
        "ifnb": (ifnb, "cell_type"),
    }[name]
    return of_file(path, column)


def measure(name: str, threads: int):
    """Fit, calibrate, and return the row of the table, and what the figure needs."""
    X, labels = load(name)
    _, truth = np.unique(labels, return_inverse=True)
    K, execution = truth.max() + 1, Execution(threads=threads)
    begin = time.process_time()
    model = kk.models.CountMixture(K).fit(X, execution=execution)
    fitted = time.process_time()
    exact = model.predict_proba(X, execution=execution)
    model.calibrate(X, execution=execution)
    ended = time.process_time()
    calibrated = model.predict_proba(X, execution=execution)
    common = np.array([np.bincount(truth[model.labels_ == k], minlength=K).argmax() for k in range(K)])
    right = common[model.labels_] == truth
    sure, calm = exact.max(axis=1).clip(0, 1), calibrated.max(axis=1).clip(0, 1)
    row = [f"{len(truth):,}", str(K), f"{right.mean():.3f}"]
    row += [f"{sure.mean():.3f}", f"{expected_calibration_error(sure, right):.3f}"]
    row += [f"{model.agreement_:.3f}", f"{model.temperature_:.1f}"]
    row += [f"{calm.mean():.3f}", f"{expected_calibration_error(calm, right):.3f}"]
    return [name, *row, f"{fitted - begin:.1f}", f"{ended - fitted:.1f}"]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(NAMES), metavar="NAME")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    rows = []
    for name in arguments.names:
        rows.append(measure(name, arguments.threads))
        print(rows[-1], flush=True)
    print(markdown(["data", *HEADER], rows))


if __name__ == "__main__":
    main()
