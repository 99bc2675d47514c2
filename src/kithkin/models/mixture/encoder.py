"""A network that gives the clusters of a count mixture to new cells without evaluating the mixture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from kithkin.core.blocks import Array, Blocks, as_blocks
from kithkin.core.errors import check, check_choice, check_range
from kithkin.core.execute import Execution, track
from kithkin.models.estimator import Estimator
from kithkin.models.mixture.count_mixture import CountMixture
from kithkin.models.table.normalize import sparse_pieces
from kithkin.optional import need

LEAST = 1e-10  # probability below which the mixture gives none
LEAST_DISPERSION, MOST_DISPERSION = -9.2, 9.2  # of free components: log of 1e-4 and 1e4
STREAM = 4096  # rows that are encoded at a time


@dataclass(frozen=True)
class Batch:
    """Some rows: where their values begin, columns and counts, size factors, and what they are to be compared to.

    Examples
    --------
    >>> Batch(np.zeros(1, int), np.zeros(0, int), np.zeros(0), np.ones(1), np.ones((1, 2)), np.zeros(1)).n_rows
    1
    """

    offsets: Array
    columns: Array
    counts: Array
    size: Array
    target: Array
    likelihood: Array

    @property
    def n_rows(self) -> int:
        """Rows in it."""
        return len(self.offsets)


class MixtureEncoder(Estimator):
    r"""Amortised inference for a count mixture: a network with one hidden layer gives each cell its probabilities.

    The network takes log1p of the counts to a softmax over clusters, :math:`q(z \mid x)`, and is trained by Adam on the
    bound :math:`\sum_k q_k (\log p(x \mid k) + \log \pi_k - \log q_k) \le \log p(x)`. With fixed components this is the
    log-likelihood minus the divergence of q from the exact probabilities, which one pass of the mixture gives; free
    components are parameters of the same bound. Cells come in shuffled blocks, and shuffled within a block: memory is
    that of a block. On a processor the same seed gives the same network.

    Parameters
    ----------
    n_hidden
        Width of the hidden layer.
    components
        "fixed": those of the mixture. "free": trained on, from those of the mixture.
    n_epochs, batch_size, learning_rate
        Passes over the cells, cells of a step, and the rate of Adam.
    device
        "auto": a GPU if there is one; or a name that torch knows.
    seed
        Of the first weights and the order of the cells.

    Attributes
    ----------
    bound_
        Mean bound of a cell in each epoch, in nats, without the terms of the counts alone.
    weights_, log_mean_, log_dispersion_
        Of the components, as in CountMixture.

    References
    ----------
    Sarkar and Stephens (2021), doi:10.1038/s41588-021-00873-4. Kingma and Welling, Auto-encoding variational Bayes
    (2013), arXiv:1312.6114.

    Examples
    --------
    >>> MixtureEncoder(components="moving").fit(np.eye(2), CountMixture())
    Traceback (most recent call last):
    kithkin.core.errors.ParameterError: components must be one of 'fixed', 'free', got 'moving'
    """

    bound_: Array
    weights_: Array
    log_mean_: Array
    log_dispersion_: Array

    def __init__(
        self,
        n_hidden: int = 128,
        *,
        components: str = "fixed",
        n_epochs: int = 10,
        batch_size: int = 64,
        learning_rate: float = 1e-3,
        device: str = "auto",
        seed: int = 0,
    ) -> None:
        self.n_hidden, self.components, self.n_epochs = n_hidden, components, n_epochs
        self.batch_size, self.learning_rate, self.device, self.seed = batch_size, learning_rate, device, seed

    def fit(self, X: Any, mixture: CountMixture, size: Array | None = None, execution: Execution | None = None) -> Self:
        """Train the network.

        Parameters
        ----------
        X
            Counts, n x as many columns as the mixture was fitted on.
        mixture
            Fitted.
        size
            Size factor of each cell; its counts over all columns when None.
        execution
            Memory and threads, for the pass of the mixture.

        Raises
        ------
        ParameterError
            If a parameter is out of range, the mixture is not fitted, or X does not go with it.
        KithkinError
            If torch is not installed.
        """
        check_range("n_hidden", self.n_hidden, 1, 10**5)
        check_choice("components", self.components, ("fixed", "free"))
        check_range("n_epochs", self.n_epochs, 1, 10**6)
        check_range("batch_size", self.batch_size, 1, 10**6)
        check_range("learning_rate", self.learning_rate, 1e-8, 10.0)
        check(hasattr(mixture, "weights_"), "mixture must be fitted")
        blocks = as_blocks(X)
        execution = Execution() if execution is None else execution
        target = mixture.predict_proba(blocks, size, execution)
        likelihood = mixture.score_samples(blocks, size, execution)
        self._torch = torch = need("torch", "deep", "kithkin.models.MixtureEncoder")
        self._device = torch.device(_device(torch, self.device))
        position = np.full(blocks.shape[1], -1, np.int64)
        position[mixture.columns_] = np.arange(len(mixture.columns_))
        self._position = position
        random = torch.Generator().manual_seed(self.seed)
        self._parameters = self._first(len(mixture.columns_), len(mixture.weights_), random)
        parts = self._components(mixture)
        step = torch.optim.Adam([*self._parameters.values(), *parts.values()], lr=self.learning_rate)
        bounds = []
        for epoch in track(range(self.n_epochs), execution, "encoder", unit="epoch"):
            total = 0.0
            for batch in self._batches(blocks, size, target, likelihood, np.random.default_rng((self.seed, epoch))):
                bound = self._bound(batch, parts)
                step.zero_grad()
                (-bound / batch.n_rows).backward()
                step.step()
                total += float(bound.detach())
            bounds.append(total / blocks.shape[0])
        self.bound_ = np.array(bounds)
        self._keep(mixture, parts)
        return self

    def predict_proba(self, X: Any, execution: Execution | None = None) -> Array:
        """Probability of each cluster for each row, float32, n x K: one pass of the network.

        Raises
        ------
        ParameterError
            If X has other columns than in fit.
        """
        blocks, torch = as_blocks(X), self._torch
        check(
            blocks.shape[1] == len(self._position),
            f"X must have {len(self._position)} columns as in fit, got {blocks.shape[1]}",
        )
        execution = Execution() if execution is None else execution
        out = np.empty((blocks.shape[0], len(self.weights_)), np.float32)
        with torch.no_grad():
            for start, stop in track(blocks.ranges, execution, "encoder"):
                for offset, piece in sparse_pieces(blocks.read(start, stop)):
                    for first in range(0, piece.shape[0], STREAM):
                        rows = piece.take(first, min(first + STREAM, piece.shape[0]))
                        q = torch.exp(self._log_q(*self._entries(rows.data, rows.indices, rows.indptr)))
                        out[start + offset + first :][: rows.shape[0]] = q.cpu().numpy()
        return out

    def predict(self, X: Any, execution: Execution | None = None) -> Array:
        """Likeliest cluster of each row, int32, n."""
        labels: Array = self.predict_proba(X, execution).argmax(axis=1).astype(np.int32)
        return labels

    def _first(self, p: int, K: int, random: Any) -> dict[str, Any]:
        """Weights as He et al. (2015) draw them; the first layer by column, since few of its inputs are not zero."""
        torch = self._torch
        shapes = {"first": (p, self.n_hidden), "second": (self.n_hidden, K)}
        made = {
            name: torch.randn(shape, generator=random) * (2 / max(shape[0] if name == "second" else 500, 1)) ** 0.5
            for name, shape in shapes.items()
        }
        made |= {"first_bias": torch.zeros(self.n_hidden), "second_bias": torch.zeros(K)}
        return {name: value.to(self._device).requires_grad_() for name, value in made.items()}

    def _components(self, mixture: CountMixture) -> dict[str, Any]:
        if self.components == "fixed":
            return {}
        dispersion = np.clip(mixture.log_dispersion_, LEAST_DISPERSION, MOST_DISPERSION)
        values = {"log_mean": mixture.log_mean_, "log_dispersion": dispersion, "weight": np.log(mixture.weights_)}
        torch = self._torch
        return {
            name: torch.as_tensor(np.asarray(value, np.float64), device=self._device).clone().requires_grad_()
            for name, value in values.items()
        }

    def _batches(
        self, blocks: Blocks, size: Array | None, target: Array, likelihood: Array, random: np.random.Generator
    ) -> Iterator[Batch]:
        for block in random.permutation(len(blocks.ranges)):
            start, stop = blocks.ranges[block]
            for offset, piece in sparse_pieces(blocks.read(start, stop)):
                matrix, begin = piece.to_scipy(), start + offset
                totals = np.asarray(matrix.sum(axis=1)).ravel() if size is None else size[begin:][: piece.shape[0]]
                order = random.permutation(piece.shape[0])
                for first in range(0, len(order), self.batch_size):
                    rows = order[first : first + self.batch_size]
                    some = matrix[rows]
                    entries = self._entries(some.data, some.indices, some.indptr)
                    yield Batch(*entries, totals[rows], target[begin + rows], likelihood[begin + rows])

    def _entries(self, data: Array, indices: Array, indptr: Array) -> tuple[Array, Array, Array]:
        """Where rows begin, columns among the chosen ones, and counts."""
        place = self._position[indices]
        keep = place >= 0
        before = np.concatenate([[0], np.cumsum(keep)])
        return before[indptr[:-1]], place[keep], np.asarray(data[keep], np.float64)

    def _log_q(self, offsets: Array, columns: Array, counts: Array) -> Any:
        torch, weights = self._torch, self._parameters
        values = torch.as_tensor(np.log1p(counts).astype(np.float32), device=self._device)
        places = [torch.as_tensor(array, device=self._device) for array in (columns, offsets)]
        hidden = torch.nn.functional.embedding_bag(*places[:1], weights["first"], places[1], mode="sum",
                                                   per_sample_weights=values)  # fmt: skip
        hidden = torch.relu(hidden + weights["first_bias"])
        return torch.log_softmax(hidden @ weights["second"] + weights["second_bias"], dim=1)

    def _bound(self, batch: Batch, parts: dict[str, Any]) -> Any:
        torch = self._torch
        log_q = self._log_q(batch.offsets, batch.columns, batch.counts).double()
        if parts:
            joint = self._log_densities(batch, parts) + torch.log_softmax(parts["weight"], dim=0)
            return (log_q.exp() * (joint - log_q)).sum()
        exact = np.log(np.maximum(batch.target.astype(np.float64), LEAST))
        divergence = (log_q.exp() * (log_q - torch.as_tensor(exact, device=self._device))).sum()
        return float(batch.likelihood.sum()) - divergence

    def _log_densities(self, batch: Batch, parts: dict[str, Any]) -> Any:
        """Log of the negative binomial of each row under each component: what zeros give, and the stored counts."""
        torch = self._torch
        counts, size = (torch.as_tensor(values, device=self._device) for values in (batch.counts, batch.size * 1.0))
        columns = torch.as_tensor(batch.columns, device=self._device)
        lengths = np.diff(np.append(batch.offsets, len(batch.counts)))
        row = torch.as_tensor(np.repeat(np.arange(batch.n_rows), lengths), device=self._device)
        out = []
        for log_mean, log_dispersion in zip(parts["log_mean"], parts["log_dispersion"], strict=True):
            shape = torch.exp(-log_dispersion.clamp(LEAST_DISPERSION, MOST_DISPERSION))
            zeros = -(shape * torch.log1p(size[:, None] * torch.exp(log_mean) / shape)).sum(dim=1)
            own, mean = shape[columns], size[row] * torch.exp(log_mean[columns])
            terms = torch.lgamma(counts + own) - torch.lgamma(own) - torch.lgamma(counts + 1)
            terms = terms + counts * (torch.log(mean) - torch.log(own + mean))
            out.append(zeros.index_add(0, row, terms))
        return torch.stack(out, dim=1)

    def _keep(self, mixture: CountMixture, parts: dict[str, Any]) -> None:
        self.weights_, self.log_mean_ = mixture.weights_, mixture.log_mean_
        self.log_dispersion_ = mixture.log_dispersion_
        if parts:
            self.weights_ = self._torch.softmax(parts["weight"].detach(), dim=0).cpu().numpy()
            self.log_mean_ = parts["log_mean"].detach().cpu().numpy()
            self.log_dispersion_ = parts["log_dispersion"].detach().cpu().numpy()


def _device(torch: Any, wanted: str) -> str:
    return ("cuda" if torch.cuda.is_available() else "cpu") if wanted == "auto" else wanted
