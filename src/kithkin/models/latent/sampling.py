"""Draws from the posterior and the prior: likelihoods by importance sampling, expected proportions, simulated cells."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from kithkin.core.blocks import Array
from kithkin.models.latent.likelihood import CountBatch, log_factorials, log_likelihood
from kithkin.models.latent.networks import LOG_2PI, CountNetworks

ROWS = 2048  # rows that are decoded at a time


def weighted_likelihood(
    networks: CountNetworks, batch: CountBatch, n_samples: int, generator: torch.Generator
) -> Array:
    """Estimate the log-likelihood of each row of a batch from draws of q(y, z | x), with the factorials of counts.

    By the closed form of q, the weight of a draw is p(x | z, y) times the evidence over N(z; mu, sigma^2).
    """
    code = networks.encode(batch)
    log_evidence, q = code.log_joint.logsumexp(1), torch.softmax(code.log_joint, 1)
    site_variance = code.site_log_variance.exp()
    everyone, weights = torch.arange(len(q), device=q.device), []
    for _ in range(n_samples):
        cluster = torch.multinomial(q, 1, generator=generator).squeeze(1)
        mean, variance = code.mean[everyone, cluster], code.variance[everyone, cluster]
        z = mean + torch.randn(mean.shape, generator=generator, device=q.device) * variance.sqrt()
        log_size, correction = networks.draw_size(code, batch, generator)
        likelihoods = []
        for rows in everyone.split(ROWS):
            part = batch.take(rows)
            logits, dropout = networks.decode(z[rows], part.batch)
            shape = networks.shape_of(cluster[rows])
            likelihoods.append(log_likelihood(logits, log_size[rows], part, shape, dropout))
        at_site = -0.5 * ((z - code.site_mean) ** 2 / site_variance + code.site_log_variance + LOG_2PI).sum(1)
        weights.append(torch.cat(likelihoods).double() + (log_evidence - at_site + correction).double())
    total = torch.stack(weights).logsumexp(0) - math.log(n_samples)
    out: Array = (total - log_factorials(batch).double()).cpu().numpy()
    return out


def expected_proportions(networks: CountNetworks, batch: CountBatch) -> Tensor:
    """Decode the proportions of genes from the mean of q(z | x, y), and average them over y: B x p."""
    code = networks.encode(batch)
    q = torch.softmax(code.log_joint, 1)
    out = torch.zeros(len(q), networks.sizes.n_genes, device=q.device)
    for k in range(q.shape[1]):
        out += q[:, k : k + 1] * decoded_proportions(networks, code.mean[:, k], batch.batch)
    return out


def decoded_proportions(networks: CountNetworks, z: Tensor, batch: Tensor) -> Tensor:
    """Decode the proportions of genes among the expected counts, zero inflation included: B x p."""
    logits, dropout = networks.decode(z, batch)
    proportions = torch.softmax(logits, 1)
    if dropout is None:
        return proportions
    left = proportions * torch.sigmoid(-dropout)
    return left / left.sum(1, keepdim=True)


def cluster_proportions(networks: CountNetworks, n_draws: int, seed: int) -> Array:
    """Average the proportions of genes over draws of z from each component of the prior and over batches: K x p."""
    generator = torch.Generator(networks.prior_mean.device).manual_seed(seed)
    K, d = networks.active, networks.sizes.n_latent
    batches, out = torch.arange(networks.sizes.n_batches, device=networks.prior_mean.device), []
    with torch.no_grad():
        for k in range(K):
            noise = torch.randn((n_draws, d), generator=generator, device=generator.device)
            z = networks.prior_mean[k] + noise * networks.prior_variance()[k].sqrt()
            parts = [decoded_proportions(networks, z, batch.expand(n_draws)).mean(0) for batch in batches]
            out.append(torch.stack(parts).mean(0).cpu().numpy())
    return np.array(out)


def simulate(networks: CountNetworks, size: Array, batch: Array, seed: int) -> tuple[sparse.csr_matrix, Array]:
    """Draw a component of the prior, latent variables and counts for each size factor; counts are n x p int64."""
    rng, d = np.random.default_rng(seed), networks.sizes.n_latent
    device = networks.prior_mean.device
    weights = torch.softmax(networks.prior_log_weight[: networks.active], 0).detach().cpu().double().numpy()
    cluster = rng.choice(networks.active, len(size), p=weights / weights.sum()).astype(np.int32)
    mean = networks.prior_mean.detach().cpu().numpy()[cluster]
    deviation = networks.prior_variance().detach().sqrt().cpu().numpy()[cluster]
    z = (mean + deviation * rng.standard_normal((len(size), d))).astype(np.float32)
    parts: list[Any] = []
    with torch.no_grad():
        for first in range(0, len(size), ROWS):
            rows = slice(first, first + ROWS)
            own = torch.from_numpy(cluster[rows].astype(np.int64)).to(device)
            logits, dropout = networks.decode(
                torch.from_numpy(z[rows]).to(device), torch.from_numpy(batch[rows]).to(device)
            )
            rate = size[rows, None] * torch.softmax(logits.double(), 1).cpu().numpy()
            log_shape = networks.shape_of(own)
            if log_shape is not None:
                shape = np.broadcast_to(log_shape.double().exp().cpu().numpy(), rate.shape)
                rate = rng.gamma(shape, rate / shape)
            counts = rng.poisson(rate)
            if dropout is not None:
                counts[rng.random(counts.shape) < torch.sigmoid(dropout.double()).cpu().numpy()] = 0
            parts.append(sparse.csr_matrix(counts))
    empty = sparse.csr_matrix((0, networks.sizes.n_genes), dtype=np.int64)
    return sparse.vstack([empty, *parts], "csr"), cluster
