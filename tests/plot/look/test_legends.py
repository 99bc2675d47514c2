import numpy as np
import pytest
from matplotlib.cm import ScalarMappable

from kithkin.plot.look.legends import column_size, groups_entry, sizes_entry, stack, values_entry
from kithkin.plot.look.style import Picture


@pytest.fixture
def column():
    figure = Picture(4, 5)
    scale = ScalarMappable(cmap="viridis")
    scale.set_array(np.array([0.0, np.nan, 12_000.0]))
    entries = [
        groups_entry(figure, "kind of cell", ["B", "a much longer name of a group"], ["red", "blue"], 2.0),
        values_entry(figure, "mean of something", scale, "log(1 + counts per 10,000)"),
        sizes_entry(figure, "observations", [("100", 0.05), ("2k", 0.1), ("30k or more", 0.3)]),
    ]
    stack(figure, entries, 0.5, 4.8)
    return figure, entries


def test_entries_keep_to_their_room(column):
    figure, entries = column
    figure.canvas.draw()
    top = 4.8
    for entry in entries:
        box = entry.ax.get_tightbbox(figure.canvas.get_renderer())
        assert box.x0 / figure.dpi >= 0.5 - 0.03
        assert box.x1 / figure.dpi <= 0.5 + entry.width + 0.05
        assert box.y1 / figure.dpi <= top + 0.03
        assert box.y0 / figure.dpi >= top - entry.height - 0.08
        top -= entry.height + 0.22


def test_the_column_is_as_wide_as_its_widest_entry(column):
    _, entries = column
    width, height = column_size(entries)
    assert width == max(entry.width for entry in entries)
    assert height > sum(entry.height for entry in entries)


def test_one_value_has_one_tick():
    figure, scale = Picture(2, 2), ScalarMappable(cmap="viridis")
    scale.set_array(np.array([3.0, np.nan]))
    scale.set_clim(2.5, 3.5)
    entry = values_entry(figure, "age", scale)
    assert list(entry.ax.yaxis.get_ticklocs()) == [3.0]
