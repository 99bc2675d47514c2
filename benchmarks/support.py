"""Clusters of one kind of cells, and of many: how many are left when each split must be supported.

Usage: python benchmarks/support.py null profile.h5ad [--sets 20] [--largest 100000]
       python benchmarks/support.py kinds counts.h5ad --truth subtype
       python benchmarks/support.py genes [--sets 20]
       python benchmarks/support.py values [mnist_train.npz] [--sets 20]

"null" draws sets of cells of one kind around the summed counts of the first cell type of a file (obs "celltype"), runs
kithkin.run, and prints how many clusters Leiden and Paris find in them, how many genes Wilcoxon's test calls markers of
these, and how many groups kithkin.support leaves. Poisson and negative binomial (a dispersion of each gene from a gamma
distribution of mean 1), with and without depth that varies (log-normal, 0.4) and a batch of a third of the depth.
"kinds" does so for a file with known kinds, and prints what it took beside the run before it. "genes" tests p of 2,000
genes between two arbitrary halves of 3,000 cells of one kind for being uniform (Kolmogorov and Smirnov).
"values" cuts clouds, cubes and rings of one kind by Leiden and Paris, and prints how many sets stay one group, beside
two other tests of the same splits: the dip of the rows of both clusters alone, and the likelihood ratio of two normal
distributions against one (chi-squared, 3 degrees of freedom); then the digits of a file, as docs/digits.md reads them.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from timing import Steps, markdown

ROWS = 500  # cells drawn at a time


def profile_of(source: Path, label: str = "celltype") -> Any:
    """Return the shares of the genes in the first cell type of a file."""
    import anndata as ad

    cells = ad.read_h5ad(source)
    kinds = cells.obs[label].astype(str).to_numpy()
    sums = np.asarray(cells.X[kinds == min(kinds)].sum(axis=0), np.float64).ravel()
    return sums[sums > 0] / sums.sum()


def one_kind(profile: Any, n: int, seed: int) -> tuple[str, sparse.csr_matrix]:
    """Draw a set of cells of one kind; the number of the set says of what sort."""
    rng = np.random.default_rng(seed)
    noise, depth, batches = bool(seed // 2 % 2), bool(seed % 2), seed % 4 == 3
    size = 2000 * np.exp(rng.normal(0, 0.4 * depth, n))
    size[: n // 2] *= 1 / 3 if batches else 1
    dispersion = rng.gamma(2, 0.5, len(profile))
    parts = []
    for start in range(0, n, ROWS):
        mean = size[start : start + ROWS, None] * profile
        if noise:
            mean *= rng.gamma(1 / dispersion, dispersion, mean.shape)
        parts.append(sparse.csr_matrix(rng.poisson(mean).astype(np.uint16)))
    said = ["negative binomial" if noise else "Poisson", "depth" if depth else "", "batches" if batches else ""]
    return ", ".join(filter(None, said)), sparse.vstack(parts, "csr")


def null_sets(options: argparse.Namespace) -> Iterator[list[Any]]:
    """Run every set, and yield a row of the table."""
    import anndata as ad

    import kithkin as kk

    profile = profile_of(options.source)
    for seed in range(options.first, options.sets):
        n = {17: 10_000, 18: 30_000, 19: options.largest}.get(seed, 3000)
        sort, X = one_kind(profile, n, seed)
        with tempfile.TemporaryDirectory() as folder:
            ds = kk.run(ad.AnnData(X), to=f"{folder}/a.zarr", cells="n_counts >= 1", threads=2, progress=False)
            kk.paris(ds)
            found = []
            for by in ("obs/leiden", "obs/paris"):
                found.append(ds.read(by).nunique())
                table = kk.support(ds, by)
                found.append(ds.read("obs/support").nunique())
                found.append(f"{table['pval_adj'].min():.3g}" if len(table) else "")
            tests = kk.markers(ds, "obs/leiden", key=None) if found[0] > 1 else None
            markers = 0 if tests is None else int((tests["pval_adj"] <= 0.05).sum())
            yield [seed, sort, f"{n:,}", found[0], markers, *found[1:]]


def kinds(options: argparse.Namespace) -> None:
    """Test clusters of known kinds, and print what is left and what it took."""
    import kithkin as kk
    from kithkin.metrics.partition import adjusted_rand, contingency

    with tempfile.TemporaryDirectory() as folder:
        steps = Steps(loud=False)
        warm(folder)
        ds = steps("run", lambda: kk.run(options.source, to=f"{folder}/a.zarr", threads=2, progress=False))
        table = steps("its support alone", lambda: kk.support(ds, key=None))
        truth = np.unique(ds.read(f"obs/{options.truth}").astype(str), return_inverse=True)[1]
        for key in ("obs/leiden", "obs/support"):
            codes = ds.read(key).cat.codes.to_numpy().astype(np.int64)
            ari = adjusted_rand(contingency(codes, truth))
            print(f"{key}: {codes.max() + 1} groups of {truth.max() + 1} kinds, ARI {ari:.3f}")
        print(table.drop(columns="genes").to_string())
        for name, row in steps.rows.items():
            print(name, row)


def genes(options: argparse.Namespace) -> None:
    """Test the genes of sets of one kind between arbitrary halves, and print how often p is uniform."""
    from scipy import stats

    from kithkin.core.blocks import InMemory
    from kithkin.core.execute import Execution
    from kithkin.models.support.agreement import Halves
    from kithkin.models.support.calls import Drawn
    from kithkin.models.support.gene_tests import likelihood_ratio_tests, side_sums

    n, p = 3000, 2000
    halves, nothing = (np.arange(p) % 2).astype(np.int8), np.zeros(n, np.int64)
    for noise in (False, True):
        uniform, small = 0, []
        for seed in range(options.sets):
            rng = np.random.default_rng(1000 + seed)
            size, means, dispersion = np.exp(rng.normal(0, 0.4, n)), rng.gamma(1, 1, p), rng.gamma(2, 0.25, p) + 0.01
            X = np.zeros((n, p), np.int32)
            for start in range(0, n, ROWS):
                mean = size[start : start + ROWS, None] * means
                X[start : start + ROWS] = rng.poisson(
                    mean * rng.gamma(1 / dispersion, dispersion, mean.shape) if noise else mean
                )
            depths = np.stack([X[:, halves == half].sum(axis=1) for half in range(2)], axis=1).astype(float)
            sides = np.repeat(rng.normal(0, 1, (n, 1)), 2, axis=1)[:, :, None]
            scored = Halves(depths, np.stack([nothing, nothing], axis=1), sides, sides, nothing, nothing)
            drawn = Drawn(np.ones(n, bool), nothing, halves)
            sums = side_sums(InMemory(X), drawn, np.arange(p), scored, np.ones((n, 1), bool), Execution(threads=1))
            found = likelihood_ratio_tests(sums)[0][0]
            found = found[np.isfinite(found)]
            uniform += stats.kstest(found, "uniform").pvalue > 0.05
            small.append(np.mean(found < 0.05))
        sort = "negative binomial" if noise else "Poisson"
        print(f"{sort}: uniform in {uniform} of {options.sets}; {100 * np.mean(small):.1f} % of p below 0.05")


def one_cloud(sort: str, n: int, rng: np.random.Generator) -> Any:
    """Draw rows of one kind."""
    X = rng.normal(size=(n, 20))
    if sort == "anisotropic cloud":
        return X * np.linspace(3, 0.3, 20)
    if sort == "correlated cloud":
        return X @ rng.normal(size=(20, 20))
    if sort == "Student's t, 4":
        return X / np.sqrt(rng.chisquare(4, (n, 1)) / 4)
    if sort == "exponential columns":
        return rng.exponential(size=(n, 5))
    if sort.startswith("cube"):
        return rng.random((n, int(sort.split()[1])))
    if sort == "ring":
        turn = 2 * np.pi * rng.random(n)
        return np.stack([np.cos(turn), np.sin(turn)], axis=1) + 0.1 * rng.normal(size=(n, 2))
    return X


CLOUDS = ("cloud", "anisotropic cloud", "correlated cloud", "Student's t, 4", "exponential columns")
SORTS = (*CLOUDS, "cube 20", "cube 2", "cube 1", "ring")


def other_tests(X: Any, codes: Any, pairs: Any) -> tuple[int, int]:
    """Count the splits that two other tests of held-out rows support."""
    from kithkin.models.support.dip_test import dip_test
    from kithkin.models.support.discriminant import learn_discriminant
    from kithkin.models.support.value_support import means_of

    half, p = np.random.default_rng(0).random(len(X)) < 0.5, []
    for pair in pairs:
        own = np.isin(codes, pair)
        rows, kinds = X[half & own], np.searchsorted(np.sort(pair), codes[half & own])
        learnt = learn_discriminant(rows, kinds, means_of(rows, kinds, 2), (0, 1))
        if learnt is not None:
            z = learnt.project(X[~half & own])
            p.append((dip_test(z)[1], two_normals(z)))
    found = np.array(p).reshape(-1, 2)
    return tuple((found * len(pairs) <= 0.01).sum(axis=0).tolist())  # type: ignore[return-value]


def two_normals(z: Any) -> float:
    """Return p of two normal distributions against one, by expectation and maximisation from the two sides of zero."""
    from scipy import stats

    weight = np.clip((z > 0).astype(float), 0.01, 0.99)
    for _ in range(200):
        shares, parts = np.array([weight.mean(), 1 - weight.mean()]), []
        for share, w in zip(shares, (weight, 1 - weight), strict=True):
            mean = np.average(z, weights=w)
            parts.append(share * stats.norm.pdf(z, mean, max(np.sqrt(np.average((z - mean) ** 2, weights=w)), 1e-3)))
        weight = parts[0] / (parts[0] + parts[1])
    one = stats.norm.logpdf(z, z.mean(), z.std()).sum()
    return float(stats.chi2.sf(2 * (np.log(parts[0] + parts[1]).sum() - one), 3))


def values(options: argparse.Namespace) -> None:
    """Print how many sets of one kind stay one group, and what is left of the clusters of digits."""
    import kithkin as kk

    rows = []
    for sort in SORTS:
        for n in (300, 3000, 10_000):
            one, clusters, splits, others = np.zeros(2, int), np.zeros(2), 0, np.zeros(2, int)
            sets = options.sets if n <= 3000 else max(1, options.sets // 10)
            for seed in range(sets):
                X = one_cloud(sort, n, np.random.default_rng(seed))
                graph = kk.models.Neighbors(30, seed=seed).fit(X).connectivities_
                cuts = (kk.models.Leiden(0.5, seed=seed).fit(graph).labels_, kk.models.Paris().fit(graph).labels_)
                for place, codes in enumerate(cuts):
                    model = kk.models.ValueSupport(seed=seed).fit(X, codes, graph)
                    clusters[place] += (codes.max() + 1) / sets
                    one[place] += model.labels_.max() == 0
                    splits += len(model.pairs_)
                    others += other_tests(X, codes, model.pairs_)
            row = [sort, f"{n:,}", sets, *clusters.round(1), *one, splits, *others]
            rows.append([str(value) for value in row])
            print(*row, sep="\t", flush=True)
    head = ["rows", "n", "sets", "Leiden", "Paris", "one group (Leiden)", "one group (Paris)", "splits"]
    print(markdown([*head, "supported by the dip of both clusters' rows", "by two normals"], rows))
    if options.source is not None:
        digits(options.source, options.sets)


def digits(source: Path, sets: int) -> None:
    """Cut the tree of the digits, and print what support leaves, for several seeds."""
    import kithkin as kk
    from digits import write_idx
    from kithkin.metrics.partition import adjusted_rand, contingency

    with tempfile.TemporaryDirectory() as folder:
        every = kk.read(write_idx(source, Path(folder)), to=f"{folder}/all.zarr")
        ds = kk.subset(every, cells="n_genes > 10", genes="n_cells > 1000", to=f"{folder}/digits.zarr")
        kk.pca(ds, 25, normalize=None)
        kk.neighbors(ds, 31)
        kk.paris(ds)
        kk.paris(ds, 20, key="obs/twenty")
        kk.leiden(ds, 0.7)
        kk.leiden(ds, 1.0, key="obs/finer")
        kk.paris(ds, "supported", key="obs/supported")
        truth = np.unique(ds.read("obs/label").astype(str), return_inverse=True)[1]

        def quality(codes: Any) -> str:
            return f"{codes.max() + 1} clusters, ARI {adjusted_rand(contingency(codes.astype(np.int64), truth)):.3f}"

        for key in ("paris", "supported", "twenty", "leiden", "finer"):
            codes = ds.read(f"obs/{key}").cat.codes.to_numpy()
            print(f"{key}: {quality(codes)}, NMI {kk.compare(ds, key, to='label').nmi:.3f}")
            for seed in range(min(sets, 5) if key != "supported" else 0):
                steps = Steps(loud=False)
                model = kk.models.ValueSupport(seed=seed)
                links = ds.blocks("obsp/connectivities")
                steps("support", lambda m=model, c=codes, g=links: m.fit(ds.blocks("obsm/X_pca"), c, g))
                print(f"  seed {seed}: {quality(model.labels_)}", *steps.rows.values())


def warm(folder: str) -> None:
    """Compile what is used, on few cells."""
    import kithkin as kk

    ds = kk.run(kk.datasets.simulate_counts(300, 400, 3), to=f"{folder}/warm.zarr", progress=False)
    kk.support(ds)


def main() -> None:
    """Run one of the four, and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("null", "kinds", "genes", "values"))
    parser.add_argument("source", type=Path, nargs="?")
    parser.add_argument("--sets", type=int, default=20)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--largest", type=int, default=100_000)
    parser.add_argument("--truth", default="celltype")
    options = parser.parse_args()
    if options.what != "null":
        {"kinds": kinds, "genes": genes, "values": values}[options.what](options)
        return
    rows = []
    for row in null_sets(options):
        print(*row, sep="\t", flush=True)
        rows.append([str(one) for one in row])
    head = ["set", "sort", "cells", "Leiden", "markers", "supported", "least p", "Paris", "supported", "least p"]
    print(markdown(head, rows))
    leiden, tree = (sum(row[place] == "1" for row in rows) for place in (5, 8))
    print(f"one group: {leiden} (Leiden), {tree} (Paris) of {len(rows)}")


if __name__ == "__main__":
    main()
