"""Networks of a variational autoencoder for counts, and the prior of its latent space."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from kithkin.models.latent.likelihood import TINY, CountBatch, log_likelihood
from kithkin.models.nn.autograd import linear
from kithkin.models.nn.layers import Layer, SparseLayer

MOMENTUM = 0.02  # of the statistics of normalisation, once there were as many batches
LOG_VARIANCE = (-9.0, 6.0)  # range of the log variance that the encoder returns
LOG_SHAPE = (-7.0, 12.0)  # range of minus the log dispersion
LEAST_VARIANCE = 1e-3  # of a component of the prior
DROPOUT = 0.1  # share of the hidden units of the encoder that a step leaves out
RARE = 0.01  # probability of a cluster below which a cell does not decode it
LOG_2PI = math.log(2 * math.pi)


@dataclass(frozen=True)
class Sizes:
    """Numbers that fix the shapes of the networks."""

    n_genes: int
    n_latent: int
    n_hidden: int
    n_clusters: int  # components of the prior; 0: one, standard normal and not trained
    n_batches: int
    likelihood: str
    dispersion: str  # "gene" or "gene_cluster"
    latent_size: bool  # whether size factors are latent variables
    scaled_input: bool  # whether the encoder sees counts scaled to one size


@dataclass(frozen=True)
class Encoded:
    """Approximate posterior of the rows of a batch."""

    mean: Tensor  # of each row and cluster, B x K x d
    variance: Tensor  # likewise
    log_joint: Tensor  # log of pi_y N(mu; m_y, v_y + sigma^2), B x K
    site_mean: Tensor  # mu, B x d
    site_log_variance: Tensor  # of mu, B x d
    size_mean: Tensor | None  # of the log size factor, B
    size_log_variance: Tensor | None


class CountNetworks(nn.Module):
    r"""Encoder, decoder and prior.

    The encoder returns a normal site, mean :math:`\mu` and variance :math:`\sigma^2`, and the posterior is that of the
    prior with the site as its likelihood: :math:`q(y, z \mid x) \propto \pi_y N(z; m_y, v_y) N(z; \mu, \sigma^2)`. So
    q(y | x) and q(z | y, x) are closed, and the sum over y is exact.
    """

    def __init__(self, sizes: Sizes, log_proportions: Tensor, size_prior: Tensor, generator: torch.Generator) -> None:
        """Draw initial weights.

        log_proportions: of the genes in each batch, n_batches x p. size_prior: mean and variance of the log size
        factors of each batch, n_batches x 2.
        """
        super().__init__()
        self.sizes, self.seen, h, d = sizes, 0, sizes.n_hidden, sizes.n_latent
        self.mixed = False  # whether products of a training are taken in bfloat16

        def uniform(*shape: int, inputs: int) -> Tensor:
            drawn: Tensor = torch.rand(*shape, generator=generator)
            return (2 * drawn - 1) / math.sqrt(inputs)

        p = sizes.n_genes
        n_sites = 2 * d + (2 if sizes.latent_size else 0)
        self.encoder = SparseLayer(uniform(p, h, inputs=p))
        self.site = Layer(uniform(n_sites, h, inputs=h), norm=False)
        self.decoder = Layer(uniform(h, d, inputs=d), norm=True)
        self.logits = Layer(uniform(p, h, inputs=h), norm=False)
        self.logits.bias.data.copy_(log_proportions.mean(0))
        self.batch_shift = nn.Parameter(torch.zeros(sizes.n_batches, h))  # of the hidden layer
        self.batch_logits = nn.Parameter(torch.zeros(sizes.n_batches, p))
        self.inflation = Layer(uniform(p, h, inputs=h), norm=False) if sizes.likelihood == "zinb" else None
        if self.inflation is not None:
            self.inflation.bias.data.fill_(-3.0)
        self.log_shape: nn.Parameter | None = None
        if sizes.likelihood != "poisson":
            clusters = (sizes.n_clusters,) if sizes.dispersion == "gene_cluster" and sizes.n_clusters else ()
            self.log_shape = nn.Parameter(torch.zeros(*clusters, p))
        self.register_buffer("size_prior", size_prior)
        K = max(sizes.n_clusters, 1)
        self.prior_mean = nn.Parameter(torch.zeros(K, d))
        self.prior_log_variance = nn.Parameter(torch.zeros(K, d))
        self.prior_log_weight = nn.Parameter(torch.zeros(K))
        self.train_prior(False)

    size_prior: Tensor

    def train_prior(self, on: bool) -> None:
        """Use and train the components of the prior, or one standard normal component."""
        on = on and self.sizes.n_clusters > 0
        self.active = self.sizes.n_clusters if on else 1
        for parameter in (self.prior_mean, self.prior_log_variance, self.prior_log_weight):
            parameter.requires_grad_(on)

    def prior_variance(self) -> Tensor:
        """Return the variances of the components that are in use, K x d."""
        return self.prior_log_variance[: self.active].exp().clamp(min=LEAST_VARIANCE)

    def begin_clusters(self, mean: Tensor, variance: Tensor, weights: Tensor) -> None:
        """Start the components of the prior, K x d, K x d and K; dispersions start from those of all cells."""
        self.prior_mean.data.copy_(mean)
        self.prior_log_variance.data.copy_(variance.log())
        self.prior_log_weight.data.copy_(weights.log())
        if self.log_shape is not None and self.log_shape.ndim == 2:
            self.log_shape.data.copy_(self.log_shape.data[:1].expand_as(self.log_shape))
        self.train_prior(True)

    def reorder(self, order: Tensor) -> None:
        """Give the clusters other numbers: the first becomes the one that was order[0]."""
        for parameter in (self.prior_mean, self.prior_log_variance, self.prior_log_weight):
            parameter.data.copy_(parameter.data[order])
        if self.log_shape is not None and self.log_shape.ndim == 2:
            self.log_shape.data.copy_(self.log_shape.data[order])

    def encode(self, batch: CountBatch, generator: torch.Generator | None = None) -> Encoded:
        """Compute the posterior of rows; with a generator as in training, normalised by the batch, with dropout."""
        training = generator is not None
        counts = batch.counts
        if self.sizes.scaled_input:
            scale = self.size_prior[:, 0].mean().exp() / batch.size.clamp(min=1.0)
            counts = counts * scale[batch.rows]
        hidden = self.encoder(torch.log1p(counts), batch.columns, batch.starts)
        hidden = torch.relu(self._normalized(self.encoder, hidden, training))
        if generator is not None:
            kept = torch.rand(hidden.shape, generator=generator, device=hidden.device) >= DROPOUT
            hidden = hidden * kept / (1 - DROPOUT)
        out = self._output(self.site, hidden, training)
        d = self.sizes.n_latent
        mean, log_variance = out[:, :d], out[:, d : 2 * d].clamp(*LOG_VARIANCE)
        joint, posterior_mean, posterior_variance = self._combine(mean, log_variance)
        sizes: tuple[Tensor | None, Tensor | None] = (None, None)
        if self.sizes.latent_size:
            own = batch.size.clamp(min=1.0).log()  # which the input need not tell
            sizes = (own + out[:, 2 * d], out[:, 2 * d + 1].clamp(*LOG_VARIANCE))
        return Encoded(posterior_mean, posterior_variance, joint, mean, log_variance, *sizes)

    def _combine(self, mean: Tensor, log_variance: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Multiply sites with the prior: log pi_y N(mu; m_y, v_y + sigma^2), and mean and variance of q(z | y, x)."""
        center, own = self.prior_mean[: self.active], self.prior_variance()
        noise = log_variance.exp()[:, None]
        both, apart = own + noise, mean[:, None] - center
        log_density = -0.5 * (apart**2 / both + both.log() + LOG_2PI).sum(2)
        joint = torch.log_softmax(self.prior_log_weight[: self.active], 0) + log_density
        weight = own / both  # of the site
        return joint, center + weight * apart, weight * noise

    def decode(self, z: Tensor, batch: Tensor, training: bool = False) -> tuple[Tensor, Tensor | None]:
        """Compute logits of the proportions of genes, and of the zero inflation, from latent variables, B x p each."""
        hidden = self.decoder(z) + self.batch_shift[batch]
        hidden = torch.relu(self._normalized(self.decoder, hidden, training))
        logits = self._output(self.logits, hidden, training)
        if self.sizes.n_batches > 1:
            logits = logits + self.batch_logits[batch]
        return logits, None if self.inflation is None else self._output(self.inflation, hidden, training)

    def _output(self, layer: Layer, hidden: Tensor, training: bool) -> Tensor:
        """Apply an output layer; the bias is added in full precision, whatever the product is computed in."""
        with torch.autocast(hidden.device.type, torch.bfloat16, enabled=self.mixed and training):
            product = linear(hidden, layer.weight, torch.zeros_like(layer.bias))
        return product.float() + layer.bias

    def _normalized(self, layer: Layer, hidden: Tensor, training: bool) -> Tensor:
        if not training:
            return layer.normalized_as_fitted(hidden)
        return layer.normalized(hidden, momentum=max(MOMENTUM, 1.0 / (self.seen + 1)))

    def shape_of(self, cluster: Tensor) -> Tensor | None:
        """Return minus the log dispersion of the genes: p, or B x p for the cluster of each row."""
        if self.log_shape is None:
            return None
        bounded = self.log_shape.clamp(*LOG_SHAPE)
        return bounded if bounded.ndim == 1 else bounded[cluster]

    def bound(self, batch: CountBatch, generator: torch.Generator | None, weight: float = 1.0) -> tuple[Tensor, Tensor]:
        """Compute the bound on the log-likelihood of each row without factorials, and log q(y | x) of known clusters.

        The expectation over z is taken at one draw for each row and cluster, or without a generator at the mean of
        q(z | y, x); that over y is exact, where clusters of a probability below 0.01 have none. weight is that of the
        divergence from the prior. A row whose cluster is known takes that cluster alone, and log q is 0 for others.
        """
        training = generator is not None
        code = self.encode(batch, generator)
        log_evidence = code.log_joint.logsumexp(1)
        log_q = code.log_joint - log_evidence[:, None]
        known = (batch.labels >= 0) & (self.active > 1)  # there are no classes yet where one component is all
        labels = torch.where(known, batch.labels, torch.zeros_like(batch.labels))
        q = without_rare(log_q.exp())
        q = torch.where(known[:, None], nn.functional.one_hot(labels, q.shape[1]).to(q.dtype), q)
        rows, cluster = torch.nonzero(q, as_tuple=True)
        z, variance = code.mean[rows, cluster], code.variance[rows, cluster]
        if generator is not None:
            noise = torch.randn(z.shape, generator=generator, device=generator.device)
            z = z + noise * variance.sqrt()
        log_size, size_divergence = self._size(code, batch, generator)
        taken = batch if len(rows) == len(q) else batch.take(rows)
        logits, dropout = self.decode(z, taken.batch, training)
        likelihood = log_likelihood(logits, log_size[rows], taken, self.shape_of(cluster), dropout)
        if training:
            self.seen += 1
        reconstruction = torch.zeros_like(log_evidence).index_add(0, rows, q[rows, cluster] * likelihood)
        # log q(z, y | x) - log p(z, y) = log N(z; mu, sigma^2) - log evidence, for the q that is not truncated
        noise_variance = code.site_log_variance.exp()[:, None]
        spread = (code.mean - code.site_mean[:, None]) ** 2 + code.variance
        at_site = -0.5 * (spread / noise_variance + code.site_log_variance[:, None] + LOG_2PI).sum(2)
        cut = torch.where(q > 0, q.clamp(min=1e-20).log() - log_q, torch.zeros_like(q))
        divergence = (q * (at_site + cut)).sum(1) - log_evidence + size_divergence
        chosen = log_q.gather(1, labels[:, None]).squeeze(1)
        return reconstruction - weight * divergence, torch.where(known, chosen, torch.zeros_like(chosen))

    def draw_size(self, code: Encoded, batch: CountBatch, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw log size factors, and return log p(s) - log q(s | x) of each, 0 where they are observed."""
        mean, log_variance = code.size_mean, code.size_log_variance
        if mean is None or log_variance is None:
            observed, _ = self._size(code, batch, None)
            return observed, torch.zeros_like(observed)
        noise = torch.randn(mean.shape, generator=generator, device=generator.device)
        drawn = mean + noise * (0.5 * log_variance).exp()
        prior_mean, prior_variance = self.size_prior[batch.batch].unbind(1)
        prior = -0.5 * ((drawn - prior_mean) ** 2 / prior_variance + prior_variance.log())
        return drawn, prior + 0.5 * (noise**2 + log_variance)

    def _size(self, code: Encoded, batch: CountBatch, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """Return log size factors, drawn or at their mean if they are latent, and their divergence from the prior."""
        observed = batch.size.clamp(min=TINY).log()  # a row without counts has no likelihood to lose
        if code.size_mean is None or code.size_log_variance is None:
            return observed, torch.zeros_like(observed)
        mean, log_variance = code.size_mean, code.size_log_variance
        prior_mean, prior_variance = self.size_prior[batch.batch].unbind(1)
        ratio = (log_variance.exp() + (mean - prior_mean) ** 2) / prior_variance
        divergence = 0.5 * (ratio - 1 - log_variance + prior_variance.log())
        if generator is not None:
            noise = torch.randn(mean.shape, generator=generator, device=generator.device)
            mean = mean + noise * (0.5 * log_variance).exp()
        return mean, divergence


def without_rare(q: Tensor) -> Tensor:
    """Set probabilities below 0.01 to zero, but for the largest of a row, and let the others sum to one."""
    keep = (q >= RARE) | (q == q.max(1, keepdim=True).values)
    kept = torch.where(keep, q, torch.zeros_like(q))
    return kept / kept.sum(1, keepdim=True)
