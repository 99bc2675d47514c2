"""Gates for clusters that are given: the few features that tell each of them from the others."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from kithkin.core.blocks import Array, Block, SparseRows, as_blocks, as_numbers, even_ranges
from kithkin.core.errors import check, check_choice, check_range
from kithkin.core.execute import Execution, track
from kithkin.metrics.open_gates import CLUSTER_OPEN
from kithkin.models.estimator import Estimator
from kithkin.models.gates.rows import (
    choose_rows,
    filled,
    first_gates,
    medians_of,
    narrow_scale,
    read_rows,
    room_of,
    separation,
    wanted_features,
)
from kithkin.models.nn.batches import SCALES, Scale, checked_width, take
from kithkin.models.table.columns import choose
from kithkin.optional import need

if TYPE_CHECKING:
    from torch import Tensor


BATCH = 128
STEPS = {"gates": 600, "scores": 200}
ROUND = 20  # steps that a row of the history tells of
RATE = 1e-2
MOST_HIDDEN = 0.95  # fraction of the values of a row that are hidden in training, from none up to this
FIRST = 3.0  # times as many gates as are wanted are open in the beginning
RAMP = 0.5  # fraction of the steps in which their number falls to the wanted one
PENALTY = 0.1  # weight of the penalty for open gates, before it follows their number
CANDIDATES, ALL_CANDIDATES = 256, 8192  # columns that a cluster may look at, and that all may together


class LabelGates(Estimator):
    """Explanation of given clusters: the few features that tell each from the others, by trained gates.

    Each cluster has a small network that sees rows through the gates of this cluster only, and scores whether a row
    belongs to it. All rows, those of other clusters too, are scored by all clusters, so gates stay open on features
    whose values tell the cluster from the others. (Were a row seen through the gates of its own cluster alone, the
    places of the values that pass would give its label away, whatever the values are.) A penalty closes gates until as
    many are open as wanted. Then gates are fixed, closed ones shut, and the scores are trained against each other.

    Of a large table a sample of rows is trained on, from each cluster as many if it has them, at most 12,000 and
    128 MB; in training every cluster counts the same, however many rows it has. A cluster chooses from 256 columns at
    most: those whose means in the cluster and in the rest differ most, in standard deviations. Where there are more, a
    column that tells something in combination only can be missed. In training values are hidden at random, so that
    what is there tells more than what is not. Results depend on the seed, not on budget, blocks or executor,
    and repeat bit for bit on a CPU.

    Parameters
    ----------
    n_clusters
        Number of clusters; one more than the largest code when None.
    n_features
        Open features wanted in a cluster; "auto": three for each doubling of the number of columns, at most a tenth of
        them, or three.
    scale
        "log1p", "minmax", "standard", "none" or "auto": log1p for counts,
        else minmax; whole numbers are counts if 1 is the most frequent of them, stored sparse or dense.
    device
        "auto", "cpu" or "cuda".
    seed
        Seed of the random numbers.

    Attributes
    ----------
    global_gates_
        K x p float32 in 0..1; open above 0.55; zeros for clusters without rows.
    accuracy_
        Fraction of rows that have the highest score in the cluster that they belong to, through the open gates; by rows
        that were not trained on, of clusters with five rows or more.
    recall_
        Recall of each cluster, K; NaN where no row was left to judge by.
    n_features_
        Open features that were wanted.
    history_
        For every 20 steps the phase, the cross-entropy, the penalty and the mean number of open gates.
    scale_, n_columns_
        Scaling, and width of the table.

    References
    ----------
    Svirsky and Lindenbaum, Interpretable deep clustering for tabular data (2024), doi:10.48550/arXiv.2306.04785.
    Yamada et al., Feature selection using stochastic gates (2020), doi:10.48550/arXiv.1810.04247.
    Fan and Lv, Sure independence screening for ultrahigh dimensional feature space (2008),
    doi:10.1111/j.1467-9868.2008.00674.x.

    Examples
    --------
    >>> import pytest
    >>> _ = pytest.importorskip("torch")
    >>> rng = np.random.default_rng(0)
    >>> codes, X = np.repeat([0, 1], 50), rng.random((100, 20))
    >>> X[:50, 3] += 2
    >>> model = LabelGates(n_features=1).fit(X, codes)
    >>> model.global_gates_.argmax(axis=1).tolist(), model.accuracy_
    ([3, 3], 1.0)
    """

    global_gates_: Array
    accuracy_: float
    recall_: Array
    n_features_: float
    history_: list[dict[str, Any]]
    scale_: Scale
    n_columns_: int

    def __init__(
        self,
        n_clusters: int | None = None,
        *,
        n_features: float | str = "auto",
        scale: str = "auto",
        device: str = "auto",
        seed: int = 0,
    ) -> None:
        self.n_clusters, self.n_features, self.scale = n_clusters, n_features, scale
        self.device, self.seed = device, seed

    def fit(self, X: Any, codes: Any, columns: Array | None = None, execution: Execution | None = None) -> Self:
        """Train the gates.

        Parameters
        ----------
        X
            n x number of columns, array, SciPy sparse matrix or row blocks. Missing values (NaN) of a dense table are
            filled in with the median of their column, over the rows that are read.
        codes
            Cluster of each row, n integers from 0; rows with a negative one are left out.
        columns
            Mask or positions of the columns to choose from; all when None.
        execution
            Threads, executor, progress.

        Raises
        ------
        ParameterError
            If fewer than two clusters have rows, the shapes do not fit, X is not finite, or a setting is out of range.
        KithkinError
            If torch is not installed.
        """
        need("torch", "deep", "LabelGates")
        import torch

        from kithkin.models.nn.device import choose_device, torch_settings

        blocks, codes = as_blocks(X), as_numbers(codes, "codes")
        execution = Execution() if execution is None else execution
        n = blocks.shape[0]
        check(codes.shape == (n,), f"codes must be {n}, one for each row, got {codes.shape}")
        check(codes.dtype.kind in "iu", f"codes must be whole numbers, got {codes.dtype}")
        groups = len(np.unique(codes[codes >= 0]))
        check(groups >= 2, f"gates tell clusters apart: there must be two with rows at least, got {groups}")
        top = int(codes.max())
        check(self.n_clusters is None or top < self.n_clusters, f"codes must be below {self.n_clusters}, got {top}")
        check_choice("scale", self.scale, SCALES)
        check_range("seed", self.seed, 0, 2**31 - 1)
        if isinstance(self.n_features, str):
            check_choice("n_features", self.n_features, ("auto",))
        self.n_columns_ = blocks.shape[1]
        K = int(codes.max()) + 1 if self.n_clusters is None else self.n_clusters
        sizes = np.bincount(codes[codes >= 0], minlength=K)
        self._present = np.flatnonzero(sizes)
        chosen = None if columns is None else choose(columns, self.n_columns_)
        p = self.n_columns_ if chosen is None else len(chosen)
        check(p >= 1, "X must have a column at least")
        self.n_features_ = wanted_features(p) if isinstance(self.n_features, str) else float(self.n_features)
        check_range("n_features", self.n_features_, 0.1, p)
        train, held = choose_rows(codes, room_of(blocks), self.seed)
        rows = np.sort(np.concatenate([train, held]))
        table = read_rows(blocks, rows, execution)
        self._medians = medians_of(table)
        table = filled(table, self._medians)
        labels = np.searchsorted(self._present, codes[rows]).astype(np.int64)
        judged = np.isin(rows, held)
        self.scale_ = Scale.of(table if not isinstance(table, SparseRows) else table.to_scipy(), self.scale, chosen)
        self._device = choose_device(self.device)
        with torch_settings(self._device), execution.kept_heap():
            given = np.flatnonzero(~judged)
            self._choose(table, labels, given, p)
            self.history_ = []
            for phase, count in STEPS.items():
                steps = self._steps(phase, table, labels, given)
                for number in track(range(count // ROUND), execution, phase, unit="round"):
                    means = torch.stack([next(steps) for _ in range(ROUND)]).mean(0).tolist()
                    parts = dict(zip(("cross_entropy", "penalty", "open"), means, strict=True))
                    self.history_.append({"phase": phase, "step": ROUND * (number + 1), **parts})
            for drawn in self._draws(labels, given, 64, len(STEPS)):
                self._scores.take_statistics(self._values(take(table, drawn)), self._scores.open_gates())
            self._judge(table, labels, np.flatnonzero(judged if judged.any() else ~judged), sizes)
        self.global_gates_ = np.zeros((K, p), np.float32)
        self.global_gates_[self._present[:, None], self._candidates] = self._scores.gates().cpu().numpy()
        return self

    def _choose(self, table: Block, labels: Array, rows: Array, p: int) -> None:
        """Choose the columns that each cluster may look at, and the initial gates."""
        from kithkin.models.gates.scores import LabelScores

        K = len(self._present)
        seen = np.full(len(labels), -1)
        seen[rows] = labels[rows]
        separations = separation(table, seen, K, self.scale_)
        m = min(p, max(min(CANDIDATES, ALL_CANDIDATES // K), math.ceil(2 * self.n_features_)))
        self._candidates = np.sort(np.argsort(-separations, axis=1, kind="stable")[:, :m], axis=1)
        union, local = np.unique(self._candidates, return_inverse=True)
        self._narrow = narrow_scale(self.scale_, union, p)
        start = first_gates(np.take_along_axis(separations, self._candidates, axis=1), FIRST * self.n_features_)
        self._scores = LabelScores(local.reshape(K, m), start, self.seed, self._device)

    def _draws(self, labels: Array, rows: Array, count: int, stream: int) -> Iterator[Array]:
        """Draw rows of batches, in which each cluster comes as often as any other."""
        rng = np.random.default_rng([self.seed, stream])
        weights = (1.0 / np.bincount(labels[rows]))[labels[rows]]
        for _ in range(count):
            yield rng.choice(rows, BATCH, p=weights / weights.sum())

    def _steps(self, phase: str, table: Block, labels: Array, rows: Array) -> Iterator[Tensor]:
        """Train step by step; yield cross-entropy, penalty and number of open gates."""
        import torch

        from kithkin.models.gates.scores import one_against_rest
        from kithkin.models.nn.adam import Adam
        from kithkin.models.nn.gates import PenaltyWeight

        scores, gated, device = self._scores, phase == "gates", self._device
        generator = torch.Generator(device).manual_seed(self.seed)
        weight = PenaltyWeight(PENALTY, device, len(self._present))
        trained = [one for name, one in scores.named_parameters() if gated or name != "table"]
        optimizer = Adam(trained, RATE)
        fixed = scores.open_gates()
        for step, drawn in enumerate(self._draws(labels, rows, STEPS[phase], int(gated))):
            optimizer.rate = RATE * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / STEPS[phase])))
            x, y = self._values(take(table, drawn)), torch.from_numpy(labels[drawn]).to(device)
            opened = (scores.table.detach().tanh() + 0.5 > CLUSTER_OPEN).sum(1).float()
            if gated:
                z, penalty = scores.noisy(len(x), generator)
                hidden = MOST_HIDDEN * torch.rand(len(x), 1, generator=generator, device=device)
                x = x * (torch.rand(x.shape, generator=generator, device=device) >= hidden)
                entropy = one_against_rest(scores(x, z), y)
                wanted = self.n_features_ * FIRST ** max(0.0, 1 - step / (RAMP * STEPS[phase]))
                weight.follow(opened, wanted)  # twice a step, as there are few
                loss = (entropy + weight.follow(opened, wanted) * penalty).sum()
            else:
                penalty = torch.zeros(1, device=device)
                entropy = loss = torch.nn.functional.cross_entropy(scores(x, fixed), y)
            loss.backward()
            optimizer.step()
            yield torch.stack([entropy.detach().mean(), penalty.detach().mean(), opened.mean()])

    def _values(self, block: Block) -> Tensor:
        """Scale the columns that any cluster may look at, on the device."""
        import torch

        return torch.from_numpy(self._narrow.dense(block)).to(self._device)

    def _judge(self, table: Block, labels: Array, rows: Array, sizes: Array) -> None:
        ranges, K = even_ranges(len(rows), 4 * BATCH), len(self._present)
        best = np.concatenate([np.zeros(0, int), *(self._best(take(table, rows[a:b])) for a, b in ranges)])
        right = np.bincount(labels[rows][best == labels[rows]], minlength=K)
        asked = np.bincount(labels[rows], minlength=K)
        recall = np.divide(right, asked, out=np.full(K, np.nan), where=asked > 0)
        weight = np.where(asked > 0, sizes[self._present], 0)
        self.accuracy_ = float((np.nan_to_num(recall) * weight).sum() / weight.sum())
        self.recall_ = np.full(len(sizes), np.nan)
        self.recall_[self._present] = recall

    def _best(self, block: Block) -> Array:
        """Return the cluster of the highest score."""
        import torch

        with torch.no_grad():
            scores = self._scores(self._values(block), self._scores.open_gates(), training=False)
        best: Array = scores.argmax(1).cpu().numpy()
        return best

    def predict(self, X: Any) -> Array:
        """Return the cluster of rows by the highest score through the open gates, n int32.

        Raises
        ------
        ParameterError
            If X has other columns than in fit, or nothing is fitted.
        """
        check(hasattr(self, "_scores"), "fit the model first")
        from kithkin.models.nn.device import torch_settings

        blocks = checked_width(as_blocks(X), self.n_columns_)
        out = np.zeros(blocks.shape[0], np.int32)
        with torch_settings(self._device):
            for start, stop in blocks.ranges:
                block = blocks.read(start, stop)
                for a, b in even_ranges(stop - start, 4 * BATCH):
                    out[start + a : start + b] = self._present[
                        self._best(filled(take(block, slice(a, b)), self._medians))
                    ]
        return out
