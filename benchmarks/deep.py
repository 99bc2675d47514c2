"""Gated deep clustering: agreement with known classes, features used, and the cost of a step.

Usage: python benchmarks/deep.py digits|cancer|synthetic|mnist|lineages|types|naive [--starts 3] [--seed 0]
           [--features N] [--no-gates] [--config FILE.yaml] [--float32]
       python benchmarks/deep.py steps --columns 784 --batch 100 [--hidden 784] [--width 10] [--float32]

"mnist": 1,000 images of each digit, drawn with seed 0 from `../shared/data/mnist_train.npz`. "lineages", "types",
"naive": T against B, the five populations, and naive T against regulatory T of `../shared/data/pbmc_facs.h5ad`.
"synthetic": four equal groups of 800 rows around the origin and the three unit vectors of 3 columns (standard deviation
0.1), all of which are needed to tell them, and 10 columns of uniform noise. Classes are used for the
figures only. Each seed is reported. "steps": CPU seconds of a step of each phase, on one thread.
"""

from __future__ import annotations

import argparse
import resource
import time
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np

from kithkin.core.blocks import InMemory
from kithkin.core.execute import Execution
from kithkin.metrics.partition import accuracy, adjusted_rand, contingency, normalized_mutual_information
from kithkin.models.deep import GatedClustering
from kithkin.models.deep_batches import Batches, Scale
from kithkin.models.deep_config import DeepConfig
from kithkin.models.deep_training import Training

SHARED = Path(__file__).parents[2] / "shared" / "data"
ONE = Execution(threads=1, progress=False)


def synthetic(seed: int):
    """Four groups in three columns, and ten columns of noise."""
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.repeat(np.arange(4), 800))
    corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])[truth]
    return np.hstack([corners + rng.normal(0, 0.1, (3200, 3)), rng.random((3200, 10))]), truth


def mnist():
    """1,000 images of each digit."""
    stored = np.load(SHARED / "mnist_train.npz")
    images, labels = (stored[name] for name in stored.files[:2])
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
    if name == "synthetic":
        return synthetic(seed)
    return mnist() if name == "mnist" else sorted_cells(name)


def agreement(labels, truth) -> str:
    """Three indices of agreement."""
    table = contingency(labels, np.unique(truth, return_inverse=True)[1])
    values = accuracy(table), normalized_mutual_information(table), adjusted_rand(table)
    return " ".join(f"{name} {value:.4f}" for name, value in zip(("ACC", "NMI", "ARI"), values, strict=True))


def run(chosen: argparse.Namespace) -> None:
    """Fit from each seed, and print."""
    X, truth = load(chosen.data, chosen.seed)
    for start in range(chosen.starts):
        began = time.process_time()
        model = GatedClustering(
            len(np.unique(truth)),
            n_features=chosen.features,
            gates=False if chosen.no_gates else None,
            config=chosen.config or ({"precision": "float32"} if chosen.float32 else None),
            device=chosen.device,
            seed=chosen.seed + start,
        ).fit(X, execution=ONE)
        seconds = time.process_time() - began
        print(f"{chosen.data} {X.shape[0]} x {X.shape[1]} start {start}: {agreement(model.labels_, truth)}")
        print(f"  epochs {model.config_.phases()}, {seconds:.0f} CPU s, {model.device_}")
        print("  features of a row:", {name: round(value, 2) for name, value in model.feature_counts_.items()})
        opened = model.global_gates_ > 0.55
        print("  features of a cluster:", opened.sum(1).tolist())
        if model.gates_ is not None:
            print("  rows without an open gate on a value:", empty_rows(model, X))
        if chosen.data == "synthetic" and model.gates_ is not None:
            print(f"  F1 of the features that are open most often: {f1(model.gates_):.3f}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    print(f"peak {peak:.0f} MiB")


def empty_rows(model: GatedClustering, X) -> int:
    """Rows without an open gate on a value."""
    batches, empty = Batches(InMemory(X), model.scale_, 256), 0
    for first, x in batches.ordered():
        z = model.gates_[first : first + len(x)].toarray()
        empty += int(((z > 0) & (x != 0)).any(1).__invert__().sum())
    return empty


def f1(gates) -> float:
    """Of the features open most often, as many as a row has open on average, where the first three are right."""
    share = np.asarray((gates > 0).mean(axis=0)).ravel()
    found = np.argsort(-share)[: max(1, round(gates.nnz / gates.shape[0]))]
    return 2 * (found < 3).sum() / (len(found) + 3)


def steps(chosen: argparse.Namespace) -> None:
    """CPU seconds of a step of each phase, after one to warm up."""
    import torch

    torch.set_num_threads(1)
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
        refine=True,
        ae_non_gated_epochs=0,
        ae_pretrain_epochs=1,
        start_global_gates_training_on_epoch=3,
        max_epochs=4,
    )
    config = replace(config.resolved(*X.shape), guide=0.0)
    batches = Batches(InMemory(X), Scale.of(X, "minmax"), chosen.batch)
    training = Training(config, batches, 0, "cpu", not chosen.float32, ONE)
    epochs = config.phases()
    for phase, name in enumerate(("autoencoder", "gates", "head", "classifier")):
        training.phase, training.done = phase, 0
        training._enter(name)
        training._epoch(name, 0, epochs)
        began = time.process_time()
        for _ in range(chosen.rounds):
            training._epoch(name, 0, epochs)
        seconds = (time.process_time() - began) / (chosen.rounds * batches.n_batches)
        print(f"{name}: {seconds:.4f} CPU s a step")
        training._leave(name)
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
    parser.add_argument("--columns", type=int, default=784)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--hidden", type=int, default=784)
    parser.add_argument("--width", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    warnings.simplefilter("default")
    steps(chosen) if chosen.data == "steps" else run(chosen)


if __name__ == "__main__":
    main()
