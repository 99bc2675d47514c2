"""Profiles and distances of stored and dense rows are those of NumPy."""

import numpy as np
import pytest
from scipy import sparse

from kithkin.core.blocks import InMemory
from kithkin.core.execute import Execution
from kithkin.models.harmony.label_profiles import PRIOR, LabelProfiles, Moments
from kithkin.models.table.normalize import Normalized


def drawn():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 3, 250)
    counts = rng.poisson(rng.gamma(0.4, 2.0, (3, 40))[codes])
    return counts, codes


def values(counts):
    kept = np.log1p(1000 * counts / counts.sum(axis=1, keepdims=True))
    return kept[:, ::2]


def source(counts, layout, rows):
    totals = counts.sum(axis=1)
    columns = np.arange(0, 40, 2)
    return Normalized(InMemory(layout(counts), rows=rows), "log1p", totals=totals, target_sum=1000.0, columns=columns)


@pytest.mark.parametrize("layout", [np.asarray, sparse.csr_matrix])
@pytest.mark.parametrize("threads", [1, 3])
def test_moments_and_distances_are_numpys(layout, threads):
    counts, codes = drawn()
    X, table = values(counts), source(counts, layout, 60)
    moments = Moments.of(table, codes, 3, Execution(threads=threads))
    means = np.stack([X[codes == c].mean(axis=0) for c in range(3)])
    np.testing.assert_allclose(moments.sums / moments.sizes[:, None], means, rtol=1e-6)
    mean, deviation = moments.all_rows
    np.testing.assert_allclose(mean, X.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(deviation, X.std(axis=0, ddof=1), rtol=1e-5)
    profiles = moments.profiles()
    pooled = ((X - means[codes]) ** 2).mean(axis=0)
    floor = np.median(pooled[pooled > 0])
    variance = np.stack([((X[codes == c] - means[c]) ** 2).sum(axis=0) for c in range(3)])
    sizes = np.bincount(codes)[:, None]
    np.testing.assert_allclose(
        profiles.weight, floor / ((variance + PRIOR * pooled) / (sizes + PRIOR) + floor), rtol=1e-4
    )
    given = np.where(np.arange(250) % 5 == 0, -1, codes)
    found = profiles.distances(table, given, Execution(threads=threads))
    expected = ((X - profiles.mean[codes]) ** 2 * profiles.weight[codes]).mean(axis=1)
    assert np.isnan(found[given < 0]).all()
    np.testing.assert_allclose(found[given >= 0], expected[given >= 0], rtol=1e-4)


def test_folds_are_left_out():
    counts, codes = drawn()
    folds = np.arange(250) % 4
    table = source(counts, sparse.csr_matrix, 250)
    moments = Moments.of(table, folds * 3 + codes, 12, Execution(threads=1))
    others = Moments.of(table, np.where(folds == 2, 3, codes), 4, Execution(threads=1)).first(3)
    np.testing.assert_allclose(moments.without(2, 4).sums, others.sums)
    np.testing.assert_array_equal(moments.without(-1, 4).sizes, np.bincount(codes))
    stacked = LabelProfiles.stack([others.profiles(), others.profiles()])
    assert stacked.mean.shape == (6, 20)
