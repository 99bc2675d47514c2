"""Mistakes that newcomers make: each gives the right result, or one sentence that says what to do."""

from __future__ import annotations

import inspect
import pickle
import re
from types import SimpleNamespace

import anndata
import numpy as np
import pandas as pd
import pytest

import kithkin as kk

N = 60
REFUSALS = (kk.KithkinError, AttributeError, TypeError)
GENES = ["CD3D", "CD3E", "CD19", "MS4A1", *(f"G{k}" for k in range(26))]


def counts():
    rng = np.random.default_rng(0)
    means = rng.gamma(0.6, 4.0, (3, len(GENES)))
    obs = pd.DataFrame({"sample": ["s1", "s2"] * 30}, index=[f"cell{k}" for k in range(N)])
    var = pd.DataFrame({"gene_ids": [f"ENSG{k:011d}" for k in range(len(GENES))]}, index=GENES)
    return anndata.AnnData(rng.poisson(means[np.arange(N) % 3]).astype(np.float32), obs, var)


@pytest.fixture(scope="module")
def there(tmp_path_factory):
    """A counted dataset, one on which everything was done, one of values, and files that are no datasets."""
    folder = tmp_path_factory.mktemp("mistakes")
    source = counts()
    raw = kk.read(source, to=folder / "raw.zarr", progress=False)
    ds = kk.read(source, to=folder / "q.zarr", progress=False)
    proteins = pd.DataFrame(np.arange(2 * N).reshape(N, 2), index=ds.obs_names, columns=["CD3_prot", "CD19_prot"])
    ds.write({"obsm/Antibody Capture": proteins})
    kk.pca(ds, 5)
    kk.neighbors(ds, 10)
    kk.leiden(ds)
    kk.annotate(ds, "type", np.array(["0", "1", "2"])[np.arange(N) % 3])
    kk.annotate(ds, "name", {"0": "T cells", "1": "B cells", "2": "NK"}, by="type")
    kk.umap(ds, n_epochs=10)
    kk.markers(ds, by="type")
    named = source.copy()
    named.var["symbol"], named.var_names = list(source.var_names), list(source.var["gene_ids"])
    ids = kk.read(named, to=folder / "ids.zarr", progress=False)
    values = kk.read(pd.DataFrame({"x": np.arange(6.0) - 2.5, "y": 1.5}), to=folder / "v.zarr", progress=False)
    (folder / "x.h5ad").write_bytes(b"no dataset")
    (folder / "empty").mkdir()
    (folder / "e.csv").write_text("")
    (folder / "h.txt").write_text("a,b\n")
    return SimpleNamespace(folder=folder, source=source, raw=raw, ds=ds, values=values, ids=ids)


def refuses(there, call, said):
    with pytest.raises(REFUSALS) as caught:
        call(there)
    sentence = str(caught.value)
    assert re.search(said, sentence), sentence
    assert "\n" not in sentence
    assert len(sentence) < 400
    assert "unexpected keyword" not in sentence
    assert "has no attribute '__" not in sentence


