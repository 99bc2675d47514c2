"""Genes between conditions, tested over samples, beside pydeseq2: processor seconds, agreement, and false positives.

Usage: python benchmarks/contrast.py ifnb_four_samples.h5ad [--by condition] [--sample sample] [--within cell_type]
           [--design "~ donor + condition"] [--donor 3] [--peer PYTHON] [--null 20] [--size]

`--peer` names an interpreter that has pydeseq2. It gets the sums that kithkin tests, cluster by cluster, and is run
five times: as it is; three times with the means that dispersions are fitted to changed in the last bit, which shows
what of its answers is rounding; and with genes that vary no more than their mean explains kept at the least
dispersion, as kithkin and the R package keep them. `--donor 3` makes a column of the last letters of the samples.
`--null 20` draws as many tables of 3 against 3 donors without an effect, and counts the genes below 0.05, also by
pydeseq2, and with cells in the place of samples. `--size` times 20,000 genes over 40 samples.
"""

from __future__ import annotations

import argparse
import json
import logging
import resource
import subprocess
import sys
import tempfile
import time
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from timing import markdown

PEER = """
import json, resource, sys, time, warnings
warnings.simplefilter("ignore")
import anndata as ad, numpy as np, pandas as pd
from pydeseq2 import utils
from pydeseq2.dds import DeseqDataSet
from pydeseq2.default_inference import DefaultInference
from pydeseq2.ds import DeseqStats
bulk, asked = ad.read_h5ad(sys.argv[1]), json.loads(sys.argv[2])
fit, rng = utils.fit_alpha_mle, np.random.default_rng(0)
def nudged(counts, design_matrix, mu, *rest, **given):
    return fit(counts, design_matrix, mu * (1 + 2.2e-16 * rng.integers(-2, 3, len(mu))), *rest, **given)
def kept(counts, design_matrix, mu, alpha_hat, min_disp, max_disp, prior_disp_var=None, cr_reg=True, prior_reg=False,
         **given):
    if not prior_reg and alpha_hat <= min_disp:
        return alpha_hat, True
    return fit(counts, design_matrix, mu, alpha_hat, min_disp, max_disp, prior_disp_var, cr_reg, prior_reg)
inference, out, seconds = DefaultInference(n_cpus=1), {}, {}
for how, change in {"as it is": fit, "nudged 1": nudged, "nudged 2": nudged, "nudged 3": nudged, "kept": kept}.items():
    utils.fit_alpha_mle = change
    begin = time.process_time()
    for group in bulk.obs["group_"].astype(str).unique():
        part = bulk[bulk.obs["group_"].astype(str) == group].copy()
        dds = DeseqDataSet(counts=pd.DataFrame(part.X.astype(int), part.obs_names, part.var_names),
                           metadata=part.obs, design=asked["design"], quiet=True, inference=inference)
        dds.deseq2()
        stats = DeseqStats(dds, contrast=[asked["by"], asked["level"], asked["reference"]], quiet=True,
                           inference=inference)
        stats.summary()
        found = stats.results_df.copy()
        stats.lfc_shrink(f"{asked['by']}[T.{asked['level']}]")
        found["shrunk"] = stats.results_df["log2FoldChange"]
        out[f"{how}/{group}"] = found[["log2FoldChange", "pvalue", "padj", "shrunk"]].to_numpy()
    seconds[how] = time.process_time() - begin
np.savez(sys.argv[3], **out)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
print(f"pydeseq2: {seconds['as it is']:.2f} CPU s, peak {peak:.0f} MB")
"""
NULL_PEER = """
import json, sys, warnings
warnings.simplefilter("ignore")
import numpy as np, pandas as pd
from pydeseq2.dds import DeseqDataSet
from pydeseq2.default_inference import DefaultInference
from pydeseq2.ds import DeseqStats
inference, sums, out = DefaultInference(n_cpus=1), np.load(sys.argv[1]), {}
for name, counts in sums.items():
    samples = [f"s{k}" for k in range(len(counts))]
    about = pd.DataFrame({"side": ["a"] * 3 + ["b"] * 3}, samples)
    dds = DeseqDataSet(counts=pd.DataFrame(counts, samples), metadata=about, design="~ side", quiet=True,
                       inference=inference)
    dds.deseq2()
    stats = DeseqStats(dds, contrast=["side", "b", "a"], quiet=True, inference=inference)
    stats.summary()
    out[name] = stats.results_df["pvalue"].to_numpy()
np.savez(sys.argv[2], **out)
"""
KITHKIN = """
import json, resource, sys, time
begin = time.process_time()
import kithkin as kk
ds, asked = kk.open(sys.argv[1], progress=False), json.loads(sys.argv[2])
imported = time.process_time() - begin
for run in ("first", "second"):
    begin = time.process_time()
    kk.contrast(ds, key=None, **asked)
    print(f"kithkin, {run} call: {time.process_time() - begin:.2f} CPU s, and {imported:.2f} s of import")
print(f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:.0f} MB")
"""


