import numpy as np
import pytest
from scipy import stats

import kithkin as kk
from kithkin import plot
from kithkin.core.errors import MissingResultError, ParameterError
from kithkin.core.totals import totals_of
from kithkin.plot.look.palette import group_colors

RATES, PHI = np.array([5e-3, 8e-4]), np.array([0.25, 0.0])


def sampled(table, n=4000, **params):
    """Two clusters, of which the first varies and the second does not; a second gene was not used in the fit."""
    rng = np.random.default_rng(0)
    codes, size = np.arange(n) % 2, rng.uniform(1000, 5000, n).round()
    rate = RATES[codes] * np.where(codes == 0, rng.gamma(1 / PHI[0], PHI[0], n), 1.0)
    with np.errstate(divide="ignore"):
        tables = {"log_mean": np.log(RATES), "log_dispersion": np.log(PHI)}
    return table(
        n,
        {"mixture": codes.astype(str), "n_counts": size, "halved": size / 2},
        np.column_stack([rng.poisson(rate * size), np.zeros(n)]),
        ["CD74", "absent"],
        uns__mixture={"params": params},
        **{f"varm__mixture_{name}": np.vstack([values, [np.nan, np.nan]]) for name, values in tables.items()},
    )


def test_what_is_expected_is_what_is_seen(table):
    figure = plot.latent(sampled(table), "CD74")
    for ax in figure.axes:
        [drawn] = [patch for patch in ax.patches if hasattr(patch, "get_data")]
        bars = np.array([patch.get_height() for patch in ax.patches if hasattr(patch, "get_height")])
        assert bars.sum() == pytest.approx(1.0)
        assert drawn.get_data().values.sum() == pytest.approx(1.0, abs=0.01)
        assert np.abs(bars - drawn.get_data().values).max() < 0.02


def test_the_curve_is_the_gamma_distribution(table):
    ax = plot.latent(sampled(table), "CD74", n_bins=40).axes[0]
    [line] = ax.lines
    x, share = line.get_data()
    width = ax.get_xlim()[1] / 40
    density = stats.gamma.pdf(np.expm1(x) / 1e4, 4, scale=RATES[0] / 4) * np.exp(x) / 1e4
    assert share == pytest.approx(width * density, rel=0.02, abs=1e-4)


def test_a_cluster_without_dispersion_has_a_line(table):
    line = plot.latent(sampled(table), "CD74").axes[1].lines[0]
    assert line.get_xdata() == pytest.approx(np.log1p([8, 8]))


def test_numbers_stand_beside_each_cluster(table):
    varied, pointed = (ax.texts[0].get_text() for ax in plot.latent(sampled(table), "CD74").axes)
    assert varied.splitlines()[:2] == ["mean 50", "CV 0.50"]
    assert pointed.splitlines()[:2] == ["mean 8", "CV 0.00"]


def test_the_size_factors_are_those_of_the_fit(table):
    usual, doubled = (plot.latent(sampled(table, **params), "CD74") for params in ({}, {"size": "obs/halved"}))
    assert doubled.axes[0].get_xlim()[1] > usual.axes[0].get_xlim()[1] + 0.6


def test_clusters_take_names_and_colours(table):
    figure = plot.latent(sampled(table), "CD74", names={"1": "T"}, palette={"0": "black", "T": "red"})
    assert [ax.get_ylabel() for ax in figure.axes] == ["0", "T"]
    assert [ax.lines[0].get_color().tolist() for ax in figure.axes] == group_colors(
        ["a", "b"], ["black", "red"]
    ).tolist()


def test_a_gene_has_to_be_there_and_to_have_been_used(table):
    ds = sampled(table)
    with pytest.raises(ParameterError, match="got 'CD7'"):
        plot.latent(ds, "CD7")
    with pytest.raises(ParameterError, match="absent was not used"):
        plot.latent(ds, "absent")
    with pytest.raises(MissingResultError):
        plot.latent(ds, "CD74", "obs/other")


def test_a_bar_that_is_cut_is_broken_and_says_how_high_it_is(table):
    ds = sampled(table)
    counts = ds.genes(["CD74"])[:, 0]
    for row, ax in enumerate(plot.latent(ds, "CD74").axes):
        zeros = 100 * (counts[np.asarray(ds.read("obs/mixture")).astype(str) == str(row)] == 0).mean()
        cut = [text for text in ax.texts if text.get_gid() == "cut"]
        heights = [bar.get_height() for bar in ax.patches if hasattr(bar, "get_height")]
        assert bool(cut) == (max(heights) > ax.get_ylim()[1])
        if cut:
            assert cut[0].get_text() == f"{zeros:.0f} %"


def test_texts_are_apart(table, apart):
    figure = plot.latent(sampled(table), "CD74", names={"0": "a rather long name of cells"})
    assert apart(figure, [*figure.texts, *(ax.texts[0] for ax in figure.axes), *(ax.yaxis.label for ax in figure.axes)])


def test_of_another_table_the_counts_are_added_up(dataset):
    totals = totals_of(dataset, "X")
    assert np.array_equal(totals, dataset.read("obs/n_counts"))


def test_rows_of_an_oracle_bear_the_names_of_its_labels(dataset):
    kk.annotate(dataset, "kind", dataset.read("obs/group").astype(str).map(dict(zip("0123", "wxyz", strict=True))))
    kk.count_mixture(dataset, 4, init="obs/kind", max_iter=0, key="obs/oracle")
    gene = str(dataset.var_names[0])
    figure = plot.latent(dataset, gene, on="obs/oracle")
    assert [ax.get_ylabel() for ax in figure.axes] == ["w", "x", "y", "z"]
    # the rows are those kinds: each mean is that of its cells
    counts, size = dataset.genes([gene])[:, 0], dataset.read("obs/n_counts").to_numpy()
    kind = dataset.read("obs/kind").to_numpy()
    log_mean = dataset.read("varm/oracle_log_mean")[0]
    for k, name in enumerate("wxyz"):
        own = kind == name
        assert np.exp(log_mean[k]) == pytest.approx(counts[own].sum() / size[own].sum(), rel=0.2)
    named = plot.latent(dataset, gene, on="obs/oracle", names={"0": "mine"})
    assert named.axes[0].get_ylabel() == "mine"
