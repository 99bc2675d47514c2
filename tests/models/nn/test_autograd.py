"""Layers and determinants against torch's own, in values and gradients."""

import pytest

torch = pytest.importorskip("torch")

from kithkin.models.nn import autograd  # noqa: E402
from kithkin.models.nn.autograd import linear, log_determinant, versions_linear  # noqa: E402


@pytest.fixture
def drawn():
    draws = torch.Generator().manual_seed(0)
    shapes = {"x": (6, 5), "weight": (4, 5), "bias": (4,), "z": (6, 5), "gradient": (18, 4)}
    return {name: torch.randn(*shape, generator=draws) for name, shape in shapes.items()}


def gradients(found, gradient, *leaves):
    return torch.autograd.grad(found, leaves, gradient.to(found.dtype), allow_unused=True)


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("without_onednn", [False, True])
def test_values_and_gradients_are_those_of_torch(drawn, half, without_onednn, monkeypatch):
    if without_onednn:
        monkeypatch.setattr(autograd, "_has_onednn", lambda: False)
    leaves = [drawn[name].requires_grad_() for name in ("x", "weight", "bias")]
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        found = linear(*leaves)
    exact = torch.nn.functional.linear(*(leaf.double() for leaf in leaves))
    assert found.dtype is (torch.bfloat16 if half else torch.float32)
    near = {"rtol": 0.02, "atol": 0.05} if half else {"rtol": 1e-5, "atol": 1e-5}
    assert torch.allclose(found.double(), exact, **near)
    own, theirs = (gradients(values, drawn["gradient"][:6], *leaves) for values in (found, exact))
    for one, other in zip(own, theirs, strict=True):
        assert one.dtype is torch.float32
        assert torch.allclose(one, other, **near)


def test_the_gradient_of_a_weight_lies_as_the_weight_does(drawn):
    asked = (True, True)
    found = autograd._layer_gradients(asked, drawn["gradient"], torch.ones(18, 5))
    assert [gradient.is_contiguous() for gradient in found] == [True, True]
    assert [tuple(gradient.shape) for gradient in found] == [(4, 5), (4,)]


def test_gradients_of_shifts_are_summed_in_float32():
    half = torch.full((3000, 1), 1.01, dtype=torch.bfloat16)
    found = autograd._layer_gradients((False, True), half, half)[1]
    assert found.item() == pytest.approx(3000 * half[0].item(), rel=1e-5)


@pytest.mark.parametrize("half", [False, True])
def test_versions_are_the_table_of_products(drawn, half):
    x, z, weight, bias = (drawn[name] for name in ("x", "z", "weight", "bias"))
    mask = x > 0
    leaves = [tensor.requires_grad_() for tensor in (z, weight, bias)]
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        found = versions_linear(x, [None, z, mask], weight, bias)
    assert found.dtype is (torch.bfloat16 if half else torch.float32)
    table = torch.stack([x, x * z, x * mask], 1).reshape(18, 5)
    expected = torch.nn.functional.linear(table, weight, bias)
    near = {"rtol": 0.02, "atol": 0.1} if half else {"rtol": 1e-5, "atol": 1e-5}
    assert torch.allclose(found.float(), expected, **near)
    own, theirs = (gradients(values, drawn["gradient"], *leaves) for values in (found, expected))
    for one, other in zip(own, theirs, strict=True):
        assert one.dtype is torch.float32
        assert torch.allclose(one, other, **near)


def test_nothing_is_computed_for_what_asks_for_no_gradient(drawn, monkeypatch):
    found = linear(drawn["x"], drawn["weight"], drawn["bias"].requires_grad_())
    versions = versions_linear(drawn["x"], [None, drawn["z"]], drawn["weight"].requires_grad_(), drawn["bias"])
    products = []
    whole = autograd._product
    monkeypatch.setattr(autograd, "_product", lambda *given: products.append(given) or whole(*given))
    found.sum().backward()
    assert products == []
    versions.sum().backward()
    assert len(products) == 1  # for the weight


