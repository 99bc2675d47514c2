import numpy as np
import pytest
from sklearn.covariance import LedoitWolf
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from kithkin.models.support.discriminant import learn_discriminant, shrunk_covariance


@pytest.mark.parametrize(("n", "p"), [(12, 30), (40, 5), (300, 20), (9, 1)])
def test_the_covariance_is_that_of_ledoit_and_wolf(n, p):
    rng = np.random.default_rng(n)
    X = rng.normal(size=(n, p)) @ rng.normal(size=(p, p))
    X -= X.mean(axis=0)
    assert np.allclose(shrunk_covariance(X), LedoitWolf(assume_centered=True).fit(X).covariance_, rtol=1e-6, atol=1e-6)


@pytest.fixture
def groups():
    rng = np.random.default_rng(0)
    codes = np.arange(900) % 3
    centres = np.array([[0.0, 0.0, 0.0], [4.0, 0.0, 1.0], [2.0, 9.0, 0.0]])
    X = centres[codes] + rng.normal(size=(900, 3)) @ rng.normal(size=(3, 3))
    return X, codes, np.stack([X[codes == group].mean(axis=0) for group in range(3)])


def test_it_tells_two_groups_apart_as_others_do(groups):
    X, codes, means = groups
    found = learn_discriminant(X, codes, means, (0, 1))
    two = codes < 2
    within = LedoitWolf(assume_centered=True).fit((X - means[codes])[two]).covariance_
    assert np.allclose(found.direction, np.linalg.solve(within, means[0] - means[1]), rtol=1e-5)
    other = LinearDiscriminantAnalysis().fit(X[two], codes[two])
    assert np.mean((found.project(X[two]) < 0) == other.predict(X[two])) > 0.97


def test_the_region_is_convex_and_leaves_other_groups_out(groups):
    X, codes, means = groups
    found = learn_discriminant(X, codes, means, (0, 1))
    inside = found.inside(X)
    assert np.mean(codes[inside] == 2) < 0.02
    assert np.mean(np.isin(np.flatnonzero(codes < 2), inside)) > 0.9
    rng = np.random.default_rng(1)
    first, second = X[rng.choice(inside, 200)], X[rng.choice(inside, 200)]
    assert len(found.inside(0.3 * first + 0.7 * second)) == 200


def test_the_window_is_balanced():
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(0, 1, (2000, 2)), rng.normal(9, 1, (50, 2))])
    codes = np.repeat([0, 1], [2000, 50])
    found = learn_discriminant(X, codes, np.stack([X[codes == group].mean(axis=0) for group in range(2)]), (0, 1))
    z = found.projections(X)
    assert (z > 0).sum() == (z < 0).sum() == 50


def test_too_few_rows_or_one_mean_teach_nothing():
    X, codes = np.arange(10.0)[:, None], np.array([0, 0, 1, 1, 1, 1, 1, 1, 1, 1])
    means = np.array([[0.5], [5.5]])
    assert learn_discriminant(X, codes, means, (0, 1)) is None
    same = np.zeros((10, 1))
    assert learn_discriminant(same, np.arange(10) % 2, np.zeros((2, 1)), (0, 1)) is None
