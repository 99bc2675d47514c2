"""Latent spaces and clusters of counts by variational autoencoders, beside scvi-tools, Harmony and the count mixture.

Usage: python benchmarks/latent.py sorted pbmc_facs.h5ad [--peer PYTHON] [--seeds 3]
       python benchmarks/latent.py simulated counts.h5ad
       python benchmarks/latent.py mixed control.h5ad stimulated.h5ad [--peer PYTHON]

PYTHON is an interpreter with scvi-tools, which trains for 100 epochs on one thread with its own defaults, on the same
genes and cells. `sorted` compares clusters with the sorted populations (3,000 variable genes; ten ways, and the two and
four ways of the chapter on counts), the log-likelihood of a tenth of the cells that no training saw, by importance
sampling with 100 draws, and CPU seconds of an epoch. `simulated` has the cost on a large file. `mixed` integrates two
samples, with clusters of each sample alone as kinds of cells.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

import kithkin as kk
from timing import markdown, peak_memory

N_GENES, N_DRAWS = 3000, 100
PEER = """
import sys, time, warnings
warnings.filterwarnings("ignore")
import anndata, numpy as np, scipy.sparse as sp, scvi, torch
torch.set_num_threads(1)
given, to, seed, epochs = np.load(sys.argv[1], allow_pickle=False), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
X = sp.csr_matrix((given["data"], given["indices"], given["indptr"]), shape=given["shape"]).astype(np.float32)
cells = anndata.AnnData(X)
cells.obs["batch"] = given["batch"].astype(str)
scvi.settings.seed = seed
scvi.model.SCVI.setup_anndata(cells, batch_key="batch" if len(set(given["batch"])) > 1 else None)
model = scvi.model.SCVI(cells, n_latent=10, gene_likelihood="nb")
held = given["held"]
parts = [np.setdiff1d(np.arange(len(X.indptr) - 1), held), held, np.array([], int)]
begin = time.process_time()
split = {"external_indexing": parts} if len(held) else None
model.train(max_epochs=epochs, accelerator="cpu", enable_progress_bar=False, logger=None, datasplitter_kwargs=split)
seconds = time.process_time() - begin
likelihood = float(model.get_marginal_ll(indices=held, n_mc_samples=100)) if len(held) else np.nan
np.savez(to, z=model.get_latent_representation(), seconds=seconds, likelihood=likelihood)
"""


def run_peer(
    python: str, X: sparse.csr_matrix, batch: Any, held: Any, seed: int, folder: Path, epochs: int = 100
) -> dict[str, Any]:
    """Train scvi-tools on the counts, and return its latent space, CPU seconds and held-out log-likelihood."""
    table = {"data": X.data, "indices": X.indices, "indptr": X.indptr, "shape": X.shape}
    np.savez(folder / "given.npz", **table, batch=np.asarray(batch).astype(str), held=held)
    call = [python, "-c", PEER, str(folder / "given.npz"), str(folder / "found.npz"), str(seed), str(epochs)]
    subprocess.run(call, check=True, capture_output=True)
    return dict(np.load(folder / "found.npz"))


def clustered(z: Any, n_clusters: int) -> dict[str, Any]:
    """Cluster a latent space by k-means and by a Gaussian mixture of scikit-learn."""
    from sklearn.cluster import KMeans
    from sklearn.mixture import GaussianMixture

    z = np.asarray(z, np.float64)
    gaussian = GaussianMixture(n_clusters, n_init=10, reg_covar=1e-3, random_state=0)
    return {
        "k-means": KMeans(n_clusters, n_init=10, random_state=0).fit_predict(z),
        "Gaussian mixture": gaussian.fit_predict(z),
    }


def sorted_cells(path: str, peer: str | None, n_seeds: int, folder: Path) -> None:
    """Print agreement with sorted populations, and held-out log-likelihoods."""
    from sklearn.metrics import adjusted_rand_score

    ds = kk.read(path, to=folder / "cells.zarr")
    truth = ds.obs["celltype"].astype(str).to_numpy()
    genes = kk.variable_genes(ds, N_GENES)["highly_variable"].to_numpy()
    X = sparse.csr_matrix(ds.to_anndata().X[:, genes])
    held = np.sort(np.random.default_rng(0).permutation(len(truth))[: len(truth) // 10])
    rest = np.setdiff1d(np.arange(len(truth)), held)
    rows: dict[str, list[list[float]]] = {}
    for seed in range(n_seeds):
        begin = time.process_time()
        vae = kk.models.CountVAE(seed=seed).fit(X)
        seconds = time.process_time() - begin
        for name, labels in clustered(vae.embedding_, 10).items():
            rows.setdefault(f"CountVAE, {name}", []).append([adjusted_rand_score(truth, labels), seconds])
        begin = time.process_time()
        model = kk.models.CountGMVAE(10, seed=seed).fit(X)
        found = [adjusted_rand_score(truth, model.labels_), time.process_time() - begin]
        rows.setdefault("CountGMVAE", []).append(found)
        likelihoods = {"CountVAE": kk.models.CountVAE(seed=seed), "CountGMVAE": kk.models.CountGMVAE(10, seed=seed)}
        told = {k: m.fit(X[rest]).log_likelihood(X[held], n_samples=N_DRAWS).mean() for k, m in likelihoods.items()}
        if peer:
            theirs = run_peer(peer, X, np.zeros(len(truth)), held, seed, folder)
            for name, labels in clustered(theirs["z"], 10).items():
                found = [adjusted_rand_score(truth, labels), float(theirs["seconds"])]
                rows.setdefault(f"scvi-tools, {name}", []).append(found)
            told["scvi-tools"] = float(theirs["likelihood"])
            like_theirs = kk.models.CountVAE(seed=seed, batch_size=128, n_epochs=10)
            begin = time.process_time()
            like_theirs.fit(X)
            epoch = (time.process_time() - begin) / 10
            print("CPU seconds of an epoch of 128 cells a step:", round(epoch, 3), "and", theirs["seconds"] / 100)
        print("seed", seed, "held-out log-likelihood of a cell", {k: round(float(v), 1) for k, v in told.items()})
    table = [[name, *np.mean(of, 0).round(3), " ".join(f"{r[0]:.3f}" for r in of)] for name, of in rows.items()]
    print(markdown(["way", "ARI", "CPU s", "ARI of each seed"], [[str(v) for v in row] for row in table]))
    for names in (
        ["CD19+ B", "CD8+ Cytotoxic T"],
        ["CD19+ B", "CD8+ Cytotoxic T", "CD4+/CD25 T Reg", "CD14+ Monocyte"],
    ):
        some = np.isin(truth, names)
        right = []
        for seed in range(n_seeds):
            model = kk.models.CountGMVAE(len(names), seed=seed).fit(X[some])
            right.append(
                kk.metrics.partition.accuracy(kk.metrics.partition.contingency(model.labels_, _codes(truth[some])))
            )
        print(len(names), "ways, accuracy of CountGMVAE", np.round(right, 4))


def _codes(names: Any) -> Any:
    return np.unique(names, return_inverse=True)[1]


def simulated(path: str, labels: str, folder: Path) -> None:
    """Print the cost of clusters of a large file, and their agreement with the truth."""
    from sklearn.metrics import adjusted_rand_score

    ds = kk.read(path, to=folder / "cells.zarr")
    kk.variable_genes(ds, N_GENES)
    truth = ds.obs[labels].astype(str).to_numpy()
    begin = time.process_time()
    found = kk.latent_clusters(ds, len(set(truth)))
    seconds = time.process_time() - begin
    said = f"{seconds:.0f} CPU s, peak {peak_memory():.0f} MB, ARI {adjusted_rand_score(truth, found):.3f}"
    print(f"{ds.n_obs:,} cells, {len(set(truth))} clusters: {said}")


def mixed(paths: list[str], peer: str | None, folder: Path) -> None:
    """Print how well two samples mix, and how well kinds of cells stay apart, in each latent space."""
    ds = kk.read({Path(path).stem: path for path in paths}, to=folder / "cells.zarr")
    kk.variable_genes(ds, 2000, batch="sample")
    kk.pca(ds, 30)
    sample = ds.obs["sample"].astype(str).to_numpy()
    kinds = np.empty(ds.n_obs, object)
    for name in np.unique(sample):  # clusters of a sample, named by their most frequent markers' cluster in the other
        own = sample == name
        graph = kk.models.Neighbors(15).fit(ds.read("obsm/X_pca")[own]).connectivities_
        kinds[own] = kk.models.Leiden(0.3).fit(graph).labels_.astype(str)
    markers = [
        name for name in ("CD3D", "MS4A1", "CD14", "FCGR3A", "NKG7", "LYZ", "PPBP", "FCER1A") if name in ds.var_labels
    ]
    ds["obs/kind"] = _matched(ds.genes(markers), kinds, sample)
    kk.harmonize(ds, "sample")
    begin = time.process_time()
    kk.latent(ds, batch="sample")
    print("CPU seconds of kk.latent", round(time.process_time() - begin, 1))
    if peer:
        genes = ds.read("var/highly_variable").to_numpy()
        X = sparse.csr_matrix(ds.to_anndata().X[:, genes])
        theirs = run_peer(peer, X, sample, np.array([], int), 0, folder)
        ds["obsm/X_scvi"] = theirs["z"]
        print("CPU seconds of scvi-tools", round(float(theirs["seconds"]), 1))
    for space in ("X_pca", "X_harmony", "X_latent", "X_scvi"):
        if f"obsm/{space}" in ds:
            print(
                space,
                kk.mixing(ds, "sample", labels="kind", on=f"obsm/{space}", before=None).round(3).to_dict("records"),
            )


def _matched(values: Any, clusters: Any, sample: Any) -> list[str]:
    """Name each cluster of a sample by the marker gene that stands out most against the mean over all cells."""
    logs = np.log1p(np.asarray(values, float))
    names = np.array([f"{a}/{b}" for a, b in zip(sample, clusters, strict=True)])
    kind = {one: str(int((logs[names == one].mean(0) / (logs.mean(0) + 1e-9)).argmax())) for one in np.unique(names)}
    return [kind[one] for one in names]


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["sorted", "simulated", "mixed"])
    parser.add_argument("paths", nargs="+")
    parser.add_argument("--peer")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--labels", default="subtype")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if given.what == "sorted":
            sorted_cells(given.paths[0], given.peer, given.seeds, Path(folder))
        elif given.what == "simulated":
            simulated(given.paths[0], given.labels, Path(folder))
        else:
            mixed(given.paths, given.peer, Path(folder))


if __name__ == "__main__":
    main()
