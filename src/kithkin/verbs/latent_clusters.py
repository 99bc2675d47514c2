"""Clusters in a latent space of counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from kithkin.core.blocks import Array
from kithkin.core.dataset import Dataset
from kithkin.core.elements import columns_of
from kithkin.core.errors import check
from kithkin.core.history import Step
from kithkin.core.keys import Key
from kithkin.models.latent.count_gmvae import CountGMVAE
from kithkin.verbs.arguments.batches import batches_of
from kithkin.verbs.arguments.genes import genes_key
from kithkin.verbs.arguments.labels import label_column, labels_of, without_empty


def latent_clusters(
    ds: Dataset,
    n_clusters: int | None = None,
    *,
    labels: str | None = None,
    init: str | None = None,
    batch: str | None = None,
    n_latent: int = 10,
    likelihood: Literal["nb", "zinb", "poisson"] = "nb",
    dispersion: Literal["gene", "gene_cluster"] = "gene",
    size_factors: Literal["observed", "latent"] = "observed",
    genes: str | None = "auto",
    n_epochs: int | None = None,
    device: str = "auto",
    checkpoint: str | Path | None = None,
    on: str = "X",
    key: str | None = "obs/latent",
    seed: int = 0,
) -> pd.Series[Any]:
    """Clusters by a variational autoencoder with a Gaussian mixture prior; labels of some cells are carried over.

    Parameters
    ----------
    ds
        The dataset.
    n_clusters
        Number of clusters: 10 by default; with labels at least the number of classes, and by default that.
    labels
        Column of obs with the known classes of some cells, missing for the others.
    init
        Initialisation: a column of obs with labels, or a table of obsm with a column of probabilities for each cluster,
        such as "obsm/mixture_probability". By default a Gaussian mixture in latent space.
    batch
        Column of obs with batches whose differences are taken out, such as "obs/sample": a covariate of the decoder.
    n_latent
        Dimensions of the latent space.
    likelihood
        "nb": negative binomial. "zinb": with zero inflation. "poisson".
    dispersion
        "gene": one for each gene. "gene_cluster": one for each gene and cluster.
    size_factors
        "observed": the counts of a cell in the chosen genes. "latent": a latent variable of each cell.
    genes
        Boolean column of var that chooses genes. "auto": var/highly_variable if it is there, else all.
    n_epochs
        Passes over the cells at most; by default enough for 1,000 steps, from 8 to 50.
    device
        Device for torch: "auto", "cpu" or "cuda".
    checkpoint
        File to which the training is saved, and from which an interrupted one goes on.
    on
        Table of counts: X, or a layer.
    key
        Key under which the result is stored; without one it is only returned.
    seed
        Seed of the initial weights, of the order of the cells, of the draws and of the starts.

    Returns
    -------
    Series
        n labels "0", "1", ... by descending size, or the names of the classes and "cluster 1", ... for further ones,
        categorical. Also stored under the same name: obsm/latent_probability (n x K, float32),
        obsm/latent_embedding (n x n_latent, float32), varm/latent_log_mean (p x K, float32: log of the share of each
        gene in the counts of the chosen genes, as decoded for each cluster; NaN: genes that were not used), and
        uns/latent (history of the training; means, variances and weights of the clusters in latent space).

    Raises
    ------
    KithkinError
        If torch is not installed.
    MissingResultError
        If a column is not there.
    ParameterError
        If a setting is out of range, or the table does not hold counts.

    References
    ----------
    Kingma et al. 2014, arXiv:1406.5298. Xu et al. 2021, doi:10.15252/msb.20209620.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> ds = kk.read(kk.datasets.simulate_counts(100, 200, 2), to=tempfile.mkdtemp() + "/a.zarr")
    >>> kk.latent_clusters(ds, 2).nunique()  # doctest: +SKIP
    2
    """
    target = Key.of(key, "obs/latent")
    check(not on.startswith("obsm"), f"on must be X or a layer, whose columns are genes, got {on!r}")
    genes = genes_key(ds, on, genes)
    batches = None if batch is None else batches_of(ds, batch)
    known = None if labels is None else without_empty(labels_of(ds, labels, "labels"))
    check(known is None or len(known.names) > 0, f"labels must name a class for a cell at least, but {labels} has none")
    start_key = None if init is None else Key.parse(init, "obs", "obsm", option="init")
    if n_clusters is None and known is None:
        n_clusters = 10
    parameters: dict[str, Any] = {"n_clusters": n_clusters, "n_latent": n_latent, "likelihood": likelihood}
    parameters |= {"dispersion": dispersion, "size_factors": size_factors, "genes": genes, "n_epochs": n_epochs}
    parameters |= {"batch": None if batches is None else batches.key, "labels": None if known is None else known.key}
    parameters |= {"init": None if start_key is None else str(start_key), "on": on, "seed": seed}
    tables = target.beside("obsm", "_probability"), target.beside("obsm", "_embedding")
    outputs = (str(target), *map(str, tables), str(target.beside("varm", "_log_mean")), str(target.beside("uns")))
    inputs = (on, *(parameters[name] for name in ("genes", "batch", "labels", "init") if parameters[name] is not None))

    def compute() -> dict[str, Any]:
        start: Any = "auto"
        if start_key is not None and start_key.place == "obsm":
            start = np.asarray(ds.read(str(start_key)), np.float64)
        elif start_key is not None:
            start = without_empty(labels_of(ds, str(start_key), "init")).codes
        model = CountGMVAE(
            n_clusters,
            n_latent=n_latent,
            likelihood=likelihood,
            dispersion=dispersion,
            size_factors=size_factors,
            init=start,
            n_epochs=n_epochs,
            device=device,
            checkpoint=checkpoint,
            seed=seed,
        )
        columns = None if genes is None else ds.read(genes).to_numpy().astype(bool)
        names = None if batches is None else np.array(batches.names)[batches.codes]
        classes = None if known is None else pd.Categorical.from_codes(known.codes, pd.Index(known.names))
        model.fit(ds.blocks(on), columns, names, classes, ds.execution)
        return dict(zip(outputs, _results(ds, model, str(target), parameters), strict=True))

    step = Step("latent_clusters", 2, parameters, inputs, outputs)
    return ds.result(step, compute, store=key is not None)  # type: ignore[no-any-return]


def _results(ds: Dataset, model: CountGMVAE, key: str, parameters: dict[str, Any]) -> list[Any]:
    """List labels, probabilities, embedding, log means and the record of the training, in the order of the outputs."""
    record: dict[str, Any] = {"params": {name: value for name, value in parameters.items() if value is not None}}
    record |= {
        "history": columns_of(model.history_),
        "means": model.means_,
        "variances": model.variances_,
        "weights": model.weights_,
    }
    log_mean: Array = np.full((ds.n_vars, len(model.classes_)), np.nan, np.float32)
    log_mean[model.columns_] = model.log_mean_.T
    labels = label_column(ds, key, model.labels_, model.classes_.tolist())
    return [labels, model.probabilities_, model.embedding_, log_mean, record]
