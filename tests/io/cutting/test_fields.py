"""Fields: whole tiles, within the memory, each window in all fields that it touches."""

from types import SimpleNamespace

import numpy as np
import pytest

from kithkin.core.errors import ParameterError
from kithkin.io.cutting.fields import FieldGrid, plan_fields


def stored(name, tile, depth=1):
    return SimpleNamespace(name=name, tile=tile, depth=depth, piece_bytes=tile[0] * tile[1] * depth * 2)


@pytest.mark.parametrize("tile", [(64, 64), (1, 1000), (17, 1000), (1000, 1000)])
@pytest.mark.parametrize("memory", [10_000, 100_000, 10**7])
def test_fields_are_whole_tiles_within_the_memory(tile, memory):
    most = max(memory, 2 * 1000 * 1000)
    grid = plan_fields(stored("a.tif", tile), (5, 900, 1000), 2, (memory, most))
    channels, rows, columns = grid.field
    assert rows % min(tile[0], 900) == 0
    assert columns % tile[1] == 0
    assert channels * rows * columns * 2 <= max(memory, min(tile[0], 900) * tile[1] * 2 * 5 if channels == 5 else most)
    covered = np.zeros((5, 900, 1000), int)
    for number in range(int(np.prod(grid.counts))):
        covered[tuple(slice(*span) for span in grid.span(number))] += 1
    assert (covered == 1).all()
    assert sorted(grid.order()) == list(range(int(np.prod(grid.counts))))


def test_a_tile_that_does_not_fit_is_refused():
    with pytest.raises(
        ParameterError, match=r"^a.tif is stored in pieces of 900 x 1,000 pixels: memory must be at least 4 MiB"
    ):
        plan_fields(stored("a.tif", (900, 1000)), (5, 900, 1000), 2, (10**5, 10**6))


def test_channels_that_are_decoded_together_stay_together_or_are_refused():
    image = stored("a.zarr", (900, 1000), depth=5)
    assert plan_fields(image, (5, 900, 1000), 2, (10**5, 2 * 10**7)).field == (5, 900, 1000)
    assert plan_fields(image, (2, 900, 1000), 2, (10**5, 2 * 10**7)).field == (2, 900, 1000)
    pairs = stored("a.zarr", (900, 1000), depth=2)
    assert plan_fields(pairs, (5, 900, 1000), 2, (10**5, 8 * 10**6)).field == (2, 900, 1000)
    with pytest.raises(ParameterError, match=r"of 900 x 1,000 pixels and 5 channels: memory must be at least 18 MiB"):
        plan_fields(image, (5, 900, 1000), 2, (10**5, 8 * 10**6))


def test_windows_and_their_fields():
    rng = np.random.default_rng(0)
    grid = FieldGrid((3, 200, 300), (2, 64, 128))
    y, x = rng.integers(-20, 199, 50), rng.integers(-20, 299, 50)
    window, place = grid.windows(y, x, 30)
    found = set(zip(window.tolist(), place.tolist(), strict=True))
    expected = set()
    for number in range(int(np.prod(grid.counts))):
        _, rows, columns = grid.span(number)
        for k in range(50):
            if y[k] < rows[1] and y[k] + 30 > rows[0] and x[k] < columns[1] and x[k] + 30 > columns[0]:
                expected.add((k, number))
    assert found == expected
