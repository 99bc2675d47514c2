import tracemalloc

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex, to_rgb, to_rgba_array

from kithkin import plot
from kithkin.core.errors import ParameterError
from kithkin.plot.look.palette import MISSING, categorical
from kithkin.plot.points.shade import FAINTEST, grid_of, opacity, shade_groups, shade_values

COLORS = to_rgba_array(["red", "blue", "lime", MISSING])


def shown(figure, panel=0):
    return np.asarray(figure.axes[panel].images[0].get_array())


def place(figure, at, n_pixels):
    """Row and column of the pixel that holds a point."""
    ax = figure.axes[0]
    share = [(at[d] - low) / (high - low) for d, (low, high) in enumerate((ax.get_xlim(), ax.get_ylim()))]
    return int(share[1] * n_pixels), int(share[0] * n_pixels)


def test_a_pixel_is_the_mean_of_the_colours_in_it():
    rng = np.random.default_rng(0)
    pixel, codes = rng.integers(-1, 64, 5000), rng.integers(-1, 3, 5000)
    pixel[pixel == 11] = 12
    image = shade_groups(pixel, codes, COLORS, 8, reach=0).reshape(64, 4)
    for p in range(64):
        here = codes[(pixel == p) & (codes >= 0)]
        if len(here):
            np.testing.assert_allclose(image[p, :3], COLORS[here, :3].mean(axis=0))
    assert image[11, 3] == 0
    assert (image[np.arange(64) != 11, 3] >= FAINTEST).all()


def test_points_without_a_group_show_only_where_nothing_else_is():
    image = shade_groups(np.array([0, 0, 1]), np.array([0, -1, -1]), COLORS, 2, reach=0)
    assert to_hex(image[0, 0, :3]) == "#ff0000"
    assert to_hex(image[0, 1, :3]).upper() == MISSING
    assert (image[1, :, 3] == 0).all()


def test_values_are_means_per_pixel():
    rng = np.random.default_rng(0)
    pixel, values = rng.integers(0, 25, 1000), rng.normal(size=1000)
    values[::7] = np.nan
    mean, alpha = shade_values(pixel, values, 5, reach=0)
    expected = [np.nanmean(values[pixel == p]) for p in range(25)]
    np.testing.assert_allclose(mean.ravel(), expected)
    assert (alpha > 0).all()


def test_opacity_grows_with_the_number_of_points():
    counts = np.random.default_rng(0).poisson(4, 400)
    alpha = opacity(counts)
    order = np.argsort(counts, kind="stable")
    assert (np.diff(alpha[order]) >= 0).all()
    assert (alpha[counts == 0] == 0).all()
    assert alpha[counts > 0].min() >= FAINTEST
    assert alpha.max() == 1
    assert (opacity(np.array([0, 3, 3])) == [0, 1, 1]).all()
    assert (opacity(np.zeros(3, int)) == 0).all()


def test_spreading_leaves_filled_pixels_alone_and_fills_empty_ones_around():
    pixel, codes = np.array([24, 25]), np.array([0, 1])
    sharp, wide = (shade_groups(pixel, codes, COLORS, 7, reach=r) for r in (0, 1))
    assert np.array_equal(sharp[3, 3:5], wide[3, 3:5])
    assert np.count_nonzero(sharp[..., 3]) == 2
    assert np.count_nonzero(wide[..., 3]) == 8
    assert to_hex(wide[2, 3, :3]) == "#ff0000"
    assert to_hex(wide[4, 4, :3]) == "#0000ff"


def test_lonely_pixels_of_a_fine_grid_are_spread_and_clusters_are_not():
    row, column = np.divmod(np.arange(100 * 100), 100)
    cluster = (row + 200) * 630 + column + 200
    image = shade_groups(np.r_[cluster, 600 * 630 + 600], np.zeros(10001, int), COLORS, 630)
    assert np.count_nonzero(image[..., 3]) == 10000 + 5
    coarse = shade_groups(np.array([300 * 150 + 150]), np.zeros(1, int), COLORS, 300)
    assert np.count_nonzero(coarse[..., 3]) == 5
    sparse = shade_groups(np.random.default_rng(0).integers(0, 630**2, 500), np.zeros(500, int), COLORS, 630)
    assert np.count_nonzero(sparse[..., 3]) > 5 * 490


