"""Labelled data that no default was made for: clusters at default settings, beside scanpy, HDBSCAN and mixtures.

Usage: python benchmarks/panel.py PANEL [pbmc_facs.h5ad mnist_train.npz sim100k.h5ad] [--peer PYTHON] [--sets NAME ...]
       [--keep FILE] [--values] [--neighbors K] [--resolution R]

PANEL is a folder of h5ad files with obs "label" and uns "kind" (counts or values); further files have their labels in
obs "celltype" or "subtype", or are images. Three tables of scikit-learn come with it. Prints the adjusted Rand index of
each partition, and its number of clusters. Defaults are chosen by the sets of CHOOSE, and confirmed by the others: each
half has tables, images, shallow and deeper counts, and counts in tissue.

kithkin: `kk.run` at its defaults, and the automatic cut of `kk.paris`. scanpy: its defaults on the rows that kithkin
kept, normalize_total, log1p, 2,000 variable genes, pca, neighbors, leiden (igraph); values are standardised and images
taken as they are instead. HDBSCAN (scikit-learn, clusters of a two-hundredth of the rows at least, as for the cut; rows
that it calls noise are one cluster) and Gaussian mixtures (1 to 30 components by BIC) are on UMAP (umap-learn, its
defaults) of scanpy's components, all by the interpreter of `--peer`. `--keep` names a file with what the peers gave,
which is not computed again. `--values` takes images for tables of values; `--neighbors` and `--resolution` replace the
defaults of `kk.run`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from timing import markdown

CHOOSE = ("dropseq_3cl", "pbmc_10x8", "cite_cbmc", "osmfish", "ecoli", "umist", "pbmc_facs", "wine")
NO_CLASS = ("", "NA", "nan")  # labels of rows that have none
MOST_COMPONENTS, FITTED = 30, 10_000  # of a Gaussian mixture, and rows that it is fitted to
PEERS = ("scanpy", "HDBSCAN", "mixture")


@dataclass
class Labelled:
    """A table with known classes."""

    name: str
    source: Any  # what kithkin.run reads
    kind: str
    values: Any  # n x p
    rows: list[str]  # names
    labels: Any  # n, text


def find_sets(paths: list[Path]) -> Iterator[Labelled]:
    """Open the data sets, one after the other."""
    import anndata as ad
    from sklearn import datasets

    files = [file for path in paths for file in (sorted(path.glob("*.h5ad")) if path.is_dir() else [path])]
    for file in files:
        name = file.stem
        if file.suffix == ".npz":
            held = np.load(file)
            rows = [str(row) for row in range(len(held["X"]))]
            yield Labelled(name, file, "images", held["X"], rows, held["y"].astype(str))
            continue
        table = ad.read_h5ad(file)
        table.obs_names = [str(row) for row in range(table.n_obs)]
        label = next(column for column in ("label", "celltype", "subtype") if column in table.obs)
        labels = table.obs[label].astype(str).to_numpy()
        table.obs = table.obs[[]]
        yield Labelled(name, table, str(table.uns.get("kind", "counts")), table.X, list(table.obs_names), labels)
    for name, load in (("wine", datasets.load_wine), ("cancer", datasets.load_breast_cancer), ("digits", None)):
        found = datasets.load_digits() if load is None else load()
        table = ad.AnnData(np.asarray(found.data, np.float32))
        kind = "images" if name == "digits" else "values"
        yield Labelled(name, table, kind, table.X, list(table.obs_names), found.target.astype(str))


def score(found: Any, truth: Any) -> tuple[float, int]:
    """Return the adjusted Rand index over the rows with a class, and the number of clusters."""
    from kithkin.metrics.partition import adjusted_rand, contingency

    found, truth = np.asarray(found).astype(str), np.asarray(truth).astype(str)
    known = ~np.isin(truth, NO_CLASS)
    codes = [np.unique(labels[known], return_inverse=True)[1].astype(np.int64) for labels in (found, truth)]
    return float(adjusted_rand(contingency(*codes))), len(np.unique(found))


def ours(data: Labelled, folder: str, **changed: Any) -> tuple[Any, dict[str, tuple[float, int]]]:
    """Run kithkin at its defaults, or some changed ones: positions of the rows that it kept, and the scores."""
    import kithkin as kk

    ds = kk.run(data.source, to=f"{folder}/{data.name}.zarr", kind=data.kind, progress=False, **changed)
    position = {name: row for row, name in enumerate(data.rows)}
    names = [str(name) for name in ds.obs_names]
    kept = np.array([position[name] for name in names] if set(names) <= set(position) else range(len(names)))
    truth = data.labels[kept]
    cut = kk.paris(ds)
    return kept, {"Leiden": score(ds.read("obs/leiden"), truth), "Paris": score(cut, truth)}


def components(values: Any, kind: str) -> Any:
    """Let scanpy make components, neighbours and clusters at its defaults; an AnnData object."""
    import anndata as ad
    import scanpy as sc

    table = ad.AnnData(values.astype(np.float32))
    if kind == "counts":
        table = table[:, np.asarray((table.X > 0).sum(axis=0)).ravel() >= 3].copy()
        sc.pp.normalize_total(table)
        sc.pp.log1p(table)
        sc.pp.highly_variable_genes(table, n_top_genes=min(2000, table.n_vars))
    elif kind == "values":
        sc.pp.scale(table)
    sc.pp.pca(table)
    sc.pp.neighbors(table)
    sc.tl.leiden(table, flavor="igraph", n_iterations=2, directed=False)
    return table


def peers(data: Labelled, kept: Any, peer: str, folder: str) -> dict[str, tuple[float, int]]:
    """Score the peers on the rows that kithkin kept."""
    from scipy import sparse

    rows, found = sparse.csr_matrix(data.values[kept]), f"{folder}/found.npz"
    sparse.save_npz(f"{folder}/rows.npz", rows)
    subprocess.run([peer, "-W", "ignore", __file__, folder, "--child", data.kind], check=True)
    labels = np.load(found)
    return {name: score(labels[name], data.labels[kept]) for name in PEERS}


def run_peers(folder: Path, kind: str) -> None:
    """Cluster the rows in a folder, in the interpreter of the peers."""
    from scipy import sparse
    from sklearn.cluster import HDBSCAN
    from sklearn.mixture import GaussianMixture
    from umap import UMAP

    rows = sparse.load_npz(folder / "rows.npz")
    table = components(rows if kind == "counts" else rows.toarray(), kind)
    plane = UMAP(random_state=0, n_jobs=1).fit_transform(table.obsm["X_pca"])
    some = np.random.default_rng(0).permutation(len(plane))[:FITTED]
    mixtures = [GaussianMixture(k, random_state=0).fit(plane[some]) for k in range(1, MOST_COMPONENTS + 1)]
    best = min(mixtures, key=lambda mixture: mixture.bic(plane[some]))
    dense = HDBSCAN(min_cluster_size=max(5, round(len(plane) / 200))).fit_predict(plane)
    found = (table.obs["leiden"].astype(str).to_numpy(str), dense, best.predict(plane))
    np.savez(folder / "found.npz", **dict(zip(PEERS, found, strict=True)))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("paths", type=Path, nargs="+")
    parser.add_argument("--peer", default=sys.executable)
    parser.add_argument("--sets", nargs="*")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--values", action="store_true")
    parser.add_argument("--neighbors", type=int)
    parser.add_argument("--resolution", type=float)
    options = parser.parse_args()
    if options.child:
        run_peers(options.paths[0], options.child)
        return
    warnings.simplefilter("ignore")
    known: dict[str, Any] = json.loads(options.keep.read_text()) if options.keep and options.keep.exists() else {}
    columns = ["Leiden", "Paris", *PEERS]
    rows: list[tuple[bool, list[str], list[float]]] = []
    for data in find_sets(options.paths):
        if options.sets and data.name not in options.sets:
            continue
        data.kind = "values" if options.values else data.kind
        with tempfile.TemporaryDirectory() as folder:
            kept, found = ours(data, folder, n_neighbors=options.neighbors, resolution=options.resolution)
            if data.name not in known or known[data.name]["rows"] != len(kept):
                known[data.name] = {"rows": len(kept), **peers(data, kept, options.peer, folder)}
        if options.keep:
            options.keep.write_text(json.dumps(known, indent=1))
        found |= {name: tuple(known[data.name][name]) for name in PEERS}
        classes = len(set(data.labels) - set(NO_CLASS))
        text = [f"{found[name][0]:.3f} ({found[name][1]})" for name in columns]
        said = [f"`{data.name}`", f"{len(kept):,}", str(classes), *text]
        rows.append((data.name in CHOOSE, said, [found[name][0] for name in columns]))
        print(" ".join(said), flush=True)
    table = []
    for chosen, half in ((True, "chosen by"), (False, "confirmed by")):
        own = [row for row in rows if row[0] == chosen]
        table += [said for _, said, _ in own]
        if own:
            table.append([f"mean, {half}", "", "", *(f"{mean:.3f}" for mean in np.mean([v for *_, v in own], axis=0))])
    table.append(["mean, all", "", "", *(f"{mean:.3f}" for mean in np.mean([v for *_, v in rows], axis=0))])
    print(markdown(["set", "rows", "classes", *columns], table))


if __name__ == "__main__":
    main()
