"""Keys of a dataset's elements, and the verb that writes each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Any

from kithkin.core.errors import KeyFormError, check
from kithkin.core.suggest import did_you_mean

PLACES = ("X", "layers", "obs", "var", "obsm", "varm", "obsp", "varp", "uns", "raw")

# place -> example of a key in it, for messages
USUAL = {"obs": "obs/leiden", "var": "var/highly_variable", "obsm": "obsm/X_pca", "uns": "uns/pca"}

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
    "obsm/X_harmony": "harmonize(ds, batch)",
    "uns/X_harmony": "harmonize(ds, batch)",
    "uns/mixing": "mixing(ds, batch)",
    "obs/mapped*": "map_to(ds, reference)",
    "obsm/X_mapped*": "map_to(ds, reference)",
    "uns/mapped": "map_to(ds, reference)",
    "obsp/distances": "neighbors(ds)",
    "obsp/connectivities": "neighbors(ds)",
    "uns/neighbors": "neighbors(ds)",
    "obsm/X_umap": "umap(ds)",
    "uns/umap": "umap(ds)",
    "obs/doublet": "doublets(ds)",
    "obs/doublet_*": "doublets(ds)",
    "uns/doublet": "doublets(ds)",
    "obs/leiden": "leiden(ds)",
    "uns/leiden": "leiden(ds)",
    "obsm/X_scaled": "scale(ds)",
    "uns/scaled": "scale(ds)",
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
    "obsm/mixture_calibrated": "count_mixture(ds, calibrate=True)",
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
    "obsm/scores": "score(ds)",
    "obs/scores": "score(ds)",
    "uns/scores": "score(ds)",
    "obs/phase": "cell_cycle(ds)",
    "obs/*S_score": "cell_cycle(ds)",
    "obs/*G2M_score": "cell_cycle(ds)",
    "uns/support": "support(ds)",
    "obs/support": "support(ds)",
    "uns/*_card": "card(ds, by)",
    "obs/card*": "apply(ds, card)",
    "uns/card": "apply(ds, card)",
    "obsm/features": "features(ds)",
    "obsp/spatial_*": "spatial_neighbors(ds)",
    "uns/*_nhood_enrichment": "neighborhood_enrichment(ds)",
    "uns/*_enrichment": "enrich(ds)",
    "obs/deep": "deep_clusters(ds)",
    "obsm/deep_probability": "deep_clusters(ds)",
    "obsm/X_deep": "deep_clusters(ds)",
    "layers/gates": "deep_clusters(ds)",
    "layers/by_gene": "publish(ds, to=...)",
    "varm/deep_gates": "deep_clusters(ds)",
    "uns/deep": "deep_clusters(ds)",
    "obsm/X_latent": "latent(ds)",
    "uns/X_latent": "latent(ds)",
    "obs/latent": "latent_clusters(ds)",
    "obsm/latent_probability": "latent_clusters(ds)",
    "obsm/latent_embedding": "latent_clusters(ds)",
    "varm/latent_log_mean": "latent_clusters(ds)",
    "uns/latent": "latent_clusters(ds)",
    "uns/contrast": "contrast(ds)",
    "uns/composition": "composition(ds)",
    "uns/*_explanation": "explain(ds)",
    "uns/*_faces": "explain(ds)",
    "obsm/thumbnails": "read_image(image, mask, to=...)",
    "obsm/masks": "read_image(image, mask, to=...)",
    "obsm/X_image": "image_embedding(ds)",
    "uns/X_image": "image_embedding(ds)",
    "varm/*_gates": "explain(ds)",
    "uns/*_gates": "explain(ds)",
}


def made_by(key: str) -> str | None:
    """Return the call that writes a key, or None where kithkin writes no such key."""
    return next((call for pattern, call in MADE_BY.items() if fnmatch(key, pattern)), None)


@dataclass(frozen=True, order=True, slots=True)
class Key:
    """Path of an element in a dataset: one of AnnData's places, and a name within it.

    Attributes
    ----------
    place
        "X", "layers", "obs", "var", "obsm", "varm", "obsp", "varp", "uns" or "raw".
    name
        Name of the element, or "" where the place is X.

    Examples
    --------
    >>> key = Key.parse("obsm/X_pca")
    >>> key.name, str(key.beside("uns", "_model"))
    ('X_pca', 'uns/X_pca_model')
    """

    place: str
    name: str = ""

    def __post_init__(self) -> None:
        bad = self.place not in PLACES or (self.place == "X") != (self.name == "")
        if bad or (self.name and {"", ".", ".."} & set(self.name.split("/"))):
            shown = f"{self.place}/{self.name}" if self.name else self.place
            hint = "" if self.name else did_you_mean(shown, [key for key in MADE_BY if "*" not in key])
            raise KeyFormError(shown, hint)

    def __str__(self) -> str:
        return f"{self.place}/{self.name}" if self.name or self.place != "X" else "X"

    @staticmethod
    def parse(text: str, *places: str, option: str = "key") -> Key:
        """Read a key from text.

        Parameters
        ----------
        text
            Such as "obsm/X_pca".
        places
            Places that the key may lie in, all by default. Without a place the text is a name in the first of them:
            with "obs", "leiden" is "obs/leiden".
        option
            Name of the parameter, for messages.

        Raises
        ------
        ParameterError
            If the text does not begin with one of AnnData's places, leads out of it, has no name, or names another
            place.

        Examples
        --------
        >>> Key.parse("obsm/X_pca"), str(Key.parse("leiden", "obs"))
        (Key(place='obsm', name='X_pca'), 'obs/leiden')
        """
        if not isinstance(text, str):
            raise KeyFormError(text, name=option)
        place, slash, name = text.partition("/")
        if places and (not slash or place not in PLACES):
            place, name = places[0], text
        elif slash and not name and not places:
            raise KeyFormError(text, name=option)
        if places:
            example = f"{places[0]}/{text.rpartition('/')[2]}"
            check(place in places, f"{option} must lie in {' or '.join(places)}, such as '{example}', got {text!r}")
            check(bool(name), f"{option} must be a name such as '{USUAL.get(place, place + '/mine')}', got {text!r}")
        return Key(place, name)

    @staticmethod
    def of(key: str | None, usual: str) -> Key:
        """Return the key of a result: as it was given, in the place of the usual one, or the usual one.

        Examples
        --------
        >>> str(Key.of("fine", "obs/leiden")), str(Key.of(None, "obs/leiden"))
        ('obs/fine', 'obs/leiden')
        """
        return Key.parse(usual if key is None else key, usual.partition("/")[0])

    def beside(self, place: str, suffix: str = "") -> Key:
        """Return the key of a companion in another place: the same name with a suffix."""
        return Key(place, self.name + suffix)


def fields_by_group(tests: Mapping[str, Any]) -> dict[str, str]:
    """Map the groups of stored tests against the rest to the fields that hold them: a field must have a unique name.

    Parameters
    ----------
    tests
        Value of uns/rank_genes_groups, by kithkin or scanpy.

    Examples
    --------
    >>> import numpy as np
    >>> names = np.array([("CD3E", "CD19")], [("T", "U9"), ("(empty)", "U9")])
    >>> fields_by_group({"names": names, "params": {"groups": ["T", ""]}})
    {'T': 'T', '': '(empty)'}
    """
    fields = tests["names"].dtype.names or ()
    groups = [str(group) for group in tests.get("params", {}).get("groups", fields)]
    return dict(zip(groups, fields, strict=True))
