"""Layers and determinants against torch's own, in values and slopes."""

import pytest

torch = pytest.importorskip("torch")

from kithkin.models import deep_products  # noqa: E402
from kithkin.models.deep_products import linear, log_determinant, versions_linear  # noqa: E402


@pytest.fixture
def drawn():
    draws = torch.Generator().manual_seed(0)
    shapes = {"x": (6, 5), "weight": (4, 5), "bias": (4,), "z": (6, 5), "slope": (18, 4)}
    return {name: torch.randn(*shape, generator=draws) for name, shape in shapes.items()}


def slopes(found, slope, *leaves):
    return torch.autograd.grad(found, leaves, slope.to(found.dtype), allow_unused=True)


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("without_onednn", [False, True])
def test_values_and_slopes_are_those_of_torch(drawn, half, without_onednn, monkeypatch):
    if without_onednn:
        monkeypatch.setattr(deep_products, "_onednn", lambda: False)
    leaves = [drawn[name].requires_grad_() for name in ("x", "weight", "bias")]
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        found = linear(*leaves)
    exact = torch.nn.functional.linear(*(leaf.double() for leaf in leaves))
    assert found.dtype is (torch.bfloat16 if half else torch.float32)
    near = {"rtol": 0.02, "atol": 0.05} if half else {"rtol": 1e-5, "atol": 1e-5}
    assert torch.allclose(found.double(), exact, **near)
    for own, theirs in zip(
        slopes(found, drawn["slope"][:6], *leaves), slopes(exact, drawn["slope"][:6], *leaves), strict=True
    ):
        assert own.dtype is torch.float32
        assert torch.allclose(own, theirs, **near)


def test_the_slope_of_a_weight_lies_as_the_weight_does(drawn):
    weight = drawn["weight"].requires_grad_()
    linear(drawn["x"], weight, drawn["bias"]).sum().backward()
    assert weight.grad.is_contiguous()


def test_versions_are_the_table_of_products(drawn):
    x, z, weight, bias = (drawn[name] for name in ("x", "z", "weight", "bias"))
    mask = x > 0
    leaves = [tensor.requires_grad_() for tensor in (z, weight, bias)]
    found = versions_linear(x, [None, z, mask], weight, bias)
    table = torch.stack([x, x * z, x * mask], 1).reshape(18, 5)
    expected = torch.nn.functional.linear(table, weight, bias)
    assert torch.allclose(found, expected, atol=1e-6)
    for own, theirs in zip(
        slopes(found, drawn["slope"], *leaves), slopes(expected, drawn["slope"], *leaves), strict=True
    ):
        assert torch.allclose(own, theirs, atol=1e-5)


def test_nothing_is_computed_for_what_asks_for_no_slope(drawn):
    weight = drawn["weight"].requires_grad_()
    found = versions_linear(drawn["x"], [None], weight, drawn["bias"])
    assert slopes(found, drawn["slope"][:6], weight)[0] is not None
    assert not linear(drawn["x"], drawn["weight"].detach(), drawn["bias"]).requires_grad


def test_on_another_device_torch_computes(drawn):
    x, weight, bias = (drawn[name].to("meta") for name in ("x", "weight", "bias"))
    assert versions_linear(x, [None, x], weight, bias).shape == (12, 4)


def test_determinants_and_their_slopes():
    draws = torch.randn(3, 5, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    matrix = (draws @ draws.mT + torch.eye(5)).requires_grad_()
    weights = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    found, expected = log_determinant(matrix), torch.logdet(matrix)
    assert torch.allclose(found, expected)
    assert torch.allclose(*(torch.autograd.grad(values, matrix, weights)[0] for values in (found, expected)))


def test_a_batch_may_be_empty(drawn):
    weight = drawn["weight"].requires_grad_()
    found = linear(drawn["x"][:0], weight, drawn["bias"])
    assert found.shape == (0, 4)
    assert not slopes(found, drawn["slope"][:0], weight)[0].any()
