"""Embedding of the thumbnails of cells."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np

from kithkin.core.blocks import Array
from kithkin.core.dataset import Dataset
from kithkin.core.errors import check, check_choice
from kithkin.core.history import Step
from kithkin.core.keys import Key
from kithkin.models.images.encoder import ImageEncoder
from kithkin.models.images.pca import ImagePCA
from kithkin.optional import need

METHODS = ("pca", "autoencoder")
MASKS = "obsm/masks"


def image_embedding(
    ds: Dataset,
    n_components: int = 32,
    *,
    method: Literal["pca", "autoencoder"] = "pca",
    masks: str | None = "auto",
    clip: float | None = 0.999,
    scale: bool = True,
    n_epochs: int | None = None,
    device: str | None = None,
    checkpoint: str | Path | None = None,
    on: str = "obsm/thumbnails",
    key: str | None = "obsm/X_image",
    seed: int = 0,
) -> Array:
    """Embed the thumbnails of cells by principal components, or by an autoencoder that ignores orientation.

    Parameters
    ----------
    ds
        The dataset.
    n_components
        Number of columns of the embedding.
    method
        "pca": of the pixels; the same cell in two directions is two cells. "autoencoder": a small
        convolutional network trained on turned and mirrored thumbnails (extra `deep`); two directions have nearly the
        same numbers, and quarter turns and mirror images the very same.
    masks
        Pixels that belong to each cell, n x rows x columns; others are hidden. "auto": obsm/masks if it is there.
        Without masks all pixels are seen.
    clip
        Quantile of the pixels of each channel at which they are clipped, so that hot pixels do not decide; the mirrored
        quantile becomes 0. Without one values stay as they are.
    scale
        Divide each channel by its standard deviation, so that a bright one does not decide.
    n_epochs
        Passes of the autoencoder over all cells; by default enough for about 1,000 steps.
    device
        Device of the autoencoder: "cpu" or "cuda"; by default a GPU if there is one.
    checkpoint
        File to which the training is saved, and from which an interrupted one goes on.
    on
        Thumbnails, n x channels x rows x columns.
    key
        Key under which the result is stored; without one it is only returned.
    seed
        Seed of the random numbers.

    Returns
    -------
    ndarray
        n x n_components, float32. Also stored: uns/X_image with how channels were scaled, the variance and its ratio of
        each component, or the history of the training.

    Raises
    ------
    MissingResultError
        If there are no thumbnails or masks.
    ParameterError
        If the method is unknown, n_components too large, a setting is of the other method, or the thumbnails hold NaN
        or are the same everywhere.
    KithkinError
        If torch is not installed, for "autoencoder".

    References
    ----------
    Turk and Pentland 1991, doi:10.1162/jocn.1991.3.1.71. Matsuo, Fukuhara and Shimada 2017,
    arXiv:1709.03754.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> labels = np.kron(np.arange(1, 17).reshape(4, 4), np.pad(np.ones((6, 6), int), 1))
    >>> pixels = np.random.default_rng(0).random((2, 32, 32))
    >>> ds = kk.read_image(pixels, labels, to=tempfile.mkdtemp() + "/tissue.zarr")
    >>> image_embedding(ds, 3).shape
    (16, 3)
    """
    check_choice("method", method, METHODS)
    plain = method == "autoencoder" or (n_epochs is None and device is None and checkpoint is None)
    check(plain, "n_epochs, device and checkpoint need method='autoencoder'")
    if method == "autoencoder":
        need("torch", "deep", "image_embedding(method='autoencoder')")
    target = Key.of(key, "obsm/X_image")
    key_, info_key = str(target), str(target.beside("uns"))
    hidden = (MASKS if MASKS in ds else None) if masks == "auto" else masks
    parameters = {"n_components": n_components, "method": method, "masks": hidden, "clip": clip, "scale": scale}
    parameters |= {"n_epochs": n_epochs, "on": on, "seed": seed}

    def compute() -> dict[str, Any]:
        blocks = ds.blocks(on), None if hidden is None else ds.blocks(hidden)
        given = {name: value for name, value in parameters.items() if value is not None}
        if method == "pca":
            linear = ImagePCA(n_components, clip=clip, scale=scale, seed=seed)
            embedding, scaling = linear.fit_transform(*blocks, ds.execution), linear.scale_
            info: dict[str, Any] = {"variance": linear.explained_variance_}
            info["variance_ratio"] = linear.explained_variance_ratio_
        else:
            model = ImageEncoder(
                n_components,
                n_epochs=n_epochs,
                clip=clip,
                scale=scale,
                device=device or "auto",
                checkpoint=checkpoint,
                seed=seed,
            )
            embedding, scaling = model.fit_transform(*blocks, ds.execution), model.scale_
            info = {"history": {name: np.array([row[name] for row in model.history_]) for name in model.history_[0]}}
        scales = {name: getattr(scaling, name) for name in ("low", "high", "deviation")}
        return {key_: embedding, info_key: {"scale": scales} | info | {"params": given}}

    step = Step("image_embedding", 1, parameters, (on,) if hidden is None else (on, hidden), (key_, info_key))
    return ds.result(step, compute, store=key is not None)  # type: ignore[no-any-return]
