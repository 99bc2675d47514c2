"""Samples below each other: what anndata.concat gives, however their genes are ordered and stored."""

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import kithkin as kk
from kithkin.core.errors import FormatError, ParameterError

pytestmark = pytest.mark.filterwarnings("ignore:Observation names are not unique", "ignore:Consolidated metadata")


def sample(seed, genes, n_cells=9, dense=False, cells="cell"):
    rng = np.random.default_rng(seed)
    X = rng.poisson(0.7, (n_cells, len(genes))).astype(np.float32)
    obs = pd.DataFrame(
        {"kind": pd.Categorical(rng.choice(["T", "B"], n_cells)), f"only{seed}": np.arange(n_cells)},
        index=[f"{cells}{k}" for k in range(n_cells)],
    )
    return ad.AnnData(X if dense else sparse.csr_matrix(X), obs=obs, var=pd.DataFrame(index=genes))


def letters(text):
    return [f"gene {letter}" for letter in text]


def read(samples, path, **settings):
    ds = kk.read(samples, to=path, **settings)
    assert kk.check(ds) == []
    return ad.read_zarr(ds.path)


def values(adata):
    return adata.X.toarray() if sparse.issparse(adata.X) else np.asarray(adata.X)


@pytest.mark.parametrize("join", ["outer", "inner"])
@pytest.mark.parametrize("orders", [("ABCD", "ABCD"), ("DBCA", "BDAX"), ("CA", "BAC", "ACY")])
def test_equals_concat(tmp_path, join, orders):
    samples = {f"s{k}": sample(k, letters(genes)) for k, genes in enumerate(orders)}
    got = read(samples, tmp_path / "a.zarr", join=join)
    want = ad.concat(samples, join=join, label="sample", index_unique="-")
    assert got.obs_names.tolist() == want.obs_names.tolist()
    assert got.var_names.tolist() == want.var_names.tolist()
    assert np.array_equal(values(got), values(want))
    for column in want.obs:
        pd.testing.assert_series_equal(got.obs[column], want.obs[column], check_categorical=False)


def test_a_sample_with_genes_of_its_own_is_named(tmp_path, caplog):
    samples = {"a": sample(0, letters("AB")), "b": sample(1, letters("BC")), "c": sample(2, letters("XY"))}
    got = read(samples, tmp_path / "a.zarr")
    assert np.array_equal(values(got), values(ad.concat(samples, join="outer")))
    assert "sample c has no column that another sample has: its first is gene X, that of a is gene A" in caplog.text
    assert "sample a has no column" not in caplog.text


def test_names_that_differ_stay_as_they_are(tmp_path):
    samples = {"a": sample(0, letters("AB"), cells="x"), "b": sample(1, letters("AB"), cells="y")}
    assert read(samples, tmp_path / "a.zarr").obs_names.tolist() == [f"{c}{k}" for c in "xy" for k in range(9)]


def test_formats_are_mixed(tmp_path):
    """Join a file of each kind, whose counts are sparse or dense, with the table of one in memory."""
    genes = ["CD3D", "MS4A1", "LYZ", "NKG7", "PPBP"]
    parts = {name: sample(k, genes, dense=name == "table") for k, name in enumerate(["h5ad", "table", "memory"])}
    parts["h5ad"].write_h5ad(tmp_path / "a.h5ad")
    pd.DataFrame(parts["table"].X.astype(int), parts["table"].obs_names, genes).to_csv(tmp_path / "b.csv")
    sources = {"h5ad": tmp_path / "a.h5ad", "table": tmp_path / "b.csv", "memory": parts["memory"]}
    got = read(sources, tmp_path / "all.zarr")
    assert np.array_equal(values(got), np.concatenate([values(part) for part in parts.values()]))
    assert sparse.issparse(got.X)
    assert got.uns["samples"]["n_cells"].tolist() == [9, 9, 9]
    medians = [np.median(values(part).sum(axis=1)) for part in parts.values()]
    assert got.uns["samples"]["n_counts"].tolist() == medians


def test_dense_tables_miss_what_a_sample_does_not_have(tmp_path):
    samples = {
        name: sample(k, letters(genes), dense=True) for k, (name, genes) in enumerate({"a": "AB", "b": "BC"}.items())
    }
    for part in samples.values():
        part.X = part.X + np.float32(0.5)
    got = read(samples, tmp_path / "a.zarr", kind="values")
    assert np.array_equal(values(got), values(ad.concat(samples, join="outer")), equal_nan=True)
    assert got.var["n_missing"].tolist() == [9, 0, 9]


