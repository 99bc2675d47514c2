"""Every path that kithkin writes into a dataset, and the verb that makes it."""

from __future__ import annotations

from fnmatch import fnmatch

from kithkin.core.errors import ParameterError

PLACES = ("X", "layers", "obs", "var", "obsm", "varm", "obsp", "varp", "uns", "raw")

# columns of var in which the formats of the field keep gene symbols, when the index holds other names
SYMBOLS = ("symbol", "gene_symbol", "gene_symbols", "gene_name", "gene_names", "feature_name")

MADE_BY = {
    "obs/n_counts": "quality(ds)",
    "obs/n_genes": "quality(ds)",
    "obs/pct_*": "quality(ds)",
    "var/n_cells": "quality(ds)",
    "var/mean_counts": "quality(ds)",
    "var/highly_variable": "variable_genes(ds)",
    "obsm/X_pca": "pca(ds)",
    "varm/PCs": "pca(ds)",
    "uns/pca": "pca(ds)",
    "obsp/distances": "neighbors(ds)",
    "obsp/connectivities": "neighbors(ds)",
    "uns/neighbors": "neighbors(ds)",
    "obsm/X_umap": "umap(ds)",
    "uns/umap": "umap(ds)",
    "obs/leiden": "leiden(ds)",
    "uns/leiden": "leiden(ds)",
    "obs/kmeans": "kmeans(ds)",
    "uns/kmeans": "kmeans(ds)",
    "uns/rank_genes_groups": "markers(ds)",
    "obsm/topics": "topics(ds)",
    "varm/topics": "topics(ds)",
    "obs/topics": "topics(ds)",
    "obs/topics_entropy": "topics(ds)",
    "uns/topics": "topics(ds)",
    "obs/paris": "paris(ds)",
    "uns/paris": "paris(ds)",
    "uns/paris_tree*": "paris(ds)",
    "obs/cluster_label": "relabel(ds)",
    "obs/mixture": "count_mixture(ds)",
    "obsm/mixture_probability": "count_mixture(ds)",
    "varm/mixture_*": "count_mixture(ds)",
    "uns/mixture": "count_mixture(ds)",
    "obsm/propagated": "propagate(ds)",
    "obs/propagated*": "propagate(ds)",
    "uns/propagated": "propagate(ds)",
    "obsm/smoothed": "smooth(ds)",
    "obsm/X_diffmap": "diffusion_map(ds)",
    "uns/diffmap_evals": "diffusion_map(ds)",
    "obs/pseudotime": "pseudotime(ds)",
    "uns/graph_score": "graph_score(ds)",
    "obsm/features": "features(ds)",
    "obsp/spatial_*": "spatial_neighbors(ds)",
    "uns/*_nhood_enrichment": "neighborhood_enrichment(ds)",
    "obs/deep": "deep_clusters(ds)",
    "obsm/deep_probability": "deep_clusters(ds)",
    "obsm/X_deep": "deep_clusters(ds)",
    "layers/gates": "deep_clusters(ds)",
    "varm/deep_gates": "deep_clusters(ds)",
    "uns/deep": "deep_clusters(ds)",
    "uns/*_explanation": "explain(ds)",
    "obsm/thumbnails": "read_image(image, mask, to=...)",
    "obsm/masks": "read_image(image, mask, to=...)",
    "obsm/X_image": "image_embedding(ds)",
    "uns/X_image": "image_embedding(ds)",
    "varm/*_gates": "explain(ds)",
    "uns/*_gates": "explain(ds)",
}


def made_by(key: str) -> str | None:
    """The call that writes a key, or None where kithkin writes no such key.

    Examples
    --------
    >>> made_by("obsm/X_umap"), made_by("obs/age")
    ('umap(ds)', None)
    """
    return next((call for pattern, call in MADE_BY.items() if fnmatch(key, pattern)), None)


def split_key(key: str) -> tuple[str, str]:
    """The place and the name of a key.

    Raises
    ------
    ParameterError
        If the key does not begin with one of AnnData's places, or names a place above or outside it.

    Examples
    --------
    >>> split_key("obsm/X_pca"), split_key("X")
    (('obsm', 'X_pca'), ('X', ''))
    """
    place, _, name = key.partition("/")
    parts = name.split("/")
    bad = (
        place not in PLACES
        or (place == "X") != (name == "")
        or key == "X/"
        or any(part in (".", "..") for part in parts)
    )
    if bad or (name and "" in parts):
        raise ParameterError(f"key must look like 'obsm/X_pca' or 'obs/leiden', got {key!r}")
    return place, name


def column_key(key: str, place: str = "obs") -> str:
    """The key with its place put in front if it has none: "leiden" is "obs/leiden".

    Raises
    ------
    ParameterError
        If the key names another place.

    Examples
    --------
    >>> column_key("leiden"), column_key("obs/leiden")
    ('obs/leiden', 'obs/leiden')
    """
    given, slash, _ = key.partition("/")
    if not slash or given not in PLACES:
        return f"{place}/{key}"
    if given != place:
        raise ParameterError(f"key must lie in {place}, such as '{place}/{key.rpartition('/')[2]}', got {key!r}")
    return key
