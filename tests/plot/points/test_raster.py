import numpy as np

from kithkin.plot.points.raster import density_alpha, image_of_groups, image_of_values, majority, pixels


def test_pixels_count_from_below_left_and_take_the_upper_edge_in():
    points = np.array([[0, 0], [1, 0], [0, 1], [1, 1], [np.nan, 0], [1.01, 0]])
    assert pixels(points, np.zeros(2), np.ones(2), 4).tolist() == [0, 3, 12, 15, -1, -1]


def test_majority_equals_a_loop():
    rng = np.random.default_rng(0)
    pixel, codes = rng.integers(0, 50, 2000), rng.integers(0, 7, 2000)
    filled, group = majority(pixel, codes, 7)
    expected = [np.bincount(codes[pixel == p], minlength=7).argmax() for p in filled]
    assert filled.tolist() == sorted(set(pixel.tolist()))
    assert group.tolist() == expected


def test_missing_is_drawn_only_where_there_is_nothing_else():
    colors = np.array([[1.0, 0, 0, 1], [0, 0, 1, 1], [0.8, 0.8, 0.8, 1]])
    image = image_of_groups(np.array([0, 0, 0, 1, -1]), np.array([1, -1, -1, -1, 0]), colors, 2)
    assert image[0, 0, :3].tolist() == [0, 0, 1]
    assert image[0, 1, :3].tolist() == [0.8, 0.8, 0.8]
    assert image[1, :, 3].tolist() == [0, 0]


def test_values_are_means():
    mean, alpha = image_of_values(np.array([2, 2, 3]), np.array([1.0, 2.0, np.nan]), 2)
    assert mean[1, 0] == 1.5
    assert np.isnan(mean[1, 1])
    assert (alpha > 0).tolist() == [[False, False], [True, True]]


def test_opacity_grows_with_density():
    alpha = density_alpha(np.array([0, 1, 2, 8, 64, 64]))
    assert alpha[0] == 0
    assert (np.diff(alpha[:5]) > 0).all()
    assert density_alpha(np.array([0, 1, 1])).tolist() == [0, 1, 1]
    assert density_alpha(np.zeros(3, int)).tolist() == [0, 0, 0]
