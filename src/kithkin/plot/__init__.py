"""Figures of what is in a dataset. They read results and never make any.

Every function returns a matplotlib Figure without touching matplotlib's global state: save it with `.savefig(path)`; a
notebook displays it. matplotlib is imported with the first figure. The animations are the exception: they write a file.

Examples
--------
>>> from kithkin import plot
>>> sorted(plot.__all__)  # doctest: +NORMALIZE_WHITESPACE
['animate', 'animate_order', 'animate_partitions', 'animate_propagation', 'animate_training',
'categorical', 'cells', 'cluster_tree', 'contingency', 'count_fit', 'dotplot', 'elbow', 'gallery',
'gates', 'group_colors', 'heatmap', 'latent', 'mean_image', 'quality', 'sankey', 'scatter', 'structure', 'training',
'violin']
"""

from typing import Any

import lazy_loader

_load, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

SCANPY = {
    "umap": "scatter(ds, color=...), which draws obsm/X_umap",
    "tsne": 'scatter(ds, "obsm/X_tsne", color=...)',
    "pca": 'scatter(ds, "obsm/X_pca", color=...)',
    "diffmap": 'scatter(ds, "obsm/X_diffmap", color=...)',
    "embedding": 'scatter(ds, "obsm/...", color=...)',
    "spatial": 'scatter(ds, "obsm/spatial", color=...)',
    "pca_variance_ratio": "elbow(ds)",
    "highest_expr_genes": "quality(ds)",
    "rank_genes_groups": "dotplot(ds, by=...)",
    "rank_genes_groups_dotplot": "dotplot(ds, by=...)",
    "rank_genes_groups_heatmap": "heatmap(ds, by=...)",
    "matrixplot": "dotplot(ds, by=..., genes=...)",
    "stacked_violin": "violin(ds, [genes], by=...)",
    "dendrogram": "cluster_tree(ds, by=...)",
}


def __getattr__(name: str) -> Any:
    """Load a figure; of a name of scanpy say what it is called here."""
    if name in SCANPY:
        raise AttributeError(f"kithkin.plot has no {name}: use kithkin.plot.{SCANPY[name]}", name=name)
    return _load(name)
