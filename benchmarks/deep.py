"""Gated deep clustering: agreement with known classes, features used, and the cost of a step.

Usage: python benchmarks/deep.py DATA [--starts 3] [--seed 0] [--features N] [--no-gates] [--config FILE.yaml]
           [--float32] [--explained] [--every N] [--set focus=0 gates=false]
       python benchmarks/deep.py steps --columns 784 --batch 100 [--hidden 784] [--width 10] [--float32]
       python benchmarks/deep.py rows [--columns 16791]

DATA is one of:
    digits, cancer      of scikit-learn
    mnist, mnist60k     1,000 images of each digit drawn with seed 0 from `../shared/data/mnist_train.npz`; or all
    types, lineages, naive
                        `../shared/data/pbmc_facs.h5ad`: five populations; T against B; naive T against regulatory T
    blobs               3,200 rows, 4 groups: the first column parts two of them from the other two, the second parts
                        the first pair and the third the second pair, and each is spread evenly where it parts nothing;
                        these brought to a standard deviation of one, and 10 columns of noise with one of 0.01
    noise               3,200 rows, 4 groups around the origin and the three unit vectors (standard deviation 0.1), and
                        10 columns of even noise between 0 and 1
    needles             3,000 rows, 4 groups with means drawn with a standard deviation of 2 in 20 of 500 columns, all
                        with noise of 1
Classes are used for the figures only. Each seed is reported, and has its own start. "--every": only each n-th row.
"--explained": measures of the explanations, over ten draws of 1,000 rows (faithfulness over three), uniqueness and
stability to the nearest row.
"steps": CPU seconds of a step of each phase, on one thread. "rows": time and memory of the way from a sparse table of
20,000 rows on disk to the batches.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy import sparse

import kithkin as kk
from kithkin.core.blocks import InMemory
from kithkin.core.execute import Execution
from kithkin.metrics.explanation import (
    CLUSTER_OPEN,
    cluster_features,
    diversity,
    faithfulness,
    generalizability,
    stability,
    uniqueness,
)
from kithkin.metrics.partition import accuracy, adjusted_rand, contingency, normalized_mutual_information
from kithkin.models.deep.config import DeepConfig, checked_config
from kithkin.models.deep.gated_clustering import GatedClustering
from kithkin.models.deep.phase import State
from kithkin.models.deep.training import Training
from kithkin.models.gates.table import gates_table
from kithkin.models.nn.batches import Batches, Scale
from kithkin.models.nn.device import torch_settings

CELLS = ("types", "lineages", "naive")
MADE = {"blobs": 3, "noise": 3, "needles": 20}  # how many columns, the first, tell groups apart
SHARED = Path(__file__).parents[2] / "shared" / "data"
ONE = Execution(threads=1, progress=False)


def blobs(seed: int):
    """Four groups that need two of three columns each, and ten columns of faint noise; unscaled."""
    rng = np.random.default_rng(seed)
    truth = np.repeat(np.arange(4), 800)
    first = rng.normal(np.where(truth < 2, 0.0, 8.0), 0.5)
    second = np.where(truth < 2, rng.normal(6.0 * (truth == 1), 0.5), rng.uniform(-1, 7, 3200))
    third = np.where(truth < 2, rng.uniform(-1, 7, 3200), rng.normal(6.0 * (truth == 3), 0.5))
    told = np.column_stack([first, second, third])
    X = np.hstack([(told - told.mean(0)) / told.std(0), rng.normal(0, 0.01, (3200, 10))])
    order = rng.permutation(3200)
    return X[order], truth[order]


def noise(seed: int):
    """Four groups in three columns, and ten columns of even noise."""
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.repeat(np.arange(4), 800))
    corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])[truth]
    return np.hstack([corners + rng.normal(0, 0.1, (3200, 3)), rng.random((3200, 10))]), truth


def needles(seed: int):
    """Four groups in twenty of five hundred columns."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 4, 3000)
    means = np.hstack([rng.normal(0, 2, (4, MADE["needles"])), np.zeros((4, 480))])
    return means[truth] + rng.normal(0, 1, (3000, 500)), truth


def mnist(whole: bool):
    """1,000 images of each digit, or all."""
    stored = np.load(SHARED / "mnist_train.npz")
    images, labels = (stored[name] for name in stored.files[:2])
    if whole:
        return images.reshape(len(images), -1), labels
    rng = np.random.default_rng(0)
    rows = np.sort(
        np.concatenate([rng.choice(np.flatnonzero(labels == digit), 1000, replace=False) for digit in range(10)])
    )
    return images.reshape(len(images), -1)[rows], labels[rows]


