"""Mixture of negative binomials for counts, fitted by exact EM over row blocks."""
# Long: one estimator, its parameters, its fit, and all that a fitted mixture tells of rows

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Self

import numpy as np

from kithkin.core.blocks import Array, Blocks, as_blocks
from kithkin.core.errors import check, check_choice, check_range
from kithkin.core.execute import Execution, map_blocks
from kithkin.core.own_rows import RowValues
from kithkin.models.estimator import Estimator
from kithkin.models.mixture.count_layout import CountLayout, checked_size, lay_out_counts
from kithkin.models.mixture.em import MODES, EMResult, Prior, maximize, run_em
from kithkin.models.mixture.given import checked_parameters, given_statistics, lay_out_given
from kithkin.models.mixture.moments import dispersion_trend
from kithkin.models.mixture.moves import improve, revive
from kithkin.models.mixture.parameters import Parameters, Tables
from kithkin.models.mixture.passes import Statistics, component_block, gather_statistics, score_block
from kithkin.models.mixture.sample import Sample
from kithkin.models.mixture.selection import CRITERIA, left_out_likelihood, select
from kithkin.models.mixture.simulate import simulate
from kithkin.models.mixture.start import best_start
from kithkin.models.mixture.tempering import Halves, halves, renamed, temperature_of, tempered
from kithkin.models.table.columns import choose

log = logging.getLogger("kithkin")
SAMPLE, SAMPLE_OF_CLUSTER = 5000, 250  # rows for the initialisation: at least, and for each cluster


