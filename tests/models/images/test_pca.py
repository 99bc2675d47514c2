import numpy as np
import pytest

from kithkin.core.blocks import InMemory
from kithkin.core.errors import ParameterError
from kithkin.core.execute import Execution
from kithkin.models.images.pca import COVARIANCE, ImagePCA
from kithkin.models.images.pixels import Images, PixelScale, rows_of
from kithkin.models.images.rows import Pixels, averages, resize


class Rows:
    """An array of any number of dimensions as blocks of some rows."""

    is_sparse = False

    def __init__(self, X, rows):
        self.X, self.shape, self.dtype = X, X.shape, X.dtype
        self.ranges = InMemory(np.zeros((len(X), 1)), rows=rows).ranges
        self.longest = 0

    def read(self, start, stop):
        self.longest = max(self.longest, stop - start)
        return self.X[start:stop]


def thumbnails(n=80, channels=3, side=9, seed=0):
    """Cells with a few hidden causes; the last channel is a thousand times as bright."""
    rng = np.random.default_rng(seed)
    causes = rng.normal(0, 1, (n, 6)) * np.geomspace(3, 0.5, 6)
    pixels = causes @ rng.normal(0, 1, (6, channels * side * side)) + rng.normal(20, 0.3, (n, channels * side * side))
    bright = np.where(np.arange(channels) == channels - 1, 1000.0, 1.0)
    return pixels.reshape(n, channels, side, side) * bright[:, None, None]


def scaled(pixels, masks=None):
    """Each channel divided by the standard deviation of its pixels in the masks, 0 elsewhere."""
    masks = np.ones((len(pixels), *pixels.shape[2:]), bool) if masks is None else masks
    parts = [pixels[:, c] * masks / pixels[:, c][masks].std() for c in range(pixels.shape[1])]
    return np.stack(parts, 1).reshape(len(pixels), -1)


def agree(ours, theirs, rtol=1e-4):
    signs = np.sign((ours * theirs).sum(axis=0))
    np.testing.assert_allclose(ours * signs, theirs, atol=rtol * np.abs(theirs).max())


@pytest.mark.parametrize("side", [9, 25])
@pytest.mark.parametrize("hide", [False, True])
def test_equal_to_pca_of_the_flattened_array(side, hide):
    decomposition = pytest.importorskip("sklearn.decomposition")
    pixels = thumbnails(side=side)
    assert (pixels[0].size > COVARIANCE) == (side == 25)
    masks = np.random.default_rng(1).random((80, side, side)) < 0.7 if hide else None
    model = ImagePCA(4, clip=None)
    scores = model.fit_transform(pixels, masks)
    oracle = decomposition.PCA(4, svd_solver="full").fit(scaled(pixels, masks))
    agree(scores, oracle.transform(scaled(pixels, masks)))
    np.testing.assert_allclose(model.explained_variance_, oracle.explained_variance_, rtol=1e-5)
    np.testing.assert_allclose(model.explained_variance_ratio_, oracle.explained_variance_ratio_, rtol=1e-5)
    np.testing.assert_allclose(model.singular_values_, oracle.singular_values_, rtol=1e-5)
    agree(model.components_.reshape(4, -1).T, oracle.components_.T)
    np.testing.assert_allclose(model.mean_.ravel(), oracle.mean_, rtol=1e-5)


@pytest.mark.parametrize("side", [9, 25])
def test_it_does_not_depend_on_blocks_threads_or_budget(side):
    pixels, masks = thumbnails(side=side), np.random.default_rng(1).random((80, side, side)) < 0.7
    whole = ImagePCA(3).fit_transform(pixels, masks)
    for rows, threads in ((7, 1), (31, 3)):
        blocks = Rows(pixels, rows)
        execution = Execution(memory=50 * 10**6, threads=threads)
        np.testing.assert_allclose(
            ImagePCA(3).fit_transform(blocks, Rows(masks, rows), execution), whole, atol=1e-4 * whole.max()
        )
        assert blocks.longest < 80 or side == 9  # few enough to be looked at whole, for their density


@pytest.mark.parametrize("dtype", ["bool", "uint8", "uint16", "int32", "float16", "float32"])
def test_pixels_of_any_type_and_one_channel(dtype):
    pixels = (np.random.default_rng(0).integers(0, 200, (30, 6, 7)) > 50).astype(dtype)
    model = ImagePCA(2).fit(pixels)
    assert model.components_.shape == (2, 1, 6, 7)
    found = model.transform(pixels[:5])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, model.transform(pixels)[:5], atol=1e-5)


