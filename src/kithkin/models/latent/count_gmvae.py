"""Variational autoencoder for counts whose prior is a mixture of normal components: clusters in latent space."""

from __future__ import annotations

from dataclasses import replace
from itertools import count, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import pandas as pd
from natsort import natsorted
from sklearn.mixture import GaussianMixture

from kithkin.core.blocks import Array, as_blocks
from kithkin.core.errors import check, check_choice, check_range
from kithkin.core.execute import Execution
from kithkin.models.kmeans import KMeans
from kithkin.models.latent.components import Components, fit_components
from kithkin.models.latent.count_vae import CountVAE
from kithkin.models.mixture.given import checked_responsibilities

if TYPE_CHECKING:
    from kithkin.models.latent.training import Training

FIRST_SHARE = 0.45  # of the epochs, with a standard normal prior
SLOWER = 0.5  # learning rate of the clusters, as a share of the first
STEPS = 1000  # of a training whose number of epochs is not given
SAMPLE = 10000  # cells on which the Gaussian mixture is fitted
N_DRAWS = 256  # of z, for the mean expression of a cluster
RIDGE = 1e-3  # added to the variances of the Gaussian mixture


class CountGMVAE(CountVAE):
    r"""Clusters of counts by a variational autoencoder with a mixture of normal components as its prior.

    .. math:: y_i \sim \mathrm{Multinomial}(\pi), \quad z_i \mid y_i = k \sim N(m_k, \mathrm{diag}(v_k)), \quad
        x_{ij} \mid z_i, y_i, b_i \sim \mathrm{NegBinom}(s_i \rho_j(z_i, b_i), \phi_j \ \mathrm{or}\ \phi_{y_i j})

    Inference is :math:`q(y, z \mid x) = q(y \mid x)\, q(z \mid y, x)`. The encoder returns a normal site
    :math:`N(\mu, \sigma^2)`, and :math:`q \propto \pi_y N(z; m_y, v_y) N(z; \mu, \sigma^2)`, so that both factors are
    closed. The bound is summed over y exactly, over the clusters of a probability above 0.01, to which q is truncated.

    The encoder sees log1p of counts that are scaled to one size of all cells, so that clusters are not of the depth of
    sequencing. The training begins as that of CountVAE, for 45 % of the epochs. Then the components start from a
    Gaussian mixture with full covariances in latent space, the best of several starts, and all is trained together.
    A step decodes each cell once for each cluster of a probability above 0.01: some 24 bytes x batch_size x p for each.
    With labels, they start around the classes, by EM that knows the variances of the sites; cells whose cluster is
    known take it, and log q(y | x) of them is part of the objective: labels of some cells are carried over to all.

    Parameters
    ----------
    n_clusters
        Number of clusters; with labels at least the number of classes, and by default that.
    n_latent, likelihood, size_factors, n_hidden, batch_size, learning_rate, device, precision, checkpoint
        As in CountVAE.
    n_epochs
        Passes over the cells at most; by default enough for 1,000 steps, from 8 to 50.
    dispersion
        "gene": one for each gene. "gene_cluster": one for each gene and cluster.
    init
        "auto": components start from a Gaussian mixture. Or labels (n integers, negative for unknown) or
        responsibilities (n x n_clusters) to start from, such as those of a count mixture; they do not bind. With
        classes, these are the first columns, in their order.
    n_starts
        Number of starts of the Gaussian mixture.
    label_weight
        Weight of log q(y | x) of the cells with labels.
    seed
        Seed of the initial weights, of the order of the cells, of the draws and of the starts.

    Attributes
    ----------
    labels_, probabilities_
        Likeliest cluster (int32, n) and q(y | x) (float32, n x K). Clusters are ordered by descending size; with
        labels, the classes come first: in the order of their categories, or else in natural order.
    classes_
        Names of the clusters: those of the classes, and "cluster 1", ... of further ones; numbers without labels.
    embedding_, history_, columns_, batches_
        As in CountVAE.
    means_, variances_, weights_
        Components of the prior: K x n_latent, K x n_latent, K.
    log_mean_
        Log of the expected proportion of each gene in each cluster, K x p of the chosen columns, float32.

    References
    ----------
    Kingma et al., Semi-supervised learning with deep generative models (2014), arXiv:1406.5298. Xu et al. (2021),
    doi:10.15252/msb.20209620. Johnson et al., Composing graphical models with neural networks (2016), arXiv:1603.06277,
    for posteriors that are a product of prior and site.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = rng.poisson(np.kron(np.array([[9, 1], [1, 9]]), np.ones((60, 5))))
    >>> model = CountGMVAE(2, n_latent=2, n_epochs=30).fit(X)  # doctest: +SKIP
    >>> len(set(model.labels_[:60])), len(set(model.labels_[60:]))  # doctest: +SKIP
    (1, 1)
    """

    labels_: Array
    probabilities_: Array
    classes_: Array
    KIND: ClassVar[str] = "CountGMVAE"
    FITTED: ClassVar[tuple[str, ...]] = ("columns_", "n_columns_", "batches_", "classes_")

    def __init__(
        self,
        n_clusters: int | None = 10,
        *,
        n_latent: int = 10,
        likelihood: str = "nb",
        dispersion: str = "gene",
        size_factors: str = "observed",
        n_hidden: int = 128,
        init: Any = "auto",
        n_starts: int = 5,
        label_weight: float = 10.0,
        n_epochs: int | None = None,
        batch_size: int = 256,
        learning_rate: float = 4e-3,
        device: str = "auto",
        precision: str = "auto",
        checkpoint: str | Path | None = None,
        seed: int = 0,
    ) -> None:
        self.n_clusters, self.dispersion, self.init = n_clusters, dispersion, init
        self.n_starts, self.label_weight = n_starts, label_weight
        super().__init__(
            n_latent,
            likelihood=likelihood,
            size_factors=size_factors,
            n_hidden=n_hidden,
            n_epochs=n_epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            device=device,
            precision=precision,
            checkpoint=checkpoint,
            seed=seed,
        )

    def fit(  # type: ignore[override]
        self,
        X: Any,
        columns: Array | None = None,
        batch: Any = None,
        labels: Any = None,
        execution: Execution | None = None,
    ) -> Self:
        """Train the networks and the clusters, and label all cells.

        Parameters
        ----------
        X
            Counts: n x number of columns, array, SciPy sparse matrix or row blocks.
        columns
            Mask or positions of the genes to use; all by default.
        batch
            Batch of each cell, n; one for all by default.
        labels
            Known classes, n, missing (None, NaN) where they are not known; none by default.
        execution
            Memory and progress.

        Raises
        ------
        ParameterError
            If a parameter is out of range, X does not hold counts, or there are fewer clusters than classes.
        KithkinError
            If torch is not installed.
        """
        blocks, execution = as_blocks(X), Execution() if execution is None else execution
        n = blocks.shape[0]
        check(self.n_clusters is not None or labels is not None, "n_clusters must be a number, as there are no labels")
        codes, classes = (np.full(n, -1), []) if labels is None else read_classes(labels, n)
        K = len(classes) if self.n_clusters is None else int(self.n_clusters)
        check_range("n_clusters", K, max(1, len(classes)), max(1, min(int(0.9 * n), SAMPLE)))
        if self.n_epochs is not None:
            check_range("n_epochs", self.n_epochs, 2, 10**6)
        if isinstance(self.init, str):
            check_choice("init", self.init, ("auto",))
        check_choice("dispersion", self.dispersion, ("gene", "gene_cluster"))
        check_range("n_starts", self.n_starts, 1, 1000)
        check_range("label_weight", self.label_weight, 0.0, 1e6)
        further = (name for i in count(1) if (name := f"cluster {i}") not in classes)
        self.classes_ = np.array([*classes, *islice(further, K - len(classes))]) if classes else np.arange(K)
        table = self._survey(blocks, columns, batch, codes.astype(np.int64), execution)
        if not isinstance(self.init, str):
            given = checked_responsibilities(np.asarray(self.init), n, K)
            # an unknown label, -1, takes the last row
            shares = np.eye(K + 1, K)[np.maximum(given, -1)] if given.ndim == 1 else given
            check(bool(shares.any()), "init must name a cluster for a row at least")
            shares[codes >= 0] = np.eye(K)[codes[codes >= 0]]
            table = replace(table, shares=shares)
        import torch

        from kithkin.models.latent.training import Phase, default_epochs, encode_rows

        n_epochs = default_epochs(n, self.batch_size, STEPS) if self.n_epochs is None else self.n_epochs
        first = max(1, round(FIRST_SHARE * n_epochs))
        phases = [Phase("latent", first, self.learning_rate, True, 0.0)]
        phases += [Phase("clusters", max(1, n_epochs - first), SLOWER * self.learning_rate, False, self.label_weight)]
        sizes = {"n_clusters": K, "dispersion": self.dispersion, "scaled_input": True}
        self._train(table, phases, execution, self._start, **sizes)
        found = encode_rows(self.networks_, self._in_order(table))
        order = np.arange(K)
        if not classes:
            order = np.argsort(-np.bincount(found["q"].argmax(axis=1), minlength=K), kind="stable")
            self.networks_.reorder(torch.from_numpy(order).to(self.device_))
        self.embedding_, self.probabilities_ = found["z"], found["q"][:, order]
        known = table.labels >= 0
        self.probabilities_[known] = np.eye(K, dtype=np.float32)[table.labels[known]]
        self.labels_ = self.probabilities_.argmax(axis=1).astype(np.int32)
        return self

    def _start(self, training: Training) -> None:
        """Start the components of the prior from a Gaussian mixture in latent space, or around the classes."""
        import torch

        from kithkin.models.latent.training import encode_rows

        labels = training.batches.table.labels
        found = encode_rows(training.networks, self._in_order(training.batches.table))
        z, K, known = found["z"].astype(np.float64), len(self.classes_), labels >= 0
        given = training.batches.table.shares
        if given is not None:
            start, _ = fit_components(found["site"], found["noise"], given, known, max_iter=1)
        elif known.any():
            shares, n_classes = np.zeros((len(z), K)), int(labels.max()) + 1
            shares[known, labels[known]] = 1.0
            free, others = K - n_classes, np.flatnonzero(~known)
            if 0 < free <= len(others):
                shares[others, n_classes + KMeans(free, seed=self.seed).fit(z[others]).labels_] = 1.0
            start, _ = fit_components(found["site"], found["noise"], shares, known)
        else:
            some = np.sort(np.random.default_rng(self.seed).choice(len(z), min(len(z), SAMPLE), replace=False))
            shape = GaussianMixture(K, n_init=self.n_starts, reg_covar=RIDGE, random_state=self.seed).fit(z[some])
            variance = np.maximum(np.diagonal(shape.covariances_, axis1=1, axis2=2), RIDGE)
            start = Components(shape.means_, variance, shape.weights_)
        parts = (start.mean, start.variance, start.weights)
        training.networks.begin_clusters(*(torch.from_numpy(part).float().to(self.device_) for part in parts))

    @property
    def means_(self) -> Array:
        """Means of the clusters in latent space, K x n_latent float32."""
        means: Array = self.networks_.prior_mean.detach().cpu().numpy()
        return means

    @property
    def variances_(self) -> Array:
        """Variances of the clusters in latent space, K x n_latent float32."""
        variances: Array = self.networks_.prior_variance().detach().cpu().numpy()
        return variances

    @property
    def weights_(self) -> Array:
        """Weights of the clusters, K float32."""
        weights: Array = self.networks_.prior_log_weight.detach().softmax(0).cpu().numpy()
        return weights

    @property
    def log_mean_(self) -> Array:
        """Log of the expected proportion of each gene in each cluster, K x p float32, over draws of z and batches."""
        from kithkin.models.latent.sampling import cluster_proportions

        log_mean: Array = np.log(cluster_proportions(self.networks_, N_DRAWS, self.seed))
        return log_mean

    def predict_proba(self, X: Any, execution: Execution | None = None) -> Array:
        """Return q(y | x) of rows, n x K float32; it does not depend on the batch.

        Raises
        ------
        ParameterError
            If X has other columns than in fit, does not hold counts, or nothing is fitted.
        """
        batches = self._given(X, self.batches_[0], execution)  # any: the encoder does not see it
        from kithkin.models.latent.training import encode_rows

        return encode_rows(self.networks_, batches)["q"]

    def predict(self, X: Any, execution: Execution | None = None) -> Array:
        """Return the likeliest cluster of rows, n int32; `classes_` has the names."""
        labels: Array = self.predict_proba(X, execution).argmax(axis=1).astype(np.int32)
        return labels


def read_classes(labels: Any, n: int) -> tuple[Array, list[str]]:
    """Number the classes of n rows, -1 where one is missing, by their categories or in natural order; list their names.

    Examples
    --------
    >>> read_classes(["T10", None, "T2"], 3)
    (array([ 1, -1,  0], dtype=int8), ['T2', 'T10'])
    """
    given = labels if isinstance(labels, (pd.Series, pd.Categorical)) else np.asarray(labels, object)
    column: pd.Series[Any] = pd.Series(given)
    check(len(column) == n, f"labels must hold {n} entries, got {len(column)}")
    if not isinstance(column.dtype, pd.CategoricalDtype):
        column = pd.Series(pd.Categorical(column, natsorted(column.dropna().unique(), key=str)))
    column = column.cat.remove_unused_categories()
    classes = [str(name) for name in column.cat.categories]
    check(len(classes) > 0, "labels must name a class for a cell at least")
    check(len(set(classes)) == len(classes), "labels must name different classes by different texts")
    return column.cat.codes.to_numpy(), classes
