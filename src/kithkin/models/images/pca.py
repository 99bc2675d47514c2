"""Principal components of the pixels of thumbnails."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from kithkin.core.blocks import Array
from kithkin.core.errors import check, check_range
from kithkin.core.execute import Execution, map_blocks
from kithkin.models.estimator import Estimator
from kithkin.models.images.pixels import Images, PixelScale
from kithkin.models.images.rows import Pixels
from kithkin.models.pca.pca import PCA

COVARIANCE = 1750  # pixels of all channels up to which the covariance fits the smallest budget


class ImagePCA(Estimator):
    """Principal components of the pixels of thumbnails.

    Every pixel of every channel is a column. Values of a channel are clipped at two of its quantiles and divided by
    their standard deviation, so that neither a bright channel nor a few hot pixels decide; pixels outside the masks are
    0. Up to 1,750 columns the covariance is computed, else block Lanczos finds the components in some ten passes, with
    the mean thumbnail subtracted on the fly: memory is some blocks and some hundred thumbnails. Turned cells are
    different cells here: see `ImageEncoder`.

    Parameters
    ----------
    n_components
        Number of components.
    clip
        Quantile at which the pixels of a channel are clipped; None: values as they are.
    scale
        Whether channels are divided by their standard deviation.
    seed
        Seed of the initial vectors of block Lanczos.

    Attributes
    ----------
    components_, mean_
        k x channels x rows x columns, orthonormal, and the mean thumbnail, both in scaled values.
    explained_variance_, explained_variance_ratio_, singular_values_
        As in PCA.
    scale_
        PixelScale: limits and divisor of each channel.

    References
    ----------
    Turk and Pentland 1991, doi:10.1162/jocn.1991.3.1.71.

    Examples
    --------
    >>> pixels = np.random.default_rng(0).random((20, 2, 5, 5))
    >>> model = ImagePCA(3).fit(pixels)
    >>> model.components_.shape, model.transform(pixels).shape
    ((3, 2, 5, 5), (20, 3))
    """

    components_: Array
    mean_: Array
    explained_variance_: Array
    explained_variance_ratio_: Array
    singular_values_: Array
    scale_: PixelScale

    def __init__(
        self, n_components: int = 32, *, clip: float | None = 0.999, scale: bool = True, seed: int = 0
    ) -> None:
        self.n_components, self.clip, self.scale, self.seed = n_components, clip, scale, seed

    def fit(self, pixels: Any, masks: Any = None, execution: Execution | None = None) -> Self:
        """Compute the components.

        Parameters
        ----------
        pixels
            n x channels x rows x columns, of any type of numbers: an array, or row blocks of one.
        masks
            n x rows x columns of bool, likewise; None: all pixels belong to the cell.
        execution
            Memory, threads and executor.

        Raises
        ------
        ParameterError
            If n_components is more than cells less one or pixels, or the thumbnails differ in fewer directions; if
            values are not finite, or all the same.
        """
        images = Images(pixels, masks)
        self.fitted_on_ = images.shape[1:]
        n, p = images.shape[0], int(np.prod(images.shape[1:]))
        check(n >= 2, f"thumbnails of two cells at least are needed, got {n}")
        check(isinstance(self.n_components, (int, np.integer)), f"n_components must be whole, got {self.n_components}")
        check_range("n_components", self.n_components, 1, min(n - 1, p))
        self.scale_ = PixelScale.of(images, self.clip, self.scale, execution)
        wide = p > COVARIANCE
        self._middle: Array | None = None
        if wide:
            total = sum(map_blocks(sum_rows, Pixels(images, self.scale_), execution, "mean"), start=np.zeros(p))
            self._middle = (total / n).astype(np.float32)
        method = "truncated" if wide else "covariance"
        model = PCA(self.n_components, normalize=None, method=method, seed=self.seed)
        model.fit(Pixels(images, self.scale_, mean=self._middle), execution=execution)
        rank = len(model.components_)
        check(rank == self.n_components, f"n_components must be at most {rank}: the thumbnails differ no further")
        self._pca = model
        self.components_ = model.components_.reshape(-1, *self.fitted_on_)
        self.mean_ = (model.mean_ if self._middle is None else self._middle).reshape(self.fitted_on_)
        for name in ("explained_variance_", "explained_variance_ratio_", "singular_values_"):
            setattr(self, name, getattr(model, name))
        return self

    def transform(self, pixels: Any, masks: Any = None, execution: Execution | None = None) -> Array:
        """Return the scores of thumbnails of the same size as in fit, n x k, float32.

        Raises
        ------
        ParameterError
            If they are of another size, or values are not finite.
        """
        images = Images(pixels, masks)
        sides, wanted = (" x ".join(map(str, shape)) for shape in (images.shape[1:], self.fitted_on_))
        check(sides == wanted, f"thumbnails must be {wanted} as in fit, got {sides}")
        return self._pca.transform(Pixels(images, self.scale_, mean=self._middle), execution=execution)

    def fit_transform(self, pixels: Any, masks: Any = None, execution: Execution | None = None) -> Array:
        """Compute the components, and return the scores of the same thumbnails."""
        return self.fit(pixels, masks, execution).transform(pixels, masks, execution)


def sum_rows(block: Array, _start: int) -> Array:
    """Sum the rows of a block."""
    total: Array = block.sum(axis=0, dtype=np.float64)
    return total
