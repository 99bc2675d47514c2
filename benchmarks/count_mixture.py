"""The mixture of counts: accuracy on simulated and on sorted cells, and the cost of a pass, in processes of their own.

Usage: python benchmarks/count_mixture.py simulated|mixed|sorted|gene|encoder
       python benchmarks/count_mixture.py pass|fit DATASET --by COLUMN [--clusters 10] [--memory 500MB] [--threads 2]

"simulated": 100 cells, 500 genes, 4 groups from 20 seeds. "mixed": 340 cells with some 30,000 counts, of eight mixtures
of the RNA of the three cell lines in `../shared/data/panel/dropseq_3cl.h5ad`, from 20 seeds. "sorted": blood cells of
`../shared/data/pbmc_facs.h5ad`, two, four and ten ways, beside Leiden with as many clusters. "gene": one gene, every
method, over a grid of means and dispersions. "encoder": what the encoder gives to cells that it has not seen, beside
the mixture (needs torch). "pass": the steps of a fit of a dataset from the labels of a column of obs, with the peak of
memory; --passes says how many. Labels beyond --clusters are folded onto the first. "fit": a whole fit by default
settings, to convergence.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_matrix
from sklearn.metrics import adjusted_rand_score, confusion_matrix

import kithkin as kk
from kithkin.core.blocks import InMemory
from kithkin.core.execute import Execution
from kithkin.models.leiden import Leiden
from kithkin.models.mixture.count_layout import count_pieces, lay_out_counts
from kithkin.models.mixture.count_mixture import CountMixture
from kithkin.models.mixture.distribution import fit_count_distribution
from kithkin.models.mixture.em import Prior, maximize
from kithkin.models.mixture.parameters import Tables
from kithkin.models.mixture.passes import gather_statistics
from kithkin.models.neighbors.neighbors import Neighbors
from kithkin.models.pca.pca import PCA
from kithkin.models.variable_genes import VariableGenes
from timing import Steps, markdown

DATA = Path(__file__).parents[2] / "shared" / "data"
SORTED, LINES = DATA / "pbmc_facs.h5ad", DATA / "panel" / "dropseq_3cl.h5ad"
MIXTURES = np.array(
    [[68, 16, 16], [16, 68, 16], [16, 16, 68], [33, 33, 33], [100, 0, 0], [0, 100, 0], [0, 0, 100], [50, 50, 0]]
)  # per cent of each line, in whole numbers
TWO = ("CD19+ B", "CD8+ Cytotoxic T")
FOUR = ("CD8+ Cytotoxic T", "CD4+/CD25 T Reg", "CD19+ B", "CD14+ Monocyte")
ONE = Execution(threads=1, progress=False)


def accuracy(truth, labels) -> float:
    """Share of cells in the group that their cluster is matched with."""
    table = confusion_matrix(truth, labels)
    rows, columns = linear_sum_assignment(-table)
    return table[rows, columns].sum() / table.sum()


def simulate(seed: int, n: int = 100, p: int = 500, K: int = 4, size: float = 1e4):
    """Equal groups; log mean uniform on (-12, -6), log inverse dispersion on (0, 4)."""
    rng = np.random.default_rng(seed)
    log_mean, shape = rng.uniform(-12, -6, (K, p)), np.exp(rng.uniform(0, 4, (K, p)))
    truth = np.repeat(np.arange(K), n // K)
    return csr_matrix(rng.poisson(size * np.exp(log_mean[truth]) * rng.gamma(shape[truth]) / shape[truth])), truth


def leiden(X, n_clusters: int):
    """Leiden on log-normalised variable genes, its resolution halved into so many clusters."""
    genes = VariableGenes(3000, flavor="dispersion").fit(X, execution=ONE).mask_
    scores = PCA(50, target_sum=1e4).fit_transform(X, columns=genes, execution=ONE)
    graph = Neighbors(15).fit(scores, execution=ONE).connectivities_
    low, high = 0.01, 3.0
    for _ in range(20):
        labels = Leiden((low + high) / 2).fit(graph).labels_
        found = labels.max() + 1
        low, high = ((low + high) / 2, high) if found < n_clusters else (low, (low + high) / 2)
        if found == n_clusters:
            break
    return labels


def joint_of(X, truth) -> float:
    """Log joint of cells and their true groups, with parameters fitted to these."""
    model = CountMixture(int(truth.max()) + 1, init=truth, max_iter=0).fit(X, execution=ONE)
    layout = lay_out_counts(InMemory(X), execution=ONE)
    tables, total = Tables.of(model._parameters, layout), 0.0
    for start in range(0, X.shape[0], 500):
        rows = slice(start, min(start + 500, X.shape[0]))
        part = InMemory(X[rows]).read(0, rows.stop - start)
        _, piece = next(count_pieces(part))
        scores = tables.scores(piece, layout.size[rows]) + model._parameters.log_weight
        total += scores[np.arange(len(scores)), truth[rows]].sum()
    return float(total)


def simulated() -> None:
    """Twenty seeds."""
    CountMixture(4).fit(simulate(99)[0], execution=ONE)
    found = []
    for seed in range(20):
        X, truth = simulate(seed)
        start = time.process_time()
        model = CountMixture(4, seed=seed).fit(X, execution=ONE)
        found.append((accuracy(truth, model.labels_), time.process_time() - start))
    right = sum(share == 1.0 for share, _ in found)
    print(f"accuracy 1.0 in {right} of 20; {np.mean([s for _, s in found]):.2f} CPU s each")


def mixed(seeds: int = 20) -> None:
    """Deep counts: how many clusters come out of eight asked for, and how far below those from the true groups."""
    import anndata as ad

    cells = ad.read_h5ad(LINES)
    lines = cells.obs["label"].astype(str).to_numpy()
    profiles = np.stack([np.asarray(cells.X[lines == line].sum(axis=0)).ravel() for line in np.unique(lines)])
    means = MIXTURES / 100 @ (profiles / profiles.sum(axis=1, keepdims=True))
    CountMixture(4).fit(simulate(99)[0], execution=ONE)
    rows = []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        truth = rng.integers(0, len(means), 340)
        size = np.exp(rng.normal(np.log(30000), 0.4, len(truth)))[:, None]
        rates = means[truth] * size
        X = csr_matrix(rng.poisson(rates * rng.gamma(5.0, 1 / 5.0, rates.shape)).astype(np.uint16))
        start = time.process_time()
        model = CountMixture(len(means), seed=seed).fit(X, execution=ONE)
        seconds = time.process_time() - start
        best = CountMixture(len(means), init=truth).fit(X, execution=ONE).criteria_["log_likelihood"]
        below = best - model.criteria_["log_likelihood"]
        found = len(np.unique(model.labels_))
        ari = f"{adjusted_rand_score(truth, model.labels_):.3f}"
        rows.append([str(seed), str(found), ari, f"{below:.0f}", f"{seconds:.1f}"])
        print(*rows[-1], sep="\t", flush=True)
    print(markdown(("seed", "clusters of 8", "ARI", "nats below the fit from the true groups", "CPU s"), rows))


def sorted_cells() -> None:
    """Two, four and ten ways."""
    import anndata as ad

    cells = ad.read_h5ad(SORTED)
    kinds = cells.obs["celltype"].astype(str).to_numpy()
    CountMixture(4).fit(simulate(99)[0], execution=ONE)
    rows = []
    for name, chosen, samples in (("two", TWO, 2), ("four", FOUR, 5), ("ten", tuple(np.unique(kinds)), 1)):
        for seed in range(samples):
            inside = np.flatnonzero(np.isin(kinds, chosen))
            if len(chosen) < 10:
                inside = np.random.default_rng(seed).choice(inside, 1000, replace=False)
            X, truth = csr_matrix(cells.X[inside]), np.unique(kinds[inside], return_inverse=True)[1]
            start = time.process_time()
            model = CountMixture(len(chosen), seed=seed).fit(X, execution=ONE)
            seconds, peer = time.process_time() - start, leiden(X, len(chosen))
            shares = [accuracy(truth, model.labels_), accuracy(truth, peer)]
            indices = [adjusted_rand_score(truth, model.labels_), adjusted_rand_score(truth, peer)]
            joint = model.criteria_["log_joint"] - joint_of(X, truth)
            rows.append([f"{name}, sample {seed}", f"{seconds:.2f}", *(f"{v:.3f}" for v in shares + indices)])
            rows[-1].append(f"{joint:+.0f}")
    head = ("cells", "CPU s", "accuracy", "of Leiden", "ARI", "of Leiden", "log joint above the truth's")
    print(markdown(head, rows))


def gene() -> None:
    """One gene: how far each method ends below the best, and what it takes."""
    rows = []
    for method in ("newton", "em", "logarithmic"):
        gaps, iterations, seconds = [], [], []
        for seed, (mean, shape) in enumerate([(m, s) for m in range(-12, -5) for s in range(5)] * 5):
            rng = np.random.default_rng(seed)
            size, shape_ = np.full(100, 1e5), np.exp(shape)
            x = rng.poisson(size * np.exp(mean) * rng.gamma(shape_, size=100) / shape_)
            if not x.any():
                continue
            best = fit_count_distribution(x, size).log_likelihood
            found = fit_count_distribution(x, size, method=method)
            gaps.append(best - found.log_likelihood)
            iterations.append(found.n_iter)
            seconds.append(found.seconds)
        rows.append([method, f"{max(gaps):.2g}", f"{np.median(iterations):.0f}", f"{1000 * np.mean(seconds):.1f}"])
    print(markdown(("method", "worst gap in log-likelihood", "median iterations", "ms each"), rows))


def passes(options: argparse.Namespace) -> None:
    """The steps of a fit: lay_out_counts, labels, M step, and a few passes."""
    ds = kk.open(options.dataset, memory=options.memory, threads=options.threads)
    blocks, execution, prior, K = ds.blocks("X"), ds.execution, Prior(), options.clusters
    step = Steps()
    layout = step("survey", lambda: lay_out_counts(blocks, execution=execution))
    labels = np.unique(ds.obs[options.by].astype(str), return_inverse=True)[1] % K
    sums = step("sums for labels", lambda: gather_statistics(blocks, layout, labels, K, execution=execution))
    found = step("first M step", lambda: maximize(sums, layout, "gene_cluster", prior, execution=execution))
    for number in range(options.passes):
        tables = Tables.of(found, layout)
        sums = step(f"pass {number + 1}", lambda t=tables: gather_statistics(blocks, layout, t, K, execution=execution))
        found = step(
            f"M step {number + 1}",
            lambda s=sums, f=found: maximize(s, layout, "gene_cluster", prior, f, execution=execution),
        )


def encoder() -> None:
    """Train the encoder on two thirds of the four types, and give clusters to the rest with it and with the mixture."""
    import anndata

    from kithkin.models.mixture.encoder import MixtureEncoder

    cells = anndata.read_h5ad(SORTED)
    cells = cells[cells.obs["celltype"].isin(FOUR)]
    X, truth = csr_matrix(cells.X), cells.obs["celltype"].cat.codes.to_numpy()
    new = np.random.default_rng(0).random(len(truth)) < 1 / 3
    mixture = CountMixture(4).fit(X[~new], execution=ONE)
    began = time.process_time()
    exact = mixture.predict(X[new], execution=ONE)
    exact_s = time.process_time() - began
    print(f"mixture: accuracy {accuracy(truth[new], exact):.4f} on {new.sum()} new cells, {1e3 * exact_s:.1f} CPU ms")
    for components in ("fixed", "free"):
        began = time.process_time()
        model = MixtureEncoder(components=components).fit(X[~new], mixture, execution=ONE)
        trained = time.process_time()
        found = model.predict(X[new], ONE)
        seconds = time.process_time() - trained
        agreed, right = np.mean(found == exact), accuracy(truth[new], found)
        print(f"encoder, {components}: agrees in {agreed:.4f}, accuracy {right:.4f}, {1e3 * seconds:.1f} CPU ms")
        print(f"  trained in {trained - began:.1f} CPU s, bound {model.bound_[-1]:.1f} of {mixture.score(X[~new]):.1f}")


def fit(options: argparse.Namespace) -> None:
    """Fit a dataset to convergence, and compare the clusters with a column of obs."""
    ds = kk.open(options.dataset, memory=options.memory, threads=options.threads)
    model = CountMixture(options.clusters)
    Steps()("fit", lambda: model.fit(ds.blocks("X"), execution=ds.execution))
    ari = adjusted_rand_score(ds.obs[options.by].astype(str), model.labels_)
    print(f"{model.n_iter_} passes, converged: {model.converged_}, ARI with {options.by} {ari:.4f}")


def main() -> None:
    """Do what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("simulated", "mixed", "sorted", "gene", "encoder", "pass", "fit"))
    parser.add_argument("dataset", nargs="?")
    parser.add_argument("--by", default="leiden")
    parser.add_argument("--clusters", type=int, default=10)
    parser.add_argument("--memory", default="500MB")
    parser.add_argument("--passes", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    alone = {"simulated": simulated, "mixed": mixed, "sorted": sorted_cells, "gene": gene, "encoder": encoder}
    of_dataset = {"pass": passes, "fit": fit}
    if options.what in alone:
        alone[options.what]()
    else:
        of_dataset[options.what](options)


if __name__ == "__main__":
    main()
