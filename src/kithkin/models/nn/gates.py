"""Stochastic gates: noise, sparsity penalty, and the controller of the weight of the penalty."""

from __future__ import annotations

import torch
from torch import Tensor

from kithkin.models.nn.autograd import normal_probability

NOISE = 0.25  # standard deviation of the noise on a gate in training
GAIN = 0.02  # how fast a weight of sparsity follows the number of open gates
LOWEST = 0.05  # of its first value: the least that it falls to while gates close by themselves
LEAN = 2.0  # how much it leans against what is too many or too few at once, which keeps it from swinging
OPEN = 0.1  # a gate below is closed


class PenaltyWeight:
    """Weight of a sparsity penalty that rises while more gates are open than wanted, and falls while fewer are."""

    def __init__(self, start: float, device: str, size: int | None = None) -> None:
        self.value = torch.full(() if size is None else (size,), float(start), device=device)
        self.least = torch.full_like(self.value, 1e-6)

    def begin(self, value: Tensor) -> None:
        """Restart from a value; it never falls below a twentieth of it, from where it could not rise in time."""
        self.value.copy_(value)
        self.least.copy_(LOWEST * self.value)

    def follow(self, count: Tensor, wanted: float) -> Tensor:
        """Update the weight by the number of open gates, and return that of this step, which leans further."""
        error = ((count + 0.1) / (wanted + 0.1)).log().clamp(-1.0, 1.0)
        self.value.mul_((GAIN * error).exp()).clamp_(max=1e6)
        torch.maximum(self.value, self.least, out=self.value)
        return self.value * (LEAN * error).exp()


def gate_penalty(mu: Tensor, dim: int | None = None) -> Tensor:
    """Return the mean probability, of all or along a dimension, that a gate is above zero under noise of one."""
    return normal_probability(mu.float() + 0.5, dim)


def noisy_gates(mu: Tensor, generator: torch.Generator) -> Tensor:
    """Draw gates with the noise of training, within 0 and 1."""
    noise = torch.randn(mu.shape, generator=generator, device=mu.device, dtype=mu.dtype)
    return (mu + 0.5).add_(noise.mul_(NOISE)).clamp(0.0, 1.0)


def closed_gates(mu: Tensor, x: Tensor) -> Tensor:
    """Return gates without noise, closed below 0.1; the strongest one on a value that is not zero stays open."""
    z = (mu.float() + 0.5).clamp(0.0, 1.0)
    z = torch.where(z >= OPEN, z, torch.zeros_like(z))
    some = x != 0
    shut = ~((z > 0) & some).any(1, keepdim=True) & some.any(1, keepdim=True)
    best = torch.where(some, mu.float(), torch.full_like(z, -9.0)).argmax(1, keepdim=True)
    chosen = torch.zeros_like(z).scatter_(1, best, 1.0)
    return torch.where(shut, torch.maximum(z, chosen), z)