def test_known_pixels_on_the_finished_figure(table):
    points = np.repeat([[0.0, 0.0], [4.0, 4.0], [0.0, 4.0], [4.0, 0.0]], [8, 8, 8, 8], axis=0)
    codes = np.repeat([0, 1, -1, 0], 8)
    codes[-2:] = 1  # six of one and two of the other
    figure = plot.scatter(table(32), on=points, color=pd.Categorical.from_codes(codes, ["a", "b"]), shade=100)
    figure.canvas.draw()
    screen = np.asarray(figure.canvas.buffer_rgba())[..., :3] / 255
    a, b = (np.array(to_rgb(c)) for c in categorical(2))
    wanted = [a, b, np.array(to_rgb(MISSING)), 0.75 * a + 0.25 * b]
    for at, color in zip(points[::8], wanted, strict=True):
        image = shown(figure)
        assert image.shape == (100, 100, 4)
        np.testing.assert_allclose(image[(*place(figure, at, 100), slice(0, 3))], color)
        x, y = figure.axes[0].transData.transform(at)
        np.testing.assert_allclose(screen[len(screen) - 1 - int(y), int(x)], color, atol=1 / 255)


@pytest.mark.parametrize("n_pixels", [64, 300, 400, 630, 900])
def test_every_pixel_of_the_grid_takes_as_many_of_the_screen(table, n_pixels):
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 1, (500, 2))
    figure = plot.scatter(table(500), on=points, color=[None, rng.normal(size=500), None], shade=n_pixels)
    for ax in figure.axes:
        box = ax.get_window_extent()
        assert np.allclose([box.x0, box.y0], np.round([box.x0, box.y0]), atol=1e-6)
        assert round(box.width) % n_pixels == 0
        assert round(box.height) % n_pixels == 0
        assert ax.images[0].get_interpolation() == "nearest"


def test_a_grid_is_crisp_on_the_screen(table):
    rng = np.random.default_rng(0)
    figure = plot.scatter(table(2000), on=rng.normal(size=(2000, 2)), shade=150, legend="none")
    figure.canvas.draw()
    box = figure.axes[0].get_window_extent()
    screen = np.asarray(figure.canvas.buffer_rgba())[::-1]
    left, bottom = round(box.x0), round(box.y0)
    panel = screen[bottom + 8 : bottom + 592, left + 8 : left + 592, :3]  # the frame's own lines are left out
    blocks = panel.reshape(146, 4, 146, 4, 3)
    assert (blocks == blocks[:, :1, :, :1]).all()


def test_several_colours_give_panels_shaded_or_not(table):
    rng = np.random.default_rng(0)
    points, kind = rng.normal(size=(300, 2)), np.array(["a", "b", "c"])[rng.integers(0, 3, 300)]
    for shade in (False, True, 200):
        figure = plot.scatter(table(300, {"kind": kind}), on=points, color=["kind", points[:, 0], None], shade=shade)
        panels = [ax for ax in figure.axes if ax.get_xlabel()]
        assert len(panels) == 3
        assert [text.get_text() for text in panels[0].get_legend().get_texts()] == ["a (91)", "b (92)", "c (117)"]
        assert len(panels[1].child_axes) == 1
        assert [len(ax.images) for ax in panels] == [int(shade is not False)] * 3


def test_names_stand_on_shaded_clusters_and_beside_small_ones(table, apart):
    rng = np.random.default_rng(0)
    centers = np.array([[0, 0], [10, 0], [0, 10], [10, 10]])
    codes = np.repeat(np.arange(4), 500)
    points = centers[codes] + rng.normal(0, np.array([1, 1, 1, 0.02])[codes][:, None], (2000, 2))
    figure = plot.scatter(table(2000), on=points, color=codes.astype(str), shade=300, legend="on data")
    ax = figure.axes[0]
    assert apart(figure, ax.texts)
    at = [ax.transData.inverted().transform(ax.transAxes.transform(text.get_position())) for text in ax.texts]
    assert np.linalg.norm(np.array(at)[:3] - centers[:3], axis=1).max() < 0.6
    assert 0.1 < np.linalg.norm(at[3] - centers[3]) < 1
    box = ax.texts[3].get_window_extent()
    assert not box.contains(*ax.transData.transform(centers[3]))


