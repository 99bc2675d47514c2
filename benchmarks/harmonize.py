"""Harmony and the measures of mixing, beside harmonypy and scib-metrics on the same components.

Usage: python benchmarks/harmonize.py size --rows 100000 --peer PEER
       python benchmarks/harmonize.py real ../shared/data/samples --peer PEER

PEER is a Python interpreter with harmonypy and scib-metrics; without one only kithkin runs. `size` simulates components
of 20 kinds in 8 batches, each with a shift of its own, and a part of it that differs by kind. Each program runs in a
process of its own that is warmed up first. `peak_MB` is the largest resident size of the process, `more_MB` what was
above that after the warm-up. `real` compares components, LISI and mixing on the cell lines of the R package harmony and
on blood cells with and without interferon beta, whose kinds are known in the four-sample set.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from timing import Steps, markdown, peak_memory, run_apart

N_COMPONENTS, N_BATCHES, N_KINDS = 50, 8, 20
BLOCK = 50_000


def simulate(n: int, seed: int = 0) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield blocks of components, and the batch of each row."""
    rng = np.random.default_rng(seed)
    scale = 12 / np.sqrt(np.arange(1, N_COMPONENTS + 1))
    kinds = rng.normal(size=(N_KINDS, N_COMPONENTS)) * scale
    shift = 0.35 * rng.normal(size=(N_BATCHES, 1, N_COMPONENTS)) * scale
    shift = shift + 0.15 * rng.normal(size=(N_BATCHES, N_KINDS, N_COMPONENTS)) * scale
    share = rng.dirichlet(np.full(N_KINDS, 3.0))
    for start in range(0, n, BLOCK):
        size = min(BLOCK, n - start)
        kind, batch = rng.choice(N_KINDS, size, p=share), rng.integers(0, N_BATCHES, size)
        noise = rng.normal(size=(size, N_COMPONENTS)) * np.linspace(2, 1, N_COMPONENTS)
        yield (kinds[kind] + shift[batch, kind] + noise).astype(np.float32), batch


def write_simulated(folder: Path, n: int) -> None:
    """Write the simulated components as a dataset and as arrays."""
    import anndata as ad
    from scipy import sparse

    import kithkin as kk

    rows, batches = (np.concatenate(parts) for parts in zip(*simulate(n), strict=True))
    np.save(folder / "rows.npy", rows)
    np.save(folder / "batches.npy", batches)
    empty = sparse.csr_matrix((n, 1), dtype=np.float32)
    cells = ad.AnnData(empty, obs={"batch": [f"b{one}" for one in batches]}, obsm={"X_pca": rows})
    kk.read(cells, to=folder / "cells.zarr", progress=False)