# kind of mistake -> [(number of the list, call, what the sentence says)]
NOT_THERE = {
    1: (lambda t: kk.markers(t.ds, by="ledien"), r"obs/ledien is not in q\.zarr\. Did you mean 'obs/leiden'"),
    3: (lambda t: kk.markers(t.ds), r"markers\(\) needs 'by': column of obs with the clusters"),
    4: (lambda t: kk.leiden(t.raw), r"Run kithkin\.neighbors\(ds\) first"),
    5: (lambda t: kk.umap(t.raw), r"Run kithkin\.neighbors\(ds\) first"),
    6: (lambda t: kk.neighbors(t.raw), r"Run kithkin\.pca\(ds\) first"),
    7: (lambda t: kk.markers(t.raw, by="leiden"), r"Run kithkin\.leiden\(ds\) first"),
    8: (lambda t: kk.plot.scatter(t.raw), r"Run kithkin\.umap\(ds\) first"),
    87: (lambda t: kk.compare(t.ds, "celltype", to="type"), r"obs/celltype is not in q\.zarr"),
    107: (lambda t: kk.pseudotime(t.ds, "cell0"), r"Run kithkin\.diffusion_map\(ds\) first"),
    146: (lambda t: t.ds.read("obs/celltype"), r"obs/celltype is not in q\.zarr\. Did you mean|Present: .*obs/leiden"),
    166: (lambda t: kk.plot.elbow(t.raw), r"Run kithkin\.pca\(ds\) first"),
    168: (lambda t: kk.plot.gates(t.ds), r"Run kithkin\.deep_clusters\(ds\) first"),
    267: (lambda t: kk.plot.volcano(t.ds), r"Run kithkin\.contrast\(ds\) first"),
    268: (lambda t: kk.plot.composition(t.ds), r"Run kithkin\.composition\(ds\) first"),
    269: (lambda t: kk.contrast(t.ds, "type"), r"contrast\(\) needs 'sample': column of obs with the samples"),
    270: (lambda t: kk.contrast(t.ds, "type", sample="smaple"), r"Did you mean 'obs/sample'"),
    271: (
        lambda t: kk.contrast(t.ds, "type", sample="sample"),
        r"sample must name samples of one type each, but s1",
    ),
    272: (lambda t: kk.pseudobulk(t.ds), r"pseudobulk\(\) needs 'by': column of obs"),
    177: (lambda t: kk.summary(t.raw), r"Run kithkin\.leiden\(ds\) first"),
    185: (lambda t: kk.plot.latent(t.ds, "CD3D"), r"Run kithkin\.count_mixture\(ds\) first"),
}
GENE_NAMES = {
    251: (lambda t: t.ids.genes("CD3d"), r"Did you mean 'CD3D'"),
    252: (lambda t: kk.plot.scatter(t.ids, on="X", color="cd3d"), r"Did you mean 'CD3D'"),
    253: (lambda t: t.ids.genes("ENSG00000000099"), r"not in var of ids\.zarr: ENSG00000000099"),
    11: (lambda t: t.ds.genes("cd3d"), r"Did you mean 'CD3D'"),
    12: (lambda t: t.ds.genes(["ENSG00000000002"]), r"Did you mean 'CD19'"),
    14: (lambda t: t.ds.genes(["CD3D", "XX1"]), r"1 names are not in var of q\.zarr: XX1"),
    16: (lambda t: kk.smooth(t.ds, ["CD3Dd"]), r"values are not in var of q\.zarr: CD3Dd\. Did you mean 'CD3D'"),
}
NUMBERS = {
    17: (lambda t: kk.neighbors(t.ds, 5000), r"n_neighbors must be in 2\.\.60, got 5000"),
    18: (lambda t: kk.neighbors(t.ds, "15"), r"n_neighbors must be in 2\.\.60, got '15'"),
    19: (lambda t: kk.neighbors(t.ds, 15.0), r"n_neighbors must be a whole number in 2\.\.60, got 15\.0"),
    20: (lambda t: kk.leiden(t.ds, -1), r"resolution must be in 0\.0\.\..*, got -1"),
    22: (lambda t: kk.leiden(t.ds, "obs/x"), r"resolution must be in .* got 'obs/x'"),
    47: (lambda t: kk.open(t.ds, memory="2 gigs"), r"memory must be a size such as '2GB', got '2 gigs'"),
    48: (lambda t: kk.open(t.ds, memory="10MB"), r"memory must be at least 50MB"),
    49: (lambda t: kk.open(t.ds, threads=-1), r"threads must be in 1\.\.1024"),
    81: (lambda t: kk.kmeans(t.ds, 5000), r"n_clusters must be in 1\.\.60, got 5000"),
    93: (lambda t: kk.variable_genes(t.ds, 3000), r"n_genes must be in 1\.\.30, got 3000"),
    94: (lambda t: kk.paris(t.ds, 10000), r"n_clusters must be in 1\.\.60, got 10000"),
    154: (lambda t: kk.umap(t.ds, seed="a"), r"seed must be in 0\.\.4294967295, got 'a'"),
    155: (lambda t: kk.umap(t.ds, min_dist=2), r"min_dist must be in 0\.0\.\.1\.0, got 2"),
    162: (lambda t: kk.neighbors(t.ds, metric="manhattan"), r"metric must be one of 'euclidean', 'cosine'"),
    213: (lambda t: kk.variable_genes(t.ds, True), r"n_genes must be in 1\.\.30, got True"),
    214: (lambda t: kk.neighbors(t.ds, None), r"n_neighbors must be in 2\.\.60, got None"),
}
TYPES = {  # values of a kind that nothing can be done with
    254: (lambda t: kk.annotate(t.ds, 2.5, "x"), r"column must be the name of a column, .* got 2\.5"),
    255: (lambda t: kk.export(t.ds, 7), r"to must be text or a path, got 7"),
    256: (lambda t: kk.smooth(t.ds, {"a": 1}), r"values must be names of genes or columns, or a table"),
    257: (lambda t: kk.subset(t.ds, to=None), r"to must be text or a path, got None"),
    258: (
        lambda t: kk.propagate(t.ds, "type", reference=3),
        r"reference must be text or a dataset or None, got 3",
    ),
    259: (lambda t: kk.umap(t.ds, callback="no"), r"callback must be a function or None, got 'no'"),
    261: (lambda t: t.ds.genes(5), r"names must be one or several names, got 5"),
    262: (lambda t: t.ds.read(5), r"key must be a key such as 'obsm/X_pca', got 5"),
    263: (lambda t: t.ds.write(5), r"values must be a mapping of keys to values, got 5"),
    264: (lambda t: t.ds.delete(5), r"key must be a key such as 'obsm/X_pca', got 5"),
    265: (lambda t: t.ds.write({"X": np.eye(3)}), r"X of a dataset cannot be replaced"),
    266: (lambda t: kk.models.PCA(3).fit_transform(t.ds), r"X must be an array, with rows of one length"),
    260: (lambda t: kk.figures(t.ds, 3), r"to must be text or a path, got 3"),
}
WORDS_OF_OTHERS = {
    21: (lambda t: kk.leiden(t.ds, res=2), r"leiden\(\) has no parameter 'res'\. Did you mean 'resolution'"),
    23: (lambda t: kk.leiden(t.ds, key_added="x"), r"no parameter 'key_added'\. Did you mean 'key'"),
    24: (lambda t: kk.pca(t.ds, n_comps=5), r"no parameter 'n_comps'\. Did you mean 'n_components'"),
    39: (lambda t: kk.read(t.source), r"read\(\) needs 'to': path of the new dataset"),
    40: (lambda t: kk.run(t.source), r"run\(\) needs 'to'"),
    217: (lambda t: kk.leiden(), r"leiden\(\) needs 'ds': the dataset"),
    220: (lambda t: kk.markers(t.ds, groupby="leiden"), r"no parameter 'groupby'\. Did you mean 'by'"),
    221: (lambda t: kk.neighbors(t.ds, use_rep="X_pca"), r"no parameter 'use_rep'\. Did you mean 'on'"),
    222: (lambda t: kk.umap(t.ds, random_state=1), r"no parameter 'random_state'\. Did you mean 'seed'"),
    223: (lambda t: kk.leiden(t.ds, 1.0, "obs/fine"), r"takes ds and resolution by position, got 3 values"),
    224: (lambda t: kk.models.KMeans().set_params(k=3), r"KMeans has no parameter 'k'"),
}
NAMES_OF_OTHERS = {
    74: (lambda t: kk.read_10x_h5, r"kithkin has no 'read_10x_h5': use kithkin\.read\(source, to='name\.zarr'\)"),
    75: (lambda t: kk.tl.leiden, r"kithkin has no 'tl': call the functions of kithkin itself"),
    79: (lambda t: kk.Leiden, r"kithkin has no 'Leiden'\. Did you mean 'kithkin\.leiden'"),
    199: (lambda t: kk.concat, r"kithkin has no 'concat': "),
    201: (lambda t: kk.normalize, r"no step is needed"),
    203: (lambda t: kk.harmony, r"use kithkin\.harmonize\(ds, batch='sample'\)"),
    267: (lambda t: kk.scvi, r"ds\['obsm/X_corrected'\]"),
    204: (lambda t: kk.scrublet, r"use kithkin\.doublets"),
    205: (lambda t: kk.rename, r"kithkin\.annotate"),
    273: (lambda t: kk.deseq2, r"use kithkin\.contrast\(ds, 'obs/condition', sample='obs/sample'\)"),
    274: (lambda t: kk.propeller, r"use kithkin\.composition\(ds"),
    275: (lambda t: kk.get_pseudobulk, r"use kithkin\.pseudobulk\(ds, by="),
    206: (lambda t: kk.tsne, r"use kithkin\.umap\(ds\)"),
    225: (lambda t: kk.scatter, r"Did you mean 'kithkin\.plot\.scatter'"),
    226: (lambda t: kk.models.Pca, r"kithkin\.models has no 'Pca'\. Did you mean 'kithkin\.models\.PCA'"),
}
NO_DATASET = {
    25: (lambda t: kk.pca(t.source), r"ds of pca must be a dataset or its path, got AnnData: .*kithkin\.read"),
    276: (lambda t: kk.propagate(t.source, "a"), r"kithkin\.read\(adata, .* kithkin\.models\.Propagation on"),
    29: (lambda t: kk.open(t.folder / "x.h5ad"), r"x\.h5ad is a file, not a dataset\. Import it: kithkin\.read"),
    31: (lambda t: kk.open(t.folder / "nope.zarr"), r"nope\.zarr does not exist"),
    32: (lambda t: kk.open(t.folder / "empty"), r"empty is a folder without a dataset"),
    33: (lambda t: kk.open(t.folder / "q.zar"), r"q\.zar does not exist\. Did you mean 'q\.zarr'"),
    215: (lambda t: kk.leiden(None), r"ds of leiden must be a dataset or its path, got NoneType"),
    216: (lambda t: kk.leiden(t.source.obs), r"got DataFrame: make a dataset of it with kithkin\.read"),
    227: (lambda t: kk.open(t.source), r"path must be the folder of a dataset, .* kithkin\.read"),
}
SOURCES = {
    36: (lambda t: kk.read(t.folder / "h.txt", to=t.folder / "q.zarr"), r"."),
    41: (lambda t: kk.read("~/nothing.h5", to=t.folder / "n.zarr"), r"nothing\.h5 does not exist"),
    43: (lambda t: kk.read(t.folder / "h.txt", to=t.folder / "n.zarr"), r"h\.txt has no rows after its header"),
    44: (lambda t: kk.read(t.folder / "e.csv", to=t.folder / "n.zarr"), r"e\.csv is empty"),
    45: (lambda t: kk.read("*.h5", to=t.folder / "n.zarr"), r"no file matches \*\.h5"),
    46: (lambda t: kk.read(["a.h5"], to=t.folder / "n.zarr"), r"sample a: a\.h5 does not exist"),
    124: (lambda t: kk.read(np.ones(3), to=t.folder / "n.zarr"), r"must have two dimensions"),
    172: (lambda t: kk.read(np.ones((0, 5)), to=t.folder / "n.zarr"), r"has no rows"),
    200: (
        lambda t: kk.read({"a": "a.h5"}, to=t.folder / "n.zarr"),
        r"sample a: a\.h5 does not exist",
    ),
    228: (lambda t: kk.read(2 * np.eye(3), to=t.folder / "q.zarr"), r"q\.zarr exists already\. Choose another name"),
}
CONDITIONS = {
    50: (
        lambda t: kk.subset(t.ds, cells="n_gens > 2", to=t.folder / "n"),
        r"no column 'n_gens'\. Did you mean 'n_genes'",
    ),
    51: (lambda t: kk.subset(t.ds, cells="n_genes >> 2 and", to=t.folder / "n"), r"cannot be read; write it like"),
    52: (lambda t: kk.subset(t.ds, cells="n_genes > 9999", to=t.folder / "n"), r"keeps 0 of 60 cells"),
    55: (lambda t: kk.subset(t.ds, cells=np.ones(10, bool), to=t.folder / "n"), r"names or 60 booleans"),
    56: (lambda t: kk.subset(t.ds, cells=[1, 2, 3], to=t.folder / "n"), r"for positions take their names"),
    57: (lambda t: kk.subset(t.ds, cells=["cel1"], to=t.folder / "n"), r"not in obs of q\.zarr: cel1\. Did you mean"),
    229: (lambda t: kk.subset(t.ds, genes=["cd3d"], to=t.folder / "n"), r"Did you mean 'CD3D'"),
    106: (lambda t: kk.propagate(t.ds, "celltype"), r"no column 'celltype'"),
}
COLUMNS = {
    60: (
        lambda t: kk.annotate(t.ds, "w", pd.Series(range(N), index=range(100, 100 + N))),
        r"not in obs of q\.zarr: 100, .* Give an array to go by position",
    ),
    62: (lambda t: kk.annotate(t.ds, "w", [1, 2, 3]), r"values must be 60, one for each row of obs"),
    64: (lambda t: kk.annotate(t.ds, "w", "meta.csv"), r"meta\.csv does not exist"),
    65: (
        lambda t: kk.annotate(t.ds, "w", {"7": "T"}, by="type"),
        r"obs/type of q\.zarr has no label 7: there are 0, 1, 2",
    ),
    67: (lambda t: setattr(t.ds, "obs", t.ds.obs), r"write a column with ds\['obs/name'\] = values"),
    143: (lambda t: t.ds.write({"obs/s2": [1, 2, 3]}), r"obs/s2 must have 60 values, got 3"),
    82: (lambda t: kk.split(t.ds, "type", "99"), r"obs/type has no label '99': there are '0', '1', '2'"),
    85: (
        lambda t: kk.merge_labels(t.ds, "type", groups={"0": ["0", "T"]}),
        r"no label 'T': there are '0', '1'",
    ),
    88: (lambda t: kk.markers(t.ds, "type", reference="T cells"), r"reference must be one of 'rest', 'pairwise', '0'"),
    208: (
        lambda t: kk.annotate(t.ds, "w", pd.DataFrame({"a": range(N), "b": 1}, index=t.ds.obs_names)),
        r"values has 2 columns beside the names \(a, b\): choose one of them with on=",
    ),
    230: (lambda t: kk.annotate(t.ds, "w"), r"annotate needs values for a column"),
}
DATASETS = {
    66: (lambda t: t.ds.obs.__setitem__("x", 1), r"ds\.obs is a copy: write ds\['obs/x'\] = values"),
    69: (lambda t: t.ds[0:10], r"not by rows: read rows with ds\.rows"),
    70: (lambda t: t.ds.X, r"Dataset has no attribute 'X': .*ds\.to_anndata\(\)"),
    71: (lambda t: t.ds.obsm, r"read an element by its key, such as ds\['obsm/X_pca'\]"),
    72: (lambda t: t.ds.leiden(), r"call kithkin\.leiden\(ds\)"),
    141: (lambda t: t.ds.drop("obs/type"), r"use ds\.delete\('obs/name'\)"),
    147: (lambda t: t.ds.read("X_umap"), r"got 'X_umap'\. Did you mean 'obsm/X_umap'"),
    148: (lambda t: t.ds.read("leiden"), r"got 'leiden'\. Did you mean 'obs/leiden'"),
    150: (lambda t: t.ds.rows([N]), r"indices must be rows of q\.zarr, 0\.\.59, got \[60\]"),
    149: (lambda t: t.ds.rows(["cel3"]), r"names of indices are not in obs of q\.zarr: cel3\. Did you mean"),
    197: (lambda t: t.ds.obs_vector("type"), r"use ds\['obs/name'\]"),
    231: (lambda t: t.ds.delete("obs/tipe"), r"Did you mean 'obs/type'"),
    232: (lambda t: t.ds.delete("X"), r"X cannot be deleted"),
    233: (lambda t: list(t.ds), r"not iterable"),
    234: (lambda t: t.ds.blocks(keys="X"), r"^blocks\(\) has no parameter 'keys'\. Did you mean 'key'\?$"),
    235: (lambda t: t.ds.write(foo=1), r"^write\(\) has no parameter 'foo': it has values$"),
    236: (lambda t: t.ds.to_anndata(foo=1), r"^to_anndata\(\) has no parameter 'foo': it has none$"),
    237: (lambda t: t.ds.delete(keys="obs/type"), r"^delete\(\) takes keys by position"),
    238: (lambda t: t.ds.genes(), r"^genes\(\) needs 'names': names of variables"),
    239: (lambda t: t.ds.rows([0], "X", 3), r"^rows\(\) takes indices and key by position, got 3 values$"),
}
KEYS = {
    104: (lambda t: kk.neighbors(t.ds, on="X_pca"), r"got 'X_pca'\. Did you mean 'obsm/X_pca'"),
    163: (lambda t: kk.leiden(t.ds, on="obsm/X_pca"), r"must be square, got 60 x 5"),
    164: (lambda t: kk.kmeans(t.ds, on="obs/type"), r"name a table of numbers, such as X or obsm/X_pca"),
    169: (lambda t: kk.spatial_neighbors(t.ds), r"obsm/spatial is not in q\.zarr"),
    95: (lambda t: kk.animate(t.ds, "umap", to="a.avi"), r"to must end in \.gif, \.mp4"),
    96: (lambda t: kk.animate(t.ds, "map", to="a.gif"), r"what must be one of 'propagation', 'umap'"),
    90: (lambda t: kk.deep_clusters(t.ds, n_clusters="many"), r"n_clusters must be a whole number, got 'many'"),
    89: (lambda t: kk.markers(t.values, by="n"), r"obs/n is not in v\.zarr"),
}
FIGURES = {  # names that are looked up, and values of a wrong kind
    10: (lambda t: kk.plot.scatter(t.ds, color="CD3Dd"), r"got 'CD3Dd'\. Did you mean 'CD3D'"),
    77: (lambda t: kk.plot.umap, r"kithkin\.plot has no 'umap': use kithkin\.plot\.scatter\(ds"),
    100: (
        lambda t: kk.plot.scatter(t.ds, color="type", palette="tab1"),
        r"colour map, got 'tab1'\. Did you mean 'tab10'",
    ),
    101: (lambda t: kk.plot.scatter(t.ds, legend="on_data"), r"legend must be one of .*Did you mean 'on data'"),
    102: (lambda t: kk.plot.scatter(t.ds, on="X_umap"), r"on must be a key .* Did you mean 'obsm/X_umap'"),
    234: (
        lambda t: kk.plot.scatter(t.ds, colour="type"),
        r"no parameter 'colour'\. Did you mean 'color'",
    ),
    235: (lambda t: kk.plot.scatter(t.ds, color="type", groups=["O"]), r"groups must be among those of color, got 'O'"),
    236: (lambda t: kk.plot.scatter(t.ds, cmap="virids"), r"cmap must be .* Did you mean 'viridis'"),
    237: (lambda t: kk.plot.dotplot(t.ds, "type", ["cd19"]), r"not found: cd19\. Did you mean 'CD19'"),
    238: (lambda t: kk.plot.latent(t.ds, "cd19"), r"Run kithkin\.count_mixture"),
    112: (
        lambda t: kk.plot.scatter(t.ds, color="obsm/Antibody Capture/CD3"),
        r"mean 'obsm/Antibody Cap.*CD3_prot",
    ),
    239: (lambda t: kk.plot.quality(t.ds, thresholds={"n_gene": 3}), r"Did you mean 'n_genes'"),
    240: (lambda t: kk.plot.violin(t.ds, "n_conts"), r"values must be .* Did you mean 'n_counts'"),
    241: (lambda t: kk.plot.scatter(t.source), r"ds of scatter must be a dataset or its path, got AnnData"),
    242: (lambda t: kk.plot.scattr, r"kithkin\.plot has no 'scattr'\. Did you mean 'kithkin\.plot\.scatter'"),
    243: (
        lambda t: kk.metrics.partition.purity(tabel=1),
        r"purity\(\) has no parameter .tabel.\. Did you mean .table.",
    ),
    244: (lambda t: kk.metrics.partition.contingency([0], [0, 1]), r"must have equally many rows, got 1 and 2"),
    245: (lambda t: kk.metrics.clusters, r"kithkin\.metrics has no 'clusters'"),
    246: (lambda t: kk.models.KMeans(2, seed=-1).fit(np.eye(4)), r"seed must be in 0\.\.4294967295, got -1"),
    247: (lambda t: kk.models.PCA(2, seed="a").fit_transform(np.eye(4)), r"seed must be in 0\.\.4294967295, got 'a'"),
    248: (
        lambda t: kk.markers(t.ds, by="name", groups=["T cels"]),
        r"no label 'T cels'\. Did you mean 'T cells'",
    ),
    249: (lambda t: kk.neighbors(t.ds, metric="cosin"), r"metric must be one of .* Did you mean 'cosine'"),
    250: (lambda t: kk.export(t.ds, t.folder / "x.csv", what="marker"), r"what must be .* Did you mean 'markers'"),
}
WRONG = {"seed": -1}  # of other parameters an object of no use