def test_a_name_beside_its_cluster_stands_where_nothing_else_is(table):
    rng = np.random.default_rng(0)
    small, large = rng.normal(0, 0.02, (500, 2)), rng.uniform([-3, 0.15], [3, 6], (5000, 2))
    codes = np.repeat(["small", "large"], [500, 5000])
    figure = plot.scatter(table(5500), on=np.r_[small, large], color=codes, shade=300, legend="on data")
    ax = figure.axes[0]
    name = next(text for text in ax.texts if text.get_text() == "small")
    figure.canvas.draw()
    box = name.get_window_extent()
    hidden = [box.count_contains(ax.transData.transform(points)) for points in (small, large)]
    assert hidden == [0, 0]


def test_a_dark_background_has_light_letters_and_no_black_group(table):
    codes = np.arange(400) % 8
    points = np.random.default_rng(0).normal(size=(400, 2)) + 9 * np.column_stack([codes, codes % 3])
    labels = pd.Categorical.from_codes(codes, [f"g{i}" for i in range(8)])
    figure = plot.scatter(table(400), on=points, color=[labels, points[:, 0]], background="#101010", shade=300)
    texts = [*figure.axes[0].get_legend().get_texts(), figure.axes[0].xaxis.label]
    assert {text.get_color() for text in texts} == {"#E8E8E8"}
    image = shown(figure)
    assert image[image[..., 3] > 0, :3].max(axis=-1).min() > 0.2
    figure.canvas.draw()
    assert to_hex(np.asarray(figure.canvas.buffer_rgba())[3, 3, :3] / 255) == "#101010"


def test_the_colour_bar_is_for_the_means_that_are_seen(table):
    rng = np.random.default_rng(0)
    points, values = rng.integers(0, 2, (20000, 2)).astype(float), rng.normal(0, 100, 20000)
    values[points[:, 0] > 0] += 10
    figure = plot.scatter(table(20000), on=points, color=values, shade=20)
    low, high = figure.axes[0].child_axes[0].get_ylim()
    assert -10 < low < high < 20


@pytest.mark.parametrize("color", ["groups", "values"])
def test_one_million_points_take_little_memory(table, color):
    n, rng = 1_000_000, np.random.default_rng(0)
    codes = rng.integers(0, 60, n)
    points = rng.uniform(-9, 9, (60, 2))[codes] + rng.normal(size=(n, 2))
    values = pd.Categorical.from_codes(codes, [str(i) for i in range(60)]) if color == "groups" else points[:, 0]
    ds = table(n)
    tracemalloc.start()
    plot.scatter(ds, on=points, color=values, shade=True)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 160 * n  # a table of points x groups would take 480


def test_it_is_the_same_every_time(table):
    points, codes = np.random.default_rng(0).normal(size=(999, 2)), np.arange(999) % 5
    first, again = (shown(plot.scatter(table(999), on=points, color=codes.astype(str), shade=True)) for _ in range(2))
    assert np.array_equal(first, again)


@pytest.mark.parametrize("values", [np.full(9, np.nan), np.full(9, 2.0), np.full(9, None)])
def test_odd_values_are_shaded(table, values):
    points = np.r_[np.eye(8, 2), [[np.nan, 1]]]
    if values[0] is None:
        values = pd.Categorical(values, categories=["a"])
    figure = plot.scatter(table(9), on=points, color=values, shade=True)
    figure.canvas.draw()
    image = shown(figure)
    colors = {to_hex(color).upper() for color in image[image[..., 3] > 0][:, :3]}
    assert len(colors) == 1
    assert (colors == {MISSING}) == (not np.any(values == 2.0))


def test_wrong_input_is_one_sentence(table):
    for shade in (15, 2001, 0, 2.5, "yes"):
        with pytest.raises(ParameterError, match=r"shade must be True or .*, got"):
            plot.scatter(table(3), on=np.eye(3), shade=shade)
    with pytest.raises(ParameterError, match="size has no effect on 3 points"):
        plot.scatter(table(3), on=np.eye(3), shade=True, size=4)
    with pytest.raises(ParameterError, match="background must be a colour, got 'dark'"):
        plot.scatter(table(3), on=np.eye(3), background="dark")


def test_panels_are_about_as_large_for_every_number_of_pixels():
    for n_pixels in range(16, 900):
        assert 2.8 <= grid_of(n_pixels)[1] <= 6.4
