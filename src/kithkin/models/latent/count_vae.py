"""Variational autoencoder for counts: a latent space of few dimensions, from which counts are decoded."""

# Long: the parameters, attributes and examples of the model take half of it
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import pandas as pd
from scipy import sparse

from kithkin.core.blocks import Array, Blocks, as_blocks
from kithkin.core.errors import check, check_choice, check_range
from kithkin.core.execute import Execution
from kithkin.models.estimator import Estimator
from kithkin.models.table.columns import choose
from kithkin.optional import need

if TYPE_CHECKING:
    from kithkin.models.latent.counts import CountBatches, CountTable
    from kithkin.models.latent.networks import CountNetworks
    from kithkin.models.latent.training import Phase, Training

LIKELIHOODS = ("nb", "zinb", "poisson")
TARGET_SUM = 1e4
STEPS = 1600  # of a training whose number of epochs is not given
UNSEEN = {"checkpoint", "device", "precision", "init"}  # parameters that a checkpoint need not share; init is hashed


class CountVAE(Estimator):
    r"""Variational autoencoder for counts, with batches as a covariate of the decoder.

    .. math:: z_i \sim N(0, I), \qquad x_{ij} \mid z_i, b_i \sim
        \mathrm{NegBinom}(\mathrm{mean}\ s_i \rho_j(z_i, b_i),\ \mathrm{variance}\ m + m^2 \phi_j)

    with :math:`s_i` the size factor of cell i, its counts in the chosen genes, :math:`\rho` the softmax of a decoder
    with one hidden layer, and :math:`b_i` the batch, which the encoder does not see: so the latent space is integrated.
    The encoder takes log1p of the counts, and returns a normal site :math:`N(\mu, \sigma^2)`; q(z | x) is proportional
    to its product with the prior. Adam maximises the evidence lower bound. The weight of the divergence from the prior
    rises in the first epochs; a twentieth of the cells (at most 5,000) are held out, and where the bound on them stops
    rising, the learning rate falls and the training ends; the networks with the best held-out bound are kept.

    Cells are streamed in shuffled batches; the chosen genes stay in memory where a quarter of the budget is enough. On
    a CPU equal seeds give equal bits, whatever the budget. No label is used in any choice.

    Parameters
    ----------
    n_latent
        Dimensions of the latent space.
    likelihood
        "nb": negative binomial. "zinb": with zero inflation. "poisson".
    size_factors
        "observed": the counts of a cell in the chosen genes. "latent": a latent variable, log-normal in each batch.
    n_hidden
        Width of the hidden layers of encoder and decoder.
    n_epochs
        Passes over the cells at most; by default enough for 1,600 steps, from 8 to 80.
    batch_size
        Cells of a step.
    learning_rate
        Highest learning rate of Adam.
    device
        "auto": a GPU if there is one; or "cpu", "cuda".
    precision
        Products of the training in "float32" or in "mixed" precision (bfloat16); "auto": mixed where the processor has
        instructions for it.
    checkpoint
        File (safetensors) to which the training is saved about once a minute, and from which an interrupted one goes
        on.
    seed
        Seed of the initial weights, of the order of the cells, and of the draws.

    Attributes
    ----------
    embedding_
        Mean of q(z | x) of each cell, n x n_latent, float32.
    history_
        A row for each epoch: phase, epoch, bound (mean of a cell in nats, without the factorials of its counts), weight
        of the divergence, and held_out: the same for cells held out, decoded at the mean of q(z | x), where there are
        160 cells or more.
    columns_, batches_
        Positions of the chosen genes, and the names of the batches.

    References
    ----------
    Lopez et al., Deep generative modeling for single-cell transcriptomics (2018), doi:10.1038/s41592-018-0229-2.
    Kingma and Welling, Auto-encoding variational Bayes (2013), arXiv:1312.6114.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = rng.poisson(np.kron(np.array([[9, 1], [1, 9]]), np.ones((60, 5))))
    >>> model = CountVAE(2, n_epochs=30).fit(X)  # doctest: +SKIP
    >>> model.transform(X).shape, model.denoise(X).sum(1).round()[:2].tolist()  # doctest: +SKIP
    ((120, 2), [10000.0, 10000.0])
    """

    embedding_: Array
    history_: list[dict[str, Any]]
    columns_: Array
    batches_: Array
    networks_: CountNetworks
    n_columns_: int
    device_: str
    KIND: ClassVar[str] = "CountVAE"  # of the files that it writes
    FITTED: ClassVar[tuple[str, ...]] = ("columns_", "n_columns_", "batches_")  # beside the networks

    def __init__(
        self,
        n_latent: int = 10,
        *,
        likelihood: str = "nb",
        size_factors: str = "observed",
        n_hidden: int = 128,
        n_epochs: int | None = None,
        batch_size: int = 256,
        learning_rate: float = 4e-3,
        device: str = "auto",
        precision: str = "auto",
        checkpoint: str | Path | None = None,
        seed: int = 0,
    ) -> None:
        self.n_latent, self.likelihood, self.size_factors, self.n_hidden = n_latent, likelihood, size_factors, n_hidden
        self.n_epochs, self.batch_size, self.learning_rate = n_epochs, batch_size, learning_rate
        self.device, self.precision, self.checkpoint, self.seed = device, precision, checkpoint, seed

    def fit(self, X: Any, columns: Array | None = None, batch: Any = None, execution: Execution | None = None) -> Self:
        """Train the networks, and encode all cells.

        Parameters
        ----------
        X
            Counts: n x number of columns, array, SciPy sparse matrix or row blocks.
        columns
            Mask or positions of the genes to use; all by default.
        batch
            Batch of each cell, n; one for all by default.
        execution
            Memory and progress.

        Raises
        ------
        ParameterError
            If a parameter is out of range, or X does not hold counts.
        KithkinError
            If torch is not installed.
        """
        blocks, execution = as_blocks(X), Execution() if execution is None else execution
        table = self._survey(blocks, columns, batch, np.full(blocks.shape[0], -1), execution)
        from kithkin.models.latent.training import Phase, default_epochs, encode_rows

        n_epochs = default_epochs(blocks.shape[0], self.batch_size, STEPS) if self.n_epochs is None else self.n_epochs
        self._train(table, [Phase("latent", n_epochs, self.learning_rate, True, 0.0)], execution)
        self.embedding_ = encode_rows(self.networks_, self._in_order(table))["z"]
        return self

    def _survey(
        self, blocks: Blocks, columns: Array | None, batch: Any, labels: Array, execution: Execution
    ) -> CountTable:
        """Check parameters, and survey the chosen genes; names of the batches become attributes."""
        n, self.n_columns_ = blocks.shape
        self.columns_ = choose(columns, self.n_columns_)
        p = len(self.columns_)
        check(n >= 2 and p >= 2, f"X must have two rows and two chosen columns at least, got {n} x {p}")
        check_range("n_latent", self.n_latent, 1, 1000)
        check_choice("likelihood", self.likelihood, LIKELIHOODS)
        check_choice("size_factors", self.size_factors, ("observed", "latent"))
        check_choice("precision", self.precision, ("auto", "float32", "mixed"))
        check_range("n_hidden", self.n_hidden, 1, 10**5)
        if self.n_epochs is not None:
            check_range("n_epochs", self.n_epochs, 1, 10**6)
        check_range("batch_size", self.batch_size, 2, 10**6)
        check_range("learning_rate", self.learning_rate, 1e-8, 10.0)
        names = np.zeros(n, int) if batch is None else np.asarray(batch)
        check(names.shape == (n,), f"batch must name a batch for each of {n} rows, got {names.shape}")
        missing = int(np.asarray(pd.isna(names)).sum())
        check(missing == 0, f"batch must name a batch for each row, but {missing:,} are missing")
        names = names.astype(str) if names.dtype.kind == "O" else names
        self.batches_, codes = np.unique(names, return_inverse=True)
        need("torch", "deep", type(self).__name__)
        need("safetensors", "deep", type(self).__name__)
        from kithkin.models.latent.counts import CountTable
        from kithkin.models.nn.device import choose_device

        self.device_ = choose_device(self.device)
        return CountTable.of(blocks, self.columns_, codes, labels, len(self.batches_), execution)

    def _train(
        self,
        table: CountTable,
        phases: list[Phase],
        execution: Execution,
        before_phase: Callable[[Training], None] | None = None,
        **sizes: Any,
    ) -> None:
        """Train new networks through phases; sizes are those that a plain autoencoder does not have."""
        import torch

        from kithkin.models.latent.networks import CountNetworks, Sizes
        from kithkin.models.latent.training import Training
        from kithkin.models.nn.device import torch_settings, uses_mixed_precision
        from kithkin.models.nn.tensors import checked_folder

        own: dict[str, Any] = {"n_latent": self.n_latent, "n_hidden": self.n_hidden, "n_clusters": 0}
        own |= {"dispersion": "gene", "scaled_input": False, "latent_size": self.size_factors == "latent"}
        own |= {"n_genes": len(self.columns_), "n_batches": len(self.batches_), "likelihood": self.likelihood}
        proportions, size_prior = torch.from_numpy(table.log_proportions()), torch.from_numpy(table.log_sizes())
        path = None if self.checkpoint is None else Path(self.checkpoint)
        if path is not None:
            checked_folder(path)
        with torch_settings(self.device_), execution.kept_heap():
            generator = torch.Generator().manual_seed(int(self.seed))
            networks = CountNetworks(Sizes(**(own | sizes)), proportions, size_prior, generator).to(self.device_)
            networks.mixed = uses_mixed_precision(self.precision, self.device_)
            training = Training(networks, table, phases, self.batch_size, self.seed, execution)
            training.before_phase = before_phase
            given = {name: value for name, value in self.get_params().items() if name not in UNSEEN}
            training.identity = {"kind": self.KIND, **given, "table": training.batches.identity}
            if path is not None and path.is_file():
                training.load(path)
            training.run(path)
        self.networks_, self.history_ = networks, training.history
        if path is not None:
            path.unlink(missing_ok=True)

    def _in_order(self, table: CountTable) -> CountBatches:
        from kithkin.models.latent.counts import CountBatches

        return CountBatches(table, max(self.batch_size, 512), 0, self.device_)

    def _given(self, X: Any, batch: Any, execution: Execution | None) -> CountBatches:
        """Check other rows, and return them in batches."""
        from kithkin.models.latent.counts import CountTable

        blocks = as_blocks(X)
        n, p = blocks.shape
        check(p == self.n_columns_, f"X must have {self.n_columns_} columns as in fit, got {p}")
        codes = self._batch_codes(batch, n)
        execution = Execution() if execution is None else execution
        unknown = np.full(n, -1)
        return self._in_order(CountTable.of(blocks, self.columns_, codes, unknown, len(self.batches_), execution))

    def _batch_codes(self, batch: Any, n: int) -> Array:
        """Number the batches of rows as in fit; unknown ones raise ParameterError."""
        if batch is None:
            several = len(self.batches_) > 1
            check(not several, f"batch must name the batch of each row, one of {', '.join(map(str, self.batches_))}")
            return np.zeros(n, np.int64)
        names = np.full(n, batch) if np.ndim(batch) == 0 else np.asarray(batch)
        check(names.shape == (n,), f"batch must name a batch for each of {n} rows, got {names.shape}")
        codes: Array = pd.Index(self.batches_.astype(str)).get_indexer(pd.Index(names.astype(str)))
        known = ", ".join(map(str, self.batches_))
        check(bool((codes >= 0).all()), f"batch must be of those in fit ({known}), got {names[codes < 0][:1].tolist()}")
        return codes.astype(np.int64)

    def transform(self, X: Any, execution: Execution | None = None) -> Array:
        """Return the mean of q(z | x) of rows, n x n_latent float32; it does not depend on the batch.

        Raises
        ------
        ParameterError
            If X has other columns than in fit, does not hold counts, or nothing is fitted.
        """
        batches = self._given(X, self.batches_[0], execution)  # any: the encoder does not see it
        from kithkin.models.latent.training import encode_rows

        return encode_rows(self.networks_, batches)["z"]

    def log_likelihood(
        self, X: Any, batch: Any = None, *, n_samples: int = 100, seed: int = 0, execution: Execution | None = None
    ) -> Array:
        """Estimate the log-likelihood of rows by importance sampling from q(z | x), n float64, in nats.

        It is a lower bound in expectation, and rises to the log-likelihood with the number of samples. Burda et al.,
        Importance weighted autoencoders (2015), arXiv:1509.00519.

        Parameters
        ----------
        X
            Counts, n x as many columns as in fit.
        batch
            Batch of each row, or one for all, of those in fit.
        n_samples
            Draws for each row.
        seed
            Seed of the draws.
        execution
            Memory.

        Raises
        ------
        ParameterError
            If X or batch does not go with the model.
        """
        check_range("n_samples", n_samples, 1, 10**6)
        import torch

        from kithkin.models.latent.sampling import weighted_likelihood
        from kithkin.models.nn.device import torch_settings

        batches = self._given(X, batch, execution)
        with torch_settings(self.device_), torch.no_grad():
            generator = torch.Generator(self.device_).manual_seed(seed)
            parts = [weighted_likelihood(self.networks_, one, n_samples, generator) for _, one in batches.ordered()]
        return np.concatenate([np.empty(0), *parts])

    def denoise(
        self,
        X: Any,
        batch: Any = None,
        genes: Array | None = None,
        *,
        target_sum: float = TARGET_SUM,
        execution: Execution | None = None,
    ) -> Array:
        """Compute the expected counts of rows, decoded from the mean of q(z | x, y) and averaged over y.

        Parameters
        ----------
        X
            Counts, n x as many columns as in fit.
        batch
            Batch of which to decode: that of each row, or one for all, which takes the differences of batches out.
        genes
            Mask of the chosen genes, or positions among them, in any order; all by default.
        target_sum
            Counts of a cell over all chosen genes.
        execution
            Memory.

        Returns
        -------
        ndarray
            n x number of genes, float32.

        Raises
        ------
        ParameterError
            If X or batch does not go with the model, or a gene is out of range.
        """
        import torch

        from kithkin.models.latent.sampling import expected_proportions
        from kithkin.models.nn.device import torch_settings

        batches = self._given(X, batch, execution)
        chosen = choose(genes, len(self.columns_))  # in ascending order
        given = chosen if genes is None or np.asarray(genes).dtype.kind == "b" else np.asarray(genes, np.int64)
        places = torch.from_numpy(given).to(self.device_)
        with torch_settings(self.device_), torch.no_grad():
            parts = [
                target_sum * expected_proportions(self.networks_, one)[:, places].cpu().numpy()
                for _, one in batches.ordered()
            ]
        return np.concatenate([np.empty((0, len(places)), np.float32), *parts])

    def sample(self, size: Any, batch: Any = None, *, seed: int = 0) -> tuple[sparse.csr_matrix, Array]:
        """Simulate cells from the prior.

        Parameters
        ----------
        size
            Size factor of each cell, n.
        batch
            Batch of each cell, or one for all, of those in fit.
        seed
            Seed of the random numbers.

        Returns
        -------
        csr_matrix, ndarray
            Counts, n x p of the chosen genes, int64, and the component of the prior of each cell, n int32.

        Raises
        ------
        ParameterError
            If a size is not above 0, or a batch is not of those in fit.
        """
        from kithkin.models.latent.sampling import simulate

        size = np.asarray(size, np.float64)
        check(size.ndim == 1 and bool((size > 0).all()), "size must hold a number above 0 for each cell")
        return simulate(self.networks_, size, self._batch_codes(batch, len(size)), seed)

    def save(self, path: str | Path) -> None:
        """Write the fitted model to a safetensors file."""
        need("safetensors", "deep", "saving a model")
        from kithkin.models.latent.store import save_model

        given = {name: value for name, value in self.get_params().items() if name not in ("checkpoint", "init")}
        fitted = {name: np.asarray(getattr(self, name)).tolist() for name in self.FITTED}
        save_model(Path(path), self.KIND, self.networks_, given, fitted)

    @classmethod
    def load(cls, path: str | Path, device: str = "auto") -> Self:
        """Read a model that was saved, ready for transform, denoise, log_likelihood and sample.

        Raises
        ------
        FormatError
            If the file is none, is damaged, or holds another model.
        """
        need("torch", "deep", cls.__name__)
        need("safetensors", "deep", "loading a model")
        from kithkin.models.latent.store import load_model
        from kithkin.models.nn.device import choose_device

        device_ = choose_device(device)
        networks, given, fitted = load_model(Path(path), cls.KIND, cls.FITTED, device_)
        model = cls(**(given | {"device": device}))
        model.networks_, model.device_ = networks, device_
        for name, value in fitted.items():
            setattr(model, name, np.array(value) if isinstance(value, list) else value)
        return model
