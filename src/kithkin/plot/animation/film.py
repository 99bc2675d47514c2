"""Properties that all frames of a file share."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from kithkin.core.blocks import Array


@dataclass(frozen=True)
class Film:
    """Palette, size and speed of a film, which all its frames share."""

    palette: Array  # 256 x 3 uint8
    size: tuple[int, int]  # width and height
    n_frames: int
    fps: float
    loop: bool = True
    title: str = ""  # of a page

    @property
    def rate(self) -> Fraction:
        """Frames per second as a fraction of numbers below 65,536, which every format can store."""
        return Fraction(self.fps).limit_denominator(500)
