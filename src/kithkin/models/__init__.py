"""Every algorithm as an estimator over arrays, sparse matrices, graphs or row blocks: fit, predict, transform.

Examples
--------
>>> from kithkin import models
>>> models.KMeans(3).n_clusters
3
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kithkin.models.autocorrelation import Autocorrelation
    from kithkin.models.cell_features import CellFeatures
    from kithkin.models.count_distribution import CountDistribution, fit_count_distribution
    from kithkin.models.count_expression import CountExpression, fit_given_labels
    from kithkin.models.count_mixture import CountMixture
    from kithkin.models.deep import GatedClustering
    from kithkin.models.deep_encoder import MixtureEncoder
    from kithkin.models.diffusion import DiffusionMap, diffusion_pseudotime
    from kithkin.models.image_encoder import ImageEncoder
    from kithkin.models.image_pca import ImagePCA
    from kithkin.models.kmeans import KMeans
    from kithkin.models.label_gates import LabelGates
    from kithkin.models.leiden import Leiden
    from kithkin.models.markers import Markers
    from kithkin.models.neighbors import Neighbors
    from kithkin.models.paris import Paris
    from kithkin.models.pca import PCA
    from kithkin.models.propagation import Propagation
    from kithkin.models.quality import Quality
    from kithkin.models.selection import Selection
    from kithkin.models.spatial import NeighborhoodEnrichment, SpatialNeighbors
    from kithkin.models.topics import Topics
    from kithkin.models.umap import UMAP
    from kithkin.models.variable_genes import VariableGenes

__all__ = [
    "PCA",
    "UMAP",
    "Autocorrelation",
    "CellFeatures",
    "CountDistribution",
    "CountExpression",
    "CountMixture",
    "DiffusionMap",
    "GatedClustering",
    "ImageEncoder",
    "ImagePCA",
    "KMeans",
    "LabelGates",
    "Leiden",
    "Markers",
    "MixtureEncoder",
    "NeighborhoodEnrichment",
    "Neighbors",
    "Paris",
    "Propagation",
    "Quality",
    "Selection",
    "SpatialNeighbors",
    "Topics",
    "VariableGenes",
    "diffusion_pseudotime",
    "fit_count_distribution",
    "fit_given_labels",
]

_HOME = {
    "Autocorrelation": "autocorrelation",
    "CellFeatures": "cell_features",
    "CountDistribution": "count_distribution",
    "CountExpression": "count_expression",
    "CountMixture": "count_mixture",
    "fit_count_distribution": "count_distribution",
    "fit_given_labels": "count_expression",
    "DiffusionMap": "diffusion",
    "diffusion_pseudotime": "diffusion",
    "GatedClustering": "deep",
    "ImageEncoder": "image_encoder",
    "ImagePCA": "image_pca",
    "KMeans": "kmeans",
    "LabelGates": "label_gates",
    "Leiden": "leiden",
    "Markers": "markers",
    "MixtureEncoder": "deep_encoder",
    "NeighborhoodEnrichment": "spatial",
    "Neighbors": "neighbors",
    "PCA": "pca",
    "Paris": "paris",
    "Propagation": "propagation",
    "Quality": "quality",
    "Selection": "selection",
    "SpatialNeighbors": "spatial",
    "Topics": "topics",
    "UMAP": "umap",
    "VariableGenes": "variable_genes",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
