"""The histogram and the curves of a gene."""

import numpy as np
import pandas as pd
import pytest

from kithkin.core.errors import ParameterError
from kithkin.models.mixture.distribution import fit_count_distribution
from kithkin.plot.diagnostics.count_fit import count_fit


def counts(n, scale):
    rng = np.random.default_rng(0)
    size = rng.lognormal(0, 0.3, n)
    return rng.poisson(size * scale * rng.gamma(2, 0.5, n)), size


@pytest.mark.parametrize(("n", "scale"), [(300, 5), (2000, 200)])
def test_bars_are_the_counts_and_curves_add_up(n, scale):
    x, size = counts(n, scale)
    figure = count_fit(x, {"Gamma": fit_count_distribution(x, size)}, size=size)
    [ax] = figure.axes
    assert sum(bar.get_height() for bar in ax.patches) == n
    assert len(ax.patches) <= 40
    assert ax.lines[0].get_ydata().sum() == pytest.approx(n, rel=0.02)


def test_names_of_the_fits_are_in_the_legend():
    x, size = counts(200, 3)
    fits = {name: fit_count_distribution(x, size, method=m) for name, m in (("point", "point"), ("Gamma", "newton"))}
    figure = count_fit(x, fits, size=size, title="CD74")
    texts = {text.get_text() for text in figure.axes[0].get_legend().get_texts()}
    assert texts == {"point", "Gamma", "observed"}


def test_refusals():
    with pytest.raises(ParameterError, match="x must hold counts"):
        count_fit(np.array([-1, 2]), {})
    with pytest.raises(ParameterError, match="size must hold 2 numbers"):
        count_fit(np.array([1, 2]), {}, size=np.ones(3))


def test_size_factors_go_by_the_names_of_the_cells():
    x, size = counts(50, 5)
    named = pd.Series(size, index=[f"cell{i}" for i in range(50)])
    fits = {"Gamma": fit_count_distribution(x, size)}
    curves = [
        count_fit(pd.Series(x, index=named.index), fits, size=some).axes[0].lines[0].get_ydata()
        for some in (named, named.sample(frac=1, random_state=1))
    ]
    assert (curves[0] == curves[1]).all()