def sorted_cells(which: str):
    """Counts of sorted blood cells and their kinds."""
    import anndata

    cells = anndata.read_h5ad(SHARED / "pbmc_facs.h5ad")
    column = "subpop" if "subpop" in cells.obs else "celltype"
    if which == "naive":
        kinds = cells.obs["celltype"].astype(str)
        keep = kinds.isin(["CD4+/CD45RA+/CD25- Naive T", "CD4+/CD25 T Reg"]).to_numpy()
        return cells.X[keep], kinds[keep].to_numpy()
    kinds = cells.obs[column].astype(str).to_numpy()
    keep = np.isin(kinds, ("T cell", "B cell")) if which == "lineages" else np.ones(len(kinds), bool)
    return cells.X[keep], kinds[keep]


def load(name: str, seed: int):
    """A table and its classes."""
    if name in ("digits", "cancer"):
        from sklearn import datasets

        return (datasets.load_digits if name == "digits" else datasets.load_breast_cancer)(return_X_y=True)
    if name in MADE:
        return {"blobs": blobs, "noise": noise, "needles": needles}[name](seed)
    return mnist(name == "mnist60k") if name.startswith("mnist") else sorted_cells(name)


def agreement(labels, truth) -> str:
    """Three indices of agreement."""
    table = contingency(labels, np.unique(truth, return_inverse=True)[1])
    values = accuracy(table), normalized_mutual_information(table), adjusted_rand(table)
    return " ".join(f"{name} {value:.4f}" for name, value in zip(("ACC", "NMI", "ARI"), values, strict=True))


def run(chosen: argparse.Namespace) -> None:
    """Fit from each seed, and print."""
    X, truth = (part[:: chosen.every] for part in load(chosen.data, 0))
    given = dict(pair.split("=") for pair in chosen.set)
    config = checked_config(chosen.config or {}, precision="float32" if chosen.float32 else None,
                            **{name: json.loads(value) for name, value in given.items()})  # fmt: skip
    for start in range(chosen.starts):
        began = time.process_time()
        model = GatedClustering(
            len(np.unique(truth)),
            n_features=chosen.features,
            gates=False if chosen.no_gates else None,
            scale="none" if chosen.data == "blobs" else None,
            config=config,
            device=chosen.device,
            seed=chosen.seed + start,
        ).fit(X, execution=ONE)
        seconds = time.process_time() - began
        print(f"{chosen.data} {X.shape[0]} x {X.shape[1]} start {start}: {agreement(model.labels_, truth)}")
        print(f"  epochs {model.config_.phases()}, {seconds:.0f} CPU s, {model.device_}")
        print("  features of a row:", {name: round(value, 2) for name, value in model.feature_counts_.items()})
        print("  features of a cluster:", (model.global_gates_ > CLUSTER_OPEN).sum(1).tolist())
        if model.gates_ is not None:
            print("  rows without an open gate on a value:", empty_rows(model, X))
        if chosen.data in MADE and model.gates_ is not None:
            share, f1 = right(model.gates_, chosen.data)
            print(f"  open gates of rows where groups differ: {share:.3f}, F1 {f1:.3f}")
        if chosen.data in CELLS:
            first_genes(model, X)
        if chosen.explained:
            explained(model, X, truth)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    print(f"peak {peak:.0f} MiB", flush=True)


def first_genes(model: GatedClustering, X) -> None:
    """The first ten genes of each cluster, as `kk.explain` lists them."""
    import anndata

    names = anndata.read_h5ad(SHARED / "pbmc_facs.h5ad", backed="r").var["symbol"].astype(str).to_numpy()
    totals = np.asarray(X.sum(axis=1), np.float64).ravel()
    table = gates_table(X, model.labels_, model.global_gates_.T, totals=totals, execution=ONE)
    for group, part in table.groupby("group"):
        print(f"  cluster {group}:", *names[part["feature"].to_numpy()[:10].astype(int)])


def explained(model: GatedClustering, X, truth) -> None:
    """Measures of the explanations, over ten draws of 1,000 rows."""
    found: dict[str, list[float]] = {}
    codes = np.unique(truth, return_inverse=True)[1]
    for draw in range(10):
        rows = np.sort(np.random.default_rng(draw).choice(X.shape[0], min(1000, X.shape[0]), replace=False))
        x, z, labels = model.scale_.dense(np.asarray(X[rows])), model.gates_[rows], model.labels_[rows]
        of_a_row = max(1, round(z.nnz / z.shape[0]))
        values = {
            "uniqueness": uniqueness(x, z, 1),
            "stability": stability(x, z, 1),
            "diversity of the features of rows": diversity(cluster_features(z, labels, of_a_row)),
            "of those open in most rows": diversity(cluster_features(z, labels)),
            "how many those are": cluster_features(z, labels).sum(axis=1).mean(),
            "diversity of the gates of clusters": diversity(model.global_gates_ > CLUSTER_OPEN),
            "generalizability": generalizability(x, z, codes[rows]),
        }
        if draw < 3:  # features are taken away one by one
            values["faithfulness"] = faithfulness(np.asarray(X[rows]), z, codes[rows], model.predict)
        for name, value in values.items():
            found.setdefault(name, []).append(value)
    print("  " + ", ".join(f"{name} {np.mean(values):.3f}" for name, values in found.items()))


