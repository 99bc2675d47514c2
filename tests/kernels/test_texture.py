"""Texture against scikit-image's matrices and against openings by SciPy."""

import numpy as np
import pytest
from scipy import ndimage

from kithkin.kernels import texture

SIDE, LEVELS, SCALES = 21, 8, 4


@pytest.fixture(scope="module")
def cells():
    rng = np.random.default_rng(2)
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE // 2
    masks = np.stack([(y / a) ** 2 + (x / b) ** 2 < 1 for a, b in rng.uniform(3, 10, (12, 2))])
    pixels = ndimage.gaussian_filter(rng.gamma(2, 100, (12, 2, SIDE, SIDE)), (0, 0, 0.7, 0.7))
    return pixels, masks


def limits_of(pixels, masks):
    return np.array([np.percentile(p[:, m], [1, 99], axis=1).T for p, m in zip(pixels, masks, strict=True)])


def entropy(p):
    p = p[p > 0]
    return -(p * np.log2(p)).sum()


def test_haralick_features(cells):
    feature = pytest.importorskip("skimage.feature")
    pixels, masks = cells
    limits, out = limits_of(pixels, masks), np.empty((len(masks), 2, 13))
    texture.textures(pixels, masks, limits, LEVELS, out)
    i, j = np.mgrid[:LEVELS, :LEVELS]
    for cell, channel in np.ndindex(len(masks), 2):
        low, high = limits[cell, channel]
        grey = np.clip((pixels[cell, channel] - low) * (LEVELS / (high - low)), 0, LEVELS - 1).astype(np.uint8)
        grey[~masks[cell]] = LEVELS
        angles = np.arange(4) * np.pi / 4
        p = feature.graycomatrix(grey, [1], angles, LEVELS + 1, symmetric=True)[:LEVELS, :LEVELS, 0].sum(axis=2)
        p = p / p.sum()
        found = dict(zip(texture.HARALICK, out[cell, channel], strict=True))
        for name, other in (
            *(("angular_second_moment", "ASM"), ("contrast", "contrast"), ("correlation", "correlation")),
            *(("variance", "variance"), ("homogeneity", "homogeneity")),
        ):
            assert found[name] == pytest.approx(feature.graycoprops(p[:, :, None, None], other)[0, 0])
        plus, minus = (np.bincount(v.ravel(), p.ravel()) for v in (i + j, abs(i - j)))
        one = p.sum(axis=0)
        assert found["sum_average"] == pytest.approx((p * (i + j)).sum())
        assert found["sum_variance"] == pytest.approx((p * (i + j - found["sum_average"]) ** 2).sum())
        assert found["difference_variance"] == pytest.approx((p * (abs(i - j) - (p * abs(i - j)).sum()) ** 2).sum())
        assert found["sum_entropy"] == pytest.approx(entropy(plus))
        assert found["difference_entropy"] == pytest.approx(entropy(minus))
        assert found["entropy"] == pytest.approx(entropy(p))
        mutual = 2 * entropy(one) - entropy(p)
        assert found["information_1"] == pytest.approx(-mutual / entropy(one))
        assert found["information_2"] == pytest.approx(np.sqrt(1 - np.exp(-2 * np.log(2) * mutual)))


def test_granularity_is_what_openings_take(cells):
    pixels, masks = cells
    out = np.empty((len(masks), 2, SCALES))
    texture.granularities(pixels, masks, out)
    around = {"footprint": np.ones((3, 3)), "mode": "constant"}
    for cell, channel in np.ndindex(len(masks), 2):
        mask = masks[cell]
        values = pixels[cell, channel] - pixels[cell, channel][mask].min()
        eroded, before = np.where(mask, values, np.inf), values[mask].sum()
        for k in range(SCALES):
            eroded = np.where(mask, ndimage.minimum_filter(eroded, cval=np.inf, **around), np.inf)
            opened = np.where(mask, eroded, -np.inf)
            for _ in range(k + 1):
                opened = np.where(mask, ndimage.maximum_filter(opened, cval=-np.inf, **around), -np.inf)
            taken = 100 * (before - opened[mask].sum()) / values[mask].sum()
            assert out[cell, channel, k] == pytest.approx(taken, abs=1e-8)
            before = opened[mask].sum()


def test_specks_are_granular_at_their_size():
    pixels = np.zeros((1, 2, 25, 25))
    pixels[0, 0, 4::6, 4::6] = 1
    pixels[0, 1, 3:8, 3:8] = pixels[0, 1, 14:19, 14:19] = 1
    out = np.empty((1, 2, SCALES))
    texture.granularities(pixels, np.ones((1, 25, 25), bool), out)
    np.testing.assert_allclose(out[0], [[100, 0, 0, 0], [0, 0, 100, 0]])


def test_a_flat_cell_and_an_empty_one_have_no_texture():
    masks = np.zeros((2, 5, 5), bool)
    masks[0, 1:4, 1:4] = True
    pixels, out, grains = np.full((2, 1, 5, 5), 7.0), np.empty((2, 1, 13)), np.empty((2, 1, SCALES))
    texture.textures(pixels, masks, np.full((2, 1, 2), 7.0), LEVELS, out)
    texture.granularities(pixels, masks, grains)
    assert out[0, 0, 0] == 1.0
    assert out[0, 0, 8] == 0.0
    assert (out[1] == 0).all()
    assert (grains == 0).all()
