"""Propagation of scores from seeds over a graph: random walk with restart and label spreading, iterated or exact."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from kithkin.core.blocks import Array
from kithkin.core.errors import check, check_choice, check_range
from kithkin.core.execute import Execution
from kithkin.kernels.walk import advance_rows
from kithkin.models.estimator import Estimator
from kithkin.models.graphs.walk import Walk
from kithkin.models.propagation.score_history import ScoreHistory, blank
from kithkin.models.propagation.seeds import checked_seeds

COLUMNS = 16  # sets at a time: a row of them in single precision fills one cache line
TOLERANCE = {"exact": 1e-6, "iterative": 0.01}
MANY, WIDE = 4, 2**22  # sets, and scores, from which it pays to bring neighbours together before the walk


class Propagation(Estimator):
    r"""Scores of all vertices from a few seeds: the limit of :math:`F \leftarrow \alpha S F + (1-\alpha) Y`.

    With weights :math:`W`, degrees :math:`D = \mathrm{diag}(W 1)` and seeds :math:`Y` (n x s), the limit is the
    solution of :math:`(I - \alpha S) F = (1-\alpha) Y`, where S is one of

    - "symmetric", :math:`D^{-1/2} W D^{-1/2}`: label spreading, in which hubs count less;
    - "row", :math:`D^{-1} W`: every vertex becomes a mean of its neighbours, so a constant stays a constant;
    - "column", :math:`W D^{-1}`: the random walk with restart (personalised PageRank), which keeps the sum of Y.

    All three are one walk in other units, :math:`D^{-1} W`, which is self-adjoint for the inner product weighted by D:
    conjugate gradients in that product solve each of them, in double precision. Every set of seeds converges on its
    own, and its scores do not depend on the other sets, but for rounding where many sets of a large graph are
    propagated together.

    Parameters
    ----------
    alpha
        Weight of the neighbours at each step, between 0 and 1 (both excluded); 1 / (1 - alpha)
        is the mean number of steps from a seed.
    method
        "exact": conjugate gradients, until the residual is `tolerance` of the right-hand side. "iterative": steps of
        the walk from Y, until a step changes F by no more than `tolerance` of its norm; F has then not converged fully.
    normalize
        "symmetric", "row" or "column".
    tolerance
        Relative tolerance, in the Euclidean norm of F ("iterative"), or of F in the units of "symmetric" ("exact").
        By default 1e-6 for "exact" and 0.01 for "iterative".
    max_iter
        Maximum number of iterations.
    clamp
        Whether rows of seeds keep their given values in all columns; otherwise their neighbours can outvote them.
    history
        Whether to keep F after each step ("iterative" only): in memory, or on disk above a quarter of the budget.

    Attributes
    ----------
    scores_
        n x s float32; NaN in connected components without a seed of the set.
    residuals_
        iterations x s float64: relative change of each step, or residual; NaN after a set has converged.
    n_iter_
        Number of iterations for each set, s.
    converged_
        Whether `tolerance` was met within max_iter, s booleans.
    n_unseeded_, n_unreached_
        Number of connected components without a seed, and of the vertices in them, s each.
    parts_
        Connected component of each vertex, n int32.
    history_
        (1 + iterations) x n x s float32, the first of them Y, if `history`; a memory map where it is on disk.

    References
    ----------
    Zhou, Bousquet, Lal, Weston and Schölkopf, Learning with local and global consistency (NIPS 2003).
    Zhu, Ghahramani and Lafferty, Semi-supervised learning using Gaussian fields and harmonic functions (ICML 2003).
    Hestenes and Stiefel 1952, doi:10.6028/jres.049.044.

    Examples
    --------
    >>> path = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]])
    >>> Propagation(0.5, normalize="column").fit(path, [1, 0, 0]).scores_.ravel().round(3).tolist()
    [0.5830000042915344, 0.3330000042915344, 0.08299999684095383]
    """

    scores_: Array
    residuals_: Array
    n_iter_: Array
    converged_: Array
    n_unseeded_: Array
    n_unreached_: Array
    parts_: Array
    history_: Array | None

    def __init__(
        self,
        alpha: float = 0.9,
        *,
        method: str = "exact",
        normalize: str = "symmetric",
        tolerance: float | None = None,
        max_iter: int = 1000,
        clamp: bool = False,
        history: bool = False,
    ) -> None:
        self.alpha, self.method, self.normalize, self.tolerance = alpha, method, normalize, tolerance
        self.max_iter, self.clamp, self.history = max_iter, clamp, history

    def fit(
        self,
        graph: Any,
        seeds: Any,
        execution: Execution | None = None,
        callback: Callable[[int, float], Any] | None = None,
    ) -> Self:
        """Propagate the seeds over the graph.

        Parameters
        ----------
        graph
            n x n symmetric weights, SciPy sparse matrix or array.
        seeds
            n, or n x s for several sets: booleans or numbers; zero where there is no seed. For one set also the numbers
            of its vertices, such as [3, 17]: whole numbers, not n of them, each once.
        execution
            Threads and memory budget, which limits how many sets are propagated at a time.
        callback
            `callback(step, change)` after every step, with the largest relative change (or residual, if "exact") of the
            sets that are propagated together and have not converged.

        Raises
        ------
        ParameterError
            If a setting is out of range, a set has no seed, seeds do not have n rows, or the graph is not one of
            undirected links with weights that are finite and not negative.
        """
        is_number = isinstance(self.alpha, (int, float, np.floating)) and not isinstance(self.alpha, bool)
        check(is_number and bool(0 < self.alpha < 1), f"alpha must be above 0 and below 1, got {self.alpha!r}")
        check_choice("method", self.method, ("exact", "iterative"))
        check_choice("normalize", self.normalize, ("symmetric", "row", "column"))
        check_range("tolerance", self._tolerance(), 1e-6 if self.method == "iterative" else 1e-13, 1.0)
        check_range("max_iter", self.max_iter, 1, 10**6)
        check(not self.history or self.method == "iterative", "history needs method='iterative'")
        execution = Execution() if execution is None else execution
        walk = Walk(graph, execution)
        Y = checked_seeds(seeds, walk.n)
        n, s = Y.shape
        count, self.parts_, order = walk.parts()
        seeded = np.zeros((count, s), bool)
        for column, values in enumerate(Y.T):
            seeded[self.parts_[np.flatnonzero(values)], column] = True
        self.n_unseeded_ = (~seeded).sum(axis=0)
        unreached = [np.flatnonzero(~own[self.parts_]) if not own.all() else np.empty(0, int) for own in seeded.T]
        self.n_unreached_ = np.array([len(rows) for rows in unreached])
        many = s >= MANY and n * s >= WIDE
        task = self._task(walk.reordered(order), Y[order], order) if many else self._task(walk, Y, None)
        self.scores_ = np.empty((n, s), np.float32)
        self.n_iter_, self.converged_ = np.zeros(s, int), np.zeros(s, bool)
        history = ScoreHistory(execution.memory // 4, unreached) if self.history else None
        told = callback or (lambda step, change: None)  # noqa: ARG005  (nobody listens)
        width = s if self.history else int(np.clip(execution.memory // (n * 64), 1, COLUMNS))
        traces: list[Array] = []
        with task.walk.threads():
            for first in range(0, s, width):
                part = slice(first, first + width)
                sets = task.seeds[:, part]
                exact = self.method == "exact"
                F, trace, done = self._solve(task, sets, told) if exact else self._iterate(task, sets, told, history)
                self.scores_[:, part], self.converged_[part] = task.in_given_order(F), done
                self.n_iter_[part] = np.isfinite(trace).sum(axis=0)
                traces.append(trace)
        self.residuals_ = np.full((max(map(len, traces)), s), np.nan)
        for number, trace in enumerate(traces):
            self.residuals_[: len(trace), number * width : (number + 1) * width] = trace
        blank(self.scores_, unreached)
        self.history_ = None if history is None else history.array()
        return self

    def _tolerance(self) -> float:
        return self.tolerance if self.tolerance is not None else TOLERANCE[self.method]

    def _task(self, walk: Walk, Y: Array, order: Array | None) -> _Task:
        strength = np.where(walk.strength > 0, walk.strength, 1.0)
        units = strength ** {"row": 0.0, "symmetric": 0.5, "column": 1.0}[self.normalize]
        scale, restart = self.alpha * (walk.strength > 0) / strength, np.full(walk.n, 1 - self.alpha)
        if self.clamp:
            clamped = (Y != 0).any(axis=1)
            scale[clamped], restart[clamped] = 0.0, 1.0
        return _Task(walk, Y, strength, units, scale, restart, order)

    def _iterate(
        self, task: _Task, Y: Array, told: Callable[[int, float], Any], history: ScoreHistory | None
    ) -> tuple[Array, Array, Array]:
        """Iterate in single precision; a set that has converged stays as it is."""
        units, weight = task.units.astype(np.float32)[:, None], task.units**2
        Z = Y.astype(np.float32, order="C") / units
        scale, source = task.scale.astype(np.float32), Z * task.restart.astype(np.float32)[:, None]
        F, new, trace = np.zeros_like(Z), np.empty_like(Z), list[Array]()
        done = np.zeros(Y.shape[1], bool)
        if history is not None:
            history.add(task.in_given_order(Z * units))
        while not done.all() and len(trace) < self.max_iter:
            moved, size, _ = task.walk.step(Z, scale, source, weight, new)
            change = np.sqrt(np.divide(moved, size, out=np.zeros_like(size), where=size > 0))
            trace.append(np.where(done, np.nan, change))
            told(len(trace), float(np.nanmax(trace[-1])))
            converged = ~done & (change <= self._tolerance())
            F[:, converged] = new[:, converged]
            done |= converged
            Z, new = new, Z
            if history is not None:
                history.add(task.in_given_order(np.where(done, F, Z) * units))
        F[:, ~done] = Z[:, ~done]
        F *= units
        return F, np.array(trace), done

    def _solve(self, task: _Task, Y: Array, told: Callable[[int, float], Any]) -> tuple[Array, Array, Array]:
        """Solve for the limit by conjugate gradients in the inner product weighted by degree, from the clamped rows."""
        walk, weight, tolerance = task.walk, task.strength, self._tolerance()
        source = Y.astype(np.float64, order="C") * (task.restart / task.units)[:, None]
        q, x = np.empty_like(source), np.where(task.scale[:, None] == 0, source, 0.0)
        walk.step(x, -task.scale, x, weight, q)
        r = source - q
        goal = tolerance**2 * np.einsum("i,ij,ij->j", weight, source, source)
        del source
        p, trace, ended = r.copy(), list[Array](), np.zeros(Y.shape[1], bool)
        size = _advance(walk, np.zeros(Y.shape[1]), weight, p, q, x, r)
        F, sets, done = np.empty(Y.shape, np.float32), np.arange(Y.shape[1]), size <= goal
        while not done.all() and len(trace) < self.max_iter:
            if 2 * done.sum() >= len(done):  # continue with the other sets alone
                F[:, sets[done]], ended[sets[done]] = x[:, done] * task.units[:, None], True
                p, q, x, r = (np.ascontiguousarray(table[:, ~done]) for table in (p, q, x, r))
                sets, size, goal, done = sets[~done], size[~done], goal[~done], done[~done]
            along = walk.step(p, -task.scale, p, weight, q)[2]
            length = np.divide(size, along, out=np.zeros_like(size), where=~done & (along > 0))
            now = _advance(walk, length, weight, p, q, x, r)
            trace.append(np.full(Y.shape[1], np.nan))
            trace[-1][sets] = np.where(done, np.nan, np.sqrt(now / goal) * tolerance)
            told(len(trace), float(np.nanmax(trace[-1])))
            p *= np.divide(now, size, out=np.zeros_like(size), where=~done & (size > 0))
            p += r
            size, done = now, done | (now <= goal)
        F[:, sets], ended[sets] = x * task.units[:, None], done
        return F, np.array(trace).reshape(-1, Y.shape[1]), ended


@dataclass(frozen=True)
class _Task:
    """Walk in its own units: Z <- scale (W Z) + restart Y / units, and F = units Z, with its vertices in some order."""

    walk: Walk
    seeds: Array
    strength: Array
    units: Array
    scale: Array
    restart: Array
    order: Array | None

    def in_given_order(self, table: Array) -> Array:
        """Return a table in the order of the given graph."""
        if self.order is None:
            return table
        out = np.empty_like(table)
        out[self.order] = table
        return out


def _advance(walk: Walk, length: Array, weight: Array, p: Array, q: Array, x: Array, r: Array) -> Array:
    """Take a step along p, and return the squared norm of the residual of each set."""

    def rows(start: int, stop: int, sums: Array) -> None:
        advance_rows(start, stop, length, weight, p, q, x, r, sums)

    return walk.over_rows(rows, length.shape)
