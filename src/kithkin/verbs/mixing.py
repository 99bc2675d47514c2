"""Mixing of batches and separation of kinds of cells, before and after an integration."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from kithkin.core.blocks import Array
from kithkin.core.dataset import Dataset
from kithkin.core.errors import check, check_range
from kithkin.core.history import Step
from kithkin.core.keys import Key
from kithkin.metrics import mixing as measures
from kithkin.models.neighbors.neighbors import Neighbors
from kithkin.models.neighbors.surroundings import Surroundings
from kithkin.verbs.arguments.batches import batches_of
from kithkin.verbs.arguments.labels import Labels, labels_of, without_empty

NEIGHBORS = 90  # of which a third count, by their weights
FEWEST = 5  # rows: a third of the neighbours of a cell is more than one
LEAST = 100  # cells that are looked at together
IN_GRAPH = 15  # neighbours of the graph whose connectivity is taken, the cell itself included


def mixing(
    ds: Dataset,
    batch: str,
    *,
    labels: str | None = None,
    before: str | None = "obsm/X_pca",
    n_sample: int = 10_000,
    on: str = "obsm/X_harmony",
    key: str | None = "uns/mixing",
    seed: int = 0,
) -> pd.DataFrame:
    """Measure how well batches mix and kinds of cells stay apart, before and after an integration.

    Parameters
    ----------
    ds
        The dataset.
    batch
        Column of obs with the batches.
    labels
        Column of obs with the kinds of cells; without one only the batches are looked at.
    before
        Components before the integration; without them only those of `on` are measured.
    n_sample
        Cells that are looked at, drawn at random where there are more; their neighbours are among all cells.
    on
        Components after the integration.
    key
        Key under which the result is stored; without one it is only returned.
    seed
        Seed of the sample.

    Returns
    -------
    DataFrame
        Rows "before" and "after". Columns: ilisi, the median effective number of batches among the 90 nearest
        neighbours of a cell; ilisi_at_random, what it would be if the batches were shuffled within each kind;
        silhouette_batch, 0 to 1, 1 if batches mix within each kind; and with labels clisi, the same number of kinds,
        1 if they stay apart; silhouette_labels, 0 to 1, 1 if they do; graph_connectivity, 0 to 1, 1 if each kind
        hangs together. Stored with them are the indices of each cell that was looked at.

    Raises
    ------
    MissingResultError
        If components or columns are not there.
    ParameterError
        If a cell has no batch, or all have the same.

    References
    ----------
    Korsunsky et al. 2019, doi:10.1038/s41592-019-0619-0. Luecken et al. 2022, doi:10.1038/s41592-021-01336-8.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> ds = kk.read(kk.datasets.simulate_counts(200, 300, 2), to=tempfile.mkdtemp() + "/a.zarr")
    >>> Z = kk.pca(ds, 5)
    >>> ds.write({"obs/batch": ["x", "y"] * 100, "obsm/X_apart": Z + 50 * (np.arange(200) % 2)[:, None]})
    >>> table = mixing(ds, "batch", labels="group", before="obsm/X_apart", on="obsm/X_pca")
    >>> table["ilisi"].round(1).tolist(), table["clisi"].round(1).tolist()
    ([1.0, 1.9], [1.0, 1.0])
    """
    target = str(Key.of(key, "uns/mixing"))
    batches = batches_of(ds, batch)
    kinds = None if labels is None else without_empty(labels_of(ds, labels, "labels"))
    check(kinds is None or bool(kinds.names), f"labels must name kinds of cells, but {labels} has none: leave it out")
    spaces = {"before": before, "after": on} if before is not None else {"after": on}
    check(before != on, f"before must differ from on, got {on!r} for both: use before=None to measure one table")
    check(ds.n_obs >= FEWEST, f"{ds.name} has {ds.n_obs} rows, and the mixing of batches needs {FEWEST}")
    check_range("n_sample", n_sample, 4, 10**9)
    parameters: dict[str, Any] = {"batch": batches.key, "labels": kinds.key if kinds else None, "before": before}
    parameters |= {"n_sample": n_sample, "on": on, "seed": seed}
    inputs = (*spaces.values(), batches.key, *([kinds.key] if kinds else []))

    def compute() -> dict[str, Any]:
        looked = _Looked(ds, batches, kinds, n_sample, seed)
        found = {name: looked.measure(space) for name, space in spaces.items()}
        rows = {name: looked.summary(one) for name, one in found.items()}
        about: dict[str, Any] = {name: value for name, value in parameters.items() if value is not None}
        return {target: {"params": about, "table": pd.DataFrame(rows).T, "rows": looked.rows, **found}}

    step = Step("mixing", 2, parameters, inputs, (target,))
    stored = ds.result(step, compute, store=key is not None)
    return stored["table"]  # type: ignore[no-any-return]


class _Looked:
    """Cells whose surroundings are measured: drawn among those that have a label.

    rows: their numbers, ascending.
    batches, kinds: codes of all cells; one kind where no labels are given.
    """

    def __init__(self, ds: Dataset, batches: Labels, labels: Labels | None, n_sample: int, seed: int) -> None:
        self.ds, self.batches, self.labelled = ds, batches.codes, labels is not None
        self.kinds = np.zeros(ds.n_obs, np.int32) if labels is None else labels.codes
        self.shape = (1 if labels is None else len(labels.names), len(batches.names))
        self.groups = np.where(self.kinds >= 0, self.kinds.astype(np.int64) * self.shape[1] + self.batches, -1)
        sizes = np.bincount(self.groups[self.groups >= 0], minlength=self.shape[0] * self.shape[1])
        self.sizes = sizes.reshape(self.shape)
        known = np.flatnonzero(self.kinds >= 0)
        drawn = known if len(known) <= n_sample else np.random.default_rng(seed).choice(known, n_sample, replace=False)
        self.rows = np.sort(drawn)

    def measure(self, space: str) -> dict[str, Any]:
        """Measure a table of components: scores of each cell, and graph_connectivity of all."""
        blocks, execution = self.ds.blocks(space), self.ds.execution
        k = min(NEIGHBORS, self.ds.n_obs - 1)
        at_a_time = max(LEAST, execution.memory // (4 * 8 * (self.sizes.size + 2 * k)))
        parts = []
        for start in range(0, len(self.rows), at_a_time):
            rows = self.rows[start : start + at_a_time]
            parts.append(
                self._scores(rows, Surroundings(k, self.sizes.size).fit(blocks, rows, self.groups, execution), k)
            )
        found: dict[str, Any] = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        if self.labelled:
            near = Neighbors(min(IN_GRAPH, self.ds.n_obs)).fit(blocks, execution).indices_
            found["graph_connectivity"] = measures.graph_connectivity(near, self.kinds)
        return found

    def _scores(self, rows: Array, around: Surroundings, k: int) -> dict[str, Array]:
        """Return the scores of some of the cells."""
        sums, own, kinds = around.sums_.reshape(-1, *self.shape), self.batches[rows], self.kinds[rows]
        lisi = partial(measures.lisi, around.indices_, around.distances_, perplexity=k / 3)
        found = {"ilisi": lisi(self.batches)}
        found["silhouette_batch"] = measures.silhouette_within(sums, self.sizes, own, kinds)
        if self.labelled:
            found["clisi"] = lisi(self.kinds)
            width = measures.silhouette(sums.sum(axis=2), self.sizes.sum(axis=1), kinds)
            found["silhouette_labels"] = (width + 1) / 2
        return found

    def summary(self, found: Mapping[str, Any]) -> dict[str, float]:
        """Return the scores of a table: medians of the indices, and means."""
        kinds = self.kinds[self.rows]
        random = measures.lisi_at_random(self.batches, self.kinds)[self.rows]
        scores = {"ilisi": float(np.median(found["ilisi"])), "ilisi_at_random": float(np.median(random))}
        scores["silhouette_batch"] = measures.mean_of_groups(found["silhouette_batch"], kinds)
        if self.labelled:
            scores["clisi"] = float(np.nanmedian(found["clisi"]))
            scores["silhouette_labels"] = measures.mean_of_groups(found["silhouette_labels"], np.zeros_like(kinds))
            scores["graph_connectivity"] = found["graph_connectivity"]
        return scores