class Odd:
    def __repr__(self):
        return "<odd>"


DRAWN = {  # figure -> what it is drawn from
    "categorical": lambda t: (3,),
    "contingency": lambda t: (t.ds, "type", "name"),
    "dotplot": lambda t: (t.ds, "type"),
    "elbow": lambda t: (t.ds,),
    "group_colors": lambda t: (["a", "b"],),
    "heatmap": lambda t: (t.ds, "type"),
    "quality": lambda t: (t.ds,),
    "scatter": lambda t: (t.ds,),
    "violin": lambda t: (t.ds, "n_counts"),
}


@pytest.mark.parametrize("name", DRAWN)
def test_no_wrong_value_of_a_figure_reaches_matplotlib(there, name):
    figure = getattr(kk.plot, name)
    for parameter in inspect.signature(figure).parameters:
        given = inspect.signature(figure).bind(*DRAWN[name](there)).arguments
        with pytest.raises(kk.ParameterError) as caught:
            figure(**given | {parameter: WRONG.get(parameter, Odd())})
        assert re.search(rf"^{parameter}( of \w+)? must ", str(caught.value)), str(caught.value)
        assert "\n" not in str(caught.value)


ALL = {
    f"{kind} {number}": case
    for kind, cases in {
        "not there": NOT_THERE,
        "genes": GENE_NAMES,
        "numbers": NUMBERS,
        "types": TYPES,
        "words of others": WORDS_OF_OTHERS,
        "names of others": NAMES_OF_OTHERS,
        "no dataset": NO_DATASET,
        "sources": SOURCES,
        "conditions": CONDITIONS,
        "columns": COLUMNS,
        "datasets": DATASETS,
        "keys": KEYS,
        "figures": FIGURES,
    }.items()
    for number, case in cases.items()
}


