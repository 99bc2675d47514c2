"""Scaling of the columns of a table of values: robust, standard or none, with missing values filled in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, Literal, Self

import numpy as np

from kithkin.core.blocks import Array, Block, SparseRows, as_blocks
from kithkin.core.errors import ParameterError, check, check_choice
from kithkin.core.execute import Execution, map_blocks
from kithkin.models.estimator import Estimator

SAMPLE_VALUES = 2**25  # values of the rows by which quantiles are estimated; a smaller table is taken whole
SKEWED = 0.2  # of the quantile skewness; 0.56 for an exponential distribution
NORMAL_IQR = 1.349  # interquartile range of a normal distribution, in standard deviations
CLIP = 5.0  # standard deviations from the median, beyond which a value says no more than that it is far out
ONE_UNIT = 4.0  # the ranges of columns in one unit differ at most by this factor
MOST_OF_THEM = 0.9  # fraction of the columns for which that must hold


class Scaler(Estimator):
    """Columns brought to a common scale, so that no unit decides which rows are near each other.

    Parameters
    ----------
    method
        "robust": minus the median, divided by the spread (the interquartile range / 1.349, or the standard deviation
        between the 1st and 99th percentiles if that is larger), and clipped at 5. Skewed columns are transformed first
        where this makes them more symmetric: log1p(x / median of the positive values) where no value is negative, else
        asinh of twice the distance from the median over the interquartile range. "standard": minus the mean, divided
        by the standard deviation. "none": as they are. "auto": "none" where the columns seem to be in one unit (the
        ranges of nine in ten are within a factor of 4 of the median range), else "robust".
    missing
        "median": a missing value (NaN) becomes the median of its column. "error": it is refused.

    Attributes
    ----------
    method_
        "robust", "standard" or "none".
    transform_
        Transform of each column, p: "none", "log1p" or "asinh".
    inner_center_, inner_scale_
        Number taken off, and divisor, before the transform, p float64.
    center_, scale_
        Number taken off, and divisor, after the transform, p float64; the divisor of a constant column is 1.
    fill_
        Value that stands for a missing one, p float64.
    n_missing_
        Missing values of each column, p int64.

    Raises
    ------
    ParameterError
        If a column has no value at all, a value is infinite, or one is missing and `missing` is "error".

    Notes
    -----
    Quantiles are those of evenly spaced rows with together at most 33 million values. Columns with two different
    values, such as categories as 0 and 1, are only centred: categories differ by one standard deviation.
    The quantile skewness is (q95 + q5 - 2 q50) / (q95 - q5): Hinkley 1975, doi:10.1093/biomet/62.1.101.

    Examples
    --------
    >>> X = np.array([[1.0, 1000.0], [2.0, np.nan], [3.0, 3000.0], [4.0, 2000.0]])
    >>> scaler = Scaler("standard").fit(X)
    >>> scaler.center_.tolist(), scaler.n_missing_.tolist(), scaler.fill_.tolist()
    ([2.5, 2000.0], [0, 1], [2.5, 2000.0])
    >>> print(scaler.transform(X[:2]).round(2))
    [[-1.34 -1.22]
     [-0.45  0.  ]]
    """

    def __init__(
        self,
        method: Literal["auto", "robust", "standard", "none"] = "auto",
        *,
        missing: Literal["median", "error"] = "median",
    ) -> None:
        self.method, self.missing = method, missing

    def fit(self, X: Any, execution: Execution | None = None) -> Self:
        """Find centre, spread and transform of each column of an n x p table, in one pass."""
        check_choice("method", self.method, ("auto", "robust", "standard", "none"))
        check_choice("missing", self.missing, ("median", "error"))
        blocks = as_blocks(X)
        n, p = blocks.shape
        check(n >= 1 and p >= 1, f"X must have rows and columns, got {n} x {p}")
        step = max(1, -(-n * p // SAMPLE_VALUES))
        parts = list(map_blocks(partial(column_sums, step=step), blocks, execution, "scaling"))
        counts, means, spreads = merged_moments([part[:3] for part in parts])
        self.n_missing_ = n - counts
        empty, gaps = np.flatnonzero(counts == 0), np.flatnonzero(self.n_missing_)
        check(not len(empty), f"column {empty[0] if len(empty) else ''} (from 0) has no value: leave it out")
        advice = "fill them in with missing='median', or leave the columns out"
        check(self.missing == "median" or not len(gaps), f"{len(gaps)} columns have missing values: {advice}")
        sample = np.concatenate([part[3] for part in parts])
        del parts
        self.fill_ = np.array([np.median(values) for values in columns_of(sample)])
        self.method_ = self.method
        if self.method == "auto":
            self.method_ = "none" if share_a_unit(columns_of(sample)) else "robust"
        self.transform_ = np.full(p, "none", object)
        self.inner_center_, self.inner_scale_ = np.zeros(p), np.ones(p)
        self.center_, self.scale_ = np.zeros(p), np.ones(p)
        if self.method_ == "standard":
            deviation = np.sqrt(spreads / counts)
            constant = deviation <= 1e-12 * np.abs(means)  # all but rounding
            self.center_, self.scale_ = means, np.where(constant, 1.0, deviation)
        elif self.method_ == "robust":
            for j, values in enumerate(columns_of(sample)):
                self._fit_column(j, values)
        return self

    def _fit_column(self, j: int, values: Array) -> None:
        """Choose transform, centre and spread of a column from its values."""
        if len(np.unique(values[:1000])) <= 2 and len(np.unique(values)) <= 2:
            self.center_[j] = np.median(values)
            return
        skewness = quantile_skewness(values)
        if abs(skewness) > SKEWED:
            if values.min() >= 0:
                kind, center, scale = "log1p", 0.0, float(np.median(values[values > 0]))
            else:
                low, center, high = np.quantile(values, [0.25, 0.5, 0.75]).tolist()
                kind, scale = "asinh", (high - low or float(values.std())) / 2
            transformed = TRANSFORMS[kind]((values - center) / scale)
            if abs(quantile_skewness(transformed)) < abs(skewness):
                self.transform_[j], self.inner_center_[j], self.inner_scale_[j] = kind, center, scale
                values = transformed
        low, q1, median, q3, high = np.quantile(values, [0.01, 0.25, 0.5, 0.75, 0.99]).tolist()
        spread = max((q3 - q1) / NORMAL_IQR, float(np.clip(values, low, high).std()))
        self.center_[j], self.scale_[j] = median, spread or float(values.std()) or 1.0

    def transform(self, X: Any, execution: Execution | None = None) -> Array:
        """Return the scaled table, n x p float32, without missing values."""
        blocks = as_blocks(X)
        return np.concatenate(list(map_blocks(self.transform_block, blocks, execution, "scaling")))

    def fit_transform(self, X: Any, execution: Execution | None = None) -> Array:
        """Fit, and return the scaled table, n x p float32."""
        return self.fit(X, execution).transform(X, execution)

    def transform_block(self, block: Block, _start: int = 0) -> Array:
        """Scale some rows, rows x p float32."""
        values = _dense(block)
        check(values.shape[1] == len(self.fill_), f"X must have {len(self.fill_)} columns, got {values.shape[1]}")
        missing = np.isnan(values)
        if missing.any():
            values[missing] = np.broadcast_to(self.fill_, values.shape)[missing]
        for kind, function in TRANSFORMS.items():
            chosen = np.flatnonzero(self.transform_ == kind)
            if len(chosen):
                inner = (values[:, chosen] - self.inner_center_[chosen]) / self.inner_scale_[chosen]
                # a row that was not fitted may lie below what log1p takes
                values[:, chosen] = function(np.maximum(inner, -1 + 1e-9) if kind == "log1p" else inner)
        values -= self.center_
        values /= self.scale_
        if self.method_ == "robust":
            np.clip(values, -CLIP, CLIP, out=values)
        return values.astype(np.float32)


TRANSFORMS = {"log1p": np.log1p, "asinh": np.arcsinh}


def column_sums(block: Block, start: int, step: int) -> tuple[Array, Array, Array, Array]:
    """Count, mean and squared deviations of each column without missing values; and every step-th row of the table."""
    values = _dense(block)
    if np.isinf(values).any():
        row, column = (int(place[0]) for place in np.nonzero(np.isinf(values)))
        raise ParameterError(f"X, row {start + row}, column {column} is infinite: scaling needs finite values")
    present = ~np.isnan(values)
    count = present.sum(axis=0)
    mean = np.where(present, values, 0.0).sum(axis=0) / np.maximum(count, 1)
    away = np.where(present, values - mean, 0.0)
    return count, mean, np.einsum("ij,ij->j", away, away), values[-start % step :: step].astype(np.float32)


def merged_moments(parts: list[tuple[Array, ...]]) -> tuple[Array, Array, Array]:
    """Merge counts, means and squared deviations of parts of the rows (Chan, Golub and LeVeque 1983).

    Examples
    --------
    >>> one, other = (np.array([1]), np.array([1.0]), np.zeros(1)), (np.array([1]), np.array([3.0]), np.zeros(1))
    >>> merged_moments([one, other])
    (array([2]), array([2.]), array([2.]))
    """
    count, mean, away = (np.asarray(value) for value in parts[0])
    for n, m, a in parts[1:]:
        both = np.maximum(count + n, 1)
        away = away + a + (m - mean) ** 2 * count * n / both
        mean = mean + (m - mean) * n / both
        count = count + n
    return count, mean, away


def quantile_skewness(values: Array) -> float:
    """Skewness by the 5th, 50th and 95th percentiles, from -1 to 1; 0 if symmetric, or if the first and last are equal.

    Examples
    --------
    >>> round(quantile_skewness(-np.log(np.linspace(0.001, 1, 1000))), 2)  # exponential
    0.56
    """
    low, median, high = np.quantile(values, [0.05, 0.5, 0.95]).tolist()
    return (high + low - 2 * median) / (high - low) if high > low else 0.0


def share_a_unit(columns: Iterable[Array]) -> bool:
    """Check whether the ranges of most columns that vary are within a factor of 4 of the median range.

    Examples
    --------
    >>> share_a_unit([np.array([0.0, 16.0]), np.array([2.0, 12.0])]), share_a_unit([np.arange(2), np.arange(1000)])
    (True, False)
    """
    ranges = np.array([np.ptp(column) for column in columns])
    ranges = ranges[ranges > 0]
    if not len(ranges):
        return True
    ratio = ranges / np.median(ranges)
    return float(np.mean((ratio <= ONE_UNIT) & (ratio >= 1 / ONE_UNIT))) >= MOST_OF_THEM


def columns_of(sample: Array) -> Iterator[Array]:
    """Yield each column's values that are not missing, float64; all at once take twice the sample."""
    for column in sample.T:
        yield column[~np.isnan(column)].astype(np.float64)


def _dense(block: Block) -> Array:
    """Copy a block as float64."""
    return (block.to_dense() if isinstance(block, SparseRows) else block).astype(np.float64)
