"""Galleries: the right cells in the right rows and colours, and nothing over anything else."""

import numpy as np
import pytest

from kithkin.core.blocks import InMemory
from kithkin.core.errors import ParameterError
from kithkin.plot.data import Groups
from kithkin.plot.images.gallery import composite, gallery, typical_rows

N = 30


class Rows:
    is_sparse = False

    def __init__(self, values):
        self.values, self.shape, self.dtype, self.ranges = values, values.shape, values.dtype, [(0, 13), (13, N)]

    def read(self, start, stop):
        return self.values[start:stop]


@pytest.fixture
def cells(table):
    """Three clusters; thumbnails whose first pixel is the number of the cell."""
    rng = np.random.default_rng(0)
    codes = np.arange(N) % 3
    pixels = rng.integers(0, 50, (N, 4, 11, 13)).astype(float)
    pixels[np.arange(N), codes] += 500
    masks = np.zeros((N, 11, 13), bool)
    masks[:, 3:8, 4:9] = True
    X = rng.normal(0, 1, (N, 5)) + 9 * np.eye(5)[codes]
    names = np.array(["DNA", "CD3", "CD8", "KI67"], object)
    ds = table(N, {"leiden": codes.astype(str)}, uns__thumbnails={"channels": names, "pixel_size": 0.5})
    tables = {"obsm/thumbnails": pixels, "obsm/masks": masks, "obsm/X_pca": X, "X": X}
    ds.elements |= tables
    ds.blocks = lambda key: Rows(tables[key])
    ds.rows = lambda rows, key: tables[key][rows]
    ds.execution = None
    return ds


def test_typical_cells_are_the_nearest_to_the_mean(cells):
    found = Groups("", np.arange(N) % 3, list("abc"))
    X = cells.blocks("obsm/X_pca").values
    for k, rows in enumerate(typical_rows(cells, found, 4)):
        own = np.flatnonzero(found.codes == k)
        apart = np.linalg.norm(X[own] - X[own].mean(axis=0), axis=1)
        assert rows.tolist() == own[np.argsort(apart)][:4].tolist()


def test_columns_of_other_tables_are_brought_to_one_scale():
    rng = np.random.default_rng(1)
    X = rng.normal(0, 1, (N, 4))
    found = Groups("", np.where(np.arange(N) < 20, 0, -1), ["a", "none"])

    class Cells:
        execution = None

        def __init__(self, values):
            self.blocks = lambda key: InMemory(values, rows=7)

    rows = [typical_rows(Cells(values), found, 5, "obsm/features")[0] for values in (X, X * [1000, 1, 0.01, 7])]
    assert rows[0].tolist() == rows[1].tolist()
    assert (rows[0] < 20).all()


def test_light_adds_up():
    pixels = np.array([10.0, 20.0])[None, :, None, None] * np.ones((1, 2, 3, 3))
    picture = composite(pixels, np.array([0.0, 0.0]), np.array([10.0, 40.0]), np.array([[1.0, 0, 0], [0.5, 1, 0]]))
    assert picture.shape == (1, 3, 3, 3)
    assert picture[0, 0, 0].tolist() == [1.0, 0.5, 0.0]


@pytest.mark.parametrize("mean", [False, True])
@pytest.mark.parametrize("names", [list("012"), ["T cells, cytotoxic", "B", "a name that is much longer than others"]])
def test_every_cluster_has_its_row(cells, apart, names, mean):
    figure = gallery(cells, np.array(names)[np.arange(N) % 3], n_cells=5, mean=mean)
    assert len(figure.axes) == 3
    assert [len(ax.images) for ax in figure.axes] == [5 + mean] * 3
    texts = [text for ax in figure.axes for text in ax.texts] + list(figure.texts)
    assert apart(figure, [text for text in texts if text.get_text()])
    assert {"DNA", "CD3", "CD8", "10"} <= {text.get_text() for text in texts}
    assert any(text.get_text().endswith("µm") for text in texts)


def test_the_channel_of_a_cluster_lights_up_in_its_row(cells):
    figure = gallery(cells, channels=["CD8", 1, "CD3"], colors=["red", "lime", "blue"], n_cells=2)
    brightest = [np.asarray(ax.images[0].get_array()).mean(axis=(0, 1)).argmax() for ax in figure.axes]
    assert brightest == [1, 2, 0]


def test_few_cells_and_no_masks(cells):
    labels = np.where(np.arange(N) < 2, "few", "many")
    figure = gallery(cells, labels, n_cells=4, masks=None, channels=["DNA"])
    assert [len(ax.images) for ax in figure.axes] == [2, 4]
    assert not any(ax.collections for ax in figure.axes)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"channels": ["CD4"]},
            "channels must be a name of a channel, got 'CD4': there are 'DNA', 'CD3', 'CD8'",
        ),
        ({"channels": [5]}, r"channels must be in 1..4, got 5"),
        ({"channels": []}, "channels must be one to 6, got 0"),
        ({"colors": ["red"]}, "colors must be one for each of 3 channels, got 1"),
        ({"colors": ["red", "no", "blue"]}, "colors must be colours, got 'no'"),
        ({"n_cells": 0}, r"n_cells must be in 1..100, got 0"),
        ({"on": "obsm/masks"}, "on must be cells x channels x rows x columns, got 30 x 11 x 13"),
        ({"clip": (50, 50)}, "clip must be two ascending percentiles"),
    ],
)
def test_what_is_not_possible_is_refused(cells, settings, message):
    with pytest.raises(ParameterError, match=message):
        gallery(cells, **settings)
