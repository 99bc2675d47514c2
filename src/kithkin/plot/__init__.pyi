from .animation.animate import animate
from .animation.stories import animate_order, animate_partitions, animate_propagation
from .animation.training import animate_training
from .diagnostics.count_fit import count_fit
from .diagnostics.elbow import elbow
from .diagnostics.mixing import mixing
from .diagnostics.quality import quality
from .diagnostics.reliability import reliability
from .diagnostics.training import training
from .diagnostics.violin import violin
from .explanation.faces import faces
from .explanation.gates import gates
from .expression.dotplot import dotplot
from .expression.enrichment import enrichment
from .expression.heatmap import heatmap
from .expression.latent import latent
from .expression.structure import structure
from .expression.volcano import volcano
from .images.cells import cells
from .images.gallery import gallery
from .images.mean_image import mean_image
from .look.palette import categorical, group_colors
from .partitions.composition import composition
from .partitions.contingency import contingency
from .partitions.correlation import correlation
from .partitions.sankey import sankey
from .points.scatter import scatter
from .trees.cluster_tree import cluster_tree

__all__ = [
    "animate",
    "animate_order",
    "animate_partitions",
    "animate_propagation",
    "animate_training",
    "categorical",
    "cells",
    "cluster_tree",
    "composition",
    "contingency",
    "correlation",
    "count_fit",
    "dotplot",
    "elbow",
    "enrichment",
    "faces",
    "gallery",
    "gates",
    "group_colors",
    "heatmap",
    "latent",
    "mean_image",
    "mixing",
    "quality",
    "reliability",
    "sankey",
    "scatter",
    "structure",
    "training",
    "violin",
    "volcano",
]
