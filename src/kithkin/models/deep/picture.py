"""Picture of an embedding for event files: points in the colours of their clusters, drawn by NumPy alone."""

from __future__ import annotations

from colorsys import hsv_to_rgb

import numpy as np

from kithkin.core.blocks import Array
from kithkin.models.deep.snapshots import align_maps

SIDE, MARGIN, RADIUS = 480, 16, 3  # pixels
TURN = 0.381966  # golden section of the circle of hues: neighbours in number are far apart in colour


def draw_embedding(embedding: Array, labels: Array) -> Array:
    """Draw the two leading principal components of an embedding, rows x d, as a picture of 480 x 480 x 3 uint8.

    Each row is a disc in the colour of its label, a whole number from 0 on; the background is white.
    """
    places = align_maps([embedding])[0].astype(np.float64)
    low, span = places.min(0), max(float(np.ptp(places, axis=0).max()), 1e-12)
    pixels = MARGIN + np.rint((places - low) / span * (SIDE - 1 - 2 * MARGIN)).astype(int)
    colors = np.array([hsv_to_rgb(k * TURN % 1.0, 0.75, 0.85) for k in range(int(labels.max(initial=0)) + 1)])
    picture = np.full((SIDE, SIDE, 3), 255, np.uint8)
    steps = np.arange(-RADIUS, RADIUS + 1)
    for down in steps:
        for right in steps[steps**2 + down**2 <= RADIUS**2]:
            picture[pixels[:, 1] + down, pixels[:, 0] + right] = np.rint(255 * colors[labels])
    return picture
