"""Gated deep clustering: clusters, and for each row and each cluster the few features that decide."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
from scipy import sparse

from kithkin.core.blocks import Array, Blocks, as_blocks
from kithkin.core.errors import check, check_range
from kithkin.core.execute import Execution
from kithkin.models.deep.config import DeepConfig, checked_config
from kithkin.models.deep.start import leading_scores
from kithkin.models.deep.store import load_model, load_training, save_model
from kithkin.models.deep.training import CLEAR, Training
from kithkin.models.deep.watch import Watch
from kithkin.models.gates.label_gates import LabelGates
from kithkin.models.graphs.partition import cut_quality
from kithkin.models.neighbors import Neighbors
from kithkin.models.nn.batches import Batches, Scale, checked_width
from kithkin.models.nn.gates import closed_gates
from kithkin.models.nn.torch import Tensor, device_of, halves, settings_of_torch, torch
from kithkin.models.table.columns import choose

KINDS = ("weight", "bias")  # of the layers that have a row for each cluster


class GatedClustering:
    """Clusters of rows by an autoencoder that may look at a few features of each row only.

    An autoencoder is trained without gates, then with a network that opens or closes each feature of a row, under a
    penalty for open ones, which adapts to the number that is wanted. The embedding of the gated rows is then fixed, and
    a head learns clusters of it: those of a mixture on a UMAP of the embedding by default, or by the coding rate alone
    as published. Last, gates of the clusters are trained, by which each cluster scores all rows (see LabelGates). No
    label is used.

    Results depend on the seed, not on the budget, the blocks or the executor; on a CPU they repeat bit for bit with as
    many threads of torch (`config["torch_threads"]`, one by default). Memory: a batch in dense form, a pool of about
    64 MB, the embedding, and the open gates.

    Parameters
    ----------
    n_clusters
        Clusters; that of the configuration, or 8, when None.
    n_features
        Open features wanted in a row; see DeepConfig.
    gates
        Whether rows choose features.
    scale
        "log1p", "minmax", "standard", "none" or "auto".
    n_starts
        Trainings, of which one is chosen without labels.
    config
        DeepConfig, a mapping, or the path of a YAML file; what is given beside it goes before it.
    device
        "auto", "cpu" or "cuda".
    checkpoint
        File to which the state of training is written now and then, and from which it goes on if it is there.
    seed
        Of everything random.

    Attributes
    ----------
    labels_
        n int32, by descending size of the clusters.
    soft_labels_
        Shares of the clusters in each row, n x K float32.
    embedding_
        n x d float32.
    gates_
        Gates of the rows, n x p CSR float32, below 0.1 closed; None for the ablation, or where nearly all are open.
    global_gates_
        Gates of the clusters, K x p float32 within 0 and 1; open above 0.55, one at least. NaN if not trained.
    gates_accuracy_
        Share of rows that the open gates of the clusters alone give back to their cluster; NaN if these were not
        trained, or by the published classifier.
    feature_counts_
        Of a row on average: "soft" (sum of the gates), "open" (gates that are not closed), "open_nonzero" (those on a
        value that is not zero), and "union", how many features any row uses.
    history_
        For each epoch the phase and the parts of the loss.
    frames_
        Snapshots of the training, where the configuration asks for `frames`: "rows" (up to 2,000 numbers), "coords"
        (snapshots x rows x 2, each turned to resemble the next), "labels" (snapshots x rows, numbered as in labels_),
        "epoch" and "phase" of each. A training that goes on from a checkpoint has those from there on. Else None.
    criteria_
        How well the labels of each start part the graph of neighbours of the table (`cut_quality`); empty for one.
    config_, scale_, n_columns_
        The configuration that was used, the scale, and the width of the table.

    References
    ----------
    Svirsky and Lindenbaum, Interpretable deep clustering for tabular data (2024), doi:10.48550/arXiv.2306.04785.
    Yu et al., Learning diverse and discriminative representations via the principle of maximal coding rate reduction
    (2020), doi:10.48550/arXiv.2006.08558.
    McConville et al., N2D: (not too) deep clustering via clustering the local manifold of an autoencoded embedding
    (2021), doi:10.1109/ICPR48806.2021.9413131.

    Examples
    --------
    >>> model = GatedClustering(10, n_features=15)
    >>> model.config.n_clusters, model.config.n_features
    (10, 15)
    """

    labels_: Array
    soft_labels_: Array
    embedding_: Array
    gates_: sparse.csr_matrix | None
    global_gates_: Array
    gates_accuracy_: float
    feature_counts_: dict[str, float]
    history_: list[dict[str, Any]]
    frames_: dict[str, Any] | None
    criteria_: list[float]
    config_: DeepConfig
    n_columns_: int
    scale_: Scale

    def __init__(
        self,
        n_clusters: int | None = None,
        *,
        n_features: float | str | None = None,
        gates: bool | None = None,
        scale: str | None = None,
        n_starts: int | None = None,
        config: DeepConfig | dict[str, Any] | str | Path | None = None,
        device: str | None = None,
        checkpoint: str | Path | None = None,
        seed: int = 0,
    ) -> None:
        changes = {"n_clusters": n_clusters, "n_features": n_features, "gates": gates, "scale": scale}
        self.config = checked_config(config, **changes, n_starts=n_starts, device=device)
        self.checkpoint, self.seed = None if checkpoint is None else Path(checkpoint), seed

    def fit(self, X: Any, columns: Array | None = None, labels: Any = None, execution: Execution | None = None) -> Self:
        """Train, and label all rows.

        Parameters
        ----------
        X
            n x number of columns, array, SciPy sparse matrix or row blocks.
        columns
            Mask or positions of the columns to use; all when None.
        labels
            Known classes, n, for looking only: with `validate` the history tells how clusters agree with them.
        execution
            Memory and progress.

        Raises
        ------
        ParameterError
            If a setting is out of range, X is not finite, or a checkpoint belongs to something else.
        KithkinError
            If torch is not installed.
        """
        blocks = as_blocks(X)
        execution = Execution() if execution is None else execution
        n, self.n_columns_ = blocks.shape
        chosen = None if columns is None else choose(columns, self.n_columns_)
        p = self.n_columns_ if chosen is None else len(chosen)
        check(n >= 2 and p >= 1, f"X must have two rows and a column at least, got {n} x {p}")
        check_range("n_clusters", self.config.n_clusters, 1, n)
        check_range("seed", self.seed, 0, 2**31 - 1)
        check(int(self.seed) == self.seed, f"seed must be a whole number, got {self.seed!r}")
        if self.config.n_global_features is not None:
            check_range("n_global_features", self.config.n_global_features, 0, p)
        if not isinstance(self.config.n_features, (str, type(None))):
            check_range("n_features", self.config.n_features, 0.1, p)
        self.scale_ = Scale.of(blocks, self.config.scale, chosen, execution)
        self.config_, self.device_ = self.config.resolved(n, p), device_of(self.config)
        watch = Watch(self.config_, None if labels is None else np.asarray(labels))
        with settings_of_torch(self.config_, self.device_), execution.kept_heap():
            trained = [self._trained(i, blocks, watch, execution) for i in range(self.config_.n_starts)]
            self.criteria_ = self._judged(trained, blocks, execution)
            best = int(np.argmax(self.criteria_)) if self.criteria_ else 0
            self._keep(trained[best])
            self.gates_accuracy_ = self._own_gates(trained[best], blocks, chosen, execution)
        self.frames_ = watch.maps(best, self.embedding_, self.labels_) if watch.frames else None
        for i in range(self.config_.n_starts):
            if self.checkpoint is not None and not self.config_.keep_checkpoint:
                self._state(i).unlink(missing_ok=True)
        return self

    def _state(self, i: int) -> Path:
        path = Path() if self.checkpoint is None else self.checkpoint
        return path if self.config_.n_starts == 1 else path.with_name(f"{path.name}.{i}")

    def _trained(self, i: int, blocks: Blocks, watch: Watch, execution: Execution) -> Training:
        seed = self.seed + 1_000_003 * i
        batches = Batches(blocks, self.scale_, self.config_.batch_size, seed)
        mixed = halves(self.config_, self.device_)
        training = Training(self.config_, batches, seed, self.device_, mixed, execution)
        if self.checkpoint is not None and self._state(i).is_file():
            load_training(self._state(i), training)
        watch.begin(training, None if self.checkpoint is None else self._state(i))
        training.run()
        watch.end()
        return training

    def _judged(self, trained: list[Training], blocks: Blocks, execution: Execution) -> list[float]:
        """How well the labels of each training part the graph of neighbours of the table itself."""
        if len(trained) == 1:
            return []
        scores = leading_scores(blocks, self.scale_, self.seed, execution)
        graph = Neighbors(min(15, len(scores) - 1), seed=self.seed).fit(scores, execution).connectivities_
        return [cut_quality(graph, training.labels.cpu().numpy()) for training in trained]

    def _keep(self, training: Training) -> None:
        training.finish()
        self.networks_, self.history_, self.gates_ = training.networks, training.history, training.gates
        self.embedding_ = training.embedding.cpu().numpy()
        K = self.config_.n_clusters
        order = np.argsort(-np.bincount(training.labels.cpu().numpy(), minlength=K), kind="stable")
        self._reorder(torch.from_numpy(order.copy()).to(self.device_))
        self.soft_labels_ = self._shares(training.embedding)
        self.labels_ = self.soft_labels_.argmax(1).astype(np.int32)
        self._tabulate()
        self.feature_counts_ = training.counts
        if training.counts["union"] < min(K, self.networks_.table.shape[1]):
            warnings.warn(
                f"all rows together have {training.counts['union']} open features, fewer than there are clusters: ask "
                "for more with n_features, or lower local_gates_lambda",
                stacklevel=3,
            )
        if self.gates_ is None and self.config_.gates:
            warnings.warn(
                f"a row has {training.counts['open']:.0f} open gates on average, too many to keep: ask for fewer with "
                "n_features, or raise local_gates_lambda",
                stacklevel=3,
            )

    def _reorder(self, order: Tensor) -> None:
        """Number the clusters by descending size, in everything that has a row for each."""
        head, classifier = self.networks_.head.parameters, self.networks_.classifier.parameters
        with torch.no_grad():
            for tensor in (self.networks_.table, *(t[f"1.{name}"] for t in (head, classifier) for name in KINDS)):
                tensor.copy_(tensor[order].clone())

    def _own_gates(self, training: Training, blocks: Blocks, chosen: Array | None, execution: Execution) -> float:
        """Train the gates by which each cluster scores all rows; the share of rows that they give back."""
        if not self.config_.scored():
            return float("nan")
        if len(np.unique(self.labels_)) < 2:  # there is nothing that one cluster could be told from
            with torch.no_grad():
                self.networks_.table.fill_(float("nan"))
            self._tabulate()
            return float("nan")
        model = LabelGates(
            self.config_.n_clusters,
            n_features=training.wanted_global(),
            scale=self.scale_.name,
            device=self.device_,
            seed=self.seed,
        ).fit(blocks, self.labels_, chosen, execution)
        with torch.no_grad():
            gates = torch.from_numpy(model.global_gates_).to(self.device_)
            self.networks_.table.copy_((gates - 0.5).arctanh())
        self.global_gates_ = model.global_gates_
        return model.accuracy_

    def _tabulate(self) -> None:
        gates = (self.networks_.table.detach().tanh() + 0.5).clamp(0.0, 1.0).cpu().numpy()
        # the strongest gate of a cluster stays open, as that of a row does
        most = gates.max(1, keepdims=True)
        gates = np.where((most < CLEAR) & (most > 0), gates / np.where(most > 0, most, 1), gates)
        trained = self.config_.phases()["classifier"] > 0 or self.config_.scored()
        self.global_gates_ = gates if trained else np.full_like(gates, np.nan)

    def _shares(self, h: Tensor) -> Array:
        with torch.no_grad():
            found: Array = self.networks_.head(h, training=False).softmax(1).cpu().numpy()
        return found

    def _passed(self, X: Any) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Values, gates and embedding of all rows, in batches."""
        check(hasattr(self, "networks_"), "fit or load the model first")
        blocks = checked_width(as_blocks(X), self.n_columns_)
        with settings_of_torch(self.config_, self.device_), torch.no_grad():
            for _, batch in Batches(blocks, self.scale_, self.config_.batch_size).ordered():
                check(bool(np.isfinite(batch).all()), "X must be finite, but it holds NaN or infinity")
                x = torch.from_numpy(batch).to(self.device_)
                z = closed_gates(self.networks_.gates(x), x) if self.config_.gates else torch.ones_like(x)
                yield x, z, self.networks_.encoder(x * z, training=False)

    def transform(self, X: Any) -> Array:
        """Embedding of rows, n x d float32.

        Raises
        ------
        ParameterError
            If X has other columns than in fit, or nothing is fitted.
        """
        width = self.networks_.encoder.sizes[-1] if hasattr(self, "networks_") else 0
        return np.concatenate([np.zeros((0, width), np.float32), *(h.cpu().numpy() for *_, h in self._passed(X))])

    def embedding(self, X: Any) -> Array:
        """Embedding of rows, as `transform` gives it."""
        return self.transform(X)

    def soft_labels(self, X: Any) -> Array:
        """Shares of the clusters in rows, n x K float32."""
        empty = np.zeros((0, self.config.n_clusters), np.float32)
        found: Array = np.concatenate([empty, *(self._shares(h) for *_, h in self._passed(X))])
        return found

    def predict(self, X: Any) -> Array:
        """Cluster of rows, n int32."""
        found: Array = self.soft_labels(X).argmax(1).astype(np.int32)
        return found

    def local_gates(self, X: Any) -> sparse.csr_matrix:
        """Gates of rows, n x p CSR float32; gates below 0.1 are closed and not stored."""
        parts = [sparse.csr_matrix(z.cpu().numpy()) for _, z, _ in self._passed(X)]
        return (
            sparse.vstack(parts, "csr")
            if parts
            else sparse.csr_matrix((0, self.scale_.width(self.n_columns_)), dtype=np.float32)
        )

    def save(self, path: str | Path) -> None:
        """Write the fitted networks, the scale and the configuration to a safetensors file."""
        check(hasattr(self, "networks_"), "fit or load the model first")
        save_model(Path(path), self.networks_, self.config_, self.scale_, self.n_columns_)

    @staticmethod
    def load(path: str | Path, device: str = "auto") -> GatedClustering:
        """A model that was saved, ready for predict, transform and local_gates.

        Raises
        ------
        FormatError
            If the file is none.
        """
        where = device_of(DeepConfig(device=device))
        networks, config, scale, n_columns = load_model(Path(path), where)
        model = GatedClustering(config=config, device=device)
        model.networks_, model.config_, model.scale_, model.device_ = networks, config, scale, where
        model.n_columns_ = n_columns
        model._tabulate()
        return model
