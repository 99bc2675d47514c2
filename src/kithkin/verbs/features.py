"""Measure what cells look like: shape, intensities, texture, granularity, placement, correlation of channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from kithkin.core.dataset import Dataset
from kithkin.core.history import Step
from kithkin.core.keys import Key
from kithkin.io.cutting.cell_writer import MASKS, THUMBNAILS
from kithkin.models.images.features import MEASURES, CellFeatures
from kithkin.verbs.arguments.modalities import channel_names


def features(
    ds: Dataset,
    measures: str | Sequence[str] = "all",
    *,
    masks: str | None = f"obsm/{MASKS}",
    n_levels: int = 16,
    on: str = f"obsm/{THUMBNAILS}",
    key: str | None = "obsm/features",
) -> pd.DataFrame:
    """Measure each cell in its thumbnail: shape, intensities, texture, granularity, placement, correlation of channels.

    Shapes and intensities are those of scikit-image's regionprops where it defines them. Of a cell that its window does
    not hold whole, the part in the window counts. In Python `help(kithkin.models.CellFeatures)` defines each measure.

    Parameters
    ----------
    ds
        The dataset.
    measures
        "all", or one or more of "shape", "intensity", "texture", "granularity", "radial", "correlation".
    masks
        Pixels that belong to each cell, n x rows x columns; without masks all pixels count.
    n_levels
        Number of grey levels for the texture.
    on
        Thumbnails, n x channels x rows x columns.
    key
        Key under which the result is stored; without one it is only returned.

    Returns
    -------
    DataFrame
        n x k, float32, named columns. It is stored as an array, which other verbs take as it is, such as
        pca(ds, on="obsm/features", normalize=None, scale=True); the names are in uns/features.

    Raises
    ------
    MissingResultError
        If there are no thumbnails or masks.
    ParameterError
        If a measure is unknown.

    References
    ----------
    Haralick, Shanmugam and Dinstein 1973, doi:10.1109/TSMC.1973.4309314. Carpenter et al. 2006,
    doi:10.1186/gb-2006-7-10-r100.

    Examples
    --------
    >>> import kithkin as kk, numpy as np, tempfile
    >>> labels = np.kron(np.eye(3, dtype=int), np.ones((6, 6), int)) * np.arange(1, 19)[:, None]
    >>> pixels = np.random.default_rng(0).random((2, 18, 18))
    >>> ds = kk.read_image(pixels, labels, to=tempfile.mkdtemp() + "/tissue.zarr")
    >>> features(ds, "shape").shape
    (18, 14)
    """
    target = Key.of(key, "obsm/features")
    wanted = [measures] if isinstance(measures, str) else list(measures)
    wanted = list(MEASURES) if wanted == ["all"] else wanted
    model = CellFeatures(wanted, n_levels=n_levels)
    parameters = {"measures": wanted, "n_levels": n_levels, "on": on, "masks": masks}
    outputs = key_, info = str(target), str(target.beside("uns"))

    def compute() -> dict[str, Any]:
        model.fit(ds.blocks(on), None if masks is None else ds.blocks(masks), ds.execution)
        shape: tuple[int, ...] = ds.blocks(on).shape
        n_channels = shape[1] if len(shape) > len(("cell", "y", "x")) else 1
        channels = channel_names(ds, n_channels)
        names = np.array(model.names(channels), dtype=object)
        said = {name: value for name, value in parameters.items() if value is not None and name != "measures"}
        return {key_: model.features_, info: {"names": names, "params": said | {"measures": ", ".join(wanted)}}}

    step = Step("features", 1, parameters, (on,) if masks is None else (on, masks), outputs)
    found = ds.results(step, compute, store=key is not None)
    return pd.DataFrame(found[key_], index=ds.obs_names, columns=[str(name) for name in found[info]["names"]])
