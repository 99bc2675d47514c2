"""Topics of counts, of which cells are mixtures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from kithkin.core.blocks import Array
from kithkin.core.dataset import Dataset
from kithkin.core.history import Step
from kithkin.core.keys import Key
from kithkin.models.topics.topics import Topics, distinctive_features
from kithkin.verbs.arguments.labels import label_column

TOP_GENES = 20


def topics(
    ds: Dataset,
    n_topics: int = 10,
    *,
    max_iter: int = 100,
    on: str = "X",
    key: str | None = "obsm/topics",
    seed: int = 0,
) -> Array:
    """Topics of the counts by Poisson non-negative matrix factorisation: each cell a mixture of a few.

    Parameters
    ----------
    ds
        The dataset.
    n_topics
        Number of topics.
    max_iter
        Passes over the counts at most.
    on
        Table of counts: X or a layer.
    key
        Key under which the result is stored; without one it is only returned.
    seed
        Seed of the initialisation.

    Returns
    -------
    ndarray
        n x n_topics weights, float32: the share of a cell's counts that come from each topic, the largest topic first;
        NaN for cells without counts. Also stored, under the same name: varm (p x n_topics, the share that each gene
        has of a topic's counts), obs (the main topic of each cell, and name_entropy in nats, 0 for a cell of one
        topic), and uns (divergence, its trace, and the names of the 20 genes that set each topic apart).

    Raises
    ------
    ParameterError
        If there are fewer cells or genes than topics, or the table does not hold counts.

    References
    ----------
    Carbonetto, Sarkar, Wang and Stephens 2021, arXiv:2105.13440.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> ds = kk.read(kk.datasets.simulate_counts(100, 200, 2), to=tempfile.mkdtemp() + "/a.zarr")
    >>> kk.topics(ds, 3).shape, str(kk.open(ds.path).read("obs/topics").dtype)
    ((100, 3), 'category')
    """
    target = Key.of(key, "obsm/topics")
    main_key = str(target.beside("obs"))
    loadings, entropy, info = target.beside("varm"), target.beside("obs", "_entropy"), target.beside("uns")
    outputs = (str(target), str(loadings), main_key, str(entropy), str(info))
    parameters = {"n_topics": n_topics, "max_iter": max_iter, "on": on, "seed": seed}

    def compute() -> dict[str, Any]:
        model = Topics(n_topics, max_iter=max_iter, seed=seed).fit(ds.blocks(on), ds.execution)
        top = distinctive_features(model.factors_, min(TOP_GENES, ds.n_vars))
        labels = np.asarray(ds.var_labels)
        about = {
            "params": parameters,
            "divergence": model.divergence_,
            "trace": model.trace_,
            "genes": pd.DataFrame({str(k): labels[row] for k, row in enumerate(top)}),
        }
        main = label_column(ds, main_key, model.labels_, range(n_topics))
        columns = [main, pd.Series(model.entropy_, index=ds.obs_names)]
        return dict(zip(outputs, (model.weights_, model.factors_.astype(np.float32), *columns, about), strict=True))

    result: Array = ds.result(Step("topics", 1, parameters, (on,), outputs), compute, store=key is not None)
    return result
