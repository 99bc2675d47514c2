from itertools import pairwise

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: the extra 'deep'")

from kithkin.models.latent.networks import CountNetworks, Sizes  # noqa: E402
from kithkin.models.latent.sampling import weighted_likelihood  # noqa: E402

K, D, P = 3, 2, 10


def networks(latent_size=False, likelihood="nb", dispersion="gene_cluster"):
    sizes = Sizes(P, D, 8, K, 1, likelihood, dispersion, latent_size, True)
    generator = torch.Generator().manual_seed(0)
    made = CountNetworks(sizes, torch.full((1, P), -np.log(P)).float(), torch.tensor([[3.0, 0.5]]), generator)
    mean, variance = torch.tensor([[0.0, 0.0], [1.5, 0.0], [0.0, 1.5]]), torch.full((K, D), 0.4)
    made.begin_clusters(mean, variance, torch.tensor([0.5, 0.3, 0.2]))
    return made


@pytest.fixture
def batch(batch_of):
    return batch_of(np.random.default_rng(0).poisson(2.0, (6, P)))


def test_the_posterior_is_prior_times_site(batch):
    made = networks()
    code = made.encode(batch)
    z = torch.randn(6, D, generator=torch.Generator().manual_seed(1))

    def normal(z, mean, variance):
        return torch.distributions.Normal(mean, variance.sqrt()).log_prob(z).sum(-1)

    prior = normal(z[:, None], made.prior_mean, made.prior_log_variance.exp()) + made.prior_log_weight.log_softmax(0)
    product = prior + normal(z, code.site_mean, code.site_log_variance.exp())[:, None]
    ours = code.log_joint + normal(z[:, None], code.mean, code.variance)
    torch.testing.assert_close(ours, product, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("likelihood", ["nb", "zinb", "poisson"])
@pytest.mark.parametrize("latent_size", [False, True])
def test_the_bound_is_the_mean_log_weight_of_draws(batch, likelihood, latent_size):
    made = networks(latent_size, likelihood)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        q = torch.softmax(made.encode(batch).log_joint, 1)
        assert float(q.min()) > 0.01  # so that no cluster is left out
        # normalisation by the batch differs from that of the fit: compare without it
        made.decoder.normalized = lambda x, **_: made.decoder.normalized_as_fitted(x)
        made.encoder.normalized = lambda x, **_: made.encoder.normalized_as_fitted(x)
        bounds = torch.stack([made.bound(batch, generator)[0] for _ in range(300)]).double()
        draws = np.array([weighted_likelihood(made, batch, 1, generator) for _ in range(600)])
    factorials = np.array([torch.lgamma(batch.counts[a:b] + 1).sum() for a, b in pairwise(batch.starts)])
    error = np.hypot(bounds.std(0).numpy() / 300**0.5, draws.std(0) / 600**0.5)
    assert np.all(np.abs(bounds.mean(0).numpy() - factorials - draws.mean(0)) < 5 * error + 1e-3)


def test_a_cluster_that_is_known_is_taken(batch):
    made = networks()
    labels = torch.tensor([2, -1, 0, 1, -1, 2])
    known = type(batch)(batch.starts, batch.columns, batch.counts, batch.size, batch.batch, labels)
    log_q = torch.log_softmax(made.encode(batch).log_joint, 1).detach()
    _, found = made.bound(known, None)
    expected = [float(log_q[i, k]) if k >= 0 else 0.0 for i, k in enumerate(labels)]
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-5)


def test_clusters_are_numbered_again(batch):
    made = networks()
    before = made.encode(batch).log_joint
    made.reorder(torch.tensor([2, 0, 1]))
    torch.testing.assert_close(made.encode(batch).log_joint, before[:, [2, 0, 1]])
