"""Ridge regression of the rows of each cluster on their batch, with an intercept that is not penalised."""

from __future__ import annotations

import numpy as np

from kithkin.core.blocks import Array


def ridge_offsets(
    counts: Array, sums: Array, ridge: Array, present: Array, base: tuple[Array, Array] | None = None
) -> tuple[Array, Array, Array]:
    r"""Solve the regression of each cluster: the row that is expected, and the offset of each batch from it.

    With :math:`O_b` rows of batch b in a cluster, their sum :math:`S_b` and the penalty :math:`\lambda_b`, the offset
    is :math:`w_b = (S_b - O_b w_0) / (O_b + \lambda_b)`. What these leave for the intercept is one equation,
    :math:`w_0 (n + \sum_b h_b O_b) = s + \sum_b h_b S_b`, where :math:`h_b = \lambda_b / (O_b + \lambda_b)`, and n rows
    without an offset, of the sum s, take part.

    counts, ridge: batches x clusters float64.
    sums: batches x clusters x d float64.
    present: booleans, batches x clusters; the others take no part and get no offset.
    base: n and s: length clusters and clusters x d; none by default.
    Returns offsets, expected, known: batches x clusters x d; clusters x d; and the clusters whose row is known.
    """
    rest = np.divide(ridge, counts + ridge, out=np.zeros_like(ridge), where=present & (counts + ridge > 0))
    weight, total = (rest * counts).sum(axis=0), np.einsum("bk,bkd->kd", rest, sums)
    if base is not None:
        weight, total = weight + base[0], total + base[1]
    known = weight > 0
    expected = total / np.where(known, weight, 1)[:, None]
    offsets = sums - counts[:, :, None] * expected
    offsets /= np.where(present & known, counts + ridge, np.inf)[:, :, None]
    return offsets, expected, known
