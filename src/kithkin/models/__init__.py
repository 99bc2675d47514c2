"""Every algorithm as an estimator over arrays, sparse matrices, graphs or row blocks: fit, predict, transform.

Examples
--------
>>> from kithkin import models
>>> models.KMeans(3).n_clusters
3
"""

from kithkin.door import open_door

__getattr__, __dir__, __all__ = open_door(__name__, __file__)