def by_kithkin(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Harmonize the dataset; also return the components for the comparison."""
    import kithkin as kk

    rng = np.random.default_rng(0)
    kk.models.Harmony(4, max_iter=3).fit(rng.normal(size=(2000, 8)).astype(np.float32), np.arange(2000) % 2)
    ds = kk.open(folder / "cells.zarr", threads=options.threads, memory=options.memory, progress=False)
    ds.blocks("obsm/X_pca").read(0, 1)
    before = peak_memory()
    steps = Steps(loud=False)
    Z = steps("harmonize", lambda: kk.harmonize(ds, "batch", key=None))
    row = {**steps.rows["harmonize"], "more_MB": steps.rows["harmonize"]["peak_MB"] - before}
    np.save(folder / "kithkin.npy", Z)
    return row


def by_harmonypy(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Run harmonypy on the same components."""
    import harmonypy
    import pandas as pd

    rng = np.random.default_rng(0)
    small = pd.DataFrame({"b": np.arange(2000) % 2})
    settings = {"verbose": False, "ncores": options.threads}
    harmonypy.run_harmony(rng.normal(size=(2000, 8)), small, "b", **settings)
    before, steps = peak_memory(), Steps(loud=False)

    def run() -> Any:
        batches = pd.DataFrame({"b": np.load(folder / "batches.npy")})
        return harmonypy.run_harmony(np.load(folder / "rows.npy"), batches, "b", **settings).Z_corr

    Z = steps("harmonize", run)
    row = {**steps.rows["harmonize"], "more_MB": steps.rows["harmonize"]["peak_MB"] - before}
    np.save(folder / "harmonypy.npy", Z.astype(np.float32))
    return row


def correlations(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    """Correlation of each component with the same one of the other table."""
    return np.array([np.corrcoef(A[:, j], B[:, j])[0, 1] for j in range(A.shape[1])])


def size(options: argparse.Namespace) -> None:
    """Time and memory on simulated components."""
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        given = ["size", "--at", name, "--rows", str(options.rows), "--memory", options.memory]
        run_apart(sys.executable, __file__, "write", given, options.threads)
        found = {"kithkin": run_apart(sys.executable, __file__, "kithkin", given, options.threads)}
        if options.peer:
            found["harmonypy"] = run_apart(options.peer, __file__, "harmonypy", given, options.threads)
        rows = [[name, *(f"{value:,.4g}" for value in row.values())] for name, row in found.items()]
        print(markdown(["program", *found["kithkin"]], rows))
        if options.peer:
            tables = [np.load(folder / f"{one}.npy") for one in found]
            print(f"least correlation of a component: {correlations(*tables).min():.5f}")


# ---- real cells


def prepare_real(folder: Path, source: Path) -> None:
    """Write components, batches and kinds of the real sets, harmonized by kithkin, with its measures."""
    import anndata as ad

    import kithkin as kk

    lines = ad.read_h5ad(source / "cell_lines_pcs.h5ad")
    cells = ad.AnnData(np.abs(lines.X), obs=lines.obs, obsm={"X_pca": lines.X.astype(np.float32)})
    ds = kk.read(cells, to=folder / "lines.zarr", kind="values", progress=False)
    report(folder, "lines", ds, "dataset", "cell_type")
    four = kk.read(source / "ifnb_four_samples.h5ad", to=folder / "four.zarr", progress=False)
    kk.variable_genes(four, four.n_vars, batch="condition")
    kk.pca(four, 20)
    report(folder, "four", four, "condition", "cell_type")
    both = {"control": source / "pbmc_ctrl.h5ad", "stimulated": source / "pbmc_stim.h5ad"}
    two = kk.read(both, to=folder / "two.zarr", progress=False)
    kk.variable_genes(two, 2000, batch="sample")
    kk.pca(two, 20)
    kk.annotate(two, "kind", kinds_by_markers(four, two))
    report(folder, "two", two, "sample", "kind")


def kinds_by_markers(labelled: Any, ds: Any) -> list[str]:
    """Name each cell by the kind whose markers in the labelled set it has most of.

    The markers are the 15 genes of each kind that rank best in the worse of the two conditions, so that the drug does
    not choose them. A cell is named by the largest mean of the logarithms of their counts, standardised within its own
    sample, so that nothing is told of the integration.
    """
    import kithkin as kk

    names = [name for name in labelled.var_names if name in set(ds.var_names)]
    ranks = []
    for condition in labelled.obs["condition"].unique():
        own = (labelled.obs["condition"] == condition).to_numpy()
        part = kk.subset(labelled, cells=own, to=labelled.path.with_name(f"{condition}.zarr"))
        table = kk.markers(part, by="cell_type", key=None)
        ranks.append(table.pivot_table("score", "gene", "group", observed=True).reindex(names).rank(ascending=False))
    worst = np.maximum(*ranks)
    counts = np.asarray(ds.genes(names), float)
    values = np.log1p(1000 * counts / ds.read("obs/n_counts").to_numpy()[:, None])
    for sample in ds.obs["sample"].unique():
        own = (ds.obs["sample"] == sample).to_numpy()
        values[own] = (values[own] - values[own].mean(axis=0)) / (values[own].std(axis=0) + 1e-9)
    scores = np.stack([values[:, np.argsort(worst[kind].to_numpy())[:15]].mean(axis=1) for kind in worst], axis=1)
    return [str(worst.columns[one]) for one in scores.argmax(axis=1)]


def report(folder: Path, name: str, ds: Any, batch: str, labels: str) -> None:
    """Harmonize, print the table of mixing, and keep what the peers need."""
    import kithkin as kk

    Z = kk.harmonize(ds, batch)
    table = kk.mixing(ds, batch, labels=labels)
    stored = ds.read("uns/mixing")
    print(f"\n{name}: kithkin.mixing\n{table.round(3).to_string()}")
    codes = {key: np.unique(ds.read(f"obs/{key}").astype(str), return_inverse=True)[1] for key in (batch, labels)}
    near = {space: plain_lisi(one, codes[batch]) for space, one in (("before", ds.read("obsm/X_pca")), ("after", Z))}
    print("median inverse Simpson of 90 equal neighbours: " + ", ".join(f"{k} {v:.3f}" for k, v in near.items()))
    about = {"before": ds.read("obsm/X_pca"), "after": Z, "batch": codes[batch], "kind": codes[labels]}
    spaces = ("before", "after")
    indices = {f"{space}_{index}": stored[space][index] for space in spaces for index in ("ilisi", "clisi")}
    scores = {f"{space}_{one}": table.loc[space, one] for space in table.index for one in table.columns}
    np.savez(folder / f"{name}.npz", **about, **indices, **{f"score_{key}": value for key, value in scores.items()})


def plain_lisi(rows: np.ndarray, codes: np.ndarray, k: int = 90) -> float:
    """Median effective number of batches among k nearest neighbours that all count alike."""
    from kithkin.models import Neighbors

    near = codes[Neighbors(k + 1).fit(rows).indices_]
    shares = np.stack([(near == code).mean(axis=1) for code in np.unique(codes)], axis=1)
    return float(np.median(1 / np.square(shares).sum(axis=1)))


def check_real(folder: Path) -> None:
    """Compare with harmonypy and scib-metrics (run by their interpreter)."""
    import harmonypy
    import pandas as pd
    import scib_metrics
    from scib_metrics.nearest_neighbors import NeighborsResults
    from sklearn.neighbors import NearestNeighbors

    for path in sorted(folder.glob("*.npz")):
        data = np.load(path)
        batches = pd.DataFrame({"b": data["batch"], "k": data["kind"]})
        peer = harmonypy.run_harmony(data["before"], batches, "b", verbose=False, max_iter_harmony=30).Z_corr
        other = harmonypy.run_harmony(
            data["before"], batches, "b", verbose=False, max_iter_harmony=30, random_state=1
        ).Z_corr
        least, own = correlations(peer, data["after"]).min(), correlations(peer, other).min()
        print(f"\n{path.stem}: least correlation with harmonypy {least:.4f} (of harmonypy with another seed {own:.4f})")
        for space, rows in (("before", data["before"]), ("after", data["after"]), ("harmonypy", peer)):
            distances, indices = NearestNeighbors(n_neighbors=91).fit(rows).kneighbors(rows)
            near = NeighborsResults(indices=indices, distances=distances)
            graph = NeighborsResults(indices=indices[:, :15], distances=distances[:, :15])
            lisi = {"ilisi": "batch", "clisi": "kind"}
            cells = {one: scib_metrics.lisi_knn(near, data[codes], perplexity=30) for one, codes in lisi.items()}
            scores = {one: float(np.median(values)) for one, values in cells.items()} | {
                "silhouette_batch": scib_metrics.silhouette_batch(rows, data["kind"], data["batch"]),
                "silhouette_labels": scib_metrics.silhouette_label(rows, data["kind"]),
                "graph_connectivity": scib_metrics.graph_connectivity(graph, data["kind"]),
            }
            print(f"  scib-metrics, {space}: " + ", ".join(f"{one} {value:.4f}" for one, value in scores.items()))
            if space != "harmonypy":
                by_cell = [np.abs(values - data[f"{space}_{one}"]).max() for one, values in cells.items()]
                ours = [abs(value - float(data[f"score_{space}_{one}"])) for one, value in scores.items()]
                print(f"    largest difference from kithkin: index of a cell {max(by_cell):.4f}, score {max(ours):.5f}")


def real(options: argparse.Namespace) -> None:
    """Agreement and mixing on real cells."""
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        given = ["real", str(options.source), "--at", name]
        run_apart(sys.executable, __file__, "prepare", given, options.threads)
        if options.peer:
            run_apart(options.peer, __file__, "check", given, options.threads)


def child(options: argparse.Namespace) -> None:
    """Do the part of the work that belongs into a process of its own."""
    at = Path(options.at)
    if options.child == "write":
        write_simulated(at, options.rows)
    elif options.child == "prepare":
        prepare_real(at, options.source)
    elif options.child == "check":
        check_real(at)
    work = {"kithkin": by_kithkin, "harmonypy": by_harmonypy}.get(options.child)
    print(json.dumps(work(at, options) if work else {}))


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["size", "real"])
    parser.add_argument("source", type=Path, nargs="?", help="folder with the real samples")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--peer", help="Python interpreter with harmonypy and scib-metrics")
    parser.add_argument("--memory", default="256MB")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", help="folder for the datasets")
    parser.add_argument("--child")
    parser.add_argument("--at")
    options = parser.parse_args()
    if options.child:
        child(options)
    else:
        {"size": size, "real": real}[options.what](options)


if __name__ == "__main__":
    main()
