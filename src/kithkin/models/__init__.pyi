from .autocorrelation import Autocorrelation
from .deep.config import DeepConfig
from .deep.gated_clustering import GatedClustering
from .diffusion import DiffusionMap, diffusion_pseudotime
from .doublets.doublets import Doublets
from .gates.card import Card
from .gates.label_gates import LabelGates
from .gates.scorecard import Scorecard
from .harmony.harmony import Harmony
from .images.encoder import ImageEncoder
from .images.features import CellFeatures
from .images.pca import ImagePCA
from .kmeans import KMeans
from .latent.count_gmvae import CountGMVAE
from .latent.count_vae import CountVAE
from .leiden import Leiden
from .markers.markers import Markers
from .mixture.count_mixture import CountMixture
from .mixture.distribution import CountDistribution, fit_count_distribution
from .mixture.encoder import MixtureEncoder
from .mixture.expression import CountExpression, fit_given_labels
from .neighbors.neighbors import Neighbors
from .paris.paris import Paris
from .pca.pca import PCA
from .propagation.propagation import Propagation
from .quality import Quality
from .samples.composition import Composition
from .samples.deseq import DESeq
from .samples.pseudobulk import Pseudobulk
from .sets.set_enrichment import SetEnrichment
from .sets.set_scores import SetScores
from .spatial import NeighborhoodEnrichment, SpatialNeighbors
from .support.faces.faces import Face, Faces
from .support.support import Support
from .support.value_support import ValueSupport
from .table.scaler import Scaler
from .table.selection import Selection
from .topics.topics import Topics
from .umap import UMAP
from .variable_genes import VariableGenes

__all__ = [
    "PCA",
    "UMAP",
    "Autocorrelation",
    "Card",
    "CellFeatures",
    "Composition",
    "CountDistribution",
    "CountExpression",
    "CountGMVAE",
    "CountMixture",
    "CountVAE",
    "DESeq",
    "DeepConfig",
    "DiffusionMap",
    "Doublets",
    "Face",
    "Faces",
    "GatedClustering",
    "Harmony",
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
    "Pseudobulk",
    "Quality",
    "Scaler",
    "Scorecard",
    "Selection",
    "SetEnrichment",
    "SetScores",
    "SpatialNeighbors",
    "Support",
    "Topics",
    "ValueSupport",
    "VariableGenes",
    "diffusion_pseudotime",
    "fit_count_distribution",
    "fit_given_labels",
]