def empty_rows(model: GatedClustering, X) -> int:
    """Rows without an open gate on a value."""
    batches, empty = Batches(InMemory(X), model.scale_, 256), 0
    for first, x in batches.ordered():
        z = model.gates_[first : first + len(x)].toarray()
        empty += int(((z > 0) & (x != 0)).any(1).__invert__().sum())
    return empty


def right(gates, name: str) -> tuple[float, float]:
    """Share of the open gates of all rows that are in columns where groups differ, and F1."""
    found = gates[:, : MADE[name]].nnz
    return found / gates.nnz, 2 * found / (gates.nnz + MADE[name] * gates.shape[0])


def rows(chosen: argparse.Namespace) -> None:
    """Time and memory of the way from a sparse table on disk to the batches."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "wide.zarr"
        subprocess.run([sys.executable, __file__, "write", "--folder", str(path), "--columns", str(chosen.columns)],
                       check=True)  # fmt: skip
        import torch

        torch.set_num_threads(1)
        blocks = kk.open(path, threads=1).blocks("X")
        batches = Batches(blocks, Scale.of(blocks, "auto", None, ONE), 256)
        for number in range(2):
            began = time.process_time()
            checksum = sum(float(torch.from_numpy(batch).sum()) for _, batch in batches.epoch(number))
            seconds = (time.process_time() - began) / batches.n_batches
            print(f"{blocks.shape}: {1e3 * seconds:.1f} CPU ms a batch, sum {checksum:.6g}")
        print(f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10:.0f} MiB")


def write(chosen: argparse.Namespace) -> None:
    """A sparse table of counts on disk, one value in twenty stored."""
    rng = np.random.default_rng(0)
    X = sparse.random(20_000, chosen.columns, 0.05, "csr", rng=rng, data_rvs=lambda size: 1 + rng.poisson(1, size))
    kk.read(X, to=chosen.folder, progress=False)


def steps(chosen: argparse.Namespace) -> None:
    """CPU seconds of a step of each phase, after one to warm up."""
    rng = np.random.default_rng(0)
    X = (
        rng.random((4 * chosen.batch, chosen.columns)) * (rng.random((4 * chosen.batch, chosen.columns)) < 0.2)
    ).astype(np.float32)
    config = DeepConfig(
        10,
        n_features=15.0,
        batch_size=chosen.batch,
        encdec=(512, 512, 2048, chosen.width, 2048, 512, 512),
        gates_hidden_dim=chosen.hidden,
        clustering_hidden_dim=2048,
        aux_hidden_dim=2048,
        start="none",
        gates_by="classifier",
        refine=True,
        ae_non_gated_epochs=0,
        ae_pretrain_epochs=1,
        start_global_gates_training_on_epoch=3,
        max_epochs=4,
    )
    config = replace(config.resolved(*X.shape), guide=0.0)
    batches = Batches(InMemory(X), Scale.of(X, "minmax"), chosen.batch)
    with torch_settings("cpu", config.torch_threads), ONE.kept_heap():
        training = Training(State(config, batches, 0, "cpu", not chosen.float32, ONE), lambda: X)
        for phase in training.phases:
            phase.begin(0)
            training.run_epoch(phase, 0)
            began = time.process_time()
            for _ in range(chosen.rounds):
                training.run_epoch(phase, 0)
            seconds = (time.process_time() - began) / (chosen.rounds * batches.n_batches)
            print(f"{phase.name}: {seconds:.4f} CPU s a step")
            phase.end()
    print(f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10:.0f} MiB")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--starts", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--features", type=float)
    parser.add_argument("--no-gates", action="store_true")
    parser.add_argument("--config")
    parser.add_argument("--device")
    parser.add_argument("--float32", action="store_true")
    parser.add_argument("--columns", type=int)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--hidden", type=int, default=784)
    parser.add_argument("--width", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE")
    parser.add_argument("--explained", action="store_true")
    parser.add_argument("--folder")
    chosen = parser.parse_args()
    chosen.columns = chosen.columns or (784 if chosen.data == "steps" else 16791)
    warnings.simplefilter("default")
    {"steps": steps, "rows": rows, "write": write}.get(chosen.data, run)(chosen)


if __name__ == "__main__":
    main()
