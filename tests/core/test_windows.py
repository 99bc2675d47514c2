"""Windows of cells: where they begin, and the rows and columns that lie inside their image."""

from types import SimpleNamespace

import numpy as np

from kithkin.core.windows import inside_image, window_starts


def test_a_window_starts_at_the_truncated_centre_less_half_its_size():
    assert window_starts(np.array([0.0, 0.99, 5.5, 12.0]), 5).tolist() == [-2, -2, 3, 10]
    assert window_starts(np.array([5.5]), 4).tolist() == [3]


class Cells(SimpleNamespace):
    def __contains__(self, key):
        return key in self.elements

    def read(self, key):
        return self.elements[key]

    blocks = read


def test_windows_over_an_edge_are_cut_to_the_image():
    centres = np.array([[9.0, 1.0], [5.0, 5.0]])
    cells = Cells(n_obs=2, elements={"obsm/thumbnails": np.zeros((2, 1, 4, 4)), "obsm/spatial": centres})
    assert inside_image(cells) is None  # the size of the image is not known
    cells.elements["uns/spatial"] = {"a": {"metadata": {"height": 8, "width": 10}}}
    assert inside_image(cells).tolist() == [[1, 4, 0, 3], [0, 4, 0, 4]]
    assert inside_image(cells, "X") is None
