import numpy as np
import pytest
from scipy import stats

torch = pytest.importorskip("torch", reason="torch is not installed: the extra 'deep'")

from kithkin.models.latent.likelihood import log_factorials, log_likelihood  # noqa: E402

B, P = 7, 12


@pytest.fixture
def case(batch_of):
    rng = np.random.default_rng(0)
    X = rng.poisson(rng.gamma(0.5, 3, (B, P)))
    X[2] = 0  # a cell without counts
    X[3, 4] = 900
    logits, log_shape = torch.tensor(rng.normal(size=(B, P))), torch.tensor(rng.normal(size=P))
    return X, batch_of(X), logits.float(), log_shape.float()


def means(batch, logits):
    return (batch.size[:, None] * torch.softmax(logits, 1)).double().numpy()


def test_the_negative_binomial_is_that_of_scipy(case):
    X, batch, logits, log_shape = case
    found = log_likelihood(logits, batch.size.clamp(min=1e-30).log(), batch, log_shape) - log_factorials(batch)
    mean, r = means(batch, logits), log_shape.double().exp().numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = stats.nbinom.logpmf(X, r, r / (r + mean)).sum(1)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4, atol=1e-3)


def test_poisson_is_that_of_scipy(case):
    X, batch, logits, _ = case
    found = log_likelihood(logits, batch.size.clamp(min=1e-30).log(), batch, None) - log_factorials(batch)
    expected = stats.poisson.logpmf(X, means(batch, logits)).sum(1)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("by_row", [False, True], ids=["gene", "row and gene"])
def test_zero_inflation_mixes_zeros_in(case, by_row):
    X, batch, logits, log_shape = case
    dropout = torch.tensor(np.random.default_rng(1).normal(size=(B, P))).float()
    given = log_shape.expand(B, P) if by_row else log_shape
    found = log_likelihood(logits, batch.size.clamp(min=1e-30).log(), batch, given, dropout) - log_factorials(batch)
    mean, r, pi = means(batch, logits), log_shape.double().exp().numpy(), torch.sigmoid(dropout).double().numpy()
    mass = (1 - pi) * stats.nbinom.pmf(X, r, r / (r + mean)) + pi * (X == 0)
    np.testing.assert_allclose(found.numpy(), np.log(mass).sum(1), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("by_row", [False, True], ids=["gene", "row and gene"])
def test_gradients_are_those_of_the_formula(case, by_row):
    X, batch, logits, log_shape = case
    log_size = torch.log(batch.size.clamp(min=1.0))
    shape = log_shape.expand(B, P).clone() if by_row else log_shape.clone()
    own = [part.clone().requires_grad_() for part in (logits, log_size, shape)]
    weights = torch.arange(1.0, B + 1)
    (weights * log_likelihood(own[0], own[1], batch, own[2])).sum().backward()
    plain = [part.clone().double().requires_grad_() for part in (logits, log_size, shape)]
    x, r = torch.tensor(X).double(), plain[2].exp()
    log_mean = torch.log_softmax(plain[0], 1) + plain[1][:, None]
    terms = torch.lgamma(x + r) - torch.lgamma(r) - r * torch.log1p(log_mean.exp() / r)
    terms = terms + x * (log_mean - torch.log(r + log_mean.exp()))
    (weights.double() * terms.sum(1)).sum().backward()
    for ours, theirs in zip(own, plain, strict=True):
        np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), rtol=2e-3, atol=2e-2)


def test_rows_are_copied_in_the_order_given(case):
    X, batch, _, _ = case
    taken = batch.take(torch.tensor([4, 0, 4, 2]))
    dense = np.zeros((4, P))
    dense[taken.rows.numpy(), taken.columns.numpy()] = taken.counts.numpy()
    np.testing.assert_array_equal(dense, X[[4, 0, 4, 2]])