def test_a_few_hot_pixels_do_not_decide():
    pixels = thumbnails(200)
    spoilt = pixels.copy()
    rng = np.random.default_rng(2)
    spoilt.reshape(-1)[rng.choice(pixels.size, 20, replace=False)] = 1e7
    clean = ImagePCA(2, clip=0.99).fit_transform(pixels)
    agree(ImagePCA(2, clip=0.99).fit_transform(spoilt), clean, rtol=0.1)
    with pytest.raises(AssertionError):
        agree(ImagePCA(2, clip=None).fit_transform(spoilt), clean, rtol=0.5)


@pytest.mark.parametrize("shift", [0.0, -500.0])
def test_limits_are_quantiles(shift):
    values = np.random.default_rng(0).lognormal(4, 1, (50, 2, 20, 20)) + shift
    scale = PixelScale.of(Images(values), clip=0.95)
    for channel in range(2):
        expected = np.quantile(values[:, channel], [0.05, 0.95])
        found = [scale.low[channel], scale.high[channel]]
        np.testing.assert_allclose(found, expected, rtol=0.02)
    rows = Pixels(Images(values), scale).read(0, 50).reshape(values.shape)
    assert rows.min() == 0
    np.testing.assert_allclose(rows.std(axis=(0, 2, 3)), 1, rtol=1e-3)


def test_a_rare_or_constant_channel():
    pixels = np.random.default_rng(0).random((40, 3, 8, 8))
    pixels[:, 1] = 7.0
    pixels[:, 2] = 0.0
    pixels[3, 2, 4, 4] = 5.0  # fewer than the quantile leaves
    scale = PixelScale.of(Images(pixels))
    assert scale.deviation[1] == 0 < scale.deviation[2]
    assert scale.high[2] == pytest.approx(5, rel=0.01)
    np.testing.assert_allclose(ImagePCA(2).fit(pixels).components_[:, 1], 0, atol=1e-12)


def test_what_is_hidden_makes_no_difference():
    pixels = thumbnails()
    masks = np.zeros((80, 9, 9), bool)
    masks[:, 2:7, 2:7] = True
    other = np.where(masks[:, None], pixels, np.nan)
    assert np.array_equal(ImagePCA(2).fit_transform(pixels, masks), ImagePCA(2).fit_transform(other, masks))


@pytest.mark.parametrize(
    ("pixels", "settings", "message"),
    [
        (np.full((5, 2, 4, 4), np.nan), {}, "finite"),
        (np.full((5, 2, 4, 4), 1e300), {}, "finite"),
        (np.ones((5, 2, 4, 4)), {}, "the same everywhere"),
        (np.ones((5, 4)), {}, "cells x channels x rows x columns, got 5 x 4"),
        (np.ones((5, 0, 4, 4)), {}, "a channel and a pixel"),
        (np.ones((1, 2, 4, 4)), {}, "two cells"),
        (thumbnails(10), {"n_components": 10}, r"n_components must be in 1..9, got 10"),
        (thumbnails(10), {"clip": 0.3}, "clip must be above 0.5"),
        (np.full((5, 4, 4), "a"), {}, "must hold numbers"),
    ],
)
def test_what_is_refused(pixels, settings, message):
    with pytest.raises(ParameterError, match=message):
        ImagePCA(**({"n_components": 2} | settings)).fit(pixels)


def test_what_does_not_fit():
    pixels = thumbnails(20)
    with pytest.raises(ParameterError, match="masks must be cells x rows x columns"):
        ImagePCA(2).fit(pixels, np.ones((20, 9, 8), bool))
    model = ImagePCA(2).fit(pixels)
    with pytest.raises(ParameterError, match="thumbnails must be 3 x 9 x 9 as in fit, got 3 x 8 x 9"):
        model.transform(pixels[:, :, :8])


def test_channels_are_divided_by_their_deviation():
    pixels = np.array([[[[0.0, 1.0]], [[10.0, 30.0]]]])
    scale = PixelScale.of(Images(pixels), clip=None)
    assert scale.deviation.tolist() == [0.5, 10.0]
    assert scale.apply(pixels)[0].tolist() == [[[0.0, 2.0]], [[1.0, 3.0]]]
    assert rows_of((1000, 8, 64, 64)) == 64


def test_thumbnails_are_resized_by_averages():
    assert averages(4, 2).tolist() == [[0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 0.5, 0.5]]
    np.testing.assert_allclose(resize(np.ones((1, 1, 6, 4)), 2), np.full((1, 1, 2, 2), 0.53), atol=0.005)
