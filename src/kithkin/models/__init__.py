"""Every algorithm as an estimator over arrays, sparse matrices, graphs or row blocks: fit, predict, transform.

Examples
--------
>>> from kithkin import models
>>> models.KMeans(3).n_clusters
3
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
