"""Log-likelihood of sparse counts under a Poisson, negative binomial or zero-inflated distribution, with gradients.

The mean of gene j is m = s rho_j, where s is the size factor of the cell and rho the softmax of what a decoder returns.
Everything that holds for zeros too is computed for all genes; what counts above zero add, for these alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import softplus

TINY = 1e-30  # added to means under a logarithm


@dataclass(frozen=True)
class CountBatch:
    """Mini-batch of sparse counts, as tensors on one device."""

    starts: Tensor  # of the rows among the stored values, B + 1 int64
    columns: Tensor  # of the values, int64
    counts: Tensor  # float32
    size: Tensor  # size factor of each row, B float32
    batch: Tensor  # experimental batch of each row, B int64
    labels: Tensor  # known cluster of each row, B int64; negative for unknown

    @property
    def rows(self) -> Tensor:
        """Row of each value."""
        lengths = self.starts.diff()
        return torch.repeat_interleave(torch.arange(len(lengths), device=lengths.device), lengths)

    def take(self, rows: Tensor) -> CountBatch:
        """Copy rows, in the order given; a row may come more than once."""
        lengths = self.starts.diff()[rows]
        starts = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
        places = torch.repeat_interleave(self.starts[rows] - starts[:-1], lengths)
        places = places + torch.arange(len(places), device=places.device)
        parts = self.columns[places], self.counts[places], self.size[rows], self.batch[rows], self.labels[rows]
        return CountBatch(starts, *parts)


def log_likelihood(
    logits: Tensor, log_size: Tensor, batch: CountBatch, log_shape: Tensor | None, dropout: Tensor | None = None
) -> Tensor:
    """Compute the log-likelihood of each row without the factorials of the counts, B.

    logits are those of the proportions, B x p; log_shape is that of the negative binomial, minus the log dispersion, of
    each gene (p) or of each row and gene (B x p), and None for Poisson; dropout are logits of the zero inflation.
    """
    if log_shape is None:
        rows, columns, counts = batch.rows, batch.columns, batch.counts
        observed = counts * (torch.log_softmax(logits, 1)[rows, columns] + log_size[rows])
        return (-log_size.exp()).index_add(0, rows, observed)
    if dropout is not None:
        return zero_inflated(logits, log_size, batch, log_shape, dropout)
    out: Tensor = _NegativeBinomial.apply(logits, log_size, log_shape, batch)  # type: ignore[no-untyped-call]
    return out


def log_factorials(batch: CountBatch) -> Tensor:
    """Sum the logarithms of the factorials of the counts of each row, B."""
    return torch.zeros_like(batch.size).index_add(0, batch.rows, torch.lgamma(batch.counts + 1))


class _NegativeBinomial(torch.autograd.Function):
    """Log-likelihood of rows; the gradient of the logits is that of a softmax, taken in place."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, log_size: Tensor, log_shape: Tensor, batch: CountBatch) -> Tensor:
        shape = log_shape.exp()
        proportions = torch.softmax(logits, 1)
        odds = proportions * log_size.exp()[:, None]  # the mean; with the shape, the odds of a count
        odds /= shape
        logs = torch.log1p(odds)
        zeros = -(logs @ shape) if shape.ndim == 1 else -(logs * shape).sum(1)
        rows, columns, counts = batch.rows, batch.columns, batch.counts
        own_shape = shape[columns] if shape.ndim == 1 else shape[rows, columns]
        own_odds = odds[rows, columns]
        rising, slope = rising_factorial(counts, own_shape)
        terms = rising + counts * (torch.log(own_odds + TINY) - torch.log1p(own_odds))
        ctx.save_for_backward(proportions, odds, logs, shape, own_shape, own_odds, slope)
        ctx.batch = batch
        return zeros.index_add(0, rows, terms)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        proportions, odds, logs, shape, own_shape, own_odds, slope = ctx.saved_tensors
        batch: CountBatch = ctx.batch
        rows, columns, counts = batch.rows, batch.columns, batch.counts
        share = odds / (1 + odds)
        # of the log mean: -r m / (r + m), and x r / (r + m) for a count x
        of_mean = share * -shape
        of_mean[rows, columns] += counts / (1 + own_odds)
        of_mean *= gradient[:, None]
        of_size = of_mean.sum(1)
        of_logits = torch.addcmul(of_mean, proportions, of_size[:, None], value=-1)
        # of the shape: m / (r + m) - log(1 + m / r), and for a count the slope of the rising factorial less x / (r + m)
        own = (slope - counts / (own_shape * (1 + own_odds))) * gradient[rows]
        if shape.ndim == 1:
            of_shape = (gradient @ share - gradient @ logs).index_add(0, columns, own)
        else:
            of_shape = (share - logs) * gradient[:, None]
            of_shape[rows, columns] += own
        return of_logits, of_size, of_shape * shape, None


def rising_factorial(counts: Tensor, shape: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the log rising factorial Gamma(x + r) / Gamma(r) of counts x, and its slope in r; most counts are 1."""
    rising, slope = shape.log(), 1 / shape
    large = torch.nonzero(counts > 1).squeeze(1)
    x, r = counts[large], shape[large]
    rising[large] = torch.lgamma(x + r) - torch.lgamma(r)
    slope[large] = torch.digamma(x + r) - torch.digamma(r)
    return rising, slope


def zero_inflated(logits: Tensor, log_size: Tensor, batch: CountBatch, log_shape: Tensor, dropout: Tensor) -> Tensor:
    """Mix the negative binomial with zeros whose log odds are given, B x p."""
    log_mean = torch.log_softmax(logits, 1) + log_size[:, None]
    shape = log_shape.exp()
    log_odds = log_mean - log_shape
    at_zero = -shape * softplus(log_odds)
    # log(pi + (1 - pi) NB(0)), with pi = 1 / (1 + exp(-dropout))
    zeros = torch.logaddexp(dropout, at_zero) - softplus(dropout)
    rows, columns, counts = batch.rows, batch.columns, batch.counts
    own_log_shape = log_shape[columns] if log_shape.ndim == 1 else log_shape[rows, columns]
    own_odds = log_odds[rows, columns]
    own_shape = own_log_shape.exp()
    rising = torch.lgamma(counts + own_shape) - torch.lgamma(own_shape)
    above = rising - own_shape * softplus(own_odds) + counts * (own_odds - softplus(own_odds))
    above = above - softplus(dropout[rows, columns]) - zeros[rows, columns]
    return zeros.sum(1).index_add(0, rows, above)
