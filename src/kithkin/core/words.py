"""Words of scanpy, Seurat and scikit-learn, and ours for them: what a person may type who comes from there."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from itertools import takewhile
from typing import Any

from kithkin.core.keys import MADE_BY
from kithkin.core.suggest import did_you_mean

# what a row and a column of X are called, by the kind of X
THINGS = {"counts": ("cells", "genes"), "images": ("images", "pixels"), "values": ("rows", "columns")}
# parameters of functions
PARAMETERS = {
    "adata": "ds",
    "anndata": "ds",
    "data": "ds",
    "dataset": "ds",
    "n_comps": "n_components",
    "n_pcs": "n_components",
    "npcs": "n_components",
    "n_dims": "n_components",
    "use_rep": "on",
    "obsm": "on",
    "obsp": "on",
    "layer": "on",
    "basis": "on",
    "adjacency": "on",
    "key_added": "key",
    "store": "key",
    "name": "key",
    "out": "to",
    "output": "to",
    "path": "to",
    "filename": "to",
    "force": "overwrite",
    "groupby": "by",
    "expected_doublet_rate": "rate",
    "doublet_rate": "rate",
    "group_by": "by",
    "cluster_key": "by",
    "labels": "by",
    "res": "resolution",
    "gamma": "resolution",
    "k": "n_clusters",
    "n_neighbours": "n_neighbors",
    "knn": "n_neighbors",
    "n_top_genes": "n_genes",
    "n_features": "n_genes",
    "nfeatures": "n_genes",
    "batch_key": "batch",
    "sample_key": "sample",
    "sample_col": "sample",
    "condition": "by",
    "formula": "design",
    "ref_level": "reference",
    "baseline": "reference",
    "random_state": "seed",
    "rng": "seed",
    "n_iterations": "max_iter",
    "n_iter": "max_iter",
    "maxiter": "max_iter",
    "tol": "tolerance",
    "n_init": "n_starts",
    "n_jobs": "threads",
    "n_threads": "threads",
    "n_topic": "n_topics",
    "iroot": "root",
    "expr": "cells",
    "gene_list": "sets",
    "gene_sets": "sets",
    "signatures": "sets",
    "net": "sets",
    "obs": "cells",
    "var": "genes",
    "var_names": "genes",
    "log": "normalize",
    "normalise": "normalize",
}

# names in a module or of a function -> what to do in kithkin
INSTEAD = {
    **dict.fromkeys(("pp", "tl"), "call the functions of kithkin itself, such as kithkin.pca(ds)"),
    "pl": "use kithkin.plot, such as kithkin.plot.scatter(ds)",
    **dict.fromkeys(
        (
            *("read_10x_h5", "read_10x_mtx", "read_h5ad", "read_csv", "read_text", "read_loom", "read_mtx"),
            *("read_zarr", "read_excel", "read_umi_tools", "read_parquet", "read_table", "load", "imports"),
        ),
        "use kithkin.read(source, to='name.zarr'), which recognises the format",
    ),
    **dict.fromkeys(
        ("write", "write_h5ad", "to_h5ad", "save", "write_zarr"),
        "results are stored as they are made; for other programs use ds.to_anndata().write_h5ad('name.h5ad')",
    ),
    **dict.fromkeys(
        ("normalize", "normalise", "normalize_total", "normalize_per_cell", "log1p", "sctransform"),
        "no step is needed: kithkin.pca and kithkin.markers normalise as they read (normalize='log1p')",
    ),
    **dict.fromkeys(
        ("concat", "concatenate", "merge"),
        "read them as one dataset: kithkin.read([a, b], to='name.zarr')",
    ),
    **dict.fromkeys(
        ("harmony", "harmony_integrate", "integrate", "integrate_layers", "run_harmony"),
        "use kithkin.harmonize(ds, batch='sample')",
    ),
    **dict.fromkeys(
        ("bbknn", "combat", "scanorama", "scanorama_integrate", "mnn_correct", "scvi"),
        "use kithkin.harmonize(ds, batch='sample'), or compute it elsewhere, store it with "
        "ds['obsm/X_corrected'] = array, and go on with kithkin.neighbors(ds, on='obsm/X_corrected')",
    ),
    **dict.fromkeys(
        ("lisi", "ilisi", "clisi", "kbet", "scib"), "use kithkin.mixing(ds, batch='sample', labels='celltype')"
    ),
    **dict.fromkeys(
        ("scrublet", "doubletfinder", "doublet_finder", "doubletdetection", "scdblfinder", "solo"),
        "use kithkin.doublets(ds)",
    ),
    **dict.fromkeys(
        ("score_genes", "ucell", "aucell", "module_score", "add_module_score", "gene_scores", "signatures"),
        "use kithkin.score(ds, {'T cells': ['CD3D', 'CD3E']})",
    ),
    **dict.fromkeys(
        ("gsea", "enrichr", "ora", "enrichment", "go_enrichment", "gene_set_enrichment"),
        "use kithkin.enrich(ds, 'leiden', sets)",
    ),
    **dict.fromkeys(("score_genes_cell_cycle", "cell_cycle_scoring"), "use kithkin.cell_cycle(ds)"),
    **dict.fromkeys(("tsne", "draw_graph", "t_sne"), "use kithkin.umap(ds)"),
    **dict.fromkeys(("louvain", "cluster", "find_clusters"), "use kithkin.leiden(ds)"),
    **dict.fromkeys(("rank_genes_groups", "find_markers", "find_all_markers"), "use kithkin.markers(ds, by='leiden')"),
    **dict.fromkeys(
        ("highly_variable_genes", "hvg", "find_variable_features", "filter_genes_dispersion"),
        "use kithkin.variable_genes(ds)",
    ),
    **dict.fromkeys(
        ("filter_cells", "filter_genes", "filter", "subsample", "downsample"),
        "use kithkin.subset(ds, cells='n_genes > 200', genes='n_cells >= 3', to='name.zarr')",
    ),
    **dict.fromkeys(("calculate_qc_metrics", "qc"), "use kithkin.quality(ds)"),
    **dict.fromkeys(("diffmap",), "use kithkin.diffusion_map(ds)"),
    **dict.fromkeys(("dpt",), "use kithkin.pseudotime(ds, root)"),
    **dict.fromkeys(("dendrogram", "paga", "hierarchy"), "use kithkin.paris(ds)"),
    **dict.fromkeys(
        ("ingest", "label_transfer", "transfer", "transfer_labels"),
        "use kithkin.map_to(ds, 'reference.kin'), whose file kithkin.reference writes, or kithkin.propagate(ds, seeds, "
        "reference=other)",
    ),
    **dict.fromkeys(
        ("symphony", "map_query", "map_embedding", "map_cells", "azimuth", "celltypist", "predict"),
        "use kithkin.map_to(ds, 'reference.kin'), a file that kithkin.reference(other, labels, to=...) writes",
    ),
    **dict.fromkeys(("build_reference", "make_reference"), "use kithkin.reference(ds, labels, to='reference.kin')"),
    **dict.fromkeys(("magic", "impute", "denoise"), "use kithkin.smooth(ds, values)"),
    **dict.fromkeys(
        ("rename", "rename_categories", "rename_clusters"),
        "use kithkin.annotate(ds, 'celltype', {'0': 'T cells'}, by='leiden') or kithkin.merge_labels",
    ),
    **dict.fromkeys(
        ("to_html", "html", "page", "cellxgene", "view", "viewer", "show"), "use kithkin.report(ds, 'report.html')"
    ),
    **dict.fromkeys(
        ("deseq", "deseq2", "pydeseq2", "edger", "differential_expression", "diffexp", "de"),
        "use kithkin.contrast(ds, 'obs/condition', sample='obs/sample')",
    ),
    **dict.fromkeys(
        ("propeller", "sccoda", "milo", "abundance", "differential_abundance", "proportions"),
        "use kithkin.composition(ds, 'obs/condition', sample='obs/sample')",
    ),
    **dict.fromkeys(
        ("aggregate", "get_pseudobulk", "pseudobulks"), "use kithkin.pseudobulk(ds, by=['obs/sample', 'obs/leiden'])"
    ),
    **dict.fromkeys(("moran", "morans_i", "gearys_c", "morans"), "use kithkin.graph_score(ds, values)"),
    **dict.fromkeys(("AnnData", "anndata"), "use kithkin.open('name.zarr') or kithkin.read(adata, to='name.zarr')"),
}

# verb -> model of kithkin.models that does the same on arrays, where it is not called like the verb
MODELS = {
    "card": "Scorecard",
    "contrast": "DESeq",
    "deep_clusters": "GatedClustering",
    "enrich": "SetEnrichment",
    "features": "CellFeatures",
    "graph_score": "Autocorrelation",
    "harmonize": "Harmony",
    "image_embedding": "ImagePCA",
    "propagate": "Propagation",
    "pseudotime": "diffusion_pseudotime",
    "scale": "Scaler",
    "score": "SetScores",
    "smooth": "Propagation",
    **{
        name: "".join(part.capitalize() for part in name.split("_"))
        for name in (
            *("composition", "count_mixture", "diffusion_map", "doublets", "leiden", "markers", "neighbors", "paris"),
            *("neighborhood_enrichment", "pseudobulk", "quality", "spatial_neighbors", "support", "topics"),
            "variable_genes",
        )
    },
    "pca": "PCA",
    "umap": "UMAP",
    "kmeans": "KMeans",
}

READ = "read an element by its key, such as"
# attributes of an AnnData or a DataFrame -> what to do with a dataset
OF_A_DATASET = {
    "X": "read rows with ds.rows([0, 1]) or genes with ds.genes(['CD3D']), stream it with ds.blocks(), or load all of "
    "it with ds.to_anndata()",
    **{
        place: f"{READ} ds['{key}']"
        for place, key in {
            "obsm": "obsm/X_pca",
            "varm": "varm/PCs",
            "obsp": "obsp/connectivities",
            "uns": "uns/pca",
        }.items()
    },
    "varp": f"{READ} ds['varp/name']",
    "layers": "stream a layer with ds.blocks('layers/name'), or read genes with ds.genes(['CD3D'], 'layers/name')",
    "raw": "load it with ds.to_anndata().raw",
    "drop": "use ds.delete('obs/name')",
    "pop": "use ds.delete('obs/name')",
    "copy": "copy the folder ds.path, or use kithkin.subset(ds, to='name.zarr')",
    "obs_vector": "use ds['obs/name'] or ds.genes(['CD3D'])",
    "var_vector": "use ds['var/name']",
    "obs_keys": "use ds.keys()",
    "to_df": "use ds.to_anndata().to_df()",
    "to_memory": "use ds.to_anndata()",
    "write_h5ad": "use ds.to_anndata().write_h5ad('name.h5ad')",
    **dict.fromkeys(("columns", "head", "loc", "iloc"), "use ds.obs, a table of pandas"),
    "close": "nothing is held open, and nothing has to be closed",
}


def no_attribute(name: str, present: list[str]) -> str:
    """Say in one sentence what to do instead of an attribute that a dataset does not have.

    Examples
    --------
    >>> no_attribute("leiden", [])
    "Dataset has no attribute 'leiden': call kithkin.leiden(ds)"
    >>> no_attribute("obs_name", ["obs_names", "shape"])
    "Dataset has no attribute 'obs_name'. Did you mean 'obs_names'?"
    """
    verbs = {call.partition("(")[0] for call in MADE_BY.values()}
    verbs |= {
        "subset",
        "annotate",
        "append",
        "summary",
        "figures",
        "info",
        "check",
        "compare",
        "merge_labels",
        "split",
        "pseudobulk",
        "means",
    }
    said = f"Dataset has no attribute {name!r}"
    advice = OF_A_DATASET.get(name) or (f"call kithkin.{name}(ds)" if name in verbs else INSTEAD.get(name))
    return f"{said}: {advice}" if advice else said + did_you_mean(name, present)


def not_a_dataset(verb: str, value: Any) -> str:
    """Say in one sentence what to do where a verb was given something that is no dataset.

    Examples
    --------
    >>> not_a_dataset("umap", 7).partition(": ")[0]
    'ds of umap must be a dataset or its path, got int'
    >>> class AnnData: ...
    >>> print(not_a_dataset("leiden", AnnData()).partition(": ")[2])
    make a dataset of it with kithkin.read(adata, to='name.zarr'), or use kithkin.models.Leiden on its arrays
    """
    said = f"ds of {verb} must be a dataset or its path, got {type(value).__name__}"
    if value is None:
        return said
    held = type(value).__name__ == "AnnData"
    made = f"{said}: make a dataset of it with kithkin.read({'adata' if held else 'source'}, to='name.zarr')"
    return f"{made}, or use kithkin.models.{MODELS[verb]} on its arrays" if held and verb in MODELS else made


def no_name(package: str, name: str, present: list[str], instead: Mapping[str, str]) -> str:
    """Say in one sentence what to use instead of a name that a package does not have.

    Examples
    --------
    >>> no_name("kithkin", "tsne", [], {}), no_name("kithkin", "leyden", ["leiden"], {})
    ("kithkin has no 'tsne': use kithkin.umap(ds)", "kithkin has no 'leyden'. Did you mean 'kithkin.leiden'?")
    """
    advice = instead.get(name) or INSTEAD.get(name) or INSTEAD.get(name.lower())
    near = did_you_mean(name, {one: f"{package}.{one}" for one in present})
    return f"{package} has no {name!r}{f': {advice}' if advice else near}"


def wrong_call(
    function: Callable[..., Any], signature: inspect.Signature, n_positional: int, keywords: list[str]
) -> str:
    """Say in one sentence what is wrong with the arguments of a call; "" if it is something else.

    Examples
    --------
    >>> def markers(ds, by, *, key=None): ...
    >>> wrong_call(markers, inspect.signature(markers), 1, ["groupby"])
    "markers() has no parameter 'groupby'. Did you mean 'by'?"
    >>> wrong_call(markers, inspect.signature(markers), 1, [])
    "markers() needs 'by'"
    """
    name, parameters = function.__name__, signature.parameters
    several = next((one.name for one in parameters.values() if one.kind is one.VAR_POSITIONAL), None)
    if several in keywords:
        return f"{name}() takes {several} by position, one after the other"
    unknown = next((word for word in keywords if word not in parameters), None)
    if unknown is not None:
        theirs = {word: ours for word, ours in PARAMETERS.items() if ours in parameters and word not in parameters}
        near = did_you_mean(unknown, {**{one: one for one in parameters}, **theirs})
        return f"{name}() has no parameter {unknown!r}{near or ': it has ' + (', '.join(parameters) or 'none')}"
    positional = [one.name for one in parameters.values() if one.kind is one.POSITIONAL_OR_KEYWORD]
    if n_positional > len(positional):
        other = next((one for one in parameters if one not in positional), None)
        advice = f": give others by name, such as {other}=..." if other else ""
        return f"{name}() takes {' and '.join(positional)} by position, got {n_positional} values{advice}"
    twice = next((word for word in positional[:n_positional] if word in keywords), None)
    if twice is not None:
        return f"{name}() got {twice!r} twice, by position and by name"
    given = {*positional[:n_positional], *keywords}
    missing = next((one for one, kind in parameters.items() if kind.default is kind.empty and one not in given), None)
    if missing is None:
        return ""
    lines = inspect.cleandoc(function.__doc__ or "").splitlines()
    headings = [line.split(", ") if line and not line.startswith(" ") else [] for line in lines[:-1]]
    described = next((number for number, names in enumerate(headings) if missing in names), None)
    text = takewhile(lambda line: line.startswith(" "), lines[described + 1 :] if described is not None else [])
    about = " ".join(line.strip() for line in text).partition(". ")[0].rstrip(".")
    about = about if about[1:2].isupper() else about[:1].lower() + about[1:]  # but for TIFF
    return f"{name}() needs {missing!r}{f': {about}' if about else ''}"
