"""Scaling: scikit-learn's for the same formula, monotone in every column, and free of units."""

import numpy as np
import pytest
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import StandardScaler

import kithkin as kk
from kithkin.core.blocks import InMemory
from kithkin.models import Scaler


@pytest.fixture
def table():
    """Columns of several units and shapes: normal, in other units, lognormal, heavy tails, two values, constant."""
    rng = np.random.default_rng(0)
    columns = [rng.normal(5, 2, 500), rng.normal(-3e6, 1e6, 500), rng.lognormal(0, 1.5, 500), rng.standard_cauchy(500)]
    return np.column_stack([*columns, rng.random(500) < 0.2, np.full(500, 7.0)])


@pytest.fixture
def gaps(table):
    holes = np.random.default_rng(1).random(table.shape) < 0.1
    return np.where(holes, np.nan, table)


def test_standard_is_that_of_scikit_learn(table):
    np.testing.assert_allclose(
        Scaler("standard").fit_transform(table), StandardScaler().fit_transform(table), atol=2e-6
    )


def test_standard_leaves_missing_values_out_of_mean_and_deviation(gaps):
    ours, theirs = Scaler("standard").fit(gaps), StandardScaler().fit(gaps)
    np.testing.assert_allclose(ours.center_, theirs.mean_)
    np.testing.assert_allclose(ours.scale_, theirs.scale_)
    np.testing.assert_array_equal(ours.n_missing_, np.isnan(gaps).sum(axis=0))
    filled = SimpleImputer(strategy="median").fit_transform(gaps)
    np.testing.assert_allclose(ours.transform(gaps), theirs.transform(filled), atol=2e-6)


def test_robust_brings_every_column_to_median_0_and_spread_1(table):
    scaler = Scaler("robust").fit(table)
    scaled = scaler.transform(table)
    assert scaler.transform_.tolist()[2] == "log1p"
    np.testing.assert_allclose(np.median(scaled, axis=0), 0, atol=1e-6)
    assert (scaled[:, :4].std(axis=0) > 0.4).all()
    assert (scaled[:, :4].std(axis=0) < 1.6).all()
    assert np.abs(scaled).max() <= 5
    assert set(np.unique(scaled[:, 4])) == {0.0, 1.0}
    assert not scaled[:, 5].any()


def test_every_column_keeps_its_order(table):
    scaled = Scaler("robust").fit_transform(table)
    for before, after in zip(table.T, scaled.T, strict=True):
        assert (np.diff(after[np.argsort(before, kind="stable")]) >= 0).all()


def test_a_unit_makes_no_difference(table):
    other = table * np.array([1000.0, 1e-6, 0.01, 8.0, 1.0, 3.0])
    np.testing.assert_allclose(Scaler("robust").fit_transform(other), Scaler("robust").fit_transform(table), atol=1e-4)


@pytest.mark.parametrize("method", ["standard", "robust"])
def test_blocks_make_no_difference(gaps, method):
    whole = Scaler(method).fit_transform(gaps)
    for rows in (1, 7, 499):
        np.testing.assert_allclose(Scaler(method).fit_transform(InMemory(gaps, rows=rows)), whole, atol=1e-6)


def test_columns_in_one_unit_are_taken_as_they_are(table):
    rng = np.random.default_rng(2)
    pixels = rng.integers(0, 17, (200, 30)).astype(float)
    assert Scaler().fit(pixels).method_ == "none"
    np.testing.assert_array_equal(Scaler().fit_transform(pixels), pixels)
    assert Scaler().fit(table).method_ == "robust"


def test_a_sample_of_rows_is_spread_over_the_table(monkeypatch):
    monkeypatch.setattr("kithkin.models.table.scaler.SAMPLE_VALUES", 1000)
    rising = np.arange(10_000.0)[:, None] + np.zeros(2)
    scaler = Scaler("robust").fit(InMemory(rising, rows=777))
    np.testing.assert_allclose(scaler.fill_, 5000, rtol=0.01)


@pytest.mark.parametrize(
    ("X", "settings", "message"),
    [
        ([[1.0, np.inf], [2.0, 3.0]], {}, r"X, row 0, column 1 is infinite"),
        ([[1.0, np.nan], [2.0, np.nan]], {}, r"column 1 \(from 0\) has no value: leave it out"),
        ([[1.0, np.nan], [2.0, 1.0]], {"missing": "error"}, "1 columns have missing values"),
        ([[1.0]], {"method": "minmax"}, "method must be one of"),
    ],
)
def test_what_cannot_be_scaled_is_refused(X, settings, message):
    with pytest.raises(kk.ParameterError, match=message):
        Scaler(**settings).fit(np.array(X))


def test_other_widths_are_refused(table):
    with pytest.raises(kk.ParameterError, match="X must have 6 columns, got 2"):
        Scaler().fit(table).transform(table[:, :2])
