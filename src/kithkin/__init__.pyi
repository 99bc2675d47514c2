from . import datasets, images, metrics, models, plot
from .core.dataset import Dataset, open
from .core.errors import FormatError, KithkinError, MissingResultError, ParameterError
from .demonstration import demo
from .reports.build import report
from .reports.figures import figures
from .reports.summary import summary
from .verbs.animate import animate
from .verbs.annotate import annotate
from .verbs.append import append
from .verbs.apply import apply
from .verbs.card import card
from .verbs.cell_cycle import cell_cycle
from .verbs.compare import compare
from .verbs.composition import composition
from .verbs.contrast import contrast
from .verbs.count_mixture import count_mixture
from .verbs.deep_clusters import deep_clusters
from .verbs.describe import describe
from .verbs.diffusion_map import diffusion_map
from .verbs.doublets import doublets
from .verbs.enrich import enrich
from .verbs.explain import explain
from .verbs.export import export
from .verbs.features import features
from .verbs.graph_score import graph_score
from .verbs.harmonize import harmonize
from .verbs.image_embedding import image_embedding
from .verbs.inspect import check, history, info
from .verbs.kmeans import kmeans
from .verbs.latent import latent
from .verbs.latent_clusters import latent_clusters
from .verbs.leiden import leiden
from .verbs.map_to import map_to
from .verbs.markers import markers
from .verbs.means import means
from .verbs.merge_labels import merge_labels
from .verbs.mixing import mixing
from .verbs.neighborhood_enrichment import neighborhood_enrichment
from .verbs.neighbors import neighbors
from .verbs.paris import paris
from .verbs.pca import pca
from .verbs.propagate import propagate
from .verbs.pseudobulk import pseudobulk
from .verbs.pseudotime import pseudotime
from .verbs.publish import publish
from .verbs.quality import quality
from .verbs.read import read
from .verbs.read_image import read_image
from .verbs.reference import reference
from .verbs.relabel import relabel
from .verbs.run import run
from .verbs.scale import scale
from .verbs.score import score
from .verbs.smooth import smooth
from .verbs.spatial_neighbors import spatial_neighbors
from .verbs.split import split
from .verbs.subset import subset
from .verbs.support import support
from .verbs.topics import topics
from .verbs.umap import umap
from .verbs.variable_genes import variable_genes
from .verbs.verify import verify

__version__: str

__all__ = [
    "Dataset",
    "FormatError",
    "KithkinError",
    "MissingResultError",
    "ParameterError",
    "animate",
    "annotate",
    "append",
    "apply",
    "card",
    "cell_cycle",
    "check",
    "compare",
    "composition",
    "contrast",
    "count_mixture",
    "datasets",
    "deep_clusters",
    "demo",
    "describe",
    "diffusion_map",
    "doublets",
    "enrich",
    "explain",
    "export",
    "features",
    "figures",
    "graph_score",
    "harmonize",
    "history",
    "image_embedding",
    "images",
    "info",
    "kmeans",
    "latent",
    "latent_clusters",
    "leiden",
    "map_to",
    "markers",
    "means",
    "merge_labels",
    "metrics",
    "mixing",
    "models",
    "neighborhood_enrichment",
    "neighbors",
    "open",
    "paris",
    "pca",
    "plot",
    "propagate",
    "pseudobulk",
    "pseudotime",
    "publish",
    "quality",
    "read",
    "read_image",
    "reference",
    "relabel",
    "report",
    "run",
    "scale",
    "score",
    "smooth",
    "spatial_neighbors",
    "split",
    "subset",
    "summary",
    "support",
    "topics",
    "umap",
    "variable_genes",
    "verify",
]
