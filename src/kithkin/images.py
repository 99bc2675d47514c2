"""Images: thumbnails of cells, cut out of multiplexed images and read one by one.

Examples
--------
>>> from kithkin import images
>>> sorted(images.__all__)
['Thumbnails', 'cut', 'cut_tiles', 'open_thumbnails']
"""

from kithkin.door import guard
from kithkin.io.thumbnails.reader import Thumbnails, open_thumbnails
from kithkin.verbs.cut import cut, cut_tiles

__all__ = ["Thumbnails", "cut", "cut_tiles", "open_thumbnails"]


def __dir__() -> list[str]:
    return __all__


guard(globals())
