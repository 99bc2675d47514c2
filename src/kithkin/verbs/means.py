"""Means of groups: of genes, pixels or any other columns, and of images."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from kithkin.core.blocks import Array
from kithkin.core.dataset import Dataset
from kithkin.core.errors import check
from kithkin.core.stored import StoredFrame
from kithkin.core.windows import inside_image
from kithkin.models.table.group_means import group_means
from kithkin.verbs.arguments.samples import groups_of

COPIES = 4  # tables of groups x columns that are in memory at the same time: sums of two tasks, their total, the means


@dataclass(frozen=True, repr=False)
class Means:
    """Means of the rows of each group; printing it shows the groups with their sizes.

    Attributes
    ----------
    by
        Column of obs with the groups.
    on
        Table that was averaged.
    groups
        Labels of the k groups, in the order of the column.
    means
        Mean of each column over the rows of each group, k x p, float64; of images in obsm k x their shape.
    counts
        Number of rows of each group, k, int64.
    columns
        Names of the p columns; None of images in obsm.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> ds = kk.read(np.array([[1.0, 0.5], [3.0, 0.5], [8.0, 2.5]]), to=tempfile.mkdtemp() + "/a.zarr")
    >>> ds["obs/kind"] = ["a", "a", "b"]
    >>> kk.means(ds, "obs/kind")
    means of 2 columns of X in 2 groups of obs/kind: a 2, b 1
    """

    by: str
    on: str
    groups: list[str]
    means: Array = field(compare=False)
    counts: Array = field(compare=False)
    columns: list[str] | None = None

    def __repr__(self) -> str:
        shape = self.means.shape[1:]
        what = f"{shape[0]:,} columns" if len(shape) == 1 else f"images of {' x '.join(map(str, shape))}"
        sizes = ", ".join(f"{name} {size:,}" for name, size in zip(self.groups, self.counts, strict=True))
        return f"means of {what} of {self.on} in {len(self.groups)} groups of {self.by}: {sizes}"

    @property
    def obs(self) -> pd.DataFrame:
        """Number of rows of each group, by its label."""
        index = pd.Index(self.groups, dtype=object, name=self.by.partition("/")[2])
        return pd.DataFrame({"n": self.counts}, index=index)

    def to_df(self) -> pd.DataFrame:
        """Means as a table of groups x columns.

        Raises
        ------
        ParameterError
            If they are images, which have no columns.
        """
        shape = " x ".join(map(str, self.means.shape))
        check(self.columns is not None, f"the means of {self.on} are images, {shape}, and no table: use .means")
        return pd.DataFrame(self.means, index=self.obs.index, columns=pd.Index(self.columns or [], dtype=object))


def means(ds: Dataset, by: str, *, on: str = "X") -> Means:
    """Means of genes, pixels or other columns over the rows of each group, in one pass. Nothing is stored.

    Values are averaged as they are stored: counts as counts. Rows without a label are left out. Of thumbnails, pixels
    beyond the edge of the image are no part of the mean. In Python `kithkin.plot.mean_image` draws the
    same means.

    Parameters
    ----------
    ds
        The dataset.
    by
        Column of obs with the groups.
    on
        Table that is averaged: "X", a layer, or a table or images in obsm, such as obsm/X_pca and obsm/thumbnails.

    Returns
    -------
    Means
        groups, means (k x p, or k x the shape of an image), counts of rows, columns; `to_df()` is a table.

    Raises
    ------
    MissingResultError
        If the column or the table is not there.
    ParameterError
        If the column holds measurements, no row has a label, or the means do not fit the memory.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> ds = kk.read(np.array([[1.0, 0.5], [3.0, 0.5], [8.0, 2.5]]), to=tempfile.mkdtemp() + "/a.zarr")
    >>> ds["obs/kind"] = ["a", "a", "b"]
    >>> found = means(ds, "obs/kind")
    >>> found.groups, found.means.tolist(), found.counts.tolist()
    (['a', 'b'], [[2.0, 0.5], [8.0, 2.5]], [2, 1])
    """
    labels = groups_of(ds, by, "by")
    check(len(labels.names) > 0, f"no row has a label in {labels.key}")
    blocks, k = ds.blocks(on), len(labels.names)
    row: tuple[int, ...] = tuple(blocks.shape[1:])
    size, budget = COPIES * 8 * k * int(np.prod(row)), ds.execution.memory
    fits = f"by makes {k:,} groups of {' x '.join(map(str, row))} values, which need memory={size / 1e6:,.0f}MB"
    check(size <= budget, f"{fits}, and {budget / 1e6:,.0f}MB are set: merge groups, or open with more memory")
    found, counts = group_means(blocks, labels.codes, k, inside_image(ds, on), ds.execution)
    columns = None
    if len(row) == 1:
        own = ds.var_labels if on == "X" or on.startswith("layers/") else range(row[0])
        columns = blocks.columns if isinstance(blocks, StoredFrame) else [str(name) for name in own]
    return Means(labels.key, on, labels.names, found, counts, columns)
