"""Features of cells: shape, intensity, texture, granularity, radial distribution and correlation of channels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np

from kithkin.core.blocks import Array
from kithkin.core.errors import check, check_range
from kithkin.core.execute import Execution, map_blocks
from kithkin.kernels import regions, texture
from kithkin.models.estimator import Estimator
from kithkin.models.images.pixels import Images

MEASURES = ("shape", "intensity", "texture", "granularity", "radial", "correlation")
SHAPES: tuple[str, ...] = regions.SHAPES
HUGE = 1e70  # of larger values the fourth powers are not finite
CAST = 1 << 19  # values that are float64 at a time


class CellFeatures(Estimator):
    """Features of cells from their thumbnails and masks.

    Shape, in pixels, as scikit-image's regionprops defines it (area, area_convex, eccentricity, orientation, ...), and
    form_factor 4 pi area / perimeter^2, radius_max and radius_mean, the largest and mean distance to the outside.
    For each channel, of the pixels in the mask: mean, standard deviation, extremes, percentiles, and the distance of
    the intensity's centre from the centroid; Haralick's 13 features (logarithms to base 2) of the grey levels of all
    neighbouring pairs, the cell's quantiles 0.01 to 0.99 cut into levels; the percentage of the intensity above the
    cell's minimum that openings of radius 1, 2, ... take one after the other; in rings from the centroid to the edge
    the share of the intensity, its density, and its variation between eight wedges. For each pair of channels
    Pearson's correlation.

    Parameters
    ----------
    measures
        Any of "shape", "intensity", "texture", "granularity", "radial", "correlation".
    n_levels
        Number of grey levels for the texture, 2 to 256.
    n_scales
        Number of radii of the granularity, which are 1 to n_scales pixels.
    n_rings
        Number of rings between centroid and edge.

    Attributes
    ----------
    features_
        n x k, float32; no value is missing: those of an empty mask are 0 (densities 1).

    Raises
    ------
    ParameterError
        If a measure is unknown, or a number out of range.

    References
    ----------
    Haralick, Shanmugam and Dinstein 1973, doi:10.1109/TSMC.1973.4309314. Carpenter et al. 2006,
    doi:10.1186/gb-2006-7-10-r100 (granularity, radial distribution). Benkrid and Crookes 2000 (perimeter).

    Examples
    --------
    >>> pixels = np.random.default_rng(0).random((5, 2, 9, 9))
    >>> model = CellFeatures(["shape", "correlation"]).fit(pixels, np.ones((5, 9, 9), bool))
    >>> model.features_.shape, model.names(["DNA", "CD3"])[0], model.names(["DNA", "CD3"])[-1]
    ((5, 15), 'area', 'correlation_DNA_CD3')
    """

    def __init__(
        self, measures: Iterable[str] = MEASURES, *, n_levels: int = 16, n_scales: int = 5, n_rings: int = 4
    ) -> None:
        self.measures, self.n_levels, self.n_scales, self.n_rings = measures, n_levels, n_scales, n_rings

    def _checked_measures(self) -> list[str]:
        given = [self.measures] if isinstance(self.measures, str) else list(self.measures)
        unknown = [name for name in given if name not in MEASURES]
        check(bool(given) and not unknown, f"measures must be of {', '.join(MEASURES)}, got {', '.join(unknown)}")
        check_range("n_levels", self.n_levels, 2, 256)
        check_range("n_scales", self.n_scales, 1, 64)
        check_range("n_rings", self.n_rings, 1, 64)
        return [name for name in MEASURES if name in given]

    def fit(self, pixels: Any, masks: Any = None, execution: Execution | None = None) -> CellFeatures:
        """Measure all cells, block by block.

        Parameters
        ----------
        pixels
            n x channels x rows x columns: an array, or row blocks of one.
        masks
            n x rows x columns of bool, likewise; None: all pixels belong to the cell.
        execution
            Threads and executor.

        Raises
        ------
        ParameterError
            If pixels and masks do not fit together.
        """
        chosen, cells = self._checked_measures(), Images(pixels, masks)
        measure = partial(
            measure_block, chosen=chosen, n_levels=self.n_levels, n_scales=self.n_scales, n_rings=self.n_rings
        )
        parts = list(map_blocks(measure, cells, execution, "features"))
        width = len(self.names([""] * cells.shape[1]))
        self.features_ = np.concatenate(parts) if parts else np.zeros((0, width), np.float32)
        return self

    def names(self, channels: Sequence[str]) -> list[str]:
        """Return the names of the features, in order, for channels of these names.

        Examples
        --------
        >>> CellFeatures(["granularity"], n_scales=2).names(["DNA"])
        ['DNA_granularity_1', 'DNA_granularity_2']
        """
        scales = [f"granularity_{k + 1}" for k in range(self.n_scales)]
        rings = [f"radial_{what}_{k + 1}" for k in range(self.n_rings) for what in ("share", "density", "variation")]
        each = {"intensity": regions.INTENSITIES, "texture": texture.HARALICK, "granularity": scales, "radial": rings}
        names: list[str] = []
        for measure in self._checked_measures():
            if measure == "shape":
                names += SHAPES
            elif measure == "correlation":
                names += [f"correlation_{a}_{b}" for k, a in enumerate(channels) for b in channels[k + 1 :]]
            else:
                names += [f"{channel}_{name}" for channel in channels for name in each[measure]]
        return names


def measure_shapes(masks: Array, start: int = 0) -> Array:  # noqa: ARG001  (map_blocks gives it)
    """Measure the shapes of cells, named by SHAPES: n x 14 float64, from masks, n x rows x columns of bool."""
    out = np.empty((len(masks), len(SHAPES)))
    regions.shapes(np.ascontiguousarray(masks, dtype=np.bool_), out)
    return out


def measure_block(
    block: tuple[Array, Array | None], _start: int, chosen: Sequence[str], n_levels: int, n_scales: int, n_rings: int
) -> Array:
    """Measure a block of cells, a few in float64 at a time."""
    everything = []
    step = max(1, CAST // max(1, int(np.prod(block[0].shape[1:]))))
    for first in range(0, len(block[0]), step):
        pixels = np.ascontiguousarray(block[0][first : first + step], np.float64)
        n, channels, height, width = pixels.shape
        masks = np.ones((n, height, width), np.bool_)
        if block[1] is not None:
            masks = np.ascontiguousarray(block[1][first : first + step])
        if block[0].dtype.kind == "f":
            measurable = (np.abs(pixels) < HUGE) | ~masks[:, None]
            check(bool(measurable.all()), f"thumbnails must be finite and below {HUGE:g} within the cells")
        parts = []
        if "shape" in chosen:
            parts.append(measure_shapes(masks))
        if "intensity" in chosen or "texture" in chosen:
            intensities, limits = np.empty((n, channels, len(regions.INTENSITIES))), np.empty((n, channels, 2))
            regions.intensities(pixels, masks, intensities, limits)
            parts += [intensities] * ("intensity" in chosen)
        if "texture" in chosen:
            parts.append(np.empty((n, channels, len(texture.HARALICK))))
            texture.textures(pixels, masks, limits, n_levels, parts[-1])
        if "granularity" in chosen:
            parts.append(np.empty((n, channels, n_scales)))
            texture.granularities(pixels, masks, parts[-1])
        if "radial" in chosen:
            parts.append(np.empty((n, channels, n_rings, 3)))
            regions.radial(pixels, masks, parts[-1])
        if "correlation" in chosen:
            parts.append(np.empty((n, channels * (channels - 1) // 2)))
            regions.correlations(pixels, masks, parts[-1])
        everything.append(np.concatenate([part.reshape(n, -1) for part in parts], axis=1, dtype=np.float32))
    return np.concatenate(everything)