@pytest.mark.parametrize("dense", [(True, True), (True, False), (False, True)])
@pytest.mark.parametrize("form", ["h5ad", "csv"])
def test_genes_that_a_sample_lacks_are_zero(tmp_path, dense, form):
    """So counts stay counts, whether the first sample is sparse or dense."""
    names = [["CD3D", "CD3E", "LYZ", "MS4A1"], ["NKG7", "LYZ", "CD3E", "CD8A"]]
    parts = {f"s{k}": sample(k, names[k], dense=dense[k], cells=f"s{k} ") for k in range(2)}
    sources = {name: tmp_path / f"{name}.{form if dense[k] else 'h5ad'}" for k, name in enumerate(parts)}
    for name, path in sources.items():
        table = pd.DataFrame(values(parts[name]).astype(int), parts[name].obs_names, parts[name].var_names)
        table.to_csv(path) if path.suffix == ".csv" else parts[name].write_h5ad(path)
    got = read(sources, tmp_path / "a.zarr")
    want = [pd.DataFrame(values(one), one.obs_names, one.var_names) for one in parts.values()]
    assert got.to_df().equals(pd.concat(want).fillna(0)[list(got.var_names)].astype(np.float32))
    assert kk.open(tmp_path / "a.zarr").kind == "counts"
    assert "n_counts" in got.obs


def test_missing_values_after_sparse_samples_are_refused(tmp_path):
    gaps = sample(1, letters("AB"), dense=True)
    gaps.X[3, 1] = np.nan
    with pytest.raises(
        FormatError, match=r"sample b: .*: values of X are missing, but the samples before it are sparse"
    ):
        kk.read({"a": sample(0, letters("AB")), "b": gaps}, to=tmp_path / "a.zarr", kind="values")


def test_datasets_by_name(tmp_path):
    ds = kk.read(sample(0, letters("AB")), to=tmp_path / "0.zarr")
    assert kk.read({"a": ds, "b": sample(1, letters("AB"))}, to=tmp_path / "a.zarr").n_obs == 18


def with_ids(names, ids):
    part = sample(len(names), names)
    part.var["gene_ids"] = ids
    return part


def test_genes_are_matched_by_identifier(tmp_path, caplog):
    a = with_ids(["CD3D", "SEPT1", "TBCE"], ["E1", "E2", "E3"])
    b = with_ids(["SEPTIN1", "CD3D", "TBCE"], ["E2", "E1", "E4"])
    got = read({"a": a, "b": b}, tmp_path / "ids.zarr", join="inner")
    assert got.var_names.tolist() == ["CD3D", "SEPT1"]
    assert got.var["gene_ids"].tolist() == ["E1", "E2"]
    assert np.array_equal(values(got), np.concatenate([values(a)[:, [0, 1]], values(b)[:, [1, 0]]]))
    assert "1 gene has different names in different samples, such as E2 (SEPT1 and SEPTIN1)" in caplog.text
    assert "2 genes are in every sample" in caplog.text
    names = read({"a": a, "b": b}, tmp_path / "names.zarr", join="inner", match="names")
    assert names.var_names.tolist() == ["CD3D", "TBCE"]


def test_genes_are_matched_by_symbol(tmp_path):
    a = sample(0, ["CD3D", "LYZ"])
    b = sample(1, ["ENSG1", "ENSG2"])
    b.var["gene_symbols"] = ["LYZ", "CD3D"]
    got = read({"a": a, "b": b}, tmp_path / "a.zarr", match="symbols")
    assert got.var_names.tolist() == ["CD3D", "LYZ"]
    assert np.array_equal(values(got)[9:], values(b)[:, [1, 0]])


def test_layers_and_obsm_of_all_are_kept(tmp_path, caplog):
    samples = {name: sample(k, letters("ABC")) for k, name in enumerate("ab")}
    for part in samples.values():
        part.layers["twice"] = 2 * part.X
        part.obsm["X_pca"] = np.random.default_rng(0).normal(size=(9, 2))
    samples["a"].obsm["spatial"] = np.zeros((9, 2))
    got = read(samples, tmp_path / "a.zarr")
    assert np.array_equal(got.layers["twice"].toarray(), 2 * values(got))
    assert np.array_equal(got.obsm["X_pca"], np.concatenate([part.obsm["X_pca"] for part in samples.values()]))
    assert "obsm/spatial was left out: not every sample has it" in caplog.text