class CountMixture(Estimator):
    r"""Mixture of negative binomials: clusters of cells, each with a mean and a dispersion for every gene.

    .. math:: x_{ij} \mid z_i = k \sim \mathrm{NegBinom}(\mathrm{mean}\ m = s_i \mu_{kj},\
        \mathrm{variance}\ m + m^2 \phi_{kj}), \qquad z_i \sim \mathrm{Multinomial}(\pi)

    with :math:`s_i` the size factor of cell i. This is a Poisson measurement of expression that varies within a
    cluster by a Gamma distribution. Each iteration is one pass over the stored counts: the likelihood of zeros is a
    smooth function of the size factor, interpolated to 1e-12; the M step is Newton's method on sufficient statistics
    gathered in the same pass. A gene whose counts vary less than a Poisson variable has dispersion 0.

    The default initialisation clusters a sample of the cells by k-means on several numbers of components, runs
    leave-one-out EM from each, gives each empty cluster one half of another, and then accepts split-and-merge moves as
    long as they gain. A warning says how many clusters are empty nevertheless. Results depend on the seed, not on
    threads, and on the size of the blocks by rounding only. Memory: n_clusters x p x 200 bytes for each thread, and the
    sample.

    Parameters
    ----------
    n_clusters
        Number of clusters; or several numbers, or "auto", from which `criterion` chooses.
    dispersion
        "gene_cluster": one for each gene and cluster. "gene": one for each gene. "poisson": none.
    init
        "auto"; labels (n integers, negative for unknown); responsibilities or topic weights (n x n_clusters); means for
        a size factor of 1, such as those of topics (n_clusters x p or x number of columns); or a fitted CountMixture,
        whose parameters are the initial ones.
    criterion
        "held_out" (a tenth of the cells), "leave_one_out", "bic" or "icl": chooses the number of clusters, on the
        sample, with a dispersion for each gene.
    mean_shape
        Shape of the Gamma prior on every mean, which is centred on the mean of the gene over all cells. Among 0.1 to 4,
        2 gave the best leave-one-out likelihood on blood cells.
    weight_prior
        Pseudo-count of cells added to each cluster.
    shrinkage
        Standard deviation of a normal prior on log dispersions around their trend with the mean; None: no prior.
    n_starts
        Number of short runs, of which the best are continued.
    n_sample
        Number of cells for the initialisation; by default 250 for each cluster, and at least 5,000.
    max_iter
        Maximum number of M steps; there is one pass more.
    tolerance
        Gain in log-likelihood for a cell below which EM stops.
    seed
        Seed of the sample and of the initialisation.

    Attributes
    ----------
    weights_
        :math:`\pi`, K.
    log_mean_, log_dispersion_
        Log of :math:`\mu` and of :math:`\phi` (-inf: Poisson), K x p of the chosen columns.
    labels_, probabilities_
        Likeliest cluster (int32, n) and probability of each (float32, n x K). Clusters are ordered by descending
        weight, or as in `init` where that is given.
    trace_
        Log-likelihood with priors at each pass.
    criteria_
        log_likelihood, log_joint (of the cells and their likeliest clusters), bic, icl, and leave_one_out, an estimate
        from the sample. A gene without counts in a cluster has two optima of its dispersion there, 0 and the largest;
        the initialisation decides between them, so compare fits with different initialisations by refitting labels.
    curve_
        Criteria for a cell of the sample, for each number of clusters that was compared; else empty.
    converged_, n_iter_, columns_
        Whether the tolerance ended EM, number of passes, and positions of the chosen columns.
    temperature_, agreement_
        Temperature of `predict_proba`, 1 before `calibrate`; and the share of rows that half of the genes put into the
        same cluster, by `calibrate`.

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
    temperature_: float
    agreement_: float

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
        """Fit the mixture.

        Parameters
        ----------
        X
            Counts: n x number of columns, array, SciPy sparse matrix or row blocks.
        columns
            Mask or positions of the genes to use; all by default.
        size
            Size factor of each cell, n; its counts over all columns by default.
        execution
            Memory, threads and executor.

        Raises
        ------
        ParameterError
            If a parameter is out of range, X does not hold counts, or a cell has none.
        """
        blocks = as_blocks(X)
        execution = Execution() if execution is None else execution
        n = blocks.shape[0]
        self._check_parameters(n)
        self.columns_, self._n_columns = choose(columns, blocks.shape[1]), blocks.shape[1]
        layout = lay_out_counts(blocks, columns, size, execution)
        most = max(self._numbers(), default=1)
        n_sample = max(SAMPLE, SAMPLE_OF_CLUSTER * most) if self.n_sample is None else self.n_sample
        chosen = np.sort(np.random.default_rng(self.seed).choice(n, min(n, n_sample), replace=False))
        sample = Sample.of(blocks, chosen, layout.size, self.columns_, execution=execution)
        self.curve_ = []
        start, prior = self._initialize(blocks, layout, sample, execution)
        result = run_em(
            blocks,
            layout,
            start,
            self.dispersion,
            prior,
            max_iter=self.max_iter,
            tolerance=self.tolerance,
            execution=execution,
        )
        by_weight = isinstance(self.init, str)
        log_weight = result.parameters.log_weight
        order = np.argsort(-log_weight, kind="stable") if by_weight else np.arange(len(log_weight))
        self._keep(result.parameters.clusters(order), replace(layout, size=np.zeros(0)))
        self.trace_, self.converged_, self.n_iter_ = result.trace, result.converged, len(result.trace)
        self.probabilities_, self.labels_ = np.empty((n, len(self.weights_)), np.float32), np.empty(n, np.int32)
        first = 0
        for z, _ in self._scored(blocks, layout.size, execution):
            rows = slice(first, first + len(z))
            self.probabilities_[rows], self.labels_[rows] = z, z.argmax(axis=1)
            first += len(z)
        n_clusters, n_found = len(self.weights_), len(np.unique(self.labels_))
        if n_found < n_clusters:
            said = "%d of %d clusters are empty, as every cell is likelier in another: ask for %d"
            log.warning(said, n_clusters - n_found, n_clusters, n_found)
        self.criteria_ = self._criteria(result, layout, sample, prior)
        return self

    @classmethod
    def from_parameters(
        cls,
        log_mean: Any,
        log_dispersion: Any = None,
        weights: Any = None,
        columns: Any = None,
        n_columns: int | None = None,
    ) -> Self:
        """Make a mixture from given parameters, K x p, K x p (-inf: Poisson) and K, as if it were fitted.

        They are those of the attributes; without dispersions the mixture is Poisson, without weights these are equal.
        They describe the `columns` (all by default) of tables with `n_columns` (p by default). It predicts, scores and
        simulates; what tells of the cells of a fit (`labels_`, ...) is not there.

        Raises
        ------
        ParameterError
            If shapes differ, a log mean is not finite, or weights are not above 0 with sum 1.

        Examples
        --------
        >>> model = CountMixture.from_parameters(np.log([[0.9, 0.1], [0.1, 0.9]]), np.full((2, 2), -np.inf), [0.5, 0.5])
        >>> model.predict(np.array([[9, 1], [2, 8]])).tolist()
        [0, 1]
        """
        parameters = checked_parameters(log_mean, log_dispersion, weights)
        p = len(parameters.log_mean)
        model = cls(parameters.n_clusters)
        model._n_columns = p if n_columns is None else n_columns
        model.columns_ = choose(columns, model._n_columns)
        check(len(model.columns_) == p, f"columns must name {p} genes, as log_mean has, got {len(model.columns_)}")
        model._keep(parameters, lay_out_given(parameters, model.columns_, model._n_columns))
        return model

    def _keep(self, parameters: Parameters, layout: CountLayout) -> None:
        self._parameters, self._layout, self.temperature_ = parameters, layout, 1.0
        self.weights_ = np.exp(self._parameters.log_weight)
        self.log_mean_ = np.ascontiguousarray(self._parameters.log_mean.T)
        phi = self._parameters.phi.T
        self.log_dispersion_ = np.log(phi, out=np.full(phi.shape, -np.inf), where=phi > 0)

    def _criteria(self, result: EMResult, layout: CountLayout, sample: Sample, prior: Prior) -> dict[str, float]:
        """Compute log-likelihood, BIC, ICL, and the leave-one-out log-likelihood estimated from the sample."""
        n, (K, p) = len(layout.size), self.log_mean_.shape
        n_dispersions = {"gene_cluster": K * p, "gene": p, "poisson": 0}[self.dispersion]
        penalty = float((K * p + n_dispersions + K - 1) * np.log(n))
        likelihood, joint = result.statistics.likelihood, result.statistics.joint
        values = {"log_likelihood": likelihood, "log_joint": joint}
        values |= {"bic": penalty - 2 * likelihood, "icl": penalty - 2 * joint}
        values["leave_one_out"] = left_out_likelihood(sample, layout, result, prior) * n / len(sample.chosen)
        return values

    def _check_parameters(self, n: int) -> None:
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
        """List the requested numbers of clusters; none for "auto"."""
        wanted: Any = self.n_clusters
        if isinstance(wanted, str):
            return []
        return [int(wanted)] if np.ndim(wanted) == 0 else [int(number) for number in wanted]

    def _initialize(
        self, blocks: Blocks, layout: CountLayout, sample: Sample, execution: Execution
    ) -> tuple[Parameters, Prior]:
        """Return initial parameters, and the prior with the dispersions shrunken to their trend where that is asked."""
        prior, numbers = Prior(self.mean_shape, self.weight_prior), self._numbers()
        if isinstance(self.init, CountMixture):
            check(hasattr(self.init, "weights_"), "init must be fitted")
            K, p = len(self.init.weights_), len(self.columns_)
            check(numbers == [K], f"n_clusters must be {K}, as in init")
            n_genes = self.init.log_mean_.shape[1]
            check(n_genes == p, f"init must have {p} genes, got {n_genes}")
            start: Parameters = self.init._parameters
            if self.shrinkage is None:
                return start, prior
            statistics = gather_statistics(blocks, layout, Tables.of(start, layout), K, execution=execution)
            return start, self._shrink(prior, statistics, layout)
        if isinstance(self.init, str):
            here = replace(execution, executor=None, progress=False)  # on threads of this process, where the sample is
            if isinstance(self.n_clusters, (int, np.integer)):
                K, n = int(self.n_clusters), sample.rows.shape[0]
                check(n >= K, f"n_sample must be at least n_clusters={K}, got {n}")
                state = best_start(sample, K, prior, self.n_starts, self.seed, here)
                state = revive(sample, state, prior, self.seed, here)
                state = improve(sample, state, prior, self.seed, K + 2, here)
            else:
                state, self.curve_ = select(sample, numbers or None, self.criterion, prior, self.seed, here)
            rows, K = layout.rows(sample.chosen), state.z.shape[1]
            statistics = gather_statistics(sample.blocks, rows, state.z, K, execution=here)
        else:
            check(isinstance(self.n_clusters, (int, np.integer)), "n_clusters must be a number where init is given")
            [K] = numbers
            init = np.asarray(self.init)
            statistics = given_statistics(init, blocks, layout, prior, K, self.columns_, execution)
        prior = self._shrink(prior, statistics, layout)
        return maximize(statistics, layout, self.dispersion, prior, max_iter=30, execution=execution), prior

    def _shrink(self, prior: Prior, statistics: Statistics, layout: CountLayout) -> Prior:
        """Add the normal prior on log dispersions around their trend to a prior."""
        if self.shrinkage is None:
            return prior
        return replace(prior, center=dispersion_trend(statistics, layout), precision=self.shrinkage**-2.0)

    def predict(self, X: Any, size: Array | None = None, execution: Execution | None = None) -> Array:
        """Predict the likeliest cluster of each row, int32, n, in one pass.

        Raises
        ------
        ParameterError
            If X has other columns than in fit, or does not hold counts.
        """
        parts = [z.argmax(axis=1).astype(np.int32) for z, _ in self._scored(as_blocks(X), size, execution)]
        return np.concatenate([np.empty(0, np.int32), *parts])

    def predict_proba(self, X: Any, size: Array | None = None, execution: Execution | None = None) -> Array:
        """Predict probabilities of clusters, float32, n x K, in one pass; after `calibrate` they are tempered."""
        if self.temperature_ != 1:
            return tempered(self._log_joint(X, size, execution), self.temperature_)
        parts = [z.astype(np.float32) for z, _ in self._scored(as_blocks(X), size, execution)]
        return np.concatenate([np.empty((0, len(self.weights_)), np.float32), *parts])

    def score_samples(self, X: Any, size: Array | None = None, execution: Execution | None = None) -> Array:
        """Compute the log-likelihood of each row, n, in one pass."""
        return np.concatenate([np.empty(0), *(rows for _, rows in self._scored(as_blocks(X), size, execution))])

    def score(self, X: Any, size: Array | None = None, execution: Execution | None = None) -> float:
        """Compute the mean log-likelihood of a row, in one pass."""
        return float(self.score_samples(X, size, execution).mean())

    def sample(self, size: Array, seed: int = 0) -> tuple[Any, Array]:
        """Simulate cells.

        Parameters
        ----------
        size
            Size factor of each cell, n.
        seed
            Seed of the random numbers.

        Returns
        -------
        csr_matrix, ndarray
            Counts, n x p of the chosen columns, int64, and the clusters they are drawn from, n.
        """
        size = checked_size(np.zeros(len(size)), size)
        return simulate(self._parameters, size, seed)

    def component_log_likelihood(self, X: Any, size: Array | None = None, execution: Execution | None = None) -> Array:
        """Compute the log-likelihood of each row in each cluster, without the weights, n x K, in one pass.

        With the log weights added it is the log joint, whose log-sum over the clusters is `score_samples`. The weighted
        log-likelihood, and the gap between the likeliest cluster and the next one, are sums and differences of it.

        Examples
        --------
        >>> model = CountMixture.from_parameters(np.log([[0.9, 0.1], [0.1, 0.9]]), weights=[0.5, 0.5])
        >>> X = np.array([[9, 1], [2, 8]])
        >>> scores = model.component_log_likelihood(X)
        >>> gap = np.diff(np.sort(scores)[:, -2:])[:, 0]
        >>> bool(np.allclose(gap, [8 * np.log(9), 6 * np.log(9)]))  # Poisson: the means of the genes change places
        True
        >>> weighted = (model.predict_proba(X) * scores).sum(axis=1)
        >>> bool((weighted <= scores.max(axis=1)).all())
        True
        """
        work = partial(component_block, **self._tables(blocks := as_blocks(X), size))
        parts = map_blocks(work, blocks, execution, "mixture")
        return np.concatenate([np.empty((0, len(self.weights_))), *parts])

    def calibrate(
        self, X: Any, size: Array | None = None, execution: Execution | None = None, *, n_splits: int = 2
    ) -> Self:
        r"""Find the temperature at which probabilities explain how far halves of the genes agree, without labels.

        The genes of one cell are not independent given its cluster, which the model says they are, so that small
        evidence adds up to certainty. Here the genes are split at random, and mixtures with starts of their own are
        fitted to both halves. The temperature T is that of the highest likelihood of the labels that one half gives,
        under the probabilities :math:`p_{ik} \propto (\pi_k p(x_i \mid k))^{1/T}` of the other; labels of a half are
        not taken for true, but for as sure as its own probabilities at T. `predict_proba` is tempered from then on;
        likeliest clusters, `probabilities_` and likelihoods stay. What both halves share, as that they do not tell two
        kinds of cells apart, or part one in two, no calibration without labels can see.

        Parameters
        ----------
        X
            Counts of the cells of the fit, or of others, n x number of columns.
        size
            Size factor of each cell, n; its counts over all columns by default.
        execution
            Memory and threads.
        n_splits
            Number of splits of the genes, with two fits each.

        Raises
        ------
        ParameterError
            If X has other columns than in fit, there are fewer than two genes, or n_splits is out of range.

        References
        ----------
        Guo, Pleiss, Sun and Weinberger, On calibration of modern neural networks (2017),
        doi:10.48550/arXiv.1706.04599.

        Examples
        --------
        >>> rng = np.random.default_rng(2)
        >>> means = np.exp(rng.normal(-1, 1, 200) + rng.normal(0, 0.15, (2, 200)))
        >>> X = rng.poisson(np.repeat(means, 150, axis=0))
        >>> model = CountMixture(2).fit(X)
        >>> exact = model.predict_proba(X).max(axis=1).mean()
        >>> model.calibrate(X).temperature_ > 1, bool(model.predict_proba(X).max(axis=1).mean() < exact - 0.02)
        (True, True)
        """
        check_range("n_splits", n_splits, 1, 1000)
        check(len(self.columns_) > 1, "columns must name two genes at least, for halves of them")
        blocks, K = as_blocks(X), len(self.weights_)
        size = lay_out_counts(blocks, None, size, execution).size
        own = self._log_joint(blocks, size, execution).argmax(axis=1)
        settings = self.get_params(deep=False) | {"n_clusters": K, "init": "auto", "n_sample": None}
        splits, agreement = [], []
        for number, pair in enumerate(halves(len(self.columns_), n_splits, self.seed)):
            found = []
            for part, half in enumerate(pair):
                other = type(self)(**settings | {"seed": (self.seed + 2 * number + part + 1) % 2**32})
                other.fit(blocks, self.columns_[half], size, execution)
                found.append(renamed(other._log_joint(blocks, size, execution), own))
                agreement.append(float((found[-1].argmax(axis=1) == own).mean()))
            splits.append(Halves(*found))
        self.temperature_, self.agreement_ = temperature_of(splits), float(np.mean(agreement))
        return self

    def _log_joint(self, X: Any, size: Array | None, execution: Execution | None) -> Array:
        """Compute the log of the joint density of each row and cluster, n x K."""
        joint: Array = self.component_log_likelihood(X, size, execution) + self._parameters.log_weight
        return joint

    def _scored(self, blocks: Blocks, size: Array | None, execution: Execution | None) -> Iterator[tuple[Array, Array]]:
        """Yield responsibilities and log-likelihood of the rows of each block."""
        work = partial(score_block, **self._tables(blocks, size))
        yield from map_blocks(work, blocks, execution, "mixture")

    def _tables(self, blocks: Blocks, size: Array | None) -> dict[str, Any]:
        """Check rows to score, and return tables and their size factors."""
        check(
            blocks.shape[1] == self._n_columns,
            f"X must have {self._n_columns} columns as in fit, got {blocks.shape[1]}",
        )
        if size is not None:
            size = checked_size(np.zeros(blocks.shape[0]), size)
        tables = Tables.of(self._parameters, self._layout.rows(slice(0)))  # the size factors of the fit are not read
        return {"tables": tables, "size": None if size is None else RowValues(size)}
