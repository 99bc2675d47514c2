"""Shares of held-out cells that each modality gives back, against the best rule there is; and what 100,000 cells cost.

Usage: python benchmarks/faces.py bayes [--cells 20000] [--sets 3]
       python benchmarks/faces.py cost [--cells 100000] [--threads 1] [--folder SCRATCH]

"bayes" draws cells of six clusters of unequal size with four modalities, which are independent given the cluster:
counts of 1,000 genes (Poisson, and negative binomial in every second set) with a depth that varies, thumbnails with two
patterns whose strength depends on the cluster, 20 measures with a spread of their own in each cluster, and neighbours
in a graph. Each tells some clusters from others. It prints the share of each cluster that kithkin.explain finds beside
that of the best rule for clusters of equal weight, which knows the true distributions (of neighbours: with a quarter of
them hidden, as they are to kithkin.explain).
"cost" writes thumbnails of 12 channels of 58 x 58 pixels with counts of 1,000 genes, measures and neighbours, and
prints the processor time and the peak memory of kithkin.explain on all four in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from typing import Any

import numpy as np
from scipy import sparse
from scipy.special import gammaln

from timing import Steps, markdown, run_apart

SIZES = (0.3, 0.25, 0.2, 0.12, 0.08, 0.05)
PLACES = {
    "X": "X",
    "thumbnails": "obsm/thumbnails",
    "features": "obsm/features",
    "graph": "obsp/spatial_connectivities",
}
N_GENES, N_MEASURES, N_NEIGHBORS, SIDE, AT_A_TIME = 1000, 20, 6, 24, 1000


def draw_counts(codes: Any, k: int, rng: Any, dispersion: float) -> tuple[Any, Any]:
    """Draw counts, and the log-likelihood of each cluster for each cell."""
    profile = rng.gamma(0.5, 1.0, N_GENES)
    profiles = np.tile(profile / profile.sum(), (k, 1))
    for group, strength in enumerate((0.9, 0.5, 0.35, 0.3, 0.2)):  # the last cluster is as the common profile
        genes = rng.choice(N_GENES, 60, replace=False)
        profiles[group, genes] *= np.exp(rng.normal(0, strength, 60))
    depth = 1000 * np.exp(rng.normal(0, 0.4, len(codes)))
    parts, likelihood = [], np.zeros((len(codes), k))
    for start in range(0, len(codes), AT_A_TIME):
        part = slice(start, start + AT_A_TIME)
        mean = depth[part, None] * profiles[codes[part]]
        noise = rng.gamma(1 / dispersion, dispersion, mean.shape) if dispersion else 1.0
        x = rng.poisson(mean * noise)
        for group in range(k):
            mu = depth[part, None] * profiles[group]
            if dispersion:
                size = 1 / dispersion
                logs = gammaln(x + size) - (x + size) * np.log(size + mu) + x * np.log(mu)
            else:
                logs = x * np.log(mu) - mu
            likelihood[part, group] = logs.sum(axis=1)
        parts.append(sparse.csr_matrix(x.astype(np.uint16)))
    return sparse.vstack(parts, "csr"), likelihood


def draw_thumbnails(codes: Any, k: int, rng: Any) -> tuple[Any, Any]:
    """Draw thumbnails of two channels, each a blob and a pattern, and the likelihoods of the strengths."""
    means = np.zeros((k, 2))
    means[[0, 1, 4]] = [[2.0, 0.0], [2.0, 1.0], [0.0, 1.5]]
    strength = means[codes] + rng.normal(0, 1, (len(codes), 2))
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    blob = 100 * np.exp(-(x**2 + y**2) / 60)
    patterns = [8 * np.exp(-((np.hypot(x, y) - 7) ** 2) / 6), 8 * np.exp(-(x**2 + y**2) / 12)]
    pixels = np.empty((len(codes), 2, SIDE, SIDE), np.uint16)
    for start in range(0, len(codes), AT_A_TIME):
        part = slice(start, start + AT_A_TIME)
        for channel in range(2):
            light = blob + (4 + strength[part, channel, None, None]) * patterns[channel]
            pixels[part, channel] = np.maximum(np.rint(light + rng.normal(0, 1, light.shape)), 0)
    return pixels, -0.5 * ((strength[:, None] - means) ** 2).sum(axis=2)


def draw_measures(codes: Any, k: int, rng: Any) -> tuple[Any, Any]:
    """Draw columns whose means, and whose spread, depend on the cluster."""
    means, spread = rng.normal(0, 0.25, (k, N_MEASURES)), np.array([1, 1, 1.5, 1, 0.7, 1])[:k]
    values = means[codes] + spread[codes, None] * rng.normal(size=(len(codes), N_MEASURES))
    away = ((values[:, None] - means) ** 2).sum(axis=2)
    return (50 + 20 * values).astype(np.float32), -0.5 * away / spread**2 - N_MEASURES * np.log(spread)


def draw_graph(codes: Any, k: int, rng: Any) -> tuple[Any, Any]:
    """Draw neighbours whose clusters depend on that of the cell; a quarter of them does not tell its cluster."""
    chance = np.full((k, k), 0.5 / k) + np.diag(np.array([0.1, 0.2, 0.8, 0.4, 0.2, 0.1])[:k])
    chance /= chance.sum(axis=1, keepdims=True)
    n = len(codes)
    bounds = chance.cumsum(axis=1)[codes]
    near = (rng.random((n, N_NEIGHBORS, 1)) > bounds[:, None]).sum(axis=2).clip(0, k - 1)
    cells = np.empty((n, N_NEIGHBORS), np.int64)
    for group in range(k):
        cells[near == group] = rng.choice(np.flatnonzero(codes == group), int((near == group).sum()))
    rows = np.repeat(np.arange(n), N_NEIGHBORS)
    graph = sparse.csr_matrix((np.ones(rows.size, np.float32), (rows, cells.ravel())), shape=(n, n))
    known = (rng.random((n, N_NEIGHBORS)) > 0.25)[:, :, None]
    return graph, (np.log(chance).T[near] * known).sum(axis=1)


def best_shares(likelihood: Any, codes: Any) -> Any:
    """Return the share of each cluster that the best rule for clusters of equal weight gives back."""
    tied = likelihood >= likelihood.max(axis=1, keepdims=True) - 1e-9
    part = tied / tied.sum(axis=1, keepdims=True)  # of clusters that are the same here each gets its part
    return np.array([part[codes == group, group].mean() for group in range(likelihood.shape[1])])


def draw(n: int, seed: int) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """Draw the clusters, the modalities, and the shares of the best rules."""
    rng, k = np.random.default_rng(seed), len(SIZES)
    codes = rng.choice(k, n, p=SIZES)
    drawn = {
        "X": draw_counts(codes, k, rng, 0.5 * (seed % 2)),
        "thumbnails": draw_thumbnails(codes, k, rng),
        "features": draw_measures(codes, k, rng),
        "graph": draw_graph(codes, k, rng),
    }
    best = {name: best_shares(logs, codes) for name, (_, logs) in drawn.items()}
    best["together"] = best_shares(sum(logs for _, logs in drawn.values()), codes)
    return codes, {name: values for name, (values, _) in drawn.items()}, best


def against_bayes(options: argparse.Namespace) -> None:
    """Print the shares that are found beside the best ones, and the largest difference."""
    import kithkin as kk

    for seed in range(options.sets):
        codes, values, best = draw(options.cells, seed)
        with tempfile.TemporaryDirectory() as folder:
            ds = kk.read(values["X"], to=f"{folder}/cells.zarr", kind="counts", progress=False)
            kk.annotate(ds, "kind", codes.astype(str))
            ds.write({PLACES[name]: values[name] for name in PLACES if name != "X"})
            found = kk.explain(ds, "obs/kind", on=list(PLACES.values()))
        rows, gaps = [], []
        for name, place in [*PLACES.items(), ("together", "together")]:
            shares = found[found["on"] == place].set_index("group")["share"]
            mine = np.array([shares[str(group)] for group in range(len(SIZES))])
            gaps.append(mine - best[name])
            rows.append([name, *(f"{a:.3f} ({b:.3f})" for a, b in zip(mine, best[name], strict=True)),
                         f"{mine.mean():.3f} ({best[name].mean():.3f})"])  # fmt: skip
        kind = "negative binomial" if seed % 2 else "Poisson"
        print(f"set {seed}, {kind}: share found (share of the best rule)")
        print(markdown(["modality", *map(str, range(len(SIZES))), "mean"], rows))
        mean = max(abs(one.mean()) for one in gaps)
        print(f"largest difference of a cluster {np.abs(gaps).max():.3f}, of a mean {mean:.3f}\n", flush=True)


def write_large(n: int, path: str) -> None:
    """Write a dataset of cells with thumbnails of 12 channels of 58 x 58 pixels, some at a time."""
    import zarr

    import kithkin as kk
    from kithkin.core.layout import create_table

    rng, k, shape = np.random.default_rng(0), len(SIZES), (12, 58, 58)
    codes = rng.choice(k, n, p=SIZES)
    counts, _ = draw_counts(codes, k, rng, 0.0)
    ds = kk.read(counts, to=path, kind="counts", progress=False)
    kk.annotate(ds, "kind", codes.astype(str))
    ds.write({"obsm/features": draw_measures(codes, k, rng)[0], PLACES["graph"]: draw_graph(codes, k, rng)[0]})
    place = 10 * rng.random((k, *shape)) + 40 * np.hypot(*np.mgrid[-1:1:58j, -1:1:58j])
    noise = rng.poisson(30, (64, *shape))
    table = create_table(zarr.open_group(path)["obsm"], "thumbnails", np.uint16, (n, *shape), n)
    for start in range(0, n, 512):  # the pixels of all would be 8 GB
        part = codes[start : start + 512]
        strength = rng.gamma(4, 0.25, (len(part), 12, 1, 1))
        table[start : start + 512] = (strength * place[part] + noise[rng.integers(64, size=len(part))]).astype(
            np.uint16
        )


def cost(options: argparse.Namespace) -> None:
    """Print what kithkin.explain takes on all four modalities; a few cells come first, as compiling takes time."""
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for name, n in (("warm", 500), ("cells", options.cells)):
            write_large(n, f"{folder}/{name}.zarr")
        found = run_apart(sys.executable, __file__, folder, ["cost"], options.threads)
    row = [f"{options.cells:,}", f"{found['cpu_s']:.0f}", f"{found['wall_s']:.0f}", f"{found['peak_MB']:.0f}"]
    print(markdown(["cells", "CPU s", "s", "peak MB"], [row]))


def measure(folder: str, threads: int) -> None:
    """Explain both datasets of a folder within a budget of 1 GB, and print what the second took as a line of JSON."""
    import kithkin as kk

    steps = Steps()
    for name in ("warm", "cells"):
        ds = kk.open(f"{folder}/{name}.zarr", memory="1GB", threads=threads)
        found = steps(name, lambda ds=ds: kk.explain(ds, "obs/kind", on=list(PLACES.values()), key=None))
    print(found.pivot_table(index="group", columns="on", values="share", observed=True).round(3).to_string())
    print(json.dumps(steps.rows["cells"]))


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["bayes", "cost"])
    parser.add_argument("--cells", type=int, default=0, help="20,000 for bayes and 100,000 for cost by default")
    parser.add_argument("--sets", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--folder", help="for the dataset of cost, 9 GB")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.cells = options.cells or (20_000 if options.what == "bayes" else 100_000)
    if options.child:
        measure(options.child, options.threads)
    else:
        {"bayes": against_bayes, "cost": cost}[options.what](options)


if __name__ == "__main__":
    main()