def test_antibodies_of_10x_files_are_kept(tmp_path):
    counts = [np.random.default_rng(k).poisson(0.8, (20, 12)) for k in range(2)]
    for k, table in enumerate(counts):
        rows = sparse.csr_matrix(table)
        with h5py.File(tmp_path / f"{k}.h5", "w") as file:
            matrix = file.create_group("matrix")
            matrix["data"], matrix["indices"], matrix["indptr"] = rows.data, rows.indices, rows.indptr
            matrix["shape"], matrix["barcodes"] = [12, 20], [f"s{k} c{i}" for i in range(20)]
            matrix["features/id"] = matrix["features/name"] = [f"GENE{i}" for i in range(9)] + ["CD3", "CD4", "CD8"]
            matrix["features/feature_type"] = ["Gene Expression"] * 9 + ["Antibody Capture"] * 3
    got = read([tmp_path / "0.h5", tmp_path / "1.h5"], tmp_path / "a.zarr")
    both = np.concatenate(counts)
    assert np.array_equal(values(got), both[:, :9])
    assert np.array_equal(got.obsm["Antibody Capture"].to_numpy(), both[:, 9:])
    assert got.obsm["Antibody Capture"].columns.tolist() == ["CD3", "CD4", "CD8"]


def test_a_sheet_adds_columns(tmp_path):
    for k in range(2):
        sample(k, letters("AB")).write_h5ad(tmp_path / f"{k}.h5ad")
    (tmp_path / "sheet.csv").write_text("path,sample,dose,donor\n0.h5ad,one,0.5,x\n1.h5ad,two,2,y\n")
    got = read(tmp_path / "sheet.csv", tmp_path / "a.zarr", sample="obs/batch")
    assert got.obs["batch"].astype(str).tolist() == ["one"] * 9 + ["two"] * 9
    assert got.obs["dose"].tolist() == [0.5] * 9 + [2.0] * 9
    assert got.obs["donor"].cat.categories.tolist() == ["x", "y"]
    again = kk.read(tmp_path / "sheet.csv", to=tmp_path / "a.zarr", sample="obs/batch")
    assert again.shape == (18, 2), "the same call finds its result"


def test_columns_in_the_place_of_others_are_kept(tmp_path, caplog):
    samples = {f"s{k}": sample(k, letters("AB")) for k in range(2)}
    for k, one in enumerate(samples.values()):
        one.obs["sample"], one.obs["donor"] = f"library {k}", "x"
        one.write_h5ad(tmp_path / f"s{k}.h5ad")
    got = read(samples, tmp_path / "a.zarr")
    assert got.obs["sample"].tolist() == ["s0"] * 9 + ["s1"] * 9
    assert got.obs["source_sample"].tolist() == ["library 0"] * 9 + ["library 1"] * 9
    assert "obs/sample of the samples is kept as obs/source_sample" in caplog.text
    (tmp_path / "sheet.csv").write_text("path,sample,donor\ns0.h5ad,one,x\ns1.h5ad,two,y\n")
    got = read(tmp_path / "sheet.csv", tmp_path / "b.zarr", sample="obs/batch")
    assert got.obs["donor"].tolist() == ["x"] * 9 + ["y"] * 9
    assert got.obs["source_donor"].tolist() == ["x"] * 18
    assert got.obs["sample"].tolist() == ["library 0"] * 9 + ["library 1"] * 9
    with pytest.raises(ParameterError, match="sample must be another column than donor"):
        kk.read(tmp_path / "sheet.csv", to=tmp_path / "c.zarr", sample="obs/donor")


@pytest.mark.parametrize(
    ("second", "settings", "error", "said"),
    [
        (sample(1, letters("XY")), {"join": "inner"}, FormatError, "no column is in every sample"),
        (sample(1, letters("AB")), {"sample": "obs/n_counts"}, ParameterError, "sample must be a free column of obs"),
        (sample(1, letters("AB")), {"sample": "obs/_index"}, ParameterError, "sample must be a free column of obs"),
        (sample(1, letters("AB")), {"sample": "obs/a/b"}, ParameterError, "sample must be a free column of obs"),
        (sample(1, letters("AB")), {"match": "ids"}, ParameterError, "a has none"),
        (sample(1, letters("AB")), {"layer": "spliced"}, ParameterError, "sample a: "),
        ("nowhere.h5ad", {}, FormatError, "sample b: nowhere.h5ad does not exist"),
    ],
)
def test_refusals_name_the_sample(tmp_path, second, settings, error, said):
    with pytest.raises(error, match=said):
        kk.read({"a": sample(0, letters("AB")), "b": second}, to=tmp_path / "a.zarr", **settings)
    assert list(tmp_path.iterdir()) == []


def test_counts_beside_normalised_values_are_refused(tmp_path):
    normal = sample(1, letters("AB"))
    normal.X = normal.X * np.float32(0.3)
    with pytest.raises(FormatError, match="sample b holds values that are not integers, but a holds counts"):
        kk.read({"a": sample(0, letters("AB")), "b": normal}, to=tmp_path / "a.zarr")
    assert list(tmp_path.iterdir()) == []
