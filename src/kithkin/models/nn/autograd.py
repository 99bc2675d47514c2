"""Custom autograd functions for linear layers and log-determinants on the CPU.

torch's own layer lays the gradient of a weight out across its memory and then copies it, and multiplies in float32 by a
library that uses half the width of some processors. Here gradients come as weights lie, oneDNN multiplies, and no
product is taken for a gradient that nobody asks for. On other devices layers are torch's own. There are no second
derivatives: asking for them is an error.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from kithkin.kernels.gram import add_transposed, times_vectors

PIECE = 2**22  # values of a weight, or of its gradient, that one product takes


def linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Apply the layer x weight' + bias to n x p rows, in bfloat16 where autocast is on; the weight is q x p float32."""
    if x.device.type != "cpu" or x.ndim != 2:
        return torch.nn.functional.linear(x, weight, bias)
    out: Tensor = _Linear.apply(_compute_type(), x, weight, bias)  # type: ignore[no-untyped-call]
    return out


def versions_linear(x: Tensor, factors: list[Tensor | None], weight: Tensor, bias: Tensor) -> Tensor:
    """Apply a linear layer to several versions of a batch: x times each of G factors (None: x itself).

    Version g of row i is row i G + g of the result, nG x q. Gradients go to all but x.
    """
    if x.device.type != "cpu":
        x = x.detach()
        table = torch.stack([x if factor is None else x * factor for factor in factors], 1)
        return linear(table.reshape(-1, x.shape[1]), weight, bias)
    out: Tensor = _Versions.apply(_compute_type(), x, weight, bias, *factors)  # type: ignore[no-untyped-call]
    return out


