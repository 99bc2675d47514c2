"""Figures of what is in a dataset. They read results and never make any.

Every function returns a matplotlib Figure without touching matplotlib's global state: save it with `.savefig(path)`; a
notebook displays it. matplotlib is imported with the first figure. The animations are the exception: they write a file.

Examples
--------
>>> from kithkin import plot
>>> sorted(plot.__all__)  # doctest: +NORMALIZE_WHITESPACE
['animate', 'animate_order', 'animate_partitions', 'animate_propagation', 'animate_training',
'categorical', 'cells', 'cluster_tree', 'contingency', 'count_fit', 'dotplot', 'elbow', 'gallery',
'gates', 'group_colors', 'heatmap', 'latent', 'mean_image', 'quality', 'sankey', 'scatter', 'structure', 'training']
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
