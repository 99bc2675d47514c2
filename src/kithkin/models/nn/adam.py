"""Adam that uses up large gradients as they come, by torch's own fused step."""

from __future__ import annotations

import weakref
from collections.abc import Iterable

import torch
from torch import Tensor
from torch.optim.adam import adam

LARGE = 2**20  # values of a parameter from which its gradient is used up at once


class Adam:
    """Adam (Kingma and Ba 2015, doi:10.48550/arXiv.1412.6980), with torch's defaults and weight decay on demand.

    A parameter of a million values or more takes its step as soon as its gradient is there, on the way back, and drops
    it: large gradients never lie beside each other, which of wide layers would take as much memory as the layers. Each
    parameter takes the step that it would have taken at the end. The classes of torch.optim bring 70 MB of torch's
    compiler with them; the step itself does not.
    """

    def __init__(self, parameters: Iterable[Tensor], rate: float, decay: float = 0.0) -> None:
        self.parameters, self.rate, self.decay = list(parameters), rate, decay
        self.state: dict[Tensor, dict[str, Tensor]] = {}  # of each parameter its number of steps and moments
        held = weakref.ref(self)  # a parameter that held its optimiser would keep both from being freed

        def step(parameter: Tensor) -> None:
            found = held()
            if found is not None:
                found.step([parameter])

        for parameter in self.parameters:
            if parameter.numel() >= LARGE:
                parameter.register_post_accumulate_grad_hook(step)

    def step(self, parameters: Iterable[Tensor] | None = None) -> None:
        """Take a step of the parameters (None: all) that have a gradient, and drop the gradients."""
        given = [one for one in (self.parameters if parameters is None else parameters) if one.grad is not None]
        for one in given:
            if one not in self.state:
                zeros = {name: torch.zeros_like(one) for name in ("exp_avg", "exp_avg_sq")}
                self.state[one] = {"step": torch.zeros((), device=one.device)} | zeros
        steps, means, squares = ([self.state[one][name] for one in given] for name in ("step", "exp_avg", "exp_avg_sq"))
        gradients = [one.grad for one in given if one.grad is not None]
        with torch.no_grad():
            adam(
                given,
                gradients,
                means,
                squares,
                [],
                steps,
                fused=True,
                amsgrad=False,
                beta1=0.9,
                beta2=0.999,
                lr=self.rate,
                weight_decay=self.decay,
                eps=1e-8,
                maximize=False,
            )
        for one in given:
            one.grad = None
