"""What training spends its time on, forward and back, by what is fastest on a CPU: linear layers, determinants.

torch's own layer lays the gradient of a weight out across its memory and then copies it, and multiplies in float32 by a
library that uses half the width of some processors. Here gradients come as weights lie, oneDNN multiplies, and no
product is taken for a gradient that nobody asks for. On other devices layers are torch's own. There are no second
derivatives: asking for them is an error.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from kithkin.models.nn.torch import Tensor, torch


def linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The layer x weight' + bias, in bfloat16 where autocast is on.

    Parameters
    ----------
    x
        n x p.
    weight
        q x p, float32.
    bias
        q, float32.

    Returns
    -------
    Tensor
        n x q.

    Examples
    --------
    >>> import pytest
    >>> torch = pytest.importorskip("torch")
    >>> linear(torch.ones(1, 2), torch.ones(3, 2), torch.zeros(3)).tolist()
    [[2.0, 2.0, 2.0]]
    """
    if x.device.type != "cpu" or x.ndim != 2:
        return torch.nn.functional.linear(x, weight, bias)
    return _linear_function().apply(_kind(), x, weight, bias)


def versions_linear(x: Tensor, factors: list[Tensor | None], weight: Tensor, bias: Tensor) -> Tensor:
    """The linear layer of several versions of a batch: x times each factor (None: x itself).

    Gradients go to the factors, the weight and the bias, not to x.

    Parameters
    ----------
    x
        n x p.
    factors
        G tensors, n x p.
    weight, bias
        As in `linear`.

    Returns
    -------
    Tensor
        nG x q: version g of row i is row i G + g.

    Examples
    --------
    >>> import pytest
    >>> torch = pytest.importorskip("torch")
    >>> versions_linear(torch.ones(1, 2), [None, torch.zeros(1, 2)], torch.ones(1, 2), torch.ones(1)).tolist()
    [[3.0], [1.0]]
    """
    if x.device.type != "cpu":
        x = x.detach()
        table = torch.stack([x if factor is None else x * factor for factor in factors], 1)
        return linear(table.reshape(-1, x.shape[1]), weight, bias)
    return _versions_function().apply(_kind(), x, weight, bias, *factors)


def log_determinant(matrix: Tensor) -> Tensor:
    """Of positive definite matrices, by Cholesky; the gradient is the inverse, by the same factor.

    Parameters
    ----------
    matrix
        ... x d x d, symmetric.

    Returns
    -------
    Tensor
        One number for each matrix.

    Examples
    --------
    >>> import pytest
    >>> torch = pytest.importorskip("torch")
    >>> round(float(log_determinant(4 * torch.eye(2))), 4)
    2.7726
    """
    return _determinant_function().apply(matrix)


def _kind() -> Any:
    return torch.bfloat16 if torch.is_autocast_enabled("cpu") else torch.float32


# for autograd: classes that are made once torch is there


@cache
def _linear_function() -> Any:
    class Linear(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, kind: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
            ctx.given = x.dtype
            x, weight = x.to(kind), weight.to(kind)
            ctx.save_for_backward(x, weight)
            return _product(x, weight, bias.to(kind))

        @staticmethod
        @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator]
        def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
            x, weight = ctx.saved_tensors
            of_x = _product(gradient, weight.T).to(ctx.given) if ctx.needs_input_grad[1] else None
            return None, of_x, *_of_layer(ctx.needs_input_grad[2:], gradient, x)

    return Linear


@cache
def _versions_function() -> Any:
    class Versions(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, kind: Any, x: Tensor, weight: Tensor, bias: Tensor, *factors: Tensor | None) -> Tensor:
            table = torch.empty(x.shape[0], len(factors), x.shape[1], dtype=kind)
            for i, factor in enumerate(factors):
                table[:, i] = x if factor is None else x * factor
            table, weight = table.reshape(-1, x.shape[1]), weight.to(kind)
            ctx.save_for_backward(x, table, weight)
            return _product(table, weight, bias.to(kind))

        @staticmethod
        @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator]
        def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
            x, table, weight = ctx.saved_tensors
            asked_of = ctx.needs_input_grad[4:]
            of_versions = gradient.reshape(len(x), len(asked_of), gradient.shape[1]).unbind(1)
            wanted = zip(of_versions, asked_of, strict=True)
            of_factors = [_product(one.contiguous(), weight.T) * x if asked else None for one, asked in wanted]
            return None, None, *_of_layer(ctx.needs_input_grad[2:], gradient, table), *of_factors

    return Versions


@cache
def _determinant_function() -> Any:
    class LogDeterminant(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, matrix: Tensor) -> Tensor:
            factor = torch.linalg.cholesky(matrix)
            ctx.save_for_backward(factor)
            return 2 * factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)

        @staticmethod
        @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator]
        def backward(ctx: Any, gradient: Tensor) -> Tensor:
            return gradient[..., None, None] * torch.cholesky_inverse(ctx.saved_tensors[0])

    return LogDeterminant


def _of_layer(asked: tuple[bool, ...], gradient: Tensor, x: Tensor) -> tuple[Tensor | None, Tensor | None]:
    """Gradients of weight and bias."""
    of_weight = _product(gradient.T, x.T).float() if asked[0] else None
    return of_weight, gradient.sum(0, dtype=torch.float32) if asked[1] else None


def _product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """The product x weight' + bias: by oneDNN in either type, where torch was built with it."""
    if x.dtype is torch.float32 and x.numel() and _onednn() and getattr(torch.backends.mkldnn, "enabled", True):
        # it refuses what is empty
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return torch.nn.functional.linear(x, weight, bias)


@cache
def _onednn() -> bool:
    return bool(torch.backends.mkldnn.is_available()) and hasattr(torch.ops.mkldnn, "_linear_pointwise")
