"""Components in which batches mix, such as samples, donors or runs."""

from __future__ import annotations

import logging
from typing import Any

from kithkin.core.blocks import Array
from kithkin.core.dataset import Dataset
from kithkin.core.history import Step
from kithkin.core.keys import Key
from kithkin.models.harmony.harmony import Harmony
from kithkin.verbs.arguments.batches import batches_of, check_condition
from kithkin.verbs.arguments.labels import labels_of, without_empty

log = logging.getLogger("kithkin")


def harmonize(
    ds: Dataset,
    batch: str,
    *,
    condition: str | None = None,
    n_clusters: int | None = None,
    theta: float = 2.0,
    max_iter: int = 30,
    on: str = "obsm/X_pca",
    key: str | None = "obsm/X_harmony",
    seed: int = 0,
) -> Array:
    """Move components by Harmony so that batches mix within each kind of cell.

    Go on with the neighbours in obsm/X_harmony, and look at what became of batches and kinds with `kithkin.mixing`.
    Counts stay as they are: tests between conditions are of counts.

    Parameters
    ----------
    ds
        The dataset.
    batch
        Column of obs with the batches whose differences are taken out, such as "obs/sample".
    condition
        Column of obs with what is to be compared later on, such as a treatment. Batches that tell it are refused, as it
        would be taken out with them; a note warns of batches that nearly do (Cramér's V above 0.9).
    n_clusters
        Number of soft clusters; by default one for 30 cells, at most 100.
    theta
        Weight of mixing: 0 for none.
    max_iter
        Corrections at most.
    on
        Components to correct.
    key
        Key under which the result is stored; without one it is only returned.
    seed
        Seed of the clusters and of the order in which cells are assigned to them.

    Returns
    -------
    ndarray
        n x d float32. Also stored: in uns, the objective of each correction, and sizes (K) and sums (K x d) of the
        clusters, by which other cells can be mapped.

    Raises
    ------
    MissingResultError
        If there are no such components, or no such column.
    ParameterError
        If a cell has no batch, all have the same, or the batches tell the condition.

    References
    ----------
    Korsunsky et al. 2019, doi:10.1038/s41592-019-0619-0. Patikas et al. 2026, doi:10.64898/2026.03.16.711825.

    Examples
    --------
    >>> import kithkin as kk, numpy as np, tempfile
    >>> ds = kk.read(kk.datasets.simulate_counts(200, 300, 2), to=tempfile.mkdtemp() + "/a.zarr")
    >>> Z = kk.pca(ds, 5)
    >>> batch = np.arange(200) % 2
    >>> Z[:, 1] += 3 * batch
    >>> ds.write({"obsm/X_pca": Z, "obs/batch": batch.astype(str)})
    >>> kk.mixing(ds, "batch", on="obsm/X_pca", before=None)["ilisi"].round(1).tolist()
    [1.7]
    >>> _ = harmonize(ds, "batch")
    >>> kk.mixing(ds, "batch", before=None)["ilisi"].round(1).tolist()
    [1.9]
    """
    target = Key.of(key, "obsm/X_harmony")
    key_, uns = str(target), str(target.beside("uns"))
    batches = batches_of(ds, batch)
    if condition is not None:
        check_condition(batches, without_empty(labels_of(ds, condition, "condition")))
    parameters = {"batch": batches.key, "n_clusters": n_clusters, "theta": theta, "max_iter": max_iter}
    parameters |= {"on": on, "seed": seed}

    def compute() -> dict[str, Any]:
        model = Harmony(n_clusters, theta=theta, max_iter=max_iter, seed=seed)
        model.fit(ds.blocks(on), batches.codes, ds.execution)
        if not model.converged_:
            log.warning("%s cells still moved after %s corrections", f"{ds.n_obs:,}", max_iter)
        about: dict[str, Any] = {"params": {name: value for name, value in parameters.items() if value is not None}}
        about |= {"objective": model.objective_, "sizes": model.sizes_, "sums": model.sums_}
        return {key_: model.embedding_, uns: about}

    step = Step("harmonize", 1, parameters, (on, batches.key), (key_, uns))
    return ds.result(step, compute, store=key is not None)  # type: ignore[no-any-return]
