from itertools import pairwise

import numpy as np
import pytest

from kithkin import plot
from kithkin.core.errors import MissingResultError, ParameterError
from kithkin.plot.look.palette import group_colors


def shares_in(image, colors):
    """Share of the pixels of each colour in an image."""
    return np.array([(image == color).all(axis=-1).mean() for color in colors])


def test_the_areas_are_the_mean_shares(table):
    rng = np.random.default_rng(0)
    weights = rng.dirichlet(np.full(3, 0.5), 500)
    kinds = np.array(["a", "b"])[(np.arange(500) >= 300).astype(int)]
    figure = plot.structure(table(500, obs={"kind": kinds}, obsm__topics=weights), by="kind")
    colors = group_colors(["0", "1", "2"])
    images = [image.get_array() for image in figure.axes[0].images]
    assert len(images) == 2
    for image, kind in zip(images, "ab", strict=True):
        assert np.abs(shares_in(image, colors) - weights[kinds == kind].mean(axis=0)).max() < 0.01
    widths = [np.ptp(image.get_extent()[:2]) for image in figure.axes[0].images]
    assert widths[0] / widths[1] == pytest.approx(300 / 200)


def test_the_scale_of_the_weights_does_not_matter(table):
    weights = np.random.default_rng(1).dirichlet(np.ones(2), 50)
    pictures = [
        plot.structure(table(50, obsm__topics=factor * weights)).axes[0].images[0].get_array() for factor in (1, 70)
    ]
    assert np.array_equal(*pictures)


def test_cells_without_counts_or_group_are_left_out(table):
    weights = np.array([[1.0, 0.0], [np.nan, np.nan], [0.0, 1.0], [0.0, 1.0]])
    figure = plot.structure(table(4, obs={"kind": ["a", "a", "b", None]}, obsm__topics=weights), by="kind")
    first, second = (image.get_array() for image in figure.axes[0].images)
    colors = group_colors(["0", "1"])
    assert (first == colors[0]).all()
    assert (second == colors[1]).all()


@pytest.mark.parametrize("names", [["B", "T"], [f"a rather long name of cells {k:02}" for k in range(12)]])
def test_names_of_groups_do_not_touch(table, names):
    weights = np.random.default_rng(2).dirichlet(np.ones(3), 240)
    figure = plot.structure(table(240, obsm__topics=weights), by=np.repeat(names, 240 // len(names)))
    figure.canvas.draw()
    texts = figure.axes[0].texts
    assert [text.get_text() for text in texts] == names
    whole = figure.bbox
    for text in texts:
        box = text.get_window_extent()
        assert whole.x0 <= box.x0
        assert whole.y0 <= box.y0
    if texts[0].get_rotation() == 0:
        boxes = [text.get_window_extent() for text in texts]
        assert all(a.x1 < b.x0 for a, b in pairwise(boxes))


def test_the_x_axis_says_what_stands_along_it(table):
    weights = np.random.default_rng(2).dirichlet(np.ones(3), 240)
    ds = table(240, {"sample": np.resize(["a", "b"], 240)}, obsm__topics=weights)
    assert [text.get_text() for text in plot.structure(ds).texts] == ["240 cells"]
    assert [text.get_text() for text in plot.structure(ds, by="sample").texts] == ["240 cells, by sample"]


def test_wrong_input_is_one_sentence(table):
    with pytest.raises(MissingResultError, match="obsm/topics"):
        plot.structure(table(3))
    with pytest.raises(ParameterError, match="obsm/topics must be a table of numbers that are at least 0"):
        plot.structure(table(2, obsm__topics=np.array([[1.0, -1.0], [0.0, 1.0]])))
    with pytest.raises(ParameterError, match="no cell has both weights in obsm/topics and a group"):
        plot.structure(table(2, obsm__topics=np.full((2, 2), np.nan)))