def version_errors(output: Tensor, x: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the mean squared error of each version of a batch, G float32, with weights of the columns.

    Version g of row i is row i G + g of the output, nG x p; x is n x p and gets no gradient. Neither the errors of all
    versions nor their squares are held at once, and the gradient takes the place of the output, which nothing else may
    need: of a wide table these are the largest arrays.
    """
    out: Tensor = _VersionErrors.apply(output, x, weights)  # type: ignore[no-untyped-call]
    return out


def normal_probability(x: Tensor, dim: int | None = None) -> Tensor:
    """Return the mean, of all or along a dimension, of the probability that x plus standard normal noise is positive.

    Phi(x) = (1 + erf(x / sqrt 2)) / 2.
    """
    out: Tensor = _NormalProbability.apply(x, dim)  # type: ignore[no-untyped-call]
    return out


def sparse_linear(values: Tensor, columns: Tensor, starts: Tensor, weight: Tensor) -> Tensor:
    """Multiply sparse rows with a weight, p x q float32: n x q; gradients go to the weight.

    values, columns and starts are the rows in compressed form, float32 and int64; starts has n + 1 entries.
    """
    if weight.device.type != "cpu":
        sums = torch.nn.functional.embedding_bag
        return sums(columns, weight, starts[:-1], mode="sum", per_sample_weights=values)
    out: Tensor = _SparseLinear.apply(values, columns, starts, weight)  # type: ignore[no-untyped-call]
    return out


def log_determinant(matrix: Tensor) -> Tensor:
    """Return log-determinants of positive definite matrices, ... x d x d, by Cholesky; gradients reuse the factor."""
    out: Tensor = _LogDeterminant.apply(matrix)  # type: ignore[no-untyped-call]
    return out


def _compute_type() -> torch.dtype:
    return torch.bfloat16 if torch.is_autocast_enabled("cpu") else torch.float32


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, kind: torch.dtype, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.given = x.dtype
        x = x.to(kind)
        ctx.save_for_backward(x, weight)  # not in the other type: a copy of all weights would wait for the way back
        return _weigh(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        of_x = _weigh(gradient, weight.T).to(ctx.given) if ctx.needs_input_grad[1] else None
        return None, of_x, *_layer_gradients(ctx.needs_input_grad[2:], gradient, x)


class _Versions(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, kind: torch.dtype, x: Tensor, weight: Tensor, bias: Tensor, *factors: Tensor | None
    ) -> Tensor:
        table = torch.empty(x.shape[0], len(factors), x.shape[1], dtype=kind)
        for i, factor in enumerate(factors):
            table[:, i] = x if factor is None else x * factor
        table = table.reshape(-1, x.shape[1])
        ctx.save_for_backward(x, table, weight)
        return _weigh(table, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, table, weight = ctx.saved_tensors
        asked_of = ctx.needs_input_grad[4:]
        of_versions = gradient.reshape(len(x), len(asked_of), gradient.shape[1]).unbind(1)
        wanted = zip(of_versions, asked_of, strict=True)
        of_factors = [_weigh(one.contiguous(), weight.T) * x if asked else None for one, asked in wanted]
        return None, None, *_layer_gradients(ctx.needs_input_grad[2:], gradient, table), *of_factors


class _VersionErrors(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, output: Tensor, x: Tensor, weights: Tensor | None) -> Tensor:
        ctx.save_for_backward(output, x, weights)
        squares = (error.square_() for error in _errors(output, x))
        return torch.stack([(one if weights is None else one.mul_(weights)).mean() for one in squares])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        output, x, weights = ctx.saved_tensors
        versions = output.reshape(len(x), -1, x.shape[1]).unbind(1)
        for version, error, one in zip(versions, _errors(output, x), gradient * (2 / x.numel()), strict=True):
            version.copy_(error.mul_(one) if weights is None else error.mul_(one * weights))
        return output, None, None


def _errors(output: Tensor, x: Tensor) -> Iterator[Tensor]:
    """Yield the errors of each version in turn, n x p float32."""
    for version in output.reshape(len(x), -1, x.shape[1]).unbind(1):
        yield version.float() - x


class _NormalProbability(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, dim: int | None) -> Tensor:
        ctx.save_for_backward(x)
        ctx.dim = dim
        out: Tensor = (x * 0.5**0.5).erf_().add_(1.0).mul_(0.5).mean(dim=dim)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (x,) = ctx.saved_tensors
        count = x.numel() // max(gradient.numel(), 1)
        wide = gradient if ctx.dim is None else gradient.unsqueeze(ctx.dim)
        return x.square().mul_(-0.5).exp_().mul_(wide * ((2 * math.pi) ** -0.5 / count)), None


class _SparseLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, columns: Tensor, starts: Tensor, weight: Tensor) -> Tensor:
        ctx.rows = values.numpy(), columns.numpy(), starts.numpy()
        ctx.n_columns = len(weight)
        out = torch.empty(len(starts) - 1, weight.shape[1])
        times_vectors(*ctx.rows, weight.detach().numpy(), out.numpy())
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        of_weight = torch.zeros(ctx.n_columns, gradient.shape[1])
        add_transposed(*ctx.rows, gradient.float().contiguous().numpy(), of_weight.numpy())
        return None, None, None, of_weight


class _LogDeterminant(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, matrix: Tensor) -> Tensor:
        factor = torch.linalg.cholesky(matrix)
        ctx.save_for_backward(factor)
        out: Tensor = 2 * factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient[..., None, None] * torch.cholesky_inverse(ctx.saved_tensors[0])


def _weigh(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Multiply x weight' + bias in the type of x; of a large weight, a piece at a time is there in this type."""
    kind, step = x.dtype, max(1, PIECE // max(weight.shape[1], 1))
    if step >= len(weight):
        return _product(x, weight.to(kind), None if bias is None else bias.to(kind))
    out = torch.empty(len(x), len(weight), dtype=kind)
    for first in range(0, len(weight), step):
        rows = slice(first, first + step)
        out[:, rows] = _product(x, weight[rows].to(kind), None if bias is None else bias[rows].to(kind))
    return out


def _layer_gradients(asked: tuple[bool, ...], gradient: Tensor, x: Tensor) -> tuple[Tensor | None, Tensor | None]:
    """Return the gradients of weight and bias."""
    of_weight = torch.empty(gradient.shape[1], x.shape[1]) if asked[0] else None
    of_bias = torch.empty(gradient.shape[1]) if asked[1] else None
    step, turned = max(1, PIECE // max(len(x), x.shape[1], 1)), x.T
    for first in range(0, gradient.shape[1], step):  # of a wide layer all would be there in both types
        piece = gradient[:, first : first + step]
        if of_weight is not None:
            of_weight[first : first + step] = _product(piece.T, turned)
        if of_bias is not None:
            of_bias[first : first + step] = piece.sum(0, dtype=torch.float32)
    return of_weight, of_bias


def _product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Multiply x weight' + bias, by oneDNN in either type where torch was built with it."""
    if x.dtype is torch.float32 and x.numel() and _has_onednn() and getattr(torch.backends.mkldnn, "enabled", True):
        # it refuses what is empty
        out: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
        return out
    return torch.nn.functional.linear(x, weight, bias)


@cache
def _has_onednn() -> bool:
    return bool(torch.backends.mkldnn.is_available()) and hasattr(torch.ops.mkldnn, "_linear_pointwise")
