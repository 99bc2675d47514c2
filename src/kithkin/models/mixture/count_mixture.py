"""Clusters from a model of how counts arise: a mixture of negative binomials, fitted by exact EM over row blocks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Self

import numpy as np

from kithkin.core.blocks import Array, Blocks, as_blocks
from kithkin.core.errors import check, check_choice, check_range
from kithkin.core.execute import Execution, map_blocks
from kithkin.models.estimator import Estimator
from kithkin.models.mixture.em import MODES, Ascent, Prior, ascend, maximize
from kithkin.models.mixture.layout import Layout, checked_size, survey
from kithkin.models.mixture.moments import dispersion_trend
from kithkin.models.mixture.moves import improve
from kithkin.models.mixture.parameters import Parameters, Tables
from kithkin.models.mixture.passes import Sums, add_up, score_block
from kithkin.models.mixture.sample import Sample
from kithkin.models.mixture.selection import CRITERIA, left_out_likelihood, select
from kithkin.models.mixture.simulate import checked_shares, simulate
from kithkin.models.mixture.start import Stand, best_start
from kithkin.models.table.columns import choose

SAMPLE, SAMPLE_OF_CLUSTER = 5000, 250  # rows on which a mixture is started: at least, and for each cluster


class CountMixture(Estimator):
    r"""Clusters of cells, each with a mean and a dispersion for every gene.

    .. math:: x_{ij} \mid z_i = k \sim \mathrm{NegBinom}(\mathrm{mean}\ m = s_i \mu_{kj},\
        \mathrm{variance}\ m + m^2 \phi_{kj}), \qquad z_i \sim \mathrm{Multinomial}(\pi)

    with :math:`s_i` the size factor of cell i. This is a Poisson measurement of expression that varies within a
    cluster by a Gamma distribution. Each iteration is one pass over the stored counts: what zeros contribute is a
    smooth function of the size factor, interpolated to 1e-12; the M step is Newton's method on sums gathered in the
    same pass. Where the counts of a gene vary less than a Poisson variable its dispersion is 0.

    The default start groups a sample of the cells by k-means, scores every cell by its clusters as they are without
    it, and then splits and merges clusters as long as that gains. Results depend on the seed, not on threads, and on
    the size of the blocks by rounding only. Memory: n_clusters x p x 200 bytes for each thread, and the sample.

    Parameters
    ----------
    n_clusters
        How many; or a range of numbers, or "auto", from which `criterion` picks.
    dispersion
        "gene_cluster": each gene has one in each cluster. "gene": clusters share it. "poisson": none.
    init
        "auto"; labels (n integers, negative for unknown); shares or topic weights (n x n_clusters); or a fitted
        CountMixture, whose parameters are the start.
    criterion
        "held_out" (a tenth of the cells), "leave_one_out", "bic" or "icl": decides between numbers of clusters, on the
        sample, with a dispersion for each gene.
    mean_shape
        Shape of the Gamma prior on every mean, in counts: it is centred on the gene's mean over all cells. Of 0.1 to 4,
        2 gave the best leave-one-out likelihood on blood cells.
    weight_prior
        Cells that each cluster has before any is seen.
    shrinkage
        Standard deviation of a normal prior on log dispersions around their trend with the mean; None: no prior.
    n_starts
        Short runs from which the best goes on.
    n_sample
        Cells on which it is started; 250 for each cluster, and at least 5,000, when None.
    max_iter
        Maximisations at most; there is one pass more.
    tolerance
        Stop when a pass raises the log-likelihood by less than this for a cell.
    seed
        Of the sample and the starts.

    Attributes
    ----------
    weights_
        :math:`\pi`, K.
    log_mean_, log_dispersion_
        Log of :math:`\mu` and of :math:`\phi` (-inf: Poisson), K x p of the chosen columns.
    labels_, probabilities_
        Likeliest cluster (int32, n) and probability of each (float32, n x K). By descending weight, unless `init` is
        given: then in its order.
    trace_
        Log-likelihood with priors at each pass.
    criteria_
        log_likelihood, log_joint (of the cells and their likeliest clusters), bic, icl, and leave_one_out, an estimate
        from the sample. A gene without counts in a cluster has two optima of its dispersion there, 0 and the largest:
        which is found depends on the start, so fits from different starts are compared by refitting their labels.
    curve_
        For each number of clusters that was compared, the criteria of a cell of the sample; else empty.
    converged_, n_iter_, columns_
        Whether the tolerance ended it, passes made, and positions of the chosen columns.

    References
    ----------
    Sarkar and Stephens, Separating measurement and expression models clarifies confusion in single-cell RNA sequencing
    analysis (2021), doi:10.1038/s41588-021-00873-4.
    Neal and Hinton, A view of the EM algorithm (1998), doi:10.1007/978-94-011-5014-9_12.
    Ueda et al., SMEM algorithm for mixture models (2000), doi:10.1162/089976600300015088.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = rng.poisson(np.kron(np.array([[9, 1], [1, 9]]), np.ones((10, 3))))
    >>> model = CountMixture(2).fit(X)
    >>> model.labels_[:10].tolist() != model.labels_[10:].tolist(), np.bincount(model.labels_).tolist()
    (True, [10, 10])
    """

    weights_: Array
    log_mean_: Array
    log_dispersion_: Array
    labels_: Array
    probabilities_: Array
    trace_: list[float]
    criteria_: dict[str, float]
    curve_: list[dict[str, float]]
    converged_: bool
    n_iter_: int
    columns_: Array

    def __init__(
        self,
        n_clusters: int | str | Sequence[int] = 10,
        *,
        dispersion: str = "gene_cluster",
        init: Any = "auto",
        criterion: str = "held_out",
        mean_shape: float = 2.0,
        weight_prior: float = 0.0,
        shrinkage: float | None = None,
        n_starts: int = 8,
        n_sample: int | None = None,
        max_iter: int = 100,
        tolerance: float = 1e-3,
        seed: int = 0,
    ) -> None:
        self.n_clusters, self.dispersion, self.init, self.criterion = n_clusters, dispersion, init, criterion
        self.mean_shape, self.weight_prior, self.shrinkage = mean_shape, weight_prior, shrinkage
        self.n_starts, self.n_sample, self.max_iter = n_starts, n_sample, max_iter
        self.tolerance, self.seed = tolerance, seed

    def fit(
        self, X: Any, columns: Array | None = None, size: Array | None = None, execution: Execution | None = None
    ) -> Self:
        """Find the clusters.

        Parameters
        ----------
        X
            Counts: n x number of columns, array, SciPy sparse matrix or row blocks.
        columns
            Mask or positions of the genes to use; all when None.
        size
            Size factor of each cell, n; its counts over all columns when None.
        execution
            Memory, threads and executor.

        Raises
        ------
        ParameterError
            If a parameter is out of range, X does not hold counts, or a cell has none.
        """
        blocks = as_blocks(X)
        execution = Execution() if execution is None else execution
        self._check(blocks.shape[0])
        self.columns_, self._n_columns = choose(columns, blocks.shape[1]), blocks.shape[1]
        layout = survey(blocks, columns, size, execution)
        self.curve_ = []
        prior = Prior(self.mean_shape, self.weight_prior)
        sample = self._sample(blocks, layout, execution)
        given = not (isinstance(self.init, str) and self.init == "auto")
        start, prior = self._start(blocks, layout, sample, prior, execution)
        found = ascend(
            *(blocks, layout, start, self.dispersion, prior),
            max_iter=self.max_iter,
            tolerance=self.tolerance,
            execution=execution,
        )
        order = np.arange(start.n_clusters) if given else np.argsort(-found.parameters.log_weight, kind="stable")
        self._keep(found, layout, order)
        self._assign(blocks, layout, execution)
        self._judge(found, layout, sample, prior)
        return self

    def _check(self, n: int) -> None:
        check_choice("dispersion", self.dispersion, MODES)
        check_choice("criterion", self.criterion, CRITERIA)
        if isinstance(self.n_clusters, str):
            check_choice("n_clusters", self.n_clusters, ("auto",))
        else:
            numbers = self._numbers()
            check(len(numbers) > 0, "n_clusters must name a number at least")
            for number in numbers:
                check_range("n_clusters", number, 1, n)
        if isinstance(self.init, str):
            check_choice("init", self.init, ("auto",))
        check_range("mean_shape", self.mean_shape, 1e-3, 1e6)
        check_range("weight_prior", self.weight_prior, 0.0, 1e9)
        if self.shrinkage is not None:
            check_range("shrinkage", self.shrinkage, 1e-3, 1e3)
            check(self.dispersion != "poisson", "shrinkage needs dispersions, but dispersion='poisson'")
        check_range("n_starts", self.n_starts, 1, 1000)
        check_range("max_iter", self.max_iter, 0, 10**6)
        check_range("tolerance", self.tolerance, 0.0, 1e6)
        check_range("seed", self.seed, 0, 2**32 - 1)
        if self.n_sample is not None:
            check_range("n_sample", self.n_sample, 1, n)

    def _numbers(self) -> list[int]:
        """The numbers of clusters that are asked for; none for "auto"."""
        wanted: Any = self.n_clusters
        if isinstance(wanted, str):
            return []
        return [int(wanted)] if np.ndim(wanted) == 0 else [int(number) for number in wanted]

    def _sample(self, blocks: Blocks, layout: Layout, execution: Execution) -> Sample:
        n = blocks.shape[0]
        most = max(self._numbers(), default=1)
        wanted = max(SAMPLE, SAMPLE_OF_CLUSTER * most) if self.n_sample is None else self.n_sample
        chosen = np.sort(np.random.default_rng(self.seed).choice(n, min(n, wanted), replace=False))
        return Sample.of(blocks, chosen, layout.size, self.columns_, execution=execution)

    def _start(
        self, blocks: Blocks, layout: Layout, sample: Sample, prior: Prior, execution: Execution
    ) -> tuple[Parameters, Prior]:
        if isinstance(self.init, CountMixture):
            start = self._checked_parameters(self.init)
            if self.shrinkage is None:
                return start, prior
            sums = add_up(blocks, layout, Tables.of(start, layout), start.n_clusters, execution=execution)
            return start, self._shrunken(sums, layout, prior)
        if isinstance(self.init, str):
            z = self._stand(sample, prior, execution).z
            sums = add_up(sample.blocks, layout.rows(sample.chosen), z, z.shape[1], execution=_here(execution))
        else:
            check(isinstance(self.n_clusters, (int, np.integer)), "n_clusters must be a number where init is given")
            [K] = self._numbers()
            sums = add_up(
                blocks, layout, checked_shares(np.asarray(self.init), blocks.shape[0], K), K, execution=execution
            )
        prior = self._shrunken(sums, layout, prior)
        return maximize(sums, layout, self.dispersion, prior, max_iter=30, execution=execution), prior

    def _stand(self, sample: Sample, prior: Prior, execution: Execution) -> Stand:
        execution = _here(execution)
        if not isinstance(self.n_clusters, (int, np.integer)):
            stand, self.curve_ = select(sample, self._numbers() or None, self.criterion, prior, self.seed, execution)
            return stand
        [n_clusters] = self._numbers()
        check(
            n_clusters <= sample.rows.shape[0],
            f"n_sample must be at least n_clusters={n_clusters}, got {sample.rows.shape[0]}",
        )
        stand = best_start(sample, n_clusters, prior, self.n_starts, self.seed, execution)
        return improve(sample, stand, prior, self.seed, n_clusters + 2, execution)

    def _shrunken(self, sums: Sums, layout: Layout, prior: Prior) -> Prior:
        if self.shrinkage is None:
            return prior
        return replace(prior, center=dispersion_trend(sums, layout), precision=self.shrinkage**-2.0)

    def _checked_parameters(self, model: CountMixture) -> Parameters:
        check(hasattr(model, "weights_"), "init must be fitted")
        K = len(model.weights_)
        check(self._numbers() == [K], f"n_clusters must be {K}, as in init")
        p = len(self.columns_)
        check(model.log_mean_.shape[1] == p, f"init must have {p} genes, got {model.log_mean_.shape[1]}")
        found: Parameters = model._parameters
        return found

    def _keep(self, found: Ascent, layout: Layout, order: Array) -> None:
        self._parameters, self._layout = found.parameters.clusters(order), replace(layout, size=np.zeros(0))
        self.weights_ = np.exp(self._parameters.log_weight)
        self.log_mean_ = np.ascontiguousarray(self._parameters.log_mean.T)
        phi = self._parameters.phi.T
        self.log_dispersion_ = np.log(phi, out=np.full(phi.shape, -np.inf), where=phi > 0)
        self.trace_, self.converged_, self.n_iter_ = found.trace, found.converged, len(found.trace)

    def _assign(self, blocks: Blocks, layout: Layout, execution: Execution) -> None:
        n, K = blocks.shape[0], len(self.weights_)
        self.probabilities_, self.labels_ = np.empty((n, K), np.float32), np.empty(n, np.int32)
        start = 0
        for z, _ in self._scored(blocks, layout.size, execution):
            rows = slice(start, start + len(z))
            self.probabilities_[rows], self.labels_[rows] = z, z.argmax(axis=1)
            start += len(z)

    def _judge(self, found: Ascent, layout: Layout, sample: Sample, prior: Prior) -> None:
        n, (K, p) = len(layout.size), self.log_mean_.shape
        n_dispersions = {"gene_cluster": K * p, "gene": p, "poisson": 0}[self.dispersion]
        penalty = float((K * p + n_dispersions + K - 1) * np.log(n))
        likelihood, joint = found.sums.likelihood, found.sums.joint
        self.criteria_ = {"log_likelihood": likelihood, "log_joint": joint}
        self.criteria_ |= {"bic": penalty - 2 * likelihood, "icl": penalty - 2 * joint}
        rows = left_out_likelihood(sample, layout, found, prior)
        self.criteria_["leave_one_out"] = rows * n / len(sample.chosen)

    def predict(self, X: Any, size: Array | None = None, execution: Execution | None = None) -> Array:
        """Likeliest cluster of each row, int32, n: one pass.

        Raises
        ------
        ParameterError
            If X has other columns than in fit, or does not hold counts.
        """
        parts = [z.argmax(axis=1).astype(np.int32) for z, _ in self._scored(as_blocks(X), size, execution)]
        return np.concatenate([np.empty(0, np.int32), *parts])

    def predict_proba(self, X: Any, size: Array | None = None, execution: Execution | None = None) -> Array:
        """Probability of each cluster for each row, float32, n x K: one pass."""
        parts = [z.astype(np.float32) for z, _ in self._scored(as_blocks(X), size, execution)]
        return np.concatenate([np.empty((0, len(self.weights_)), np.float32), *parts])

    def score_samples(self, X: Any, size: Array | None = None, execution: Execution | None = None) -> Array:
        """Log-likelihood of each row, n: one pass."""
        return np.concatenate([np.empty(0), *(rows for _, rows in self._scored(as_blocks(X), size, execution))])

    def score(self, X: Any, size: Array | None = None, execution: Execution | None = None) -> float:
        """Mean log-likelihood of a row: one pass."""
        return float(self.score_samples(X, size, execution).mean())

    def sample(self, size: Array, seed: int = 0) -> tuple[Any, Array]:
        """Simulate cells.

        Parameters
        ----------
        size
            Size factor of each cell, n.
        seed
            Of the random numbers.

        Returns
        -------
        csr_matrix, ndarray
            Counts, n x p of the chosen columns, int64, and the clusters they are drawn from, n.
        """
        size = checked_size(np.zeros(len(size)), size)
        return simulate(self._parameters, size, seed)

    def _scored(self, blocks: Blocks, size: Array | None, execution: Execution | None) -> Iterator[tuple[Array, Array]]:
        """Probabilities and log-likelihood of the rows of each block."""
        check(
            blocks.shape[1] == self._n_columns,
            f"X must have {self._n_columns} columns as in fit, got {blocks.shape[1]}",
        )
        if size is not None:
            size = checked_size(np.zeros(blocks.shape[0]), size)
        work = partial(score_block, tables=Tables.of(self._parameters, self._layout), size=size)
        yield from map_blocks(work, blocks, execution, "mixture")


def _here(execution: Execution) -> Execution:
    """Threads of this process: the sample is here."""
    return replace(execution, executor=None, progress=False)
