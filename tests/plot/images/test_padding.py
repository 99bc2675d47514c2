"""Rows and columns of thumbnails that lie inside their image."""

import numpy as np

from kithkin.plot.images.padding import inside_image


def test_windows_over_an_edge_are_cut_to_the_image(table):
    class Cells(type(table(1))):
        def blocks(self, key="X"):
            return self.read(key)

    cells = Cells(2, obsm__thumbnails=np.zeros((2, 1, 4, 4)), obsm__spatial=np.array([[9.0, 1.0], [5.0, 5.0]]))
    assert inside_image(cells) is None  # the size of the image is not known
    cells.elements["uns/spatial"] = {"a": {"metadata": {"height": 8, "width": 10}}}
    assert inside_image(cells).tolist() == [[1, 4, 0, 3], [0, 4, 0, 4]]
    assert inside_image(cells, "X") is None
