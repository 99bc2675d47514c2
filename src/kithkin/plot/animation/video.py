"""Videos, by the encoders that PyAV carries."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kithkin.core.blocks import Array
from kithkin.optional import need

if TYPE_CHECKING:
    from kithkin.plot.animation.film import Film

# the fastest presets that still predict well; colours are the data here, so they are kept better than is usual
CODECS: dict[str, tuple[str, dict[str, str]]] = {
    ".mp4": ("libx264", {"preset": "veryfast", "crf": "18", "x264-params": "chroma-qp-offset=-6"}),
    ".webm": ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "7", "crf": "16", "b": "0"}),
}


class Video:
    """MP4 (H.264) or WebM (VP9) by the encoders that PyAV carries; one thread, so that the file is always the same.

    The ending of the path chooses the format; the stack closes the file.

    Raises
    ------
    KithkinError
        If PyAV is not installed.
    """

    def __init__(self, path: Path, film: Film, stack: ExitStack) -> None:
        av = need("av", "video", "an animation in .mp4 or .webm")
        codec, options = CODECS[path.suffix]
        self.av, self.film = av, film
        fast_start = {"movflags": "faststart"} if path.suffix == ".mp4" else {}
        self.container = stack.enter_context(av.open(str(path), "w", format=path.suffix[1:], options=fast_start))
        self.stream = self.container.add_stream(codec, rate=film.rate, options=options)
        self.stream.width, self.stream.height = film.size
        self.stream.pix_fmt = "yuv420p"
        context = self.stream.codec_context
        context.thread_count = 1
        # BT.709 in 16..235, said in the file: players guess otherwise, by the height of the picture
        context.colorspace = context.color_primaries = context.color_trc = 1
        context.color_range = 1
        self.lights = luma_chroma(film.palette)

    def add(self, frame: Array) -> None:
        """Encode a frame."""
        picture = self.av.VideoFrame.from_ndarray(planes(frame, self.lights), format="yuv420p")
        picture.colorspace, picture.color_range = 1, 1
        self.container.mux(self.stream.encode(picture))

    def close(self) -> None:
        """Encode what the encoder still holds."""
        self.container.mux(self.stream.encode(None))


def luma_chroma(palette: Array) -> tuple[Array, Array, Array]:
    """Return brightness and the two colour differences of each colour, by BT.709 in 16..235 and 16..240."""
    red, green, blue = palette.T / 255.0
    light = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    parts = 16 + 219 * light, 128 + 112 * (blue - light) / (1 - 0.0722), 128 + 112 * (red - light) / (1 - 0.2126)
    y, u, v = (np.rint(part).astype(np.uint8) for part in parts)
    return y, u, v


def planes(frame: Array, lights: tuple[Array, Array, Array]) -> Array:
    """Turn a frame into the planes of YUV 4:2:0, one below the other: colours are the means of two by two pixels."""
    height, width = frame.shape
    out = np.empty(height * width * 3 // 2, np.uint8)
    out[: height * width] = lights[0][frame].ravel()
    corners = [frame[i::2, j::2] for i in (0, 1) for j in (0, 1)]
    for k, light in enumerate(lights[1:]):
        wide = light.astype(np.uint16)
        total = sum((wide[corner] for corner in corners), np.uint16(2)) >> 2
        start = height * width * (4 + k) // 4
        out[start : start + height * width // 4] = total.ravel()
    return out.reshape(height * 3 // 2, width)