def shares(ours: Any, theirs: Any) -> list[str]:
    """Share of the genes with a log2 fold change within 0.001 and a p within 1 %, of those that both test."""
    both = np.isfinite(ours[:, 1]) & np.isfinite(theirs[:, 1])
    change = np.abs(ours[both, 0] - theirs[both, 0]) < 1e-3
    ratio = np.abs(ours[both, 1] / np.maximum(theirs[both, 1], 1e-300) - 1) < 0.01
    return [f"{100 * change.mean():.1f}", f"{100 * ratio.mean():.1f}"]


def compare(ds: Any, options: argparse.Namespace, folder: Path) -> None:
    """Test the dataset with kithkin and with the peer, and print how many genes agree."""
    import kithkin as kk

    asked = {"by": options.by, "sample": options.sample, "within": options.within, "design": options.design}
    subprocess.run([sys.executable, "-W", "ignore", "-c", KITHKIN, str(ds.path), json.dumps(asked)], check=True)
    if not options.peer:
        return
    table = kk.contrast(ds, **asked, key=None)
    bulk = kk.pseudobulk(ds, [options.sample, options.within])
    bulk = bulk[bulk.obs["n_cells"] >= 10].copy()
    bulk.obs["group_"] = bulk.obs[options.within].astype(str)
    bulk.write_h5ad(folder / "bulk.h5ad")
    level, reference = str(table["level"].iloc[0]), str(table["reference"].iloc[0])
    given = {"by": options.by, "level": level, "reference": reference, "design": options.design}
    subprocess.run(
        [options.peer, "-c", PEER, str(folder / "bulk.h5ad"), json.dumps(given), str(folder / "peer.npz")], check=True
    )
    peer, rows = np.load(folder / "peer.npz"), []
    columns = ["logfoldchange", "pval", "pval_adj", "logfoldchange_shrunk"]
    for group in table["group"].cat.categories:
        ours = table[table["group"] == group].set_index("gene").reindex(ds.var_names)[columns].to_numpy()
        theirs = {how: peer[f"{how}/{group}"] for how in ("as it is", "nudged 1", "nudged 2", "nudged 3", "kept")}
        runs = [theirs[how] for how in theirs if how != "kept"]
        tested = np.isfinite(ours[:, 0]) & np.isfinite(runs[0][:, 0])
        shrunk = np.abs(ours[tested, 3] - runs[0][tested, 3]) < 0.01
        found = [f"{(values[:, 2] < 0.05).sum()}" for values in (ours, runs[0])]
        us = np.mean([float(shares(ours, run)[1]) for run in runs[1:]])
        them = np.mean([float(shares(*pair)[1]) for pair in combinations(runs, 2)])
        rows.append(
            [str(group), *shares(ours, runs[0]), f"{us:.1f}", f"{them:.1f}", *shares(ours, theirs["kept"]),
             f"{100 * shrunk.mean():.1f}", " / ".join(found)]
        )  # fmt: skip
    head = ["% of genes", "log2 within 0.001", "p within 1 %", "p, nudged runs", "pydeseq2 and itself: p",
            "kept: log2", "kept: p", "shrunk within 0.01", "found, ours / theirs"]  # fmt: skip
    print(markdown(head, rows))


def cells_of_donors(seed: int, spread: float, n_genes: int = 500) -> tuple[Any, Any]:
    """Draw cells of six donors: each has a log-normal mean of its own for each gene, and 60 to 300 cells."""
    rng = np.random.default_rng(seed)
    means = np.exp(rng.uniform(np.log(0.02), np.log(5), n_genes))
    own = spread * np.exp(rng.normal(0, 0.2, n_genes))
    rows, donors = [], np.repeat(np.arange(6), rng.integers(60, 300, 6))
    for donor in range(6):
        mean, n = means * np.exp(rng.normal(0, own)), int((donors == donor).sum())
        depth = np.exp(rng.normal(0, 0.35, (n, 1)))
        rows.append(rng.poisson(mean * depth * rng.gamma(3, 1 / 3, (n, n_genes))))
    return np.concatenate(rows), donors


