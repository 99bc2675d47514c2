"""Probability of Hartigan's dip where values are drawn from a uniform distribution."""

from __future__ import annotations

import numpy as np

from kithkin.core.blocks import Array
from kithkin.kernels.dip import dip

SIZES = (4, 6, 10, 20, 50, 100, 200, 500, 1000, 2000, 10_000)
TAILS = (0.99, 0.95, 0.9, 0.7, 0.5, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01, 1e-3, 1e-4, 1e-5)
# quantiles of sqrt(n) times the dip, a row for each size; benchmarks/dip_table.py draws the sets
QUANTILES = (
    (0.2500, 0.2500, 0.2500, 0.2500, 0.2500, 0.2653, 0.3147, 0.3749, 0.4142, 0.4474, 0.4635, 0.4888, 0.4968, 0.4991),
    (0.2041, 0.2041, 0.2041, 0.2545, 0.3015, 0.3442, 0.3659, 0.3898, 0.4035, 0.4397, 0.4714, 0.5377, 0.5720, 0.5890),
    (0.1930, 0.2273, 0.2467, 0.2857, 0.3092, 0.3476, 0.3756, 0.4125, 0.4414, 0.4765, 0.5040, 0.5714, 0.6219, 0.6646),
    (0.2124, 0.2359, 0.2542, 0.2954, 0.3281, 0.3688, 0.3952, 0.4349, 0.4702, 0.5113, 0.5397, 0.6197, 0.6874, 0.7420),
    (0.2220, 0.2496, 0.2667, 0.3094, 0.3455, 0.3875, 0.4160, 0.4586, 0.4966, 0.5420, 0.5726, 0.6624, 0.7395, 0.8149),
    (0.2285, 0.2566, 0.2741, 0.3177, 0.3546, 0.3980, 0.4273, 0.4713, 0.5106, 0.5578, 0.5901, 0.6877, 0.7742, 0.8513),
    (0.2329, 0.2618, 0.2796, 0.3242, 0.3618, 0.4057, 0.4356, 0.4807, 0.5209, 0.5695, 0.6033, 0.7024, 0.7855, 0.8552),
    (0.2380, 0.2670, 0.2851, 0.3300, 0.3680, 0.4126, 0.4428, 0.4888, 0.5301, 0.5794, 0.6134, 0.7147, 0.8035, 0.8835),
    (0.2404, 0.2695, 0.2876, 0.3328, 0.3711, 0.4161, 0.4466, 0.4930, 0.5349, 0.5853, 0.6207, 0.7231, 0.8084, 0.8920),
    (0.2422, 0.2715, 0.2898, 0.3351, 0.3735, 0.4187, 0.4495, 0.4962, 0.5380, 0.5884, 0.6236, 0.7260, 0.8219, 0.8856),
    (0.2446, 0.2740, 0.2924, 0.3379, 0.3768, 0.4223, 0.4534, 0.5005, 0.5434, 0.5938, 0.6292, 0.7351, 0.8312, 0.9135),
)


def dip_pvalue(found: float, n: int) -> float:
    r"""Return the probability of a dip at least so large among n uniform values.

    :math:`\sqrt n D` is interpolated between sizes in :math:`1 / \sqrt n`; beyond the largest size it hardly changes.
    In the far tail :math:`\log p` is linear in :math:`n D^2`, since the limit is a functional of a Brownian bridge that
    scales with it.

    >>> round(dip_pvalue(0.0370, 200), 2), round(dip_pvalue(0.05, 200), 3), dip_pvalue(0.01, 200)
    (0.05, 0.001, 1.0)
    """
    if n < SIZES[0]:
        return 1.0
    inverse, table = 1 / np.sqrt(SIZES), np.array(QUANTILES)
    row = np.array([np.interp(1 / np.sqrt(n), inverse[::-1], column[::-1]) for column in table.T])
    squares, logs, own = row**2, np.log(TAILS), n * found**2
    if own <= squares[0]:
        return 1.0
    if own > squares[-1]:
        slope = (logs[-1] - logs[-3]) / (squares[-1] - squares[-3])
        return float(np.exp(logs[-1] + slope * (own - squares[-1])))
    return float(np.exp(np.interp(own, squares, logs)))


def dip_test(values: Array) -> tuple[float, float]:
    """Return the dip of values, which need no order, and its p.

    >>> two = np.concatenate([np.linspace(0, 1, 50), np.linspace(3, 4, 50)])
    >>> found, p = dip_test(two)
    >>> round(found, 2), bool(p < 1e-6), dip_test(np.linspace(0, 1, 100))[1]
    (0.17, True, 1.0)
    """
    if len(values) < SIZES[0]:
        return 0.0, 1.0
    found = float(dip(np.sort(values).astype(np.float64)))
    return found, dip_pvalue(found, len(values))
