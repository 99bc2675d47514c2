"""Clusters from a model of how counts arise."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pandas as pd

from kithkin.core.dataset import Dataset
from kithkin.core.errors import check
from kithkin.core.history import Step
from kithkin.core.keys import Key
from kithkin.models.mixture.count_mixture import CountMixture
from kithkin.verbs.arguments.labels import as_labels, label_column

MOMENTS = ("mean", "dispersion")


def count_mixture(
    ds: Dataset,
    n_clusters: int | str = 10,
    *,
    dispersion: Literal["gene_cluster", "gene", "poisson"] = "gene_cluster",
    init: str | None = None,
    n_starts: int = 8,
    criterion: Literal["held_out", "leave_one_out", "bic", "icl"] = "held_out",
    shrinkage: float | None = None,
    genes: str | None = None,
    size: str | None = None,
    max_iter: int = 100,
    tolerance: float = 1e-3,
    calibrate: bool = False,
    on: str = "X",
    key: str | None = "obs/mixture",
    seed: int = 0,
) -> pd.Series[Any]:
    """Clusters by a mixture of negative binomial distributions of the counts, in streaming passes.

    Parameters
    ----------
    ds
        The dataset.
    n_clusters
        Number of clusters; a range such as "2-12", or "auto": as many as the criterion picks.
    dispersion
        "gene_cluster": each gene has one in each cluster. "gene": clusters share it. "poisson": no dispersion beyond
        the Poisson distribution.
    init
        Initialisation: a column of obs with labels; a table of obsm with a column of probabilities or topic weights
        for each cluster; or a table of varm with a column of means for each, such as "varm/topics". By default from the
        counts, by short runs and split-and-merge moves.
    n_starts
        Number of short runs, where there is no init.
    criterion
        Criterion that decides between numbers of clusters: log-likelihood of cells held out or left out, or a penalised
        one.
    shrinkage
        Standard deviation of a prior on log dispersions around their trend; without one there is no prior.
    genes
        Boolean column of var that chooses genes; all genes by default.
    size
        Column of obs with size factors; by default the counts of the cell over all genes.
    max_iter
        Iterations at most; there is one pass more.
    tolerance
        Stop when a pass raises the log-likelihood of a cell by less than this on average.
    calibrate
        Also store calibrated probabilities: of a model that takes genes for independent, those of cells between
        clusters are too sure. Mixtures are fitted to halves of the genes, four in all, and probabilities are tempered
        so far that those from one half explain best into which clusters the other half puts the cells. No labels are
        used; where clusters are no kinds of cells, they stay sure of the clusters.
    on
        Table of counts.
    key
        Key under which the result is stored; without one it is only returned.
    seed
        Seed of the initialisation.

    Returns
    -------
    Series
        n labels "0", "1", ... by descending size (in the order of `init` if given), categorical. Also stored under the
        same name: obsm/mixture_probability (n x K, float32), varm/mixture_log_mean and varm/mixture_log_dispersion
        (p x K, float32; for a size factor of 1; -inf: no dispersion; NaN: genes that were not used), and uns/mixture
        (trace, criteria, weights, and the curve over numbers of clusters). With `calibrate` also
        obsm/mixture_calibrated (n x K, float32), and in uns/mixture the temperature and the agreement, the share of
        cells that half of the genes put into the same cluster.

    Raises
    ------
    MissingResultError
        If a column is not there.
    ParameterError
        If the table does not hold counts, or a cell has none.

    References
    ----------
    Sarkar and Stephens 2021, doi:10.1038/s41588-021-00873-4. Guo, Pleiss, Sun and Weinberger 2017,
    doi:10.48550/arXiv.1706.04599, on temperatures.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> ds = kk.read(kk.datasets.simulate_counts(100, 200, 2), to=tempfile.mkdtemp() + "/a.zarr")
    >>> kk.count_mixture(ds, 2).nunique(), ds.read("obsm/mixture_probability").shape
    (2, (100, 2))
    """
    target = Key.of(key, "obs/mixture")
    numbers: int | str | range = n_clusters
    if isinstance(n_clusters, str) and n_clusters != "auto":
        first, _, last = n_clusters.partition("-")
        good = first.isdigit() and last.isdigit() and int(first) <= int(last)
        check(good, f"n_clusters must be a number, a range such as '2-12', or 'auto', got {n_clusters!r}")
        numbers = range(int(first), int(last) + 1)
    start_key = None if init is None else Key.parse(init, "obs", "obsm", "varm", option="init")
    init = None if start_key is None else str(start_key)
    size = None if size is None else str(Key.parse(size, "obs", option="size"))
    genes = None if genes is None else str(Key.parse(genes, "var", option="genes"))
    parameters: dict[str, Any] = {"n_clusters": n_clusters, "dispersion": dispersion, "init": init, "genes": genes}
    parameters |= {"criterion": criterion, "shrinkage": shrinkage, "size": size, "on": on, "seed": seed}
    parameters |= {"max_iter": max_iter, "tolerance": tolerance, "n_starts": n_starts}
    tables = (target.beside("obsm", "_probability"), *(target.beside("varm", f"_log_{one}") for one in MOMENTS))
    outputs = [str(target), *map(str, tables), str(target.beside("uns"))]
    tempered = str(target.beside("obsm", "_calibrated"))
    if calibrate:  # named only then, so that fits without stay what they are
        parameters["calibrate"] = True
        outputs.append(tempered)
    inputs = (on, *(column for column in (init, genes, size) if column is not None))

    def compute() -> dict[str, Any]:
        start: Any = "auto" if start_key is None else ds.read(str(start_key))
        if start_key is not None and start_key.place != "obs":
            start = np.asarray(start, np.float64)
            start = start.T if start_key.place == "varm" else start
        elif start_key is not None:
            start = as_labels(start, str(start_key), "init").cat.codes.to_numpy()
        model = CountMixture(
            numbers,
            dispersion=dispersion,
            init=start,
            n_starts=n_starts,
            criterion=criterion,
            shrinkage=shrinkage,
            max_iter=max_iter,
            tolerance=tolerance,
            seed=seed,
        )
        columns = None if genes is None else ds.read(genes).to_numpy().astype(bool)
        sizes = None if size is None else ds.read(size).to_numpy()
        model.fit(ds.blocks(on), columns, sizes, ds.execution)
        calibrated = []
        if calibrate:
            model.calibrate(ds.blocks(on), sizes, ds.execution)
            calibrated.append(model.predict_proba(ds.blocks(on), sizes, ds.execution))
        return dict(zip(outputs, [*_results(ds, model, str(target), parameters), *calibrated], strict=True))

    step = Step("count_mixture", 2, parameters, inputs, tuple(outputs))
    former = () if calibrate else (tempered,)  # of other clusters
    return ds.result(step, compute, store=key is not None, removed=former)  # type: ignore[no-any-return]


def _results(ds: Dataset, model: CountMixture, key: str, parameters: dict[str, Any]) -> list[Any]:
    """List labels, probabilities, log means, log dispersions and the record of the fit, in the order of the outputs."""
    labels = label_column(ds, key, model.labels_, range(len(model.weights_)))
    record: dict[str, Any] = {
        "params": {key: value for key, value in parameters.items() if value is not None},
        "trace": np.array(model.trace_),
        "criteria": model.criteria_,
        "weights": model.weights_,
        "converged": bool(model.converged_),
    }
    if "calibrate" in parameters:
        record |= {"temperature": model.temperature_, "agreement": model.agreement_}
    if model.curve_:
        record["curve"] = {key: np.array([point[key] for point in model.curve_]) for key in model.curve_[0]}
    tables = np.full((2, ds.n_vars, len(model.weights_)), np.nan, np.float32)
    tables[:, model.columns_] = model.log_mean_.T, model.log_dispersion_.T
    return [labels, model.probabilities_, *tables, record]