def null(n_seeds: int, peer: str | None, folder: Path) -> None:
    """Count genes below 0.05 between three donors and three others, where no gene differs."""
    from scipy.special import stdtr

    from kithkin import models

    design, spreads = np.stack([np.ones(6), np.arange(6) >= 3], axis=1), (0.1, 0.2, 0.3, 0.4, 0.5)
    sums, rows = dict[str, Any](), []
    for spread in spreads:
        samples, by_t, cells, adjusted = [], [], [], []
        for seed in range(n_seeds):
            X, donors = cells_of_donors(seed, spread)
            sums[f"{spread}/{seed}"] = counts = models.Pseudobulk().fit(X, donors).sums_
            found = models.DESeq().fit(counts, design).test(1)
            tested = np.isfinite(found.pvals)
            samples.append(np.mean(found.pvals[tested] < 0.05))
            by_t.append(np.mean(2 * stdtr(4, -np.abs(found.scores[tested])) < 0.05))
            adjusted.append((found.pvals_adj < 0.05).sum())
            alone = models.Markers().fit(X, (donors >= 3).astype(int))
            cells.append(np.mean(alone.pvals_[0] < 0.05))
        shown = [f"{100 * np.mean(samples):.2f}", f"{100 * np.max(samples):.1f}", f"{np.mean(adjusted):.2f}"]
        rows.append([f"{spread}", *shown, f"{100 * np.mean(by_t):.2f}", f"{100 * np.mean(cells):.1f}"])
    head = ["spread of donors", "% below 0.05", "largest of the seeds", "genes found (adjusted)"]
    head += ["by t with 4 degrees of freedom: %", "cells as replicates: %"]
    if peer:
        np.savez(folder / "null.npz", **sums)
        subprocess.run([peer, "-c", NULL_PEER, str(folder / "null.npz"), str(folder / "found.npz")], check=True)
        theirs = np.load(folder / "found.npz")
        for row, spread in zip(rows, spreads, strict=True):
            pvals = [theirs[f"{spread}/{seed}"] for seed in range(n_seeds)]
            row.append(f"{100 * np.mean([np.mean(p[np.isfinite(p)] < 0.05) for p in pvals]):.2f}")
        head.append("pydeseq2: %")
    print(markdown(head, rows))


def size(n_genes: int = 20_000, n_samples: int = 40) -> None:
    """Test many genes over many samples: processor seconds of a cluster, after compilation."""
    from kithkin import models

    rng = np.random.default_rng(0)
    means = np.exp(rng.normal(3, 1.5, n_genes)) * np.exp(rng.normal(0, 0.3, (n_samples, 1)))
    dispersion = 0.05 + 2 / means.mean(axis=0)
    design = np.stack([np.ones(n_samples), np.arange(n_samples) >= n_samples // 2], axis=1)
    counts = rng.poisson(means * rng.gamma(1 / dispersion, dispersion, means.shape))
    models.DESeq().fit(counts[:, :200], design).test(1)
    begin = time.process_time()
    models.DESeq().fit(counts, design).test(1)
    print(f"{n_genes:,} genes x {n_samples} samples: {time.process_time() - begin:.2f} CPU s")


def null_of_shares(n_draws: int) -> None:
    """Count clusters below 0.05 between three samples and three others of the same composition, and those that grow."""
    from kithkin import models

    design, rows = np.stack([np.ones(6), np.arange(6) >= 3], axis=1), []
    for n_clusters in (2, 6, 15):
        below, found = [], []
        for seed in range(n_draws):
            rng = np.random.default_rng(seed)
            base = rng.dirichlet(np.full(n_clusters, 3.0))
            grown = base * np.where(np.arange(n_clusters) == 0, np.e, 1)
            for means, into in ((base, below), (grown / grown.sum(), found)):
                shares = [rng.dirichlet(80 * (means if k >= 3 else base)) for k in range(6)]
                counts = np.array([rng.multinomial(rng.integers(200, 2000), share) for share in shares])
                test = models.Composition().fit(counts, design).test(1)
                into.append(test.pvals < 0.05 if into is below else test.pvals_adj[:1] < 0.05)
        rows.append([str(n_clusters), f"{100 * np.mean(below):.1f}", f"{100 * np.mean(found):.0f}"])
    print(markdown(["clusters", "% below 0.05", "% in which the grown one is found"], rows))


def main() -> None:
    """Compare on a file, and count false positives."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("--by", default="condition")
    parser.add_argument("--sample", default="sample")
    parser.add_argument("--within", default="cell_type")
    parser.add_argument("--design", default="~ condition")
    parser.add_argument("--donor", type=int, help="letters at the end of a sample that name its donor")
    parser.add_argument("--peer")
    parser.add_argument("--null", type=int, default=0)
    parser.add_argument("--size", action="store_true", help="also time 20,000 genes over 40 samples")
    options = parser.parse_args()
    import kithkin as kk

    logging.basicConfig(level=logging.ERROR)
    with tempfile.TemporaryDirectory() as name:
        ds = kk.read(options.source, to=Path(name) / "cells.zarr", progress=False)
        if options.donor:
            ds["obs/donor"] = [str(label)[-options.donor :] for label in ds[f"obs/{options.sample}"]]
        compare(ds, options, Path(name))
        if options.size:
            size()
        begin = time.process_time()
        if options.null:
            null(options.null, options.peer, Path(name))
    if options.null:
        null_of_shares(20 * options.null)
        used = resource.getrusage(resource.RUSAGE_SELF)
        print(f"{time.process_time() - begin:.1f} CPU s, peak {used.ru_maxrss / 1e3:.0f} MB")


if __name__ == "__main__":
    main()
