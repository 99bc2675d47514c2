"""Fewer columns: variable genes, and principal components."""

from __future__ import annotations

import logging
from typing import Any, Literal

import numpy as np

from kithkin.core.blocks import Array
from kithkin.core.dataset import Dataset
from kithkin.core.history import Step
from kithkin.core.keys import Key
from kithkin.core.totals import totals_of
from kithkin.models.pca.pca import PCA
from kithkin.verbs.arguments.columns import column_names
from kithkin.verbs.arguments.genes import genes_key
from kithkin.verbs.arguments.normalization import resolve_normalize

log = logging.getLogger("kithkin")
FIRST = 3  # components that are looked at
ALL_BUT, MUCH = 0.9, 20.0  # part of the squared loadings, and percentage of the variance, of which a note speaks


def pca(
    ds: Dataset,
    n_components: int = 50,
    *,
    genes: str | None = "auto",
    normalize: Literal["auto", "log1p", "unit"] | None = "auto",
    target_sum: float | None = None,
    scale: bool = False,
    method: Literal["covariance", "truncated", "lsi"] = "covariance",
    on: str = "X",
    key: str | None = "obsm/X_pca",
    seed: int = 0,
) -> Array:
    """Principal components of the variable genes, normalised while they stream.

    Parameters
    ----------
    ds
        The dataset.
    n_components
        Number of components.
    genes
        Boolean column of var that chooses genes; "auto": the variable genes if they are marked, else all. Without a
        column all genes are used.
    normalize
        "log1p": log1p(count / total * target_sum). "unit": rows of length one, for images, whose brightness is to make
        no difference. "auto": "log1p" for X and layers, and values as they are for tables in obsm. Without
        normalisation values are taken as they are, as for other data that is not counts.
    target_sum
        Sum of the counts of every cell after normalisation; by default the median of their totals, and at least 1,000.
        The one that is added before the logarithm then stands for a count of a typical cell; where cells have few
        counts, for more than their noise. uns/pca has the sum, and `kithkin.map_to` brings other cells to the same.
    scale
        Bring every gene to unit variance.
    method
        "covariance": exact. "truncated": without centring, for very wide tables. "lsi": TF-IDF first, for peaks.
    on
        Table to read: X, a layer, or a table in obsm.
    key
        Key under which the result is stored; without one it is only returned.
    seed
        Seed of the random start of "truncated" and "lsi".

    Returns
    -------
    ndarray
        n x n_components, float32. Also stored: varm/PCs (p x n_components, 0 outside the genes), uns/pca.

    Raises
    ------
    ParameterError
        If n_components is more than the table allows.

    References
    ----------
    Ahlmann-Eltze and Huber 2023, doi:10.1038/s41592-023-01814-1, on the logarithm and what is added to the counts.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> ds = kk.read(kk.datasets.simulate_counts(100, 200, 2), to=tempfile.mkdtemp() + "/a.zarr")
    >>> kk.pca(ds, 5).shape
    (100, 5)
    """
    target = Key.of(key, "obsm/X_pca")
    of_genes = on == "X" or Key.parse(on, option="on").place == "layers"
    genes = genes_key(ds, on, genes)
    if normalize == "auto":
        normalize = None if on.startswith("obsm") else "log1p"
    normalize = resolve_normalize(ds, on, normalize)
    parameters: dict[str, Any] = {"n_components": n_components, "genes": genes, "normalize": normalize, "scale": scale}
    parameters |= {"method": method, "on": on, "seed": seed, "target_sum": target_sum if normalize == "log1p" else None}
    usual = target.name == "X_pca"
    about = "uns/pca" if usual else str(target.beside("uns"))
    loadings = ("varm/PCs" if usual else str(target.beside("varm", "_PCs")),) if of_genes else ()
    outputs = (str(target), *loadings, about)
    inputs = (on, *(() if genes is None else (genes,)))

    def compute() -> dict[str, Any]:
        columns = None if genes is None else ds.read(genes).to_numpy().astype(bool)
        model = PCA(n_components, scale=scale, normalize=normalize, method=method, target_sum=target_sum, seed=seed)
        totals = totals_of(ds, on) if normalize == "log1p" else None
        blocks = ds.blocks(on)
        scores = model.fit_transform(blocks, columns=columns, totals=totals, execution=ds.execution)
        names = np.asarray(column_names(ds, on, blocks.shape[1]), object)
        used = {"target_sum": model.target_sum_ if normalize == "log1p" else None}
        _say_dominant(model, names if columns is None else names[columns])
        said = {
            "params": {name: value for name, value in (parameters | used).items() if value is not None},
            "variance": model.explained_variance_,
            "variance_ratio": model.explained_variance_ratio_,
        }
        results: dict[str, Any] = {str(target): scores, about: said}
        for loading in loadings:  # over all genes
            results[loading] = np.zeros((ds.n_vars, scores.shape[1]), np.float32)
            results[loading][slice(None) if columns is None else columns] = model.components_.T
        return results

    result: Array = ds.result(Step("pca", 3, parameters, inputs, outputs), compute, store=key is not None)
    return result


def _say_dominant(model: PCA, names: Array) -> None:
    """Log which of the first components are all but one column, as that of the largest unit in a table of values."""
    for i, loadings in enumerate(model.components_[:FIRST] if model.components_.shape[1] > FIRST else ()):
        most = int(np.abs(loadings).argmax())
        part, carried = float(loadings[most] ** 2), 100 * float(model.explained_variance_ratio_[i])
        if part >= ALL_BUT and carried >= MUCH:
            log.warning(
                "component %d (%.0f %% of the variance) is almost only column %s: scale the columns if units differ",
                i + 1, carried, names[most],
            )  # fmt: skip
