"""Labels by a reference: technologies and kinds of cells that it never saw, and the time for many cells.

Usage: python benchmarks/map_to.py technologies ../shared/data/samples [--peer PEER]
       python benchmarks/map_to.py interferon ../shared/data/samples
       python benchmarks/map_to.py size counts.h5ad --labels subtype [--copies 10]

`technologies` leaves each of three technologies out of the reference, and maps it onto the others: accuracy of the fine
labels, beside votes of the 15 nearest cells in principal components, and in components that harmony integrates of all
cells jointly; how often the label is right at each probability; and for each kind that is taken out of the reference,
by which order (AUROC) its cells are less known than the others. PEER is a Python interpreter with symphonypy.
`interferon` does the same for each of four samples. `size` makes a reference of a file, and maps several copies of it.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from timing import Steps, markdown, peak_memory, run_apart

BINS = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)


def left_out(cells: Any, batch: str, labels: str, broad: dict[str, str], folder: Path, peer: str | None) -> None:
    """Leave each batch out, and print what becomes of its labels."""
    from sklearn.metrics import roc_auc_score

    told, unknown = [], {}
    rows = []
    for number, name in enumerate(cells.obs[batch].unique()):
        out = (cells.obs[batch] == name).to_numpy()
        at = folder / str(number)
        at.mkdir()
        found, more = mapped(cells, out, batch, labels, at)
        truth = cells.obs[labels][out].astype(str).to_numpy()
        right = found["label"].to_numpy() == truth
        told.append(np.stack([found["probability"].to_numpy(), right]))
        known = (found["distance"] <= 1).to_numpy()
        row = [name, int(out.sum()), right.mean(), (right & known).mean(), 1 - known.mean(), *more]
        if peer:
            row.append(run_apart(peer, __file__, "symphonypy", ["technologies", str(at)], 1)["accuracy"])
        rows.append(row)
        groups = cells.obs[labels].astype(str)
        for kind in [*groups.unique(), *{one for one in broad.values() if one not in set(groups)}]:
            of_kind = (groups == kind).to_numpy() | (groups.map(broad) == kind).to_numpy()
            if of_kind[out].sum() >= 5:
                place = at / str(len(unknown.setdefault(kind, {}))) / kind.replace(" ", "")
                place.mkdir(parents=True)
                without = mapped(cells[~of_kind | out].copy(), out[~of_kind | out], batch, labels, place)[0]
                unknown[kind][name] = roc_auc_score(of_kind[out], without["distance"])
    head = ["left out", "cells", "accuracy", "with unknown", "unknown", "PCA votes", "joint Harmony votes"]
    head += ["symphonypy"] if peer else []
    print(markdown(head, [[f"{v:.3f}" if isinstance(v, float) else str(v) for v in row] for row in rows]))
    probability, right = np.concatenate(told, axis=1)
    print("\nprobability: cells, mean probability, right")
    for low, high in pairwise(BINS):
        own = (probability > low) & (probability <= high)
        if own.any():
            print(f"  {low:.2f} to {high:.2f}: {own.sum():4d} {probability[own].mean():.3f} {right[own].mean():.3f}")
    print(f"  all: {probability.mean():.3f} {right.mean():.3f}")
    print("\nAUROC of the distance, with one kind taken out of the reference")
    for kind, by in sorted(unknown.items(), key=lambda item: -np.mean(list(item[1].values()))):
        print(f"  {kind:<18} {np.mean(list(by.values())):.3f}  " + ", ".join(f"{k} {v:.3f}" for k, v in by.items()))


def mapped(cells: Any, out: np.ndarray, batch: str, labels: str, folder: Path) -> tuple[Any, list[float]]:
    """Map some cells onto a reference of the others; also return the accuracy of votes."""
    import kithkin as kk
    from kithkin.models import PCA, Harmony
    from kithkin.models.neighbors.transfer import Votes

    cells[~out].write_h5ad(folder / "reference.h5ad")
    cells[out].write_h5ad(folder / "query.h5ad")
    (folder / "names.json").write_text(json.dumps([batch, labels]))
    ds = kk.read(folder / "reference.h5ad", to=folder / "reference.zarr", progress=False)
    kk.pca(ds, 50)
    kk.harmonize(ds, batch)
    kk.reference(ds, labels, to=folder / "reference.kin")
    query = kk.read(folder / "query.h5ad", to=folder / "query.zarr", progress=False)
    found = kk.map_to(query, folder / "reference.kin", threshold=None, key=None)
    found["label"] = found["label"].astype(str)
    codes = np.unique(cells.obs[labels].astype(str), return_inverse=True)[1]
    values = cells.X.toarray().astype(float)
    if ds.kind == "counts":  # as kithkin.pca normalises them
        values = np.log1p(1000 * values / values.sum(axis=1, keepdims=True))
    accuracy = []
    for seen, model in ((~out, None), (np.ones(len(out), bool), Harmony())):
        scaled = (values - values[seen].mean(axis=0)) / np.maximum(values[seen].std(axis=0), 1e-9)
        scaled = np.clip(scaled, -10, 10)
        rows = PCA(20, normalize=None).fit(scaled[seen]).transform(scaled)
        if model is not None:
            rows = model.fit_transform(rows, np.unique(cells.obs[batch].astype(str), return_inverse=True)[1])
        told = Votes(15).fit(rows[~out], codes[~out], rows[out]).votes_.argmax(axis=1)
        accuracy.append(float((told == codes[out]).mean()))
    return found, accuracy


def by_symphonypy(folder: Path) -> dict[str, float]:
    """Map the same cells by symphonypy, with its own Harmony and labels of the five nearest cells."""
    import anndata as ad
    import scanpy as sc
    import symphonypy as sp

    batch, labels = json.loads((folder / "names.json").read_text())
    reference, query = ad.read_h5ad(folder / "reference.h5ad"), ad.read_h5ad(folder / "query.h5ad")
    reference.var["highly_variable"] = True
    sc.pp.scale(reference, max_value=10)
    sc.pp.pca(reference, n_comps=20, zero_center=False)
    sp.pp.harmony_integrate(reference, key=batch, verbose=False)
    sp.tl.map_embedding(query, reference, key=batch)
    sp.tl.transfer_labels_kNN(query, reference, labels)
    told = query.obs[labels].astype(str)
    truth = ad.read_h5ad(folder / "query.h5ad").obs[labels].astype(str)
    return {"accuracy": float((told == truth).mean())}


def size(options: argparse.Namespace) -> None:
    """Time of a reference, and of many cells that are mapped onto it."""
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        given = ["size", str(options.source), "--at", name, "--labels", options.labels, "--memory", options.memory]
        given += ["--copies", str(options.copies)]
        made = run_apart(sys.executable, __file__, "make", given, options.threads)
        found = run_apart(sys.executable, __file__, "map", given, options.threads)
        print(markdown(["work", *found], [["map", *(f"{value:,.4g}" for value in found.values())]]))
        print("reference: " + ", ".join(f"{name} {value:,.4g}" for name, value in made.items()))


def make(options: argparse.Namespace) -> dict[str, float]:
    """Make a reference of a file, and a dataset of its copies."""
    import kithkin as kk

    at, how = Path(options.at), {"memory": options.memory, "threads": options.threads, "progress": False}
    ds = kk.read(options.source, to=at / "one.zarr", **how)
    kk.variable_genes(ds, 3000)
    kk.pca(ds, 50)
    kk.neighbors(ds)
    kk.umap(ds)
    steps = Steps(loud=False)
    steps("reference", lambda: kk.reference(ds, options.labels, to=at / "one.kin", on="obsm/X_pca"))
    kk.read({f"s{k}": options.source for k in range(options.copies)}, to=at / "many.zarr", **how)
    return {**steps.rows["reference"], "file_MB": (at / "one.kin").stat().st_size / 1e6}


def map_many(options: argparse.Namespace) -> dict[str, float]:
    """Map the copies, after a few cells to warm up; the time of three passes of reading is taken by itself."""
    import kithkin as kk
    from kithkin.core.execute import map_blocks

    at, how = Path(options.at), {"memory": options.memory, "threads": options.threads, "progress": False}
    few = kk.subset(
        kk.open(at / "one.zarr"), cells=np.arange(kk.open(at / "one.zarr").n_obs) < 2000, to=at / "few.zarr"
    )
    kk.map_to(few, at / "one.kin", key=None)
    ds, steps = kk.open(at / "many.zarr", **how), Steps(loud=False)
    steps("reading", lambda: sum(len(block.data) for block in map_blocks(_same, ds.blocks(), ds.execution)))
    before = peak_memory()
    found = steps("map", lambda: kk.map_to(ds, at / "one.kin"))
    right = (found["label"].astype(str) == ds.read(f"obs/{options.labels}").astype(str)).mean()
    reading = 3 * steps.rows["reading"]["cpu_s"]
    row = {"cells": ds.n_obs, **steps.rows["map"], "more_MB": steps.rows["map"]["peak_MB"] - before}
    return row | {"without_reading_cpu_s": row["cpu_s"] - reading, "accuracy": float(right)}


def _same(block: Any, _start: int) -> Any:
    return block


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["technologies", "interferon", "size"])
    parser.add_argument("source", type=Path)
    parser.add_argument("--peer", help="Python interpreter with symphonypy")
    parser.add_argument("--labels", default="subtype")
    parser.add_argument("--copies", type=int, default=10)
    parser.add_argument("--memory", default="256MB")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", help="folder for the datasets")
    parser.add_argument("--child")
    parser.add_argument("--at")
    options = parser.parse_args()
    if options.child:
        work = {"make": make, "map": map_many, "symphonypy": lambda given: by_symphonypy(given.source)}[options.child]
        print(json.dumps(work(options)))
    elif options.what == "size":
        size(options)
    else:
        import anndata as ad

        files = {"technologies": "pbmc_three_technologies.h5ad", "interferon": "ifnb_four_samples.h5ad"}
        cells = ad.read_h5ad(options.source / files[options.what])
        batch = "donor" if options.what == "technologies" else "sample"
        pairs = {kind: kind.split("_")[0] for kind in cells.obs["cell_type"].unique()}
        broad = {"CD4 T cells": "T", "CD8 T cells": "T", "CD14+ Monocytes": "Mono", "FCGR3A+ Monocytes": "Mono"}
        with tempfile.TemporaryDirectory(dir=options.folder) as name:
            left_out(cells, batch, "cell_type", {**pairs, **broad}, Path(name), options.peer)


if __name__ == "__main__":
    main()
