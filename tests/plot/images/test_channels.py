"""Channels by name or number."""

import numpy as np
import pytest

from kithkin.core.errors import ParameterError
from kithkin.plot.images.channels import choose_channels, name_channel, name_channels


@pytest.fixture
def cells(table):
    return table(3, var_names=["DAPI", "CD3"])


def test_names_are_those_of_the_thumbnails_or_the_variables_or_numbers(cells):
    assert name_channels(cells, 2) == ["DAPI", "CD3"]
    assert name_channels(cells, 3) == ["1", "2", "3"]
    cells.elements["uns/thumbnails"] = {"channels": ["A", "B", "C"]}
    assert name_channels(cells, 3) == ["A", "B", "C"]


def test_channels_are_chosen_by_name_or_by_number_from_1(cells):
    assert choose_channels(["DAPI", "CD3"], ["CD3", 1]) == [1, 0]
    assert name_channel(cells, np.int64(2)) == "CD3"
    assert name_channel(cells, "obs/leiden") == "obs/leiden"
    for wrong in ("CD4", 0, 3, True, 1.0):
        with pytest.raises(ParameterError, match="channels must be"):
            choose_channels(["DAPI", "CD3"], [wrong])
