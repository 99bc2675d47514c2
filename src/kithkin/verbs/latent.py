"""Latent space of counts by a variational autoencoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np

from kithkin.core.blocks import Array
from kithkin.core.dataset import Dataset
from kithkin.core.elements import columns_of
from kithkin.core.history import Step
from kithkin.core.keys import Key
from kithkin.models.latent.count_vae import CountVAE
from kithkin.verbs.arguments.batches import batches_of
from kithkin.verbs.arguments.genes import genes_key


def latent(
    ds: Dataset,
    n_latent: int = 10,
    *,
    batch: str | None = None,
    likelihood: Literal["nb", "zinb", "poisson"] = "nb",
    size_factors: Literal["observed", "latent"] = "observed",
    genes: str | None = "auto",
    n_epochs: int | None = None,
    device: str = "auto",
    checkpoint: str | Path | None = None,
    on: str = "X",
    key: str | None = "obsm/X_latent",
    seed: int = 0,
) -> Array:
    """Latent space of counts by a variational autoencoder, with batches taken out on demand.

    Go on with the neighbours in obsm/X_latent, as with components or with those of Harmony.

    Parameters
    ----------
    ds
        The dataset.
    n_latent
        Dimensions of the latent space.
    batch
        Column of obs with batches whose differences are taken out, such as "obs/sample": a covariate of the decoder.
    likelihood
        "nb": negative binomial. "zinb": with zero inflation. "poisson".
    size_factors
        "observed": the counts of a cell in the chosen genes. "latent": a latent variable of each cell.
    genes
        Boolean column of var that chooses genes. "auto": var/highly_variable if it is there, else all.
    n_epochs
        Passes over the cells at most; by default enough for 1,600 steps, from 8 to 80.
    device
        Device for torch: "auto", "cpu" or "cuda".
    checkpoint
        File to which the training is saved, and from which an interrupted one goes on.
    on
        Table of counts: X, or a layer.
    key
        Key under which the result is stored; without one it is only returned.
    seed
        Seed of the initial weights, of the order of the cells, and of the draws.

    Returns
    -------
    ndarray
        n x n_latent, float32: the mean of the latent variables of each cell. Also stored, in uns: parameters, and the
        history of the training (bound on the log-likelihood of a cell; held_out: of cells that no step saw).

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
    Lopez et al. 2018, doi:10.1038/s41592-018-0229-2.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> ds = kk.read(kk.datasets.simulate_counts(100, 200, 2), to=tempfile.mkdtemp() + "/a.zarr")
    >>> kk.latent(ds, 3).shape  # doctest: +SKIP
    (100, 3)
    """
    target = Key.of(key, "obsm/X_latent")
    genes = genes_key(ds, on, genes)
    batches = None if batch is None else batches_of(ds, batch)
    parameters: dict[str, Any] = {"n_latent": n_latent, "likelihood": likelihood, "size_factors": size_factors}
    parameters |= {"batch": None if batches is None else batches.key, "genes": genes, "n_epochs": n_epochs}
    parameters |= {"on": on, "seed": seed}
    outputs = (str(target), str(target.beside("uns")))
    inputs = (on, *(column for column in (genes, parameters["batch"]) if column is not None))

    def compute() -> dict[str, Any]:
        model = CountVAE(
            n_latent,
            likelihood=likelihood,
            size_factors=size_factors,
            n_epochs=n_epochs,
            device=device,
            checkpoint=checkpoint,
            seed=seed,
        )
        columns = None if genes is None else ds.read(genes).to_numpy().astype(bool)
        names = None if batches is None else np.array(batches.names)[batches.codes]
        model.fit(ds.blocks(on), columns, names, ds.execution)
        given = {name: value for name, value in parameters.items() if value is not None}
        record = {"params": given, "history": columns_of(model.history_)}
        return dict(zip(outputs, (model.embedding_, record), strict=True))

    result: Array = ds.result(Step("latent", 2, parameters, inputs, outputs), compute, store=key is not None)
    return result
