"""kithkin turns a large table of cells, images or rows into groups that a person can understand, out of core.

The public names are loaded on first use, so that `import kithkin` costs next to nothing.

Examples
--------
>>> import kithkin as kk
>>> "leiden" in dir(kk)
True
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kithkin import datasets, images, metrics, models, plot
    from kithkin.core.dataset import Dataset
    from kithkin.core.dataset import open_dataset as open
    from kithkin.core.errors import FormatError, KithkinError, MissingResultError, ParameterError
    from kithkin.demonstration import demo
    from kithkin.report.build import figures, summary
    from kithkin.verbs.animate import animate
    from kithkin.verbs.cluster import kmeans, leiden, paris
    from kithkin.verbs.compare import compare, relabel
    from kithkin.verbs.data import check, history, info, read
    from kithkin.verbs.deep import deep_clusters
    from kithkin.verbs.diffusion import diffusion_map, graph_score, pseudotime
    from kithkin.verbs.embed import umap
    from kithkin.verbs.explain import markers
    from kithkin.verbs.explanation import explain
    from kithkin.verbs.graph import neighbors
    from kithkin.verbs.image_embedding import image_embedding
    from kithkin.verbs.images import features, read_image
    from kithkin.verbs.labels import annotate
    from kithkin.verbs.mixture import count_mixture
    from kithkin.verbs.pipeline import run
    from kithkin.verbs.propagate import propagate, smooth
    from kithkin.verbs.quality import quality
    from kithkin.verbs.reduce import pca, variable_genes
    from kithkin.verbs.spatial import neighborhood_enrichment, spatial_neighbors
    from kithkin.verbs.split import merge_labels, split
    from kithkin.verbs.subset import subset
    from kithkin.verbs.topics import topics

__version__ = "0.1.0"

__all__ = [
    "Dataset",
    "FormatError",
    "KithkinError",
    "MissingResultError",
    "ParameterError",
    "animate",
    "annotate",
    "check",
    "compare",
    "count_mixture",
    "datasets",
    "deep_clusters",
    "demo",
    "diffusion_map",
    "explain",
    "features",
    "figures",
    "graph_score",
    "history",
    "image_embedding",
    "images",
    "info",
    "kmeans",
    "leiden",
    "markers",
    "merge_labels",
    "metrics",
    "models",
    "neighborhood_enrichment",
    "neighbors",
    "open",
    "paris",
    "pca",
    "plot",
    "propagate",
    "pseudotime",
    "quality",
    "read",
    "read_image",
    "relabel",
    "run",
    "smooth",
    "spatial_neighbors",
    "split",
    "subset",
    "summary",
    "topics",
    "umap",
    "variable_genes",
]

# Where each name lives: "module", or "module:name" for what is in it; the imports above say the same to a type checker.
_HOME = {
    "Dataset": "core.dataset:Dataset",
    "FormatError": "core.errors:FormatError",
    "KithkinError": "core.errors:KithkinError",
    "MissingResultError": "core.errors:MissingResultError",
    "ParameterError": "core.errors:ParameterError",
    "animate": "verbs.animate:animate",
    "annotate": "verbs.labels:annotate",
    "check": "verbs.data:check",
    "compare": "verbs.compare:compare",
    "count_mixture": "verbs.mixture:count_mixture",
    "datasets": "datasets",
    "deep_clusters": "verbs.deep:deep_clusters",
    "demo": "demonstration:demo",
    "diffusion_map": "verbs.diffusion:diffusion_map",
    "explain": "verbs.explanation:explain",
    "features": "verbs.images:features",
    "figures": "report.build:figures",
    "graph_score": "verbs.diffusion:graph_score",
    "history": "verbs.data:history",
    "image_embedding": "verbs.image_embedding:image_embedding",
    "images": "images",
    "info": "verbs.data:info",
    "kmeans": "verbs.cluster:kmeans",
    "leiden": "verbs.cluster:leiden",
    "markers": "verbs.explain:markers",
    "merge_labels": "verbs.split:merge_labels",
    "metrics": "metrics",
    "models": "models",
    "neighborhood_enrichment": "verbs.spatial:neighborhood_enrichment",
    "neighbors": "verbs.graph:neighbors",
    "open": "core.dataset:open_dataset",
    "paris": "verbs.cluster:paris",
    "pca": "verbs.reduce:pca",
    "plot": "plot",
    "propagate": "verbs.propagate:propagate",
    "pseudotime": "verbs.diffusion:pseudotime",
    "quality": "verbs.quality:quality",
    "read": "verbs.data:read",
    "read_image": "verbs.images:read_image",
    "relabel": "verbs.compare:relabel",
    "run": "verbs.pipeline:run",
    "smooth": "verbs.propagate:smooth",
    "spatial_neighbors": "verbs.spatial:spatial_neighbors",
    "split": "verbs.split:split",
    "subset": "verbs.subset:subset",
    "summary": "report.build:summary",
    "topics": "verbs.topics:topics",
    "umap": "verbs.embed:umap",
    "variable_genes": "verbs.reduce:variable_genes",
}


def __getattr__(name: str) -> Any:
    """Load a public name on its first use."""
    if name not in _HOME:
        raise AttributeError(f"module 'kithkin' has no attribute {name!r}")
    module, _, member = _HOME[name].partition(":")
    value = import_module(f"kithkin.{module}")
    globals()[name] = getattr(value, member) if member else value
    return globals()[name]


def __dir__() -> list[str]:
    return sorted(__all__)
