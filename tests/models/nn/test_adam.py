import gc
import weakref

import pytest

torch = pytest.importorskip("torch")

from kithkin.models.nn import adam  # noqa: E402
from kithkin.models.nn.adam import Adam  # noqa: E402


def parameters():
    draws = torch.Generator().manual_seed(0)
    return [torch.nn.Parameter(torch.randn(5, 7, generator=draws)), torch.nn.Parameter(torch.randn(5, generator=draws))]


@pytest.mark.parametrize("decay", [0.0, 0.01])
@pytest.mark.parametrize("large", [1, 10, 10**6])
def test_steps_are_those_of_torch_whenever_they_are_taken(monkeypatch, large, decay):
    monkeypatch.setattr(adam, "LARGE", large)
    ours, theirs = parameters(), parameters()
    one, other = Adam(ours, 0.1, decay), torch.optim.Adam(theirs, lr=0.1, weight_decay=decay, fused=True)
    for step in range(5):
        one.rate = other.param_groups[0]["lr"] = 0.1 / (step + 1)
        x = torch.randn(3, 7, generator=torch.Generator().manual_seed(step))
        for weight, bias in (ours, theirs):
            (x @ weight.T + bias).square().sum().backward()
        one.step()
        other.step()
        other.zero_grad()
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    assert all(parameter.grad is None for parameter in ours)


def test_a_large_gradient_is_gone_before_the_others_are_there(monkeypatch):
    monkeypatch.setattr(adam, "LARGE", 10)
    weight, bias = parameters()
    optimizer = Adam([weight, bias], 0.1)
    (torch.ones(3, 7) @ weight.T + bias).sum().backward()
    assert weight.grad is None
    assert bias.grad is not None
    assert len(optimizer.state) == 1
    held = weakref.ref(optimizer)
    del optimizer
    gc.collect()
    assert held() is None
