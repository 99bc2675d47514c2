"""Doublets that are known: real sorted cells and simulated ones with summed pairs, and real cells with hashtags.

Usage: python benchmarks/doublets.py sorted pbmc_facs.h5ad [--pairs 301] [--peer PYTHON_WITH_CREST_SC]
       python benchmarks/doublets.py simulated sim100k.h5ad [--rate 0.08]
       python benchmarks/doublets.py hashed citeseq_hto.h5ad

Pairs of cells are drawn at random, and the sum of their counts is added as a cell more. AUROC is that of all sums, of
those of two different types (`heterotypic`), and of those of one type, against the cells as they are, some of which are
doublets that nobody knows. `parents` is the share of calls of two different groups of which both are right: the groups
of the two cells that were added, as the labels of the file or as found among the cells. Each method runs in a process
of its own, which first scores a part of the file, so that compilation is not counted.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from timing import Steps, markdown, run_apart

TYPES = ("celltype", "cell_type", "group")
HASHED = 25  # counts of a hashtag from which a cell has it: between the two modes


CREST = """
import json, resource, sys
import numpy as np, crest
def cpu():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
crest.pp.scrublet(crest.read_h5ad(sys.argv[1]))
bf = crest.read_h5ad(sys.argv[1])
began = cpu()
bf = crest.pp.scrublet(bf)
seconds = cpu() - began
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
np.save(sys.argv[2], np.asarray(bf.obs["doublet_score"], float))
print(json.dumps({"cpu_s": seconds, "peak_MB": peak}))
"""


def auroc(scores: Any, truth: Any) -> float:
    """Area under the curve of true against false calls: the share of pairs in the right order, ties one half."""
    from scipy.stats import rankdata

    ranks, n = rankdata(scores), int(truth.sum())
    return float((ranks[truth].sum() - n * (n + 1) / 2) / (n * (len(truth) - n)))


def with_pairs(source: Path, target: Path, n_pairs: int, seed: int) -> None:
    """Write the cells of a file and sums of pairs of them, block by block."""
    import anndata as ad
    import pandas as pd
    from scipy import sparse

    cells = ad.read_h5ad(source)
    rng = np.random.default_rng(seed)
    n, X = cells.n_obs, sparse.csr_matrix(cells.X)
    pairs = np.array([rng.choice(n, 2, replace=False) for _ in range(n_pairs)])
    kind = next(name for name in TYPES if name in cells.obs)
    types = cells.obs[kind].astype(str).to_numpy()
    obs = pd.DataFrame(
        {
            "type": [*types, *(["pair"] * n_pairs)],
            "first": np.r_[np.full(n, -1), pairs[:, 0]],
            "second": np.r_[np.full(n, -1), pairs[:, 1]],
            "is_pair": np.r_[np.zeros(n, bool), np.ones(n_pairs, bool)],
            "is_heterotypic": np.r_[np.zeros(n, bool), types[pairs[:, 0]] != types[pairs[:, 1]]],
        },
        index=[f"c{k}" for k in range(n + n_pairs)],
    )
    whole = sparse.vstack([X, X[pairs[:, 0]] + X[pairs[:, 1]]], format="csr")
    var = pd.DataFrame(index=cells.var_names.astype(object))
    ad.AnnData(whole.astype(np.float32), obs=obs, var=var).write_h5ad(target)


def known(obs: Any, scores: Any, called: Any) -> dict[str, float]:
    """Compare scores and calls with the pairs."""
    pair, mixed = (obs[name].to_numpy(bool) for name in ("is_pair", "is_heterotypic"))
    row = {"pairs": int(pair.sum()), "of them heterotypic": int(mixed.sum()), "AUROC all": auroc(scores, pair)}
    for name, some in (("heterotypic", ~pair | mixed), ("homotypic", ~pair | ~mixed)):
        row[f"AUROC {name}"] = auroc(scores[some], pair[some])
    if not called.any():
        return row
    return row | {"precision": float(pair[called].mean()), "recall": float(called[pair].mean())}


def right_parents(obs: Any, called: Any, texts: Any, groups: Any) -> float:
    """Share of called pairs of two different groups of which both groups are right."""
    rows = np.flatnonzero(obs["is_pair"].to_numpy(bool) & called)
    first, second = (groups[obs[name].to_numpy()[rows]] for name in ("first", "second"))
    apart = first != second
    right = [{*text.split(" + ")} == {a, b} for text, a, b in zip(texts[rows], first, second, strict=True)]
    return float(np.mean(np.array(right)[apart]))


def child(options: argparse.Namespace) -> None:
    """Import, warm up, score and print."""
    import kithkin as kk

    how = {"memory": options.memory, "threads": options.threads, "progress": False}
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder, method = Path(name), options.child
        ds = kk.read(options.made, to=folder / "cells.zarr", **how)
        some = np.random.default_rng(0).permutation(ds.n_obs) < 900
        part = kk.subset(ds, cells=some, to=folder / "part.zarr")
        kk.doublets(part, method=method)
        steps = Steps(loud=False)
        found = steps("doublets", lambda: kk.doublets(ds, method=method))
        row: dict[str, Any] = dict(steps.rows["doublets"])
        scores, called = found["doublet_score"].to_numpy(), found["doublet"].to_numpy(bool)
        row |= ds.read("uns/doublet")["samples"].iloc[0].to_dict()
        obs = ds.obs
        if options.what == "hashed":
            tags = (ds["obsm/HTO"].to_numpy() > HASHED).sum(axis=1)
            row |= {"two hashtags": int((tags > 1).sum()), "AUROC": auroc(scores, tags > 1)}
            row |= {"of them called": int((called & (tags > 1)).sum())}
        else:
            row |= known(obs, scores, called)
            by_type = kk.doublets(ds, method=method, groups="obs/type", key=None)
            texts, types = by_type["doublet_of"].astype(object).to_numpy(), obs["type"].astype(str).to_numpy()
            row["parents, by type"] = right_parents(obs, by_type["doublet"].to_numpy(bool), texts, types)
            row["parents, by groups"] = by_groups(ds, method)
        print(json.dumps({key: float(value) for key, value in row.items()}))


def by_groups(ds: Any, method: str) -> float:
    """Share of right parents, where the groups are Leiden's of all cells."""
    import kithkin as kk

    kk.variable_genes(ds, 2000)
    kk.pca(ds, 30)
    kk.neighbors(ds)
    kk.leiden(ds, 0.5)
    found = kk.doublets(ds, method=method, groups="obs/leiden", key=None)
    groups = ds["obs/leiden"].astype(str).to_numpy()
    return right_parents(ds.obs, found["doublet"].to_numpy(bool), found["doublet_of"].astype(object).to_numpy(), groups)


