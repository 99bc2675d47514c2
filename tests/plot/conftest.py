"""A stand-in with the reading side of a dataset, so that figures are tested without running any step."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from kithkin.core.blocks import InMemory
from kithkin.core.errors import MissingResultError
from kithkin.core.execute import Execution
from kithkin.core.history import Entry
from kithkin.core.lineage import Lineage


class Table:
    def __init__(self, n_obs, obs=None, X=None, var_names=(), **elements):
        self.n_obs = n_obs
        self.obs = pd.DataFrame(obs or {}, index=[f"cell{i}" for i in range(n_obs)])
        self.obs_names = self.obs.index
        self.var_names = self.var_labels = pd.Index(var_names, dtype=object)
        self.X = np.zeros((n_obs, len(self.var_names))) if X is None else np.asarray(X)
        self.elements = {name.replace("__", "/"): value for name, value in elements.items()}
        made = [Entry("quality", 1, {"on": "X"}, {}, ["obs/n_counts"], "", 0.0)] if "n_counts" in self.obs else []
        self.lineage = Lineage(made, self.__contains__, self.read)
        self.execution = Execution(memory=10**9, threads=1)

    def __contains__(self, key):
        return key in self.elements or (key.startswith("obs/") and key[4:] in self.obs)

    def read(self, key):
        if key not in self:
            raise MissingResultError(f"{key} is not in table.zarr")
        return self.elements[key] if key in self.elements else self.obs[key[4:]]

    def blocks(self, key="X"):
        return InMemory(self.X)

    def genes(self, names, key="X"):
        return self.X[:, self.var_names.get_indexer(list(names))]


@pytest.fixture
def table():
    """Build a stand-in for a dataset."""
    return Table


def clear_of_each_other(figure, artists):
    """Whether no two artists' boxes overlap on the finished figure."""
    figure.canvas.draw()
    boxes = [artist.get_window_extent() for artist in artists]
    return not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def inside_the_page(figure, artists):
    """Whether every artist lies on the page."""
    figure.canvas.draw()
    width, height = figure.canvas.get_width_height()
    boxes = [artist.get_window_extent() for artist in artists]
    return all(box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height for box in boxes)


@pytest.fixture
def apart():
    """Check that artists neither overlap nor leave the page."""

    def check(figure, artists):
        return clear_of_each_other(figure, artists) and inside_the_page(figure, artists)

    return check
