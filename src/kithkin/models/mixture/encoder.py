"""Network that returns the clusters of a count mixture for new cells without evaluating the mixture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from kithkin.core.blocks import Array, Blocks, as_blocks
from kithkin.core.errors import FormatError, KithkinError, check, check_choice, check_range
from kithkin.core.execute import Execution, track
from kithkin.models.estimator import Estimator
from kithkin.models.mixture.count_mixture import CountMixture
from kithkin.models.table.normalize import sparse_pieces
from kithkin.optional import need

if TYPE_CHECKING:
    from kithkin.models.mixture.encoder_network import Batch

STREAM = 4096  # rows that are encoded at a time
KIND, NETWORK = "mixture encoder", "network."  # of a file, and of the names of its tensors


class MixtureEncoder(Estimator):
    r"""Amortised inference for a count mixture: a network with one hidden layer returns the responsibilities of cells.

    The network takes log1p of the counts to a softmax over clusters, :math:`q(z \mid x)`, and is trained by Adam on the
    bound :math:`\sum_k q_k (\log p(x \mid k) + \log \pi_k - \log q_k) \le \log p(x)`. With fixed components this is the
    log-likelihood minus the divergence of q from the exact responsibilities, which one pass of the mixture gives; free
    components are parameters of the same bound. Cells come in shuffled blocks, and shuffled within a block: memory is
    that of a block. On a processor the same seed gives the same network.

    Parameters
    ----------
    n_hidden
        Width of the hidden layer.
    components
        "fixed": those of the mixture. "free": trained on, from those of the mixture, or from the first mini-batch.
    n_epochs, batch_size, learning_rate
        Number of passes over the cells, cells of a step, and learning rate of Adam.
    device
        "auto": a GPU if there is one; or a name that torch knows.
    seed
        Seed of the initial weights and of the order of the cells.

    Attributes
    ----------
    bound_
        Mean bound of a cell in each epoch, in nats, without the terms of the counts alone.
    weights_, log_mean_, log_dispersion_
        Parameters of the components, as in CountMixture.

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

    def fit(
        self, X: Any, mixture: CountMixture | int, size: Array | None = None, execution: Execution | None = None
    ) -> Self:
        """Train the network.

        Parameters
        ----------
        X
            Counts, n x as many columns as the mixture was fitted on.
        mixture
            Fitted mixture, or one of given parameters such as those of topics (`CountMixture.from_parameters`); or a
            number of clusters: free components then start from a mixture that is fitted to the first mini-batch.
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
        blocks = as_blocks(X)
        check(blocks.shape[0] > 0, "X must have rows, got none")
        execution = Execution() if execution is None else execution
        if isinstance(mixture, (int, np.integer)):
            mixture = self._of_first_batch(blocks, int(mixture), size)
        check(hasattr(mixture, "weights_"), "mixture must be fitted")
        target = mixture.predict_proba(blocks, size, execution)
        likelihood = mixture.score_samples(blocks, size, execution)
        need("torch", "deep", "kithkin.models.MixtureEncoder")
        import torch

        from kithkin.models.mixture.encoder_network import EncoderNetwork
        from kithkin.models.nn.device import choose_device, torch_settings

        device = choose_device(self.device)
        self._position = np.full(blocks.shape[1], -1, np.int64)
        self._position[mixture.columns_] = np.arange(len(mixture.columns_))
        components = (mixture.log_mean_, mixture.log_dispersion_, mixture.weights_)
        self._network = network = EncoderNetwork(
            len(mixture.columns_),
            self.n_hidden,
            len(mixture.weights_),
            components if self.components == "free" else None,
            self.seed,
            device,
        )
        optimizer = torch.optim.Adam(network.parameters(), lr=self.learning_rate)
        bounds = []
        with torch_settings(device):
            for epoch in track(range(self.n_epochs), execution, "encoder", unit="epoch"):
                total = 0.0
                for batch in self._batches(blocks, size, target, likelihood, np.random.default_rng((self.seed, epoch))):
                    bound = network.bound(batch)
                    optimizer.zero_grad()
                    (-bound / len(batch.offsets)).backward()
                    optimizer.step()
                    total += float(bound.detach())
                bounds.append(total / blocks.shape[0])
        self.bound_ = np.array(bounds)
        self.log_mean_, self.log_dispersion_, self.weights_ = components
        if network.free:
            self.weights_ = network.log_weight.detach().softmax(dim=0).cpu().numpy()
            self.log_mean_ = network.log_mean.detach().cpu().numpy()
            self.log_dispersion_ = network.log_dispersion.detach().cpu().numpy()
        return self

    def predict_proba(self, X: Any, execution: Execution | None = None) -> Array:
        """Return the responsibilities of the clusters for rows, float32, n x K: one pass of the network.

        Raises
        ------
        ParameterError
            If X has other columns than in fit.
        """
        import torch

        from kithkin.models.nn.device import torch_settings

        blocks, wanted = as_blocks(X), len(self._position)
        check(blocks.shape[1] == wanted, f"X must have {wanted} columns as in fit, got {blocks.shape[1]}")
        execution = Execution() if execution is None else execution
        out = np.empty((blocks.shape[0], len(self.weights_)), np.float32)
        with torch_settings(self._network.device.type), torch.no_grad():
            for start, stop in track(blocks.ranges, execution, "encoder"):
                for offset, piece in sparse_pieces(blocks.read(start, stop)):
                    for first in range(0, piece.shape[0], STREAM):
                        rows = piece.take(first, min(first + STREAM, piece.shape[0]))
                        q = torch.exp(self._network(*self._entries(rows.data, rows.indices, rows.indptr)))
                        out[start + offset + first :][: rows.shape[0]] = q.cpu().numpy()
        return out

    def predict(self, X: Any, execution: Execution | None = None) -> Array:
        """Return the likeliest cluster of each row, int32, n."""
        labels: Array = self.predict_proba(X, execution).argmax(axis=1).astype(np.int32)
        return labels

    def save(self, path: str | Path) -> None:
        """Write the fitted encoder to a safetensors file: numbers and JSON, nothing that runs when it is read.

        Raises
        ------
        NotFittedError
            If it is not fitted.
        """
        import torch

        from kithkin.models.nn.tensors import write_tensors

        tensors = {f"{NETWORK}{name}": tensor for name, tensor in self._network.state_dict().items()}
        arrays = {name: getattr(self, name) for name in ("bound_", "weights_", "log_mean_", "log_dispersion_")}
        tensors |= {name: torch.from_numpy(np.array(values)) for name, values in arrays.items()}
        tensors["columns"] = torch.from_numpy(self._position)
        write_tensors(Path(path), tensors, {"kind": KIND, "parameters": self.get_params(deep=False)})

    @classmethod
    def load(cls, path: str | Path, device: str = "auto") -> Self:
        """Read an encoder that `save` wrote.

        Raises
        ------
        FormatError
            If the file is none, is damaged, or holds something else.
        """
        need("torch", "deep", "kithkin.models.MixtureEncoder")
        from kithkin.models.mixture.encoder_network import EncoderNetwork
        from kithkin.models.nn.device import choose_device
        from kithkin.models.nn.tensors import read_tensors

        tensors, metadata = read_tensors(Path(path), KIND)
        try:
            encoder = cls(**metadata["parameters"] | {"device": device})
            for name in ("bound_", "weights_", "log_mean_", "log_dispersion_"):
                setattr(encoder, name, tensors[name].numpy())
            encoder._position = tensors["columns"].numpy()
            components = (encoder.log_mean_, encoder.log_dispersion_, encoder.weights_)
            K, p = encoder.log_mean_.shape
            given = components if encoder.components == "free" else None
            encoder._network = EncoderNetwork(p, encoder.n_hidden, K, given, encoder.seed, choose_device(device))
            state = {name.removeprefix(NETWORK): t for name, t in tensors.items() if name.startswith(NETWORK)}
            encoder._network.load_state_dict(state)
        except (KeyError, TypeError, ValueError, RuntimeError, KithkinError) as error:
            raise FormatError(f"{Path(path).name} does not hold the encoder that it announces") from error
        return encoder

    def _of_first_batch(self, blocks: Blocks, n_clusters: int, size: Array | None) -> CountMixture:
        """Fit a mixture to the cells of the first mini-batch of the training."""
        check(self.components == "free", "a number of clusters in place of a mixture needs components='free'")
        check_range("mixture", n_clusters, 1, min(self.batch_size, blocks.shape[0]))
        random = np.random.default_rng((self.seed, 0))  # that of the first epoch, which begins with the same cells
        start, stop = blocks.ranges[random.permutation(len(blocks.ranges))[0]]
        offset, piece = next(iter(sparse_pieces(blocks.read(start, stop))))
        rows = random.permutation(piece.shape[0])[: self.batch_size]
        sizes = None if size is None else np.asarray(size)[start + offset + rows]
        return CountMixture(n_clusters, seed=self.seed).fit(piece.to_scipy()[rows], size=sizes)

    def _batches(
        self, blocks: Blocks, size: Array | None, target: Array, likelihood: Array, random: np.random.Generator
    ) -> Iterator[Batch]:
        """Yield mini-batches of shuffled blocks, shuffled within each block."""
        from kithkin.models.mixture.encoder_network import Batch

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
        """Return offsets, columns among the chosen ones, and counts of rows."""
        position = self._position[indices]
        keep = position >= 0
        before = np.concatenate([[0], np.cumsum(keep)])
        return before[indptr[:-1]], position[keep], np.asarray(data[keep], np.float64)