def run_peer(python: str, made: Path, scores: Path) -> dict[str, float]:
    """Score the file by Scrublet of crest-sc."""
    import anndata as ad

    command = [python, "-W", "ignore", "-c", CREST, str(made), str(scores)]
    row = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
    found, obs = np.load(scores), ad.read_h5ad(made, backed="r").obs
    return row | known(obs, found, np.zeros(len(found), bool))


def main() -> None:
    """Make the set, score it by both methods, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("sorted", "simulated", "hashed"))
    parser.add_argument("source", type=Path)
    parser.add_argument("--pairs", type=int, default=301)
    parser.add_argument("--rate", type=float, default=0.08, help="share of pairs among simulated cells")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--memory", default="256MB")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", help="folder for the datasets")
    parser.add_argument("--made", type=Path, help="the set, where it was made before")
    parser.add_argument("--ways", nargs="+", default=("simulate", "mixture"))
    parser.add_argument("--peer", help="a Python interpreter with crest-sc, whose Scrublet scores the same file")
    parser.add_argument("--child")
    options = parser.parse_args()
    if options.child:
        child(options)
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        made = options.made or Path(name) / "pairs.h5ad"
        if options.what == "hashed":
            made = options.source
        elif not made.exists():
            import h5py

            with h5py.File(options.source) as file:
                n = int(file["X"].attrs["shape"][0]) if "shape" in file["X"].attrs else file["X"].shape[0]
            n_pairs = options.pairs if options.what == "sorted" else round(options.rate * n)
            with_pairs(options.source, made, n_pairs, options.seed)
        given = [options.what, str(options.source), "--made", str(made), "--memory", options.memory]
        given += ["--folder", options.folder] if options.folder else []
        found = {way: run_apart(sys.executable, __file__, way, given, options.threads) for way in options.ways}
        if options.peer:
            found["crest-sc"] = run_peer(options.peer, made, Path(name) / "scores.npy")
    rows = [[name, *(f"{row.get(name, np.nan):,.4g}" for row in found.values())] for name in next(iter(found.values()))]
    print(markdown(["", *found], rows))


if __name__ == "__main__":
    main()
