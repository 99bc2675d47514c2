"""Figures of what is in a dataset. They read results and never make any.

Every function returns a matplotlib Figure without touching matplotlib's global state: save it with `.savefig(path)`; a
notebook displays it. matplotlib is imported with the first figure. The animations are the exception: they write a file.

Examples
--------
>>> from kithkin import plot
>>> sorted(plot.__all__)  # doctest: +NORMALIZE_WHITESPACE
['animate', 'animate_order', 'animate_partitions', 'animate_propagation', 'animate_training',
'categorical', 'cells', 'cluster_tree', 'contingency', 'count_fit', 'dotplot', 'elbow', 'faces', 'gallery',
'gates', 'group_colors', 'heatmap', 'latent', 'mean_image', 'mixing', 'quality', 'sankey', 'scatter', 'structure',
'training', 'violin']
"""

from kithkin.door import open_door

SCANPY = {  # names of scanpy's figures, and ours
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

INSTEAD = {theirs: f"use kithkin.plot.{ours}" for theirs, ours in SCANPY.items()}

__getattr__, __dir__, __all__ = open_door(__name__, __file__, INSTEAD)
