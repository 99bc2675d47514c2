"""Support of a partition by counts that did not place the cells, or by gaps between rows of values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from kithkin.core.blocks import Array
from kithkin.core.dataset import Dataset
from kithkin.core.errors import check
from kithkin.core.history import Step
from kithkin.core.keys import Key
from kithkin.models.support.group_tree import members_of
from kithkin.models.support.support import WEAK, Support
from kithkin.models.support.value_support import ValueSupport
from kithkin.verbs.arguments.labels import Labels, label_column, labels_of
from kithkin.verbs.arguments.normalization import check_table, holds_counts

NAMED = 3  # clusters whose names make the name of what they are merged to


def support(
    ds: Dataset,
    by: str = "obs/leiden",
    *,
    graph: str | None = "obsp/connectivities",
    on: str = "X",
    key: str | None = "uns/support",
    seed: int = 0,
) -> pd.DataFrame:
    """Test whether clusters are told apart by data that did not make them, and merge those that are not.

    Clustering finds groups, and tests of these groups find markers, also in cells of one kind: both see the same noise.
    The splits of the tree above the clusters are tested here. In Python `kithkin.plot.cluster_tree` draws it.

    Of counts, the genes are divided into two halves at random. Each half calls, by profiles that other cells taught, on
    which side of a split a cell belongs; in cells of one kind the two halves agree no more than by chance, whatever the
    noise of a gene. That takes genes of one kind of cells to vary independently, given the depth. It does not say why
    cells differ (dying cells, batches, doublets and the cell cycle are differences), nor whether there is a gap: a
    gradient is supported, and so is, among many cells, a small difference, which a low accuracy tells.

    Of values (tables, images, components), Hartigan's dip test asks whether there is a gap between the two clusters
    that border most across a split, on the discriminant between them that the other half of the rows taught. That
    takes one kind to have a log-concave density, such as a normal or uniform one. It does not say that clusters
    without a gap are one kind: they may overlap. A gradient has no gap, nor has a ring.

    Parameters
    ----------
    ds
        The dataset.
    by
        Column of obs with the clusters, of any method.
    graph
        Graph of neighbours, by whose links the clusters are joined to a tree; without one their profiles join them.
    on
        Table of counts (X or a layer), or of values: X, a layer or a table in obsm, such as obsm/X_pca, with finite
        values in at most 1,000 columns.
    key
        Key under which the result is stored; without one it is only returned.
    seed
        Seed of the halves of the genes, the folds of the cells and the sample (20,000 cells; 100,000 rows of values).

    Returns
    -------
    DataFrame
        One row for each split, that of all cells first: left and right (clusters), n_left and n_right (their cells),
        n_cells (cells of the sample that took part), pval and pval_adj (adjusted for the number of splits, Bonferroni),
        accuracy (0.5 to 1), support ("yes"; "weak": accuracy below 0.9; "none": pval_adj above 0.01). Of counts the
        accuracy is that of one half of the genes, both in calling what the other half calls and in calling the given
        cluster, and there are n_genes (that differ at a false discovery rate of 0.05, between sides that the other half
        of the genes called), effect (median absolute log2 fold change of these; NaN without), genes (the first five).
        Of values it is that of the discriminant in giving the clusters to rows that did not teach it, and there are
        pair (the clusters that border most) and dip (0, one mode, to 0.25, two points). Stored in obs under the same
        name: the clusters, where those below splits without support are merged.

    Raises
    ------
    MissingResultError
        If the clusters or the graph are not there yet.
    ParameterError
        If the table holds missing or infinite values, or has more than 1,000 columns of values.

    References
    ----------
    Neufeld et al. 2022, doi:10.1093/biostatistics/kxac047. Grabski et al. 2023, doi:10.1038/s41592-023-01933-9.
    Hartigan and Hartigan 1985, doi:10.1214/aos/1176346577.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> ds = kk.read(kk.datasets.simulate_counts(400, 300, 2), to=tempfile.mkdtemp() + "/a.zarr")
    >>> _ = kk.annotate(ds, "cut", [f"{kind}{'ab'[k % 2]}" for k, kind in enumerate(ds.obs["group"])])
    >>> kk.support(ds, "cut", graph=None)[["left", "right", "support"]].to_numpy().tolist()
    [['0a, 0b', '1a, 1b', 'yes'], ['1a', '1b', 'none'], ['0a', '0b', 'none']]
    >>> ds.read("obs/support").cat.categories.tolist()
    ['0a+0b', '1a+1b']
    >>> X = np.random.default_rng(0).normal(size=(600, 2)) + 6 * (np.arange(600) % 2)[:, None]  # two clouds
    >>> ds = kk.read(X, to=tempfile.mkdtemp() + "/b.zarr")
    >>> _ = kk.kmeans(ds, 4, on="X")
    >>> kk.support(ds, "kmeans", graph=None)[["support"]].to_numpy().ravel().tolist()
    ['yes', 'none', 'none']
    """
    by_, target = str(Key.parse(by, "obs", option="by")), Key.of(key, "uns/support")
    graph_ = None if graph is None else str(Key.parse(graph, "obsp", option="graph"))
    labels_key = str(target.beside("obs"))
    check(labels_key != by_, f"key must not name the clusters themselves, got {key!r}")
    check_table(on, obsm=True)
    ds.need(on)
    parameters = {"by": by_, "graph": graph_, "on": on}
    inputs = (on, by_, *((graph_,) if graph_ else ()))

    def compute() -> dict[str, Any]:
        labels = labels_of(ds, by_)
        model = fit_support(ds, labels.codes, graph_, on, seed)
        merged, names = merged_labels(labels, model)
        groups = pd.DataFrame({"cluster": labels.names, "supported": [names[code] for code in merged]}, dtype=object)
        table = as_table(ds, labels, model)
        test = "halves" if isinstance(model, Support) else "dip"
        said = {name: value for name, value in {**parameters, "seed": seed, "test": test}.items() if value is not None}
        codes = np.append(merged, -1)[labels.codes]
        return {
            str(target): {"table": table, "groups": groups, "children": model.children_, "params": said},
            labels_key: label_column(ds, labels_key, codes, names),
        }

    step = Step("support", 1, {**parameters, "seed": seed}, inputs, (str(target), labels_key))
    found: pd.DataFrame = ds.result(step, compute, store=key is not None)["table"]
    return found.reset_index(drop=True)


def fit_support(ds: Dataset, codes: Array, graph: str | None, on: str, seed: int = 0) -> Support | ValueSupport:
    """Test the splits of the tree above clusters, by the test that suits the table."""
    links = None if graph is None else ds.blocks(graph)
    model = Support(seed=seed) if holds_counts(ds, on) else ValueSupport(seed=seed)
    return model.fit(ds.blocks(on), codes, links, ds.execution)


def table_behind(ds: Dataset, graph: str) -> str:
    """Return the key of counts, where X holds them; else of the values that a graph of neighbours was made of, or X."""
    maker = None if holds_counts(ds, "X") else ds.lineage.maker(graph)
    made_of = next(iter(maker.inputs), "X") if maker is not None and maker.verb == "neighbors" else "X"
    return made_of if made_of in ds else "X"


def merged_labels(labels: Labels, model: Support | ValueSupport) -> tuple[Array, list[str]]:
    """Return the number of the supported group of each cluster, and the names of the groups."""
    k = len(labels.names)
    codes = np.zeros(k, np.int32)
    rows = np.flatnonzero(labels.codes >= 0)
    codes[labels.codes[rows]] = model.labels_[rows]
    members = [[labels.names[c] for c in np.flatnonzero(codes == group)] for group in range(codes.max() + 1)]
    return codes, [name_of(some) for some in members]


def name_of(clusters: Sequence[str]) -> str:
    """Name what clusters are merged to.

    >>> name_of(["2", "5"]), name_of(["0", "1", "2", "3", "4"])
    ('2+5', '0+1+2+2 more')
    """
    more = [f"{len(clusters) - NAMED} more"] if len(clusters) > NAMED else []
    return "+".join([*clusters[:NAMED], *more])


def as_table(ds: Dataset, labels: Labels, model: Support | ValueSupport) -> pd.DataFrame:
    """List the splits, that of all cells first."""
    names, sizes = np.array(labels.names, object), labels.sizes
    members = members_of(model.children_, len(names))
    columns = {
        "left": [", ".join(names[left]) for left, _ in members],
        "right": [", ".join(names[right]) for _, right in members],
        "n_left": [int(sizes[left].sum()) for left, _ in members],
        "n_right": [int(sizes[right].sum()) for _, right in members],
        "n_cells": model.n_cells_,
        "pval": model.pvals_,
        "pval_adj": model.pvals_adj_,
        "accuracy": model.accuracy_,
    }
    if isinstance(model, Support):
        symbols = np.asarray(ds.var_labels, object)
        columns |= {"n_genes": model.n_genes_, "effect": model.effects_}
        columns["genes"] = [", ".join(symbols[genes]) for genes in model.genes_]
    else:
        columns |= {"pair": [" | ".join(names[pair]) for pair in model.pairs_], "dip": model.dips_}
    columns["support"] = np.where(model.supported_, np.where(model.accuracy_ < WEAK, "weak", "yes"), "none")
    return pd.DataFrame(columns).iloc[::-1].reset_index(drop=True)