def test_the_switch_of_onednn_is_obeyed(drawn, monkeypatch):
    monkeypatch.setattr(torch.ops.mkldnn, "_linear_pointwise", lambda *_: pytest.fail("oneDNN was asked"))
    monkeypatch.setattr(torch.backends.mkldnn, "enabled", False)
    assert linear(drawn["x"], drawn["weight"], drawn["bias"]).shape == (6, 4)


def test_second_derivatives_are_refused(drawn):
    x = drawn["x"].requires_grad_()
    first = torch.autograd.grad((linear(x, drawn["weight"], drawn["bias"]) ** 2).sum(), x, create_graph=True)[0]
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()


def test_more_axes_than_two_are_torch_s_own(drawn):
    x = torch.ones(2, 3, 5, requires_grad=True)
    linear(x, drawn["weight"], drawn["bias"]).sum().backward()
    assert x.grad.shape == x.shape


def test_on_another_device_torch_computes(drawn):
    x, weight, bias = (drawn[name].to("meta") for name in ("x", "weight", "bias"))
    z = drawn["z"].to("meta").requires_grad_()
    found = versions_linear(x.requires_grad_(), [None, z], weight, bias)
    assert found.shape == (12, 4)
    of_x, of_z = torch.autograd.grad(found.sum(), (x, z), allow_unused=True)
    assert of_x is None
    assert of_z.shape == z.shape


def test_determinants_and_their_gradients():
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
    assert not gradients(found, drawn["gradient"][:0], weight)[0].any()
    versions = versions_linear(drawn["x"][:0], [None, drawn["z"][:0]], weight, drawn["bias"])
    assert not gradients(versions, drawn["gradient"][:0], weight)[0].any()


def test_errors_of_versions_and_their_gradient_are_those_of_the_definition():
    draws = torch.Generator().manual_seed(0)
    x, output = torch.randn(6, 5, generator=draws), torch.randn(18, 5, generator=draws)
    for weights in (None, torch.rand(5, generator=draws)):
        ours, theirs = (output.clone().requires_grad_() for _ in range(2))
        errors = autograd.version_errors(ours * 1.0, x, weights)
        squares = (theirs.reshape(6, 3, 5) - x[:, None]).square()
        expected = (squares if weights is None else squares * weights).mean((0, 2))
        assert torch.allclose(errors, expected, atol=1e-6)
        factors = torch.tensor([1.0, 2.0, 0.5])
        (errors * factors).sum().backward()
        (expected * factors).sum().backward()
        assert torch.allclose(ours.grad, theirs.grad, atol=1e-6)


@pytest.mark.parametrize("dim", [None, 1])
def test_the_probability_under_noise_has_the_density_as_its_gradient(dim):
    x = torch.randn(4, 6, dtype=torch.float64, requires_grad=True)
    expected = torch.distributions.Normal(0.0, 1.0).cdf(x)
    expected = expected.mean() if dim is None else expected.mean(dim)
    assert torch.allclose(autograd.normal_probability(x, dim), expected)
    assert torch.autograd.gradcheck(lambda value: autograd.normal_probability(value, dim), x)


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_a_large_weight_is_multiplied_in_pieces(monkeypatch, kind):
    draws = torch.Generator().manual_seed(0)
    x, weight, bias = (torch.randn(*shape, generator=draws) for shape in ((6, 5), (11, 5), (11,)))
    answers = []
    for piece in (10**6, 20):
        monkeypatch.setattr(autograd, "PIECE", piece)
        given = [one.clone().requires_grad_() for one in (x, weight, bias)]
        with torch.autocast("cpu", torch.bfloat16, enabled=kind is torch.bfloat16):
            out = autograd.linear(*given)
        out.float().square().sum().backward()
        answers.append([out.float(), *(one.grad for one in given)])
    assert all(torch.allclose(a, b, rtol=1e-2, atol=1e-4) for a, b in zip(*answers, strict=True))
