"""Gated deep clustering: clusters, and for each row and each cluster the few features that decide."""

# Long: the parameters and attributes of the model take half of it
from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from scipy import sparse

from kithkin.core.blocks import Array, Blocks, as_blocks
from kithkin.core.errors import check, check_range
from kithkin.core.execute import Execution
from kithkin.metrics.open_gates import CLUSTER_OPEN
from kithkin.models.deep.config import DeepConfig, checked_config
from kithkin.models.deep.start import leading_scores, uses_seed
from kithkin.models.estimator import Estimator
from kithkin.models.gates.label_gates import LabelGates
from kithkin.models.graphs.partition import cut_quality
from kithkin.models.neighbors.neighbors import Neighbors
from kithkin.models.nn.batches import Batches, Scale, checked_width
from kithkin.models.table.columns import choose
from kithkin.optional import need

if TYPE_CHECKING:
    from torch import Tensor

    from kithkin.models.deep.networks import Networks
    from kithkin.models.deep.phase import State
    from kithkin.models.deep.training import Training
    from kithkin.models.deep.watch import Watch


CHECKPOINTS = Path("checkpoints")  # where states of trainings are kept that nobody named a file for


class GatedClustering(Estimator):
    """Interpretable deep clustering: an autoencoder that sees a few features of each row through gates.

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
        Number of clusters; that of the configuration, or 8, when None.
    n_features
        Open features wanted in a row; see DeepConfig.
    gates
        Whether rows choose features.
    scale
        "log1p", "minmax", "standard", "none" or "auto".
    n_starts
        Number of trainings, of which one is chosen without labels.
    config
        DeepConfig, a mapping, or the path of a YAML file; what is given beside it goes before it.
    device
        "auto", "cpu" or "cuda".
    checkpoint
        File to which the state of training is written now and then, and from which it goes on if it is there.
    seed
        Seed of the random numbers.

    Attributes
    ----------
    labels_
        n int32, by descending size of the clusters.
    soft_labels_
        Responsibilities of the clusters for the rows, n x K float32.
    embedding_
        n x d float32.
    gates_
        Gates of the rows, n x p CSR float32, below 0.1 closed; None for the ablation, or where nearly all are open.
    global_gates_
        Gates of the clusters, K x p float32 within 0 and 1; open above 0.55, one at least. NaN if not trained.
    gates_accuracy_
        Fraction of rows that the open gates of the clusters alone give back to their cluster; NaN if these were not
        trained, or by the published classifier.
    feature_counts_
        Mean over rows of "soft" (sum of the gates), "open" (gates that are not closed), "open_nonzero" (those on a
        value that is not zero); and "union", the number of features that any row uses.
    history_
        For each epoch the phase and the parts of the loss.
    frames_
        Snapshots of the training, where the configuration asks for `frames`: "rows" (up to 2,000 numbers), "coords"
        (snapshots x rows x 2, each turned to resemble the next), "labels" (snapshots x rows, numbered as in labels_),
        "epoch" and "phase" of each. A training that goes on from a checkpoint has those from there on. Else None.
    criteria_
        Quality of the cut of the graph of neighbours of the table (`cut_quality`) by each training; empty for one.
    config_, scale_, n_columns_
        Configuration that was used, scaling, and width of the table.
    networks_
        Trained networks, a torch.nn.Module.

    References
    ----------
    Svirsky and Lindenbaum, Interpretable deep clustering for tabular data (2024), doi:10.48550/arXiv.2306.04785.
    Yu et al., Learning diverse and discriminative representations via the principle of maximal coding rate reduction
    (2020), doi:10.48550/arXiv.2006.08558.
    McConville et al., N2D: (not too) deep clustering via clustering the local manifold of an autoencoded embedding
    (2021), doi:10.1109/ICPR48806.2021.9413131.

    Examples
    --------
    >>> import pytest
    >>> _ = pytest.importorskip("torch")
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(0, 0.05, (60, 5))
    >>> X[:30, 1] += 1
    >>> model = GatedClustering(2, n_features=1, config={"encdec": [8, 2, 8], "tolerance": 0.5}).fit(X)
    >>> [len(set(part)) for part in (model.labels_[:30], model.labels_[30:])], model.global_gates_.argmax(1).tolist()
    ([1, 1], [1, 1])
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
    networks_: Networks

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
        self.n_clusters, self.n_features, self.gates, self.scale = n_clusters, n_features, gates, scale
        self.n_starts, self.config, self.device = n_starts, config, device
        self.checkpoint, self.seed = checkpoint, seed

    def settings(self) -> DeepConfig:
        """Return the configuration, with what is given beside it.

        Raises
        ------
        ParameterError
            If a setting is unknown or out of range.

        Examples
        --------
        >>> GatedClustering(10, config={"n_clusters": 8, "batch_size": 64}).settings().n_clusters
        10
        """
        given = {name: getattr(self, name) for name in ("n_clusters", "n_features", "gates", "scale", "n_starts")}
        return checked_config(self.config, **given, device=self.device)

    def fit(
        self,
        X: Any,
        columns: Array | None = None,
        labels: Any = None,
        execution: Execution | None = None,
        totals: Array | None = None,
    ) -> Self:
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
        totals
            Sum of each row over all columns, n, for the scale "log1p"; taken in a pass over the table when None.

        Raises
        ------
        ParameterError
            If a setting is out of range, X is not finite, or a checkpoint belongs to something else.
        FormatError
            If a checkpoint is damaged.
        KithkinError
            If torch is not installed.
        """
        config, blocks = self.settings(), as_blocks(X)
        execution = Execution() if execution is None else execution
        n, self.n_columns_ = blocks.shape
        chosen = None if columns is None else choose(columns, self.n_columns_)
        p = self.n_columns_ if chosen is None else len(chosen)
        check(n >= 2 and p >= 1, f"X must have two rows and a column at least, got {n} x {p}")
        check_range("n_clusters", config.n_clusters, 1, n)
        check_range("seed", self.seed, 0, 2**31 - 1)
        check(int(self.seed) == self.seed, f"seed must be a whole number, got {self.seed!r}")
        if config.n_global_features is not None:
            check_range("n_global_features", config.n_global_features, 0.0, float(p))
        if not isinstance(config.n_features, (str, type(None))):
            check_range("n_features", config.n_features, 0.1, float(p))
        need("torch", "deep", "GatedClustering")
        need("safetensors", "deep", "GatedClustering")
        from kithkin.models.deep.watch import Watch
        from kithkin.models.nn.device import choose_device, torch_settings

        hint = (
            "" if self.config is None else ", which goes before the configuration (device, or accelerator of a trainer)"
        )
        self.device_ = choose_device(config.device, config.devices, hint)
        self.scale_ = Scale.of(blocks, config.scale, chosen, execution)
        self.config_ = config = config.resolved(n, p)
        watch = Watch(config, None if labels is None else np.asarray(labels))
        seeds = [self.seed + 1_000_003 * i for i in range(config.n_starts)]
        paths = self._checkpoints(seeds)

        @cache
        def scores(seed: int) -> Array:
            return leading_scores(blocks, self.scale_, seed, execution, totals)

        largest = 4 * 4 * config.batch_size * p  # four versions of a batch, as the autoencoder gives them back
        with torch_settings(self.device_, config.torch_threads, config.deterministic), execution.kept_heap(largest):
            trained = []
            for seed, checkpoint in zip(seeds, paths, strict=True):
                # unless it is needed for the digits, all trainings share one decomposition
                start = partial(scores, seed if uses_seed(p) else self.seed)
                trained.append(self._train(seed, checkpoint, start, blocks, watch, execution))
            self.criteria_ = []
            if len(trained) > 1:  # by the cut of the table's own graph of neighbours by the labels of each
                knn = Neighbors(min(15, n - 1), seed=self.seed)
                graph = knn.fit(scores(self.seed), execution).connectivities_
                self.criteria_ = [cut_quality(graph, training.state.labels.cpu().numpy()) for training in trained]
            best = int(np.argmax(self.criteria_)) if self.criteria_ else 0
            self._keep(trained[best])
            self.gates_accuracy_ = self._train_own_gates(trained[best].state, blocks, chosen, execution)
        self.frames_ = watch.maps(best, self.embedding_, self.labels_) if watch.frames else None
        for checkpoint in paths:
            if checkpoint is not None and not config.keep_checkpoint:
                checkpoint.unlink(missing_ok=True)
        return self

    def _checkpoints(self, seeds: list[int]) -> list[Path | None]:
        """Return the file for the state of each training; those that nobody named begin empty."""
        if self.checkpoint is not None:
            path = Path(self.checkpoint)
            return [path] if len(seeds) == 1 else [path.with_name(f"{path.name}.{i}") for i in range(len(seeds))]
        if not self.config_.keep_checkpoint:
            return [None] * len(seeds)
        CHECKPOINTS.mkdir(exist_ok=True)
        files = [CHECKPOINTS / f"seed_{seed}.safetensors" for seed in seeds]
        for file in files:
            file.unlink(missing_ok=True)
        return [*files]

    def _train(
        self,
        seed: int,
        checkpoint: Path | None,
        scores: Callable[[], Array],
        blocks: Blocks,
        watch: Watch,
        execution: Execution,
    ) -> Training:
        from kithkin.models.deep.phase import State
        from kithkin.models.deep.store import load_training
        from kithkin.models.deep.training import Training
        from kithkin.models.nn.device import uses_mixed_precision

        config = self.config_
        batches = Batches(blocks, self.scale_, config.batch_size, seed)
        mixed = uses_mixed_precision(config.precision, self.device_)
        training = Training(State(config, batches, seed, self.device_, mixed, execution), scores)
        if checkpoint is not None and checkpoint.is_file():
            load_training(checkpoint, training)
        watch.begin(training, checkpoint)
        training.run()
        watch.end()
        return training

    def _keep(self, training: Training) -> None:
        import torch

        state, K = training.state, self.config_.n_clusters
        self.networks_, self.history_, self.gates_ = state.networks, training.history, state.gates
        self.embedding_ = state.embedding.cpu().numpy()
        order = np.argsort(-np.bincount(state.labels.cpu().numpy(), minlength=K), kind="stable")
        self.networks_.reorder(torch.from_numpy(order.copy()).to(self.device_))
        self.soft_labels_ = self.networks_.responsibilities(state.embedding).cpu().numpy()
        self.labels_ = self.soft_labels_.argmax(1).astype(np.int32)
        self._tabulate_gates()
        self.feature_counts_ = counts = state.feature_counts
        if counts["union"] < min(K, state.n_columns):
            warnings.warn(
                f"all rows together have {counts['union']} open features, fewer than there are clusters: ask "
                "for more with n_features, or lower local_gates_lambda",
                stacklevel=3,
            )
        if self.gates_ is None and self.config_.gates:
            warnings.warn(
                f"a row has {counts['open']:.0f} open gates on average, too many to keep: ask for fewer with "
                "n_features, or raise local_gates_lambda",
                stacklevel=3,
            )

    def _train_own_gates(self, state: State, blocks: Blocks, chosen: Array | None, execution: Execution) -> float:
        """Train the gates by which each cluster scores all rows; return the fraction of rows that they give back."""
        import torch

        if not self.config_.scored():
            return float("nan")
        table = self.networks_.table
        if len(np.unique(self.labels_)) < 2:  # there is nothing that one cluster could be told from
            with torch.no_grad():
                table.fill_(float("nan"))
            self._tabulate_gates()
            return float("nan")
        model = LabelGates(
            self.config_.n_clusters,
            n_features=state.wanted_in_cluster(),
            scale=self.scale_.name,
            device=self.device_,
            seed=self.seed,
        ).fit(blocks, self.labels_, chosen, execution)
        with torch.no_grad():
            table.copy_((torch.from_numpy(model.global_gates_).to(self.device_) - 0.5).arctanh())
        self.global_gates_ = model.global_gates_
        return model.accuracy_

    def _tabulate_gates(self) -> None:
        gates = self.networks_.cluster_gates().cpu().numpy()
        # the strongest gate of a cluster stays open, as that of a row does
        most = gates.max(1, keepdims=True)
        gates = np.where((most < CLUSTER_OPEN) & (most > 0), gates / np.where(most > 0, most, 1), gates)
        trained = self.config_.phases()["classifier"] > 0 or self.config_.scored()
        self.global_gates_ = gates if trained else np.full_like(gates, np.nan)

    def _forward(self, X: Any) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield gates and embedding of all rows, in batches."""
        check(hasattr(self, "networks_"), "fit or load the model first")
        import torch

        from kithkin.models.nn.device import torch_settings

        config, blocks = self.config_, checked_width(as_blocks(X), self.n_columns_)
        with torch_settings(self.device_, config.torch_threads, config.deterministic), torch.no_grad():
            for _, batch in Batches(blocks, self.scale_, config.batch_size).ordered():
                check(bool(np.isfinite(batch).all()), "X must be finite, but it holds NaN or infinity")
                x = torch.from_numpy(batch).to(self.device_)
                z = self.networks_.open_gates(x)
                yield z, self.networks_.encoder(x * z, training=False)

    def transform(self, X: Any) -> Array:
        """Return the embedding of rows, n x d float32.

        Raises
        ------
        ParameterError
            If X has other columns than in fit, or nothing is fitted.
        """
        parts = [h.cpu().numpy() for _, h in self._forward(X)]
        return np.concatenate([np.zeros((0, self.networks_.encoder.sizes[-1]), np.float32), *parts])

    def embedding(self, X: Any) -> Array:
        """Return the embedding of rows, as `transform` does."""
        return self.transform(X)

    def soft_labels(self, X: Any) -> Array:
        """Return the responsibilities of the clusters for rows, n x K float32."""
        parts = [self.networks_.responsibilities(h).cpu().numpy() for _, h in self._forward(X)]
        return np.concatenate([np.zeros((0, self.config_.n_clusters), np.float32), *parts])

    def predict(self, X: Any) -> Array:
        """Return the cluster of rows, n int32."""
        labels: Array = self.soft_labels(X).argmax(1).astype(np.int32)
        return labels

    def local_gates(self, X: Any) -> sparse.csr_matrix:
        """Return the gates of rows, n x p CSR float32; gates below 0.1 are closed and not stored."""
        parts = [sparse.csr_matrix(z.cpu().numpy()) for z, _ in self._forward(X)]
        empty = sparse.csr_matrix((0, self.scale_.width(self.n_columns_)), dtype=np.float32)
        return sparse.vstack(parts, "csr") if parts else empty

    def save(self, path: str | Path) -> None:
        """Write the fitted networks, the scale and the configuration to a safetensors file."""
        check(hasattr(self, "networks_"), "fit or load the model first")
        need("safetensors", "deep", "saving a model")
        from kithkin.models.deep.store import save_model

        save_model(Path(path), self.networks_, self.config_, self.scale_, self.n_columns_)

    @staticmethod
    def load(path: str | Path, device: str = "auto") -> GatedClustering:
        """Read a model that was saved, ready for predict, transform and local_gates.

        Raises
        ------
        FormatError
            If the file is none, or is damaged.
        """
        need("torch", "deep", "GatedClustering")
        need("safetensors", "deep", "loading a model")
        from kithkin.models.deep.store import load_model
        from kithkin.models.nn.device import choose_device

        device_ = choose_device(device)
        networks, config, scale, n_columns = load_model(Path(path), device_)
        model = GatedClustering(config=config, device=device)
        model.networks_, model.config_, model.scale_, model.device_ = networks, config, scale, device_
        model.n_columns_ = n_columns
        model._tabulate_gates()
        return model
