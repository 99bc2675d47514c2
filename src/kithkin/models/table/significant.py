"""Significant bits of numbers: of those that a system's functions give, the last ones are a processor's own."""

from __future__ import annotations

import numpy as np

from kithkin.core.blocks import Array


def significant(values: Array, bits: int) -> Array:
    """Round each number to so many significant bits; 30 are nine digits. What is not finite stays.

    Logarithms, powers and distribution functions of NumPy and SciPy differ in the last of 53 bits between processors.

    Examples
    --------
    >>> significant(np.array([0.1, -100.1, np.inf]), 3).tolist()
    [0.09375, -96.0, inf]
    """
    fractions, exponents = np.frexp(values)
    rounded: Array = np.ldexp(np.rint(np.ldexp(fractions, bits)), exponents - bits)
    return rounded
