"""Decode everything on disk against its checksums and name what is damaged."""

from __future__ import annotations

import pandas as pd

from kithkin.core.dataset import Dataset
from kithkin.core.integrity import list_damage


def check(ds: Dataset) -> list[str]:
    """Decode everything on disk against its checksums and name what is damaged.

    Parameters
    ----------
    ds
        The dataset.

    Returns
    -------
    list of str
        One sentence for each damaged element; empty if all is well.

    Examples
    --------
    >>> import kithkin as kk, numpy as np, tempfile
    >>> kk.check(kk.read(np.eye(4), to=tempfile.mkdtemp() + "/eye.zarr"))
    []
    """
    return list_damage(ds.path, ds.execution)


def history(ds: Dataset) -> pd.DataFrame:
    """Steps done to a dataset, and whether each result is current or stale.

    Parameters
    ----------
    ds
        The dataset.

    Returns
    -------
    DataFrame
        One row per step, oldest first: step, results, state, seconds, parameters, finished.

    Examples
    --------
    >>> import kithkin as kk, numpy as np, tempfile
    >>> kk.history(kk.read(np.eye(4), to=tempfile.mkdtemp() + "/eye.zarr"))["step"].tolist()
    ['read']
    """
    return ds.history()


def info(ds: Dataset) -> str:
    """Contents of a dataset: every element with its shape and type, and whether X holds counts, values or images.

    Parameters
    ----------
    ds
        The dataset.

    Returns
    -------
    str
        Its size, and the names of its elements, place by place.

    Examples
    --------
    >>> import kithkin as kk, numpy as np, tempfile
    >>> print(kk.info(kk.read(np.eye(4), to=tempfile.mkdtemp() + "/eye.zarr")))
    Dataset eye.zarr: 4 observations x 4 variables
      X: values, integers 0 to 1 in 4 columns that are not named like genes
    """
    return repr(ds)
