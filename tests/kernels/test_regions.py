"""Shapes and intensities against scikit-image, distances against SciPy, the rest against plain NumPy."""

import numpy as np
import pytest
from scipy import ndimage

from kithkin.kernels import regions

N, SIDE, CHANNELS = 40, 27, 3


def make_masks():
    """Unions of ellipses, a pixel, a line, and scattered pixels."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:SIDE, :SIDE]
    masks = np.zeros((N, SIDE, SIDE), bool)
    for k in range(N):
        for _ in range(rng.integers(1, 4)):
            (cy, cx), (a, b), turn = rng.uniform(4, 22, 2), rng.uniform(1.5, 9, 2), rng.uniform(0, 3)
            u, v = (y - cy) * np.cos(turn) + (x - cx) * np.sin(turn), (x - cx) * np.cos(turn) - (y - cy) * np.sin(turn)
            masks[k] |= (u / a) ** 2 + (v / b) ** 2 < 1
    masks[:3] = False
    masks[0, 4, 5] = masks[1, 4, 5:9] = masks[2, 3:6, 2] = True
    masks[3] = rng.random((SIDE, SIDE)) < 0.1
    return masks


MASKS = make_masks()
PIXELS = ndimage.gaussian_filter(np.random.default_rng(1).gamma(2, 100, (N, CHANNELS, SIDE, SIDE)), (0, 0, 1, 1))


@pytest.fixture(scope="module")
def found():
    shapes, values = np.empty((N, len(regions.SHAPES))), np.empty((N, CHANNELS, len(regions.INTENSITIES)))
    limits = np.empty((N, CHANNELS, 2))
    regions.shapes(MASKS, shapes)
    regions.intensities(PIXELS, MASKS, values, limits)
    return shapes, values, limits


def test_shapes_and_intensities_are_those_of_regionprops(found):
    measure = pytest.importorskip("skimage.measure")
    for i in range(N):
        one = measure.regionprops(MASKS[i].astype(int), PIXELS[i].transpose(1, 2, 0))[0]
        for name, value in zip(regions.SHAPES[:11], found[0][i], strict=False):
            off = value - getattr(one, name)
            off = (off + np.pi / 2) % np.pi - np.pi / 2 if name == "orientation" else off
            assert abs(off) < 1e-9, (i, name)
        for name, other in (("mean", "mean"), ("std", "std"), ("min", "min"), ("median", "median"), ("max", "max")):
            column = regions.INTENSITIES.index(name)
            np.testing.assert_allclose(found[1][i, :, column], getattr(one, f"intensity_{other}"), atol=1e-9)
        moved = np.hypot(*(np.asarray(one.centroid_weighted) - np.asarray(one.centroid)[:, None]))
        np.testing.assert_allclose(found[1][i, :, -1], moved, atol=1e-9)


def test_percentiles_are_those_of_numpy(found):
    for i in range(N):
        inside = PIXELS[i][:, MASKS[i]]
        np.testing.assert_allclose(found[1][i, :, 3:8].T, np.percentile(inside, [5, 25, 50, 75, 95], axis=1))
        np.testing.assert_allclose(found[2][i].T, np.percentile(inside, [1, 99], axis=1))


def test_distances_to_the_edge(found):
    for i in range(N):
        distance = ndimage.distance_transform_edt(np.pad(MASKS[i], 1))[1:-1, 1:-1]
        np.testing.assert_allclose(regions.edge_distance(MASKS[i]), distance)
        np.testing.assert_allclose(found[0][i, 12:], [distance.max(), distance[MASKS[i]].mean()])


def test_rings_have_all_of_the_intensity_and_an_even_cell_has_even_rings():
    out = np.empty((N, CHANNELS, 4, 3))
    regions.radial(PIXELS, MASKS, out)
    np.testing.assert_allclose(out[..., 0].sum(axis=2), 1)
    regions.radial(np.ones_like(PIXELS), MASKS, out)
    np.testing.assert_allclose(out[..., 1], 1)
    np.testing.assert_allclose(out[..., 2], 0, atol=1e-12)


def test_a_bright_rim_lies_in_the_last_ring():
    y, x = np.mgrid[:41, :41] - 20
    away = np.hypot(y, x)
    rim, middle = (away > 16) & (away < 18), away < 3
    out = np.empty((1, 2, 4, 3))
    regions.radial(np.stack([rim, middle])[None].astype(float), (away < 18)[None], out)
    assert out[0, 0, 3, 0] == 1.0
    assert out[0, 1, 0, 0] == 1.0


def test_correlations_are_pearsons_and_0_of_a_constant():
    pixels = PIXELS.copy()
    pixels[:, 2] = 1234.567
    out = np.empty((N, 3))
    regions.correlations(pixels, MASKS, out)
    for i in range(4, N):
        assert out[i, 0] == pytest.approx(np.corrcoef(pixels[i][:2, MASKS[i]])[0, 1])
    assert (out[:, 1:] == 0).all()


def test_sums_of_runs():
    block = np.arange(24, dtype=np.uint16).reshape(2, 3, 4)
    sums = np.zeros((2, 2))
    regions.sum_runs(block, *(np.array(v) for v in ([0, 1, 0], [0, 1, 2], [1, 0, 3], [3, 2, 4])), sums)
    assert sums.tolist() == [[1 + 2 + 11, 13 + 14 + 23], [4 + 5, 16 + 17]]


def test_an_empty_mask_has_features_without_gaps():
    empty = np.zeros((1, 5, 5), bool)
    outs = [np.full(shape, np.nan) for shape in ((1, 14), (1, 3, 10), (1, 3, 2), (1, 3, 4, 3), (1, 3))]
    pixels = np.ones((1, 3, 5, 5))
    regions.shapes(empty, outs[0])
    regions.intensities(pixels, empty, outs[1], outs[2])
    regions.radial(pixels, empty, outs[3])
    regions.correlations(pixels, empty, outs[4])
    assert all(np.isfinite(out).all() for out in outs)
