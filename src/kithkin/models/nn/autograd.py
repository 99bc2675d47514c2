"""Custom autograd functions for linear layers and log-determinants on the CPU.

torch's own layer lays the gradient of a weight out across its memory and then copies it, and multiplies in float32 by a
library that uses half the width of some processors. Here gradients come as weights lie, oneDNN multiplies, and no
product is taken for a gradient that nobody asks for. On other devices layers are torch's own. There are no second
derivatives: asking for them is an error.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


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
        x, weight = x.to(kind), weight.to(kind)
        ctx.save_for_backward(x, weight)
        return _product(x, weight, bias.to(kind))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        of_x = _product(gradient, weight.T).to(ctx.given) if ctx.needs_input_grad[1] else None
        return None, of_x, *_layer_gradients(ctx.needs_input_grad[2:], gradient, x)


class _Versions(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, kind: torch.dtype, x: Tensor, weight: Tensor, bias: Tensor, *factors: Tensor | None
    ) -> Tensor:
        table = torch.empty(x.shape[0], len(factors), x.shape[1], dtype=kind)
        for i, factor in enumerate(factors):
            table[:, i] = x if factor is None else x * factor
        table, weight = table.reshape(-1, x.shape[1]), weight.to(kind)
        ctx.save_for_backward(x, table, weight)
        return _product(table, weight, bias.to(kind))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, table, weight = ctx.saved_tensors
        asked_of = ctx.needs_input_grad[4:]
        of_versions = gradient.reshape(len(x), len(asked_of), gradient.shape[1]).unbind(1)
        wanted = zip(of_versions, asked_of, strict=True)
        of_factors = [_product(one.contiguous(), weight.T) * x if asked else None for one, asked in wanted]
        return None, None, *_layer_gradients(ctx.needs_input_grad[2:], gradient, table), *of_factors


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


def _layer_gradients(asked: tuple[bool, ...], gradient: Tensor, x: Tensor) -> tuple[Tensor | None, Tensor | None]:
    """Return the gradients of weight and bias."""
    of_weight = _product(gradient.T, x.T).float() if asked[0] else None
    return of_weight, gradient.sum(0, dtype=torch.float32) if asked[1] else None


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
