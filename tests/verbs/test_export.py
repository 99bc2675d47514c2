"""What is exported is what the dataset holds, as anndata, SciPy, scanpy and pandas read it; nothing is half-written."""

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.io
from scipy import sparse

import kithkin as kk
from kithkin.core.elements import plain_texts
from kithkin.io.formats import h5ad_writer


@pytest.fixture
def rich(finished):
    """A finished dataset with elements of several kinds in every place."""
    n, p = finished.shape
    rng = np.random.default_rng(0)
    names = finished.obs_names
    finished.write(
        {
            "obs/text": np.array([f"cell {i}" for i in range(n)], dtype=object),
            "obs/maybe": pd.Series([1, None] * (n // 2), dtype="Int64", index=names),
            "obsm/frame": pd.DataFrame({"CD3": rng.normal(size=n), "CD19": rng.normal(size=n)}, index=names),
            "obsm/cube": rng.normal(size=(n, 2, 3)),
            "obsm/sparse": sparse.random(n, 20, 0.2, "csr", random_state=0),
            "varp/links": sparse.random(p, p, 0.01, "csr", random_state=0),
            "uns/about": {"a": 1, "b": {"c": "text", "table": pd.DataFrame({"x": [1.5, 2.5]})}},
        }
    )
    return finished


def assert_same(found, expected):
    if sparse.issparse(expected):
        assert found.format == expected.format
        assert found.dtype == expected.dtype
        assert found.shape == expected.shape
        assert abs(found - expected).max() == 0
    elif isinstance(expected, pd.DataFrame):
        pd.testing.assert_frame_equal(plain_texts(found), plain_texts(expected))  # pandas 3 reads texts in its own type
    elif isinstance(expected, dict) or hasattr(expected, "keys"):
        assert set(found) == set(expected)
        for key in expected:
            assert_same(found[key], expected[key])
    elif isinstance(expected, np.ndarray) and expected.dtype.names:
        for field in expected.dtype.names:
            assert np.array_equal(found[field].astype(str), expected[field].astype(str))
    else:
        assert np.array_equal(np.asarray(found), np.asarray(expected))
        assert np.asarray(found).dtype.kind == np.asarray(expected).dtype.kind


def test_h5ad_reads_as_the_dataset_does(rich, tmp_path):
    path = kk.export(rich, tmp_path / "a.h5ad")
    found, expected = anndata.read_h5ad(path), rich.to_anndata()
    assert found.X.dtype == np.float32
    for place in ("X", "obs", "var", "obsm", "varm", "obsp", "varp", "layers", "uns"):
        assert_same(getattr(found, place), getattr(expected, place))
    assert found.uns["kithkin"].keys() == expected.uns["kithkin"].keys()
    again = kk.read(path, to=tmp_path / "b.zarr")
    assert abs(again.to_anndata().X - expected.X).max() == 0


@pytest.mark.parametrize("layout", [sparse.csr_matrix, np.asarray])
@pytest.mark.parametrize("kind", ["counts", "large", "values"])
def test_h5ad_of_every_kind_of_table_in_blocks(layout, kind, tmp_path, monkeypatch):
    monkeypatch.setattr(h5ad_writer, "CHUNK", 8)
    rng = np.random.default_rng(1)
    values = {"counts": rng.poisson(1.0, (37, 9)), "large": rng.poisson(1.0, (37, 9)) * (2**24 + 1)}
    table = layout(values.get(kind, rng.normal(size=(37, 9))))
    adata = anndata.AnnData(table, layers={"half": layout(np.asarray(values.get(kind, rng.normal(size=(37, 9)))) / 2)})
    ds = kk.read(adata, to=tmp_path / "a.zarr")
    found, expected = anndata.read_h5ad(kk.export(ds, tmp_path / "a.h5ad")), ds.to_anndata()
    assert_same(found.X, expected.X)
    assert_same(found.layers["half"], expected.layers["half"])


def test_a_folder_is_read_as_10x(finished, tmp_path):
    folder = kk.export(finished, tmp_path / "forR")
    expected = finished.to_anndata()
    matrix = scipy.io.mmread(folder / "matrix.mtx.gz")
    assert abs(matrix.T.tocsr() - expected.X).max() == 0
    names = pd.read_csv(folder / "barcodes.tsv.gz", header=None, dtype=str)[0]
    assert names.tolist() == expected.obs_names.tolist()
    features = pd.read_csv(folder / "features.tsv.gz", header=None, sep="\t", dtype=str)
    assert features[1].tolist() == expected.var_names.tolist()
    assert set(features[2]) == {"Gene Expression"}
    obs = pd.read_csv(folder / "obs.csv", index_col="name", dtype={"name": str, "leiden": str})
    assert obs.index.tolist() == expected.obs_names.tolist()
    assert obs["leiden"].tolist() == expected.obs["leiden"].astype(str).tolist()
    pca = pd.read_csv(folder / "embeddings" / "X_pca.csv", index_col="name")
    np.testing.assert_allclose(pca.to_numpy(), expected.obsm["X_pca"], rtol=1e-6)
    assert pca.columns[0] == "X_pca_1"
    again = kk.read(folder, to=tmp_path / "again.zarr")
    assert abs(again.to_anndata().X - expected.X).max() == 0


def test_dense_values_go_to_a_folder_and_a_table(tmp_path):
    values = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    frame = pd.DataFrame(values, columns=["x", "y", "z"], index=[f"row {i}" for i in range(20)])
    ds = kk.read(frame, to=tmp_path / "a.zarr")
    for path in (kk.export(ds, tmp_path / "folder") / "X.csv.gz", kk.export(ds, tmp_path / "x.csv", what="X")):
        found = pd.read_csv(path, index_col="name")
        pd.testing.assert_frame_equal(found.astype(np.float32), frame, check_names=False)


@pytest.mark.parametrize("end", ["csv", "tsv", "csv.gz", "json", "parquet"])
def test_a_table_of_cells_has_the_embeddings_as_columns(finished, tmp_path, end):
    pytest.importorskip("pyarrow")
    path = kk.export(finished, tmp_path / f"cells.{end}")
    separator = "\t" if end == "tsv" else ","
    read = {"json": pd.read_json, "parquet": pd.read_parquet}.get(end)
    found = (read(path) if read else pd.read_csv(path, sep=separator)).set_index("name")
    assert found.index.astype(str).tolist() == finished.obs_names.tolist()
    assert found["leiden"].astype(str).tolist() == finished.obs["leiden"].astype(str).tolist()
    np.testing.assert_allclose(found["X_pca_2"], finished.read("obsm/X_pca")[:, 1], rtol=1e-6)


def test_other_tables_are_chosen_by_name(rich, tmp_path):
    markers = pd.read_csv(kk.export(rich, tmp_path / "m.csv", what="markers"))
    assert markers["gene"].tolist() == kk.markers(rich, "leiden")["gene"].tolist()
    var = pd.read_csv(kk.export(rich, tmp_path / "v.csv", what="var"), index_col="name")
    np.testing.assert_allclose(var["n_cells"], rich.var["n_cells"])
    frame = pd.read_csv(kk.export(rich, tmp_path / "f.csv", what="obsm/frame"), index_col="name")
    np.testing.assert_allclose(frame.to_numpy(), rich.read("obsm/frame").to_numpy())
    labels = pd.read_csv(kk.export(rich, tmp_path / "l.tsv", what="obs/leiden"), sep="\t")
    assert list(labels) == ["name", "leiden"]


@pytest.mark.parametrize(
    ("to", "settings", "sentence"),
    [
        ("a.rds", {}, "to must end in .h5ad, .tsv, .csv, .json, .parquet, or in / for a folder that R reads, got "),
        ("a.h5ad", {"what": "markers"}, "what needs a path that ends in .csv"),
        ("a.parquet", {"what": "X"}, "X is written to .csv, .tsv or .h5ad"),
        ("a.csv", {"what": "uns/about"}, "what must be a table, such as 'obs', 'var', 'markers' or 'obsm/X_pca'"),
        ("a.csv", {"what": "obs/nothing"}, "obs/nothing is not in cells.zarr"),
        ("cells.zarr/a.csv", {}, "to must be outside cells.zarr"),
        ("nowhere/a.csv", {}, "the folder .*nowhere does not exist"),
        ("there.csv", {}, "there.csv exists already. Choose another name, or use overwrite=True"),
        ("other", {"overwrite": True}, "other is a folder that kithkin did not export"),
    ],
)
def test_refusals_leave_everything_as_it_was(rich, tmp_path, to, settings, sentence):
    (tmp_path / "there.csv").write_text("mine")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").touch()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(kk.KithkinError, match=sentence):
        kk.export(rich, tmp_path / to, **settings)
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "there.csv").read_text() == "mine"


def test_a_failure_half_way_leaves_nothing_and_keeps_what_was_there(finished, tmp_path, monkeypatch):
    path, folder = tmp_path / "a.h5ad", tmp_path / "folder"
    path.write_text("mine")
    kk.export(finished, folder)
    listed = sorted(tmp_path.rglob("*"))

    def fail(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("kithkin.io.formats.h5ad_writer._write_dense", fail)
    monkeypatch.setattr("kithkin.io.formats.tenx_writer.embedding_columns", fail)
    for to in (path, folder):
        with pytest.raises(kk.KithkinError, match=r"the disk is full: .* is as it was before"):
            kk.export(finished, to, overwrite=True)
    assert path.read_text() == "mine"
    assert sorted(tmp_path.rglob("*")) == listed
    monkeypatch.undo()
    kk.export(finished, path, overwrite=True)
    kk.export(finished, folder, overwrite=True)
    assert anndata.read_h5ad(path).shape == finished.shape
    assert sorted(tmp_path.rglob("*")) == listed
