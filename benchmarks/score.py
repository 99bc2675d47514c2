"""Scores of gene sets: agreement with peers, CPU seconds, peak memory, and how well marker sets name sorted cells.

Usage: python benchmarks/score.py sim100k.h5ad [--facs pbmc_facs.h5ad] [--sets 100] [--peer PYTHON] [--peer-cells 5000]

PYTHON is an interpreter with pyucell, decoupler and scanpy, which score the sorted cells whole, where scores are
compared, and the first cells of the large file, where seconds are; each is warmed up first. Sets are of 50 genes each,
drawn by how many cells have them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

import kithkin as kk
from timing import Steps, markdown, run_apart

METHODS = {"ucell": "pyucell", "aucell": "decoupler", "mean": "scanpy"}
FACS = Path(__file__).parents[2] / "shared" / "data" / "pbmc_facs.h5ad"

PEER = """
import json, sys, time, warnings
import anndata as ad, decoupler as dc, numpy as np, pandas as pd, pyucell, scanpy as sc
warnings.simplefilter("ignore")
source, sets, out, n = sys.argv[1], json.load(open(sys.argv[2])), sys.argv[3], int(sys.argv[4])
data = ad.read_h5ad(source)
data = data[: n or None].copy()
data.X = data.X.tocsr().astype(np.float32)
net = pd.DataFrame([(name, gene) for name, genes in sets.items() for gene in genes], columns=["source", "target"])

def ucell(data):
    there = data.copy()
    pyucell.compute_ucell_scores(there, sets, n_jobs=1)
    return there.obs[[name + "_UCell" for name in sets]].to_numpy()

def aucell(data):
    rows = [data.X.toarray(), np.array(data.obs_names), np.array(data.var_names)]
    return dc.mt.aucell(rows, net, tmin=1)[0][list(sets)].to_numpy()

def mean(data):
    there = data.copy()
    sc.pp.normalize_total(there, target_sum=1e4)
    sc.pp.log1p(there)
    for name in sets:
        sc.tl.score_genes(there, sets[name], score_name=name)
    return there.obs[list(sets)].to_numpy()

found, seconds = {}, {}
for score in (ucell, aucell, mean):
    score(data[:100].copy())
    begin = time.process_time()
    found[score.__name__] = score(data)
    seconds[score.__name__] = time.process_time() - begin
np.savez(out, **found)
print(json.dumps(seconds))
"""


def draw_sets(ds: kk.Dataset, n_sets: int) -> dict[str, list[str]]:
    """Draw sets of 50 genes, of which common ones come more often."""
    weight = ds["var/n_cells"].to_numpy() + 1.0
    rng = np.random.default_rng(0)
    draws = (rng.choice(ds.n_vars, 50, replace=False, p=weight / weight.sum()) for _ in range(n_sets))
    return {f"set {k}": ds.var_names[genes].tolist() for k, genes in enumerate(draws)}


def ask(peer: str, source: str, sets: dict[str, list[str]], n_cells: int) -> tuple[dict[str, float], dict[str, object]]:
    """Score with the peers: CPU seconds, and scores."""
    with tempfile.TemporaryDirectory() as folder:
        listed, out = Path(folder) / "sets.json", Path(folder) / "scores.npz"
        listed.write_text(json.dumps(sets))
        command = [peer, "-c", PEER, source, str(listed), str(out), str(n_cells)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        with np.load(out) as scores:
            return json.loads(done.stdout.splitlines()[-1]), dict(scores)


def child(source: str, method: str, n_sets: int) -> None:
    """Score a dataset with compiled code that is warm, and print seconds and peak memory."""
    with tempfile.TemporaryDirectory() as folder:
        warm = kk.read(kk.datasets.simulate_counts(200, 2000), to=f"{folder}/a.zarr", progress=False)
        kk.score(warm, {"a": ["GENE1"], "b": ["GENE2"]}, method=method)
    ds, steps = kk.open(source, progress=False), Steps(loud=False)
    sets = draw_sets(ds, n_sets)
    steps(method, lambda: kk.score(ds, sets, method=method, key=f"by_{method}"))
    print(json.dumps(steps.rows[method]))


def names_of_halves(ds: kk.Dataset, method: str, n_genes: int) -> list[float]:
    """Name one half of sorted cells by marker sets of the other: the share that is named right, for five draws."""
    kind, shares = ds["obs/celltype"].astype(str).to_numpy(), []
    for seed in range(5):
        half = np.random.default_rng(seed).random(len(kind)) < 0.5
        kk.annotate(ds, "half", pd.Series(np.where(half, kind, None), index=ds.obs_names))
        tests = kk.markers(ds, "half", key=None)
        groups = tests.groupby("group", observed=True)
        sets = {name: part["gene"].astype(str).tolist()[:n_genes] for name, part in groups}
        kk.score(ds, sets, method=method, key="named", seed=seed)
        named = ds["obs/named"].astype(str).to_numpy()
        shares.append(float((named == np.char.replace(kind.astype(str), "/", "|"))[~half].mean()))
    return shares


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("counts")
    parser.add_argument("--facs", default=str(FACS))
    parser.add_argument("--sets", type=int, default=100)
    parser.add_argument("--peer")
    parser.add_argument("--peer-cells", type=int, default=5000)
    parser.add_argument("--threads", default="2")
    parser.add_argument("--child")
    options = parser.parse_args()
    if options.child:
        child(options.counts, options.child, options.sets)
        return
    with tempfile.TemporaryDirectory() as folder:
        large = kk.read(options.counts, to=f"{folder}/large.zarr", progress=False)
        small = kk.read(options.facs, to=f"{folder}/facs.zarr", progress=False)
        seconds, differ = dict[str, float](), dict[str, float]()
        if options.peer:
            sets = draw_sets(small, 20)
            _, theirs = ask(options.peer, options.facs, sets, 0)
            for method in METHODS:
                ours = kk.score(small, sets, method=method, key=None).to_numpy()
                differ[method] = float(np.abs(ours - theirs[method]).max())
            seconds, _ = ask(options.peer, options.counts, draw_sets(large, options.sets), options.peer_cells)
        rows = []
        for method, peer in METHODS.items():
            arguments = [str(large.path), "--sets", str(options.sets)]
            took = run_apart(sys.executable, __file__, method, arguments, int(options.threads))
            per = seconds[method] * large.n_obs / options.peer_cells if seconds else np.nan
            apart = f"{differ.get(method, np.nan):.1e}"
            rows.append([method, f"{took['cpu_s']:.1f}", f"{took['peak_MB']:.0f}", f"{peer} {per:.0f}", apart])
        work = f"{options.sets} sets, {large.n_obs:,} cells: CPU s"
        print(markdown(("", work, "peak MB", "peer, CPU s of as many cells", "largest difference"), rows))
        rows = []
        for method in METHODS:
            for n_genes in (20, 50, 100, 200):
                right = names_of_halves(small, method, n_genes)
                rows.append([method, str(n_genes), f"{np.mean(right):.3f}", f"{min(right):.3f}", f"{max(right):.3f}"])
        print(markdown(("", "markers of a kind", "named right", "least", "most"), rows))


if __name__ == "__main__":
    main()