@pytest.mark.parametrize("name", ALL)
def test_a_mistake_is_answered_in_one_sentence(there, name):
    refuses(there, *ALL[name])


RIGHT = {
    2: lambda t: len(kk.markers(t.ds, "type")) == 3 * len(GENES),
    13: lambda t: t.ds.genes("CD3D").shape == (N, 1),
    26: lambda t: len(kk.leiden(str(t.ds.path))) == N,
    53: lambda t: kk.subset(t.ds, cells="type in ['0', '2']", to=t.folder / "53.zarr").n_obs == 40,
    54: lambda t: kk.subset(t.ds, cells="type == 0", to=t.folder / "54.zarr").n_obs == 20,
    58: lambda t: kk.subset(t.ds, cells=pd.Series([True] * 9 + [False] * 51), to=t.folder / "58.zarr").n_obs == 9,
    61: lambda t: kk.annotate(t.ds, "o", pd.Series(range(N), index=t.ds.obs_names[::-1])).tolist()[0] == N - 1,
    63: lambda t: set(kk.annotate(t.ds, "batch", "b1")) == {"b1"},
    68: lambda t: t.ds["obs/type"].nunique() == 3,
    73: lambda t: len(t.ds) == N,
    83: lambda t: kk.markers(t.ds, "type", groups=[0], reference=1)["group"].tolist()[0] == "0",
    110: lambda t: pickle.loads(pickle.dumps(t.ds)).shape == t.ds.shape,
    114: lambda t: t.ds["obsm/Antibody Capture"].shape == (N, 2),
    113: lambda t: kk.subset(t.ds, cells="CD3_prot < 20", to=t.folder / "113.zarr").n_obs == 10,
    112: lambda t: len(kk.plot.scatter(t.ds, color=["obsm/Antibody Capture/CD3_prot", "CD19_prot"]).axes) > 1,
    115: lambda t: kk.neighbors(t.ds, 5, on="obsm/Antibody Capture", key="protein").shape == (N, N),
    116: lambda t: len(kk.markers(t.ds, "type", on="obsm/Antibody Capture", key=None)) == 6,
    117: lambda t: kk.pca(t.ds, 2, on="obsm/Antibody Capture", key="X_protein").shape == (N, 2),
    133: lambda t: "np" not in dir(kk.datasets) and "simulate_counts" in dir(kk.datasets),
    136: lambda t: (
        {"calibration", "embedding", "explanation", "partition"} <= set(dir(kk.metrics)) == set(kk.metrics.__all__)
    ),
    137: lambda t: "accuracy" in dir(kk.metrics.partition) and "np" not in dir(kk.metrics.partition),
    142: lambda t: t.ds.write({"obs/s": [1.5] * N}) is None and t.ds["obs/s"].sum() == 1.5 * N,
    140: lambda t: t.ds.delete("obs/s") is None and "obs/s" not in t.ds,
    151: lambda t: t.ds.rows(slice(0, 5)).shape == (5, len(GENES)),
    157: lambda t: "60 observations" in kk.info(str(t.ds.path)),
    158: lambda t: len(kk.history(t.ds.path)) > 3,
    173: lambda t: list(kk.read(t.source[:, [0, 0]].copy(), to=t.folder / "173.zarr").var_names) == ["CD3D", "CD3D-1"],
    212: lambda t: kk.variable_genes(t.ds, np.int64(5), key=None) is not None,
    218: lambda t: kk.open(t.ds, threads=1).execution.threads == 1,
    219: lambda t: kk.read(t.source, to=t.raw.path).shape == t.raw.shape,
}


@pytest.mark.parametrize("number", RIGHT)
@pytest.mark.filterwarnings("ignore:Variable names are not unique", "ignore:Observation names are not unique")
def test_what_is_meant_is_done(there, number):
    assert RIGHT[number](there)
