"""Features of cells do not depend on blocks, executor or storage, and have their names."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from kithkin.core.errors import ParameterError
from kithkin.core.execute import Execution
from kithkin.models import CellFeatures
from kithkin.models.images.features import MEASURES


class Rows:
    """An array as row blocks, whatever its dimensions."""

    is_sparse = False

    def __init__(self, values, rows):
        self.values, self.shape, self.dtype = values, values.shape, values.dtype
        self.ranges = [(k, min(k + rows, len(values))) for k in range(0, len(values), rows)]

    def read(self, start, stop):
        return self.values[start:stop]


RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 60_000, (50, 3, 15, 15)).astype(np.uint16)
MASKS = RNG.random((50, 15, 15)) < 0.7


@pytest.fixture(scope="module")
def whole():
    return CellFeatures().fit(PIXELS, MASKS, Execution(threads=1)).features_


@pytest.mark.parametrize("rows", [1, 7, 50])
@pytest.mark.parametrize("threads", [1, 3])
def test_features_are_the_same_for_every_block_and_executor(whole, rows, threads):
    fit = CellFeatures().fit(Rows(PIXELS, rows), Rows(MASKS, 50), Execution(threads=threads))
    assert np.array_equal(fit.features_, whole)
    with ThreadPoolExecutor(2) as pool:
        again = CellFeatures().fit(Rows(PIXELS, rows), Rows(MASKS, rows), Execution(threads=2, executor=pool))
    assert np.array_equal(again.features_, whole)


@pytest.mark.parametrize("dtype", ["uint32", "float32", "float64"])
def test_features_do_not_depend_on_the_storage_type(whole, dtype):
    np.testing.assert_array_equal(CellFeatures().fit(PIXELS.astype(dtype), MASKS).features_, whole)


def test_every_feature_has_a_name_and_a_value(whole):
    names = CellFeatures().names(["a", "b", "c"])
    assert len(names) == len(set(names)) == whole.shape[1]
    assert np.isfinite(whole).all()
    columns = [names.index(f"{channel}_mean") for channel in "abc"]
    means = [[channel[mask].mean() for channel in cell] for cell, mask in zip(PIXELS, MASKS, strict=True)]
    np.testing.assert_allclose(whole[:, columns], means, rtol=1e-6)
    wanted = [names.index(f"{channel}_radial_{what}_{k}") for channel in "abc" for k in (1, 4) for what in ("share",)]
    assert (whole[:, wanted] >= 0).all()


@pytest.mark.parametrize("measure", MEASURES)
def test_a_single_measure_is_that_part_of_all(whole, measure):
    model = CellFeatures(measure).fit(PIXELS, MASKS)
    names = CellFeatures().names(["a", "b", "c"])
    columns = [names.index(name) for name in model.names(["a", "b", "c"])]
    np.testing.assert_array_equal(model.features_, whole[:, columns])


def test_texture_and_placement_do_not_change_with_a_quarter_turn():
    turned = CellFeatures(["texture", "granularity", "radial", "correlation"])
    first = turned.fit(PIXELS, MASKS).features_
    again = turned.fit(np.rot90(PIXELS, axes=(2, 3)), np.rot90(MASKS, axes=(1, 2))).features_
    names = turned.names("abc")
    kept = [k for k, name in enumerate(names) if "variation" not in name]  # wedges begin at an axis
    np.testing.assert_allclose(first[:, kept], again[:, kept], rtol=1e-4, atol=1e-5)


def test_without_masks_all_pixels_count_and_one_channel_needs_no_axis():
    model = CellFeatures("intensity").fit(PIXELS[:, 0])
    np.testing.assert_allclose(model.features_[:, 0], PIXELS[:, 0].mean(axis=(1, 2)), rtol=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"measures": ["colour"]}, "measures must be of shape, .*, got colour"),
        ({"n_levels": 1}, r"n_levels must be in 2..256, got 1"),
        ({"n_scales": 0}, r"n_scales must be in 1..64, got 0"),
    ],
)
def test_what_is_not_possible_is_refused(settings, message):
    with pytest.raises(ParameterError, match=message):
        CellFeatures(**settings).fit(PIXELS, MASKS)


def test_masks_must_fit():
    with pytest.raises(ParameterError, match="masks must be cells x rows x columns"):
        CellFeatures().fit(PIXELS, MASKS[:, :-1])
