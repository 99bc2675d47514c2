"""Quality of a partition, an embedding, a hierarchy or an explanation: arrays in, numbers out.

Examples
--------
>>> from kithkin import metrics
>>> metrics.partition.adjusted_rand(metrics.partition.contingency([0, 0, 1], [1, 1, 0]))
1.0
"""

from kithkin.door import open_door

__getattr__, __dir__, __all__ = open_door(__name__, __file__)
