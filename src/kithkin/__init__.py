"""kithkin turns a large table of cells, images or rows into groups that a person can understand, out of core.

The public names are listed once, in `__init__.pyi`, and loaded on first use.

Examples
--------
>>> import kithkin as kk
>>> "leiden" in dir(kk)
True
"""

from kithkin.door import open_door

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = open_door(__name__, __file__)
