"""Points of conditions: a sparse multinomial logistic regression on conditions, in whole numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy import optimize
from scipy.special import logsumexp

from kithkin.core.blocks import Array
from kithkin.models.gates.candidates import Candidates

RIDGE = 1.0
ROUNDS = 30  # of L-BFGS after each change of the conditions
MOST_POINTS, UNIT = 9, 2.0  # points of a condition at most, and of a coefficient of one
DESCENTS = 10  # rounds in which single points are changed
LOST = 0.01  # share of the rows that the highest score names rightly, and that may be "none"


@dataclass(frozen=True)
class Scores:
    """Scores of the clusters: a constant for each, and a coefficient for each of its conditions."""

    chosen: list[list[int]]
    weights: list[Array]
    constants: Array


@dataclass(frozen=True)
class Points:
    """Rules in whole numbers: for each cluster its conditions, signed points, and the points that are needed.

    Where points are negative the condition is turned around, and gives their size.
    """

    chosen: list[list[int]]
    signed: list[Array]
    need: list[int]


@dataclass
class Training:
    """Rows by which the rules are fitted.

    met: rows x conditions, 1 where a condition is met.
    codes: cluster of each row. weights: weight of each row.
    """

    met: Array
    codes: Array
    weights: Array
    k: int

    def __post_init__(self) -> None:
        self.truth = (self.codes[:, None] == np.arange(self.k)).astype(np.float64)

    def fit(self, chosen: list[list[int]], given: list[Array] | None = None) -> tuple[Scores, Array]:
        """Fit the coefficients of the chosen conditions, or only the constants to given ones; return probabilities.

        Minimises the weighted cross-entropy of the softmax of the scores, and half the sum of the squares.
        """
        parts = [self.met[:, one].astype(np.float64) for one in chosen]
        ends = np.cumsum([0, *(len(one) if given is None else 0 for one in chosen)])
        fixed = None if given is None else np.stack([part @ w for part, w in zip(parts, given, strict=True)], axis=1)

        def scores(x: Array) -> Array:
            if fixed is not None:
                return fixed + x
            own = [part @ x[a:b] for part, a, b in zip(parts, ends[:-1], ends[1:], strict=True)]
            return np.stack(own, axis=1) + x[ends[-1] :]

        def loss(x: Array) -> tuple[float, Array]:
            p, log_p = softmax(scores(x))
            entropy = -float((self.weights * (log_p * self.truth).sum(axis=1)).sum())
            rest = (p - self.truth) * self.weights[:, None]
            slopes = rest.sum(axis=0)
            if fixed is None:
                inner = [part.T @ rest[:, k] for k, part in enumerate(parts)]
                slopes = np.concatenate([*inner, slopes])
                slopes[: ends[-1]] += RIDGE * x[: ends[-1]]
            return entropy + RIDGE / 2 * float((x[: ends[-1]] ** 2).sum()), slopes

        start = np.zeros(ends[-1] + self.k)
        x = optimize.minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": ROUNDS}).x
        weights = given or [x[a:b] for a, b in pairwise(ends)]
        return Scores(chosen, weights, x[ends[-1] :]), softmax(scores(x))[0]

    def choose(self, candidates: Candidates, n_features: int) -> Scores:
        """Choose the conditions of each cluster one after the other, by how much each would lower the cross-entropy.

        The gain of a condition is that of a Newton step on its coefficient. A cluster names each column once.
        """
        chosen: list[list[int]] = [[] for _ in range(self.k)]
        scores, p = self.fit(chosen)
        for _ in range(n_features):
            gains, slopes = self.gains(p)
            allowed = np.where(slopes < 0, candidates.above.T, candidates.below.T)
            added = False
            for k in range(self.k):
                taken = np.isin(candidates.column, candidates.column[chosen[k]])
                gain = np.where(allowed[:, k] & ~taken, gains[:, k], -1.0)
                best = int(gain.argmax()) if len(gain) else -1
                if best >= 0 and gain[best] > 0:
                    chosen[k].append(best)
                    added = True
            if not added:
                break
            scores, p = self.fit(chosen)
        return scores

    def gains(self, p: Array) -> tuple[Array, Array]:
        """Return the gain of adding each condition to each cluster, and its slope, conditions x K."""
        rest = (p - self.truth) * self.weights[:, None]
        curve = p * (1 - p) * self.weights[:, None]
        met = self.met
        slopes, inner = met.T @ rest.astype(np.float32), met.T @ curve.astype(np.float32)
        total = np.maximum(curve.sum(axis=0), 1e-12)
        share = inner / total
        slopes = slopes - share * rest.sum(axis=0)
        return np.round(slopes**2 / (inner - share**2 * total + RIDGE), 4), slopes

    def without(self, scores: Scores, excess: Callable[[Points], int]) -> Scores:
        """Drop the conditions that tell least while the rules are too long; one condition of each cluster stays.

        `excess` returns how many conditions too many the rules have.
        """
        while (over := excess(self.points(scores))) > 0:
            tells = [
                (float(w**2 * self.spread(place)), k, place)
                for k, (own, weights) in enumerate(zip(scores.chosen, scores.weights, strict=True))
                for place, w in zip(own, weights, strict=True)
            ]
            chosen = [list(own) for own in scores.chosen]
            dropped = 0
            for _, k, place in sorted(tells):
                if dropped < over and len(chosen[k]) > 1:
                    chosen[k].remove(place)
                    dropped += 1
            if not dropped:
                break
            scores, _ = self.fit(chosen)
        return scores

    def spread(self, place: int) -> float:
        """Variance of a condition over the rows."""
        share = float(np.average(self.met[:, place], weights=self.weights))
        return share * (1 - share)

    def descend(self, chosen: list[list[int]], signed: list[Array], constants: Array) -> None:
        """Lower the cross-entropy by single points more or less, in place; a condition keeps at least one point."""
        met = [np.column_stack([np.ones(len(self.met)), self.met[:, own]]) for own in chosen]
        scores = np.stack(
            [part @ np.append(add, one) for part, one, add in zip(met, signed, constants, strict=True)], 1
        )
        for _ in range(DESCENTS):
            changed = False
            for k, part in enumerate(met):
                others = logsumexp(np.delete(scores, k, axis=1) / UNIT, axis=1)
                truth = self.truth[:, k]

                def loss(own: Array, others: Array = others, truth: Array = truth) -> float:
                    return float((self.weights * (np.logaddexp(others, own / UNIT) - truth * own / UNIT)).sum())

                for place in range(part.shape[1]):
                    held = constants[k] if place == 0 else signed[k][place - 1]
                    ridge = 0.0 if place == 0 else RIDGE / 2 / UNIT**2
                    now = loss(scores[:, k]) + ridge * held**2
                    tried = [held + step for step in (-1, 1) if place == 0 or 0 < abs(held + step) <= MOST_POINTS]
                    costs = [loss(scores[:, k] + (one - held) * part[:, place]) + ridge * one**2 for one in tried]
                    if costs and min(costs) < now - 1e-6:
                        best = tried[int(np.argmin(costs))]
                        scores[:, k] += (best - held) * part[:, place]
                        if place == 0:
                            constants[k] = best
                        else:
                            signed[k][place - 1] = best
                        changed = True
            if not changed:
                break

    def points(self, scores: Scores) -> Points:
        """Round the coefficients to whole points, and set how many are needed.

        A rule needs so many that at most one in a hundred rows that the largest margin names rightly is left without a
        name, and at least one.
        """
        rounded = [np.clip(np.rint(UNIT * one), -MOST_POINTS, MOST_POINTS).astype(int) for one in scores.weights]
        for one, exact in zip(rounded, scores.weights, strict=True):
            if len(one) and not one.any():  # a rule keeps a condition
                strongest = int(np.abs(exact).argmax())
                one[strongest] = 1 if exact[strongest] >= 0 else -1
        chosen = [
            [c for c, x in zip(own, one, strict=True) if x] for own, one in zip(scores.chosen, rounded, strict=True)
        ]
        signed = [one[one != 0] for one in rounded]
        whole, _ = self.fit(chosen, [one / UNIT for one in signed])
        constants = np.rint(UNIT * whole.constants).astype(int)
        self.descend(chosen, signed, constants)
        turned = [int(-one[one < 0].sum()) for one in signed]
        need = [own - int(constant) for own, constant in zip(turned, constants, strict=True)]
        total = [int(np.abs(one).sum()) for one in signed]
        got = [self.met[:, own] @ one + add for own, one, add in zip(chosen, signed, turned, strict=True)]
        margins = np.stack(got, axis=1) - need
        best = margins.argmax(axis=1)
        right = best == self.codes
        shift = lowest_but_few(margins[right, best[right]], self.weights[right], LOST)
        need = [min(max(own + shift, 1), most) for own, most in zip(need, total, strict=True)]
        return Points(chosen, signed, need)


def softmax(scores: Array) -> tuple[Array, Array]:
    """Return the probabilities of the clusters, and their logarithms, rows x K."""
    shifted = scores - scores.max(axis=1, keepdims=True)
    powers = np.exp(shifted)
    total = powers.sum(axis=1, keepdims=True)
    return powers / total, shifted - np.log(total)


def lowest_but_few(values: Array, weights: Array, share: float) -> int:
    """Return the largest whole number below which lies at most such a share of the weight; 0 without values."""
    if not len(values):
        return 0
    order = np.argsort(values, kind="stable")
    before = np.cumsum(weights[order]) - weights[order]
    place = int(np.searchsorted(before, share * weights.sum(), side="right")) - 1
    return int(np.floor(values[order][place]))
