"""Loom files read by cells, whichever way they are chunked."""

import h5py
import numpy as np
import pytest
from scipy import sparse

import kithkin as kk
from kithkin.core.errors import FormatError, ParameterError
from kithkin.core.execute import Execution
from kithkin.io.read import open_source


def write(path, dense, chunks=None):
    """Cells x genes, stored as loom does: genes x cells."""
    n, p = dense.shape
    with h5py.File(path, "w") as file:
        file.attrs["LOOM_SPEC_VERSION"] = "2.0.1"
        file.create_dataset("matrix", data=dense.T, chunks=chunks, compression="gzip" if chunks else None)
        file.create_dataset("layers/spliced", data=2 * dense.T)
        file["row_attrs/Gene"] = np.array([f"G{j}" for j in range(p)], "S")
        file["row_attrs/Chromosome"] = np.array(["1"] * p, "S")
        file["row_attrs/PCs"] = np.ones((p, 2))
        file["col_attrs/CellID"] = np.array([f"C{i}" for i in range(n)], h5py.string_dtype())
        file["col_attrs/Age"] = np.arange(n)
        file["col_attrs/UMAP"] = np.ones((n, 2))
        graph = sparse.random(n, n, 0.3, random_state=0)
        for part, values in zip("abw", (graph.row, graph.col, graph.data), strict=True):
            file[f"col_graphs/KNN/{part}"] = values
    return path


def dense_of(source, key="X", memory=10**8):
    return np.concatenate([block.to_dense() for block in source.tables[key](Execution(memory, 1))])


@pytest.mark.parametrize("chunks", [None, (1, 50), (40, 1), (8, 8), (40, 50)])
@pytest.mark.parametrize("dtype", [np.int16, np.float32])
@pytest.mark.parametrize("memory", [1, 20_000, 10**8])
def test_chunks_types_and_budgets(chunks, dtype, memory, tmp_path):
    dense = np.random.default_rng(0).poisson(0.5, (50, 40)).astype(dtype) * dtype(0.5 if dtype == np.float32 else 1)
    source = open_source(write(tmp_path / "a.loom", dense, chunks))
    source.scratch = tmp_path
    assert np.array_equal(dense_of(source, memory=memory), dense)
    assert [file.name for file in tmp_path.iterdir()] == ["a.loom"]


def test_what_came_along(tmp_path):
    dense = np.random.default_rng(0).poisson(0.5, (20, 20))
    path = write(tmp_path / "a.loom", dense)
    source = open_source(path)
    assert source.obs.index[0] == "C0"
    assert source.obs["Age"].tolist() == list(range(20))
    assert source.var.index[0] == "G0"
    assert source.var["Chromosome"].tolist() == ["1"] * 20
    assert set(source.elements) == {"obsm/UMAP", "varm/PCs", "obsp/KNN", "uns/LOOM_SPEC_VERSION"}
    assert source.elements["obsp/KNN"].read().shape == (20, 20)
    assert np.array_equal(dense_of(source, "layers/spliced"), 2 * dense)
    source = open_source(path, layer="spliced")
    assert np.array_equal(dense_of(source), 2 * dense)
    assert np.array_equal(dense_of(source, "layers/X"), dense)
    with pytest.raises(
        ParameterError, match=r"layer must be one of the layers of a\.loom, got 'no': there are 'spliced'"
    ):
        open_source(path, layer="no")


def test_damage_is_refused(tmp_path):
    dense = np.ones((5, 4), np.float32)
    dense[3, 2] = np.nan
    path = write(tmp_path / "a.loom", dense)
    with pytest.raises(FormatError, match=r"a.loom: matrix, cell 3, gene 2 is not a finite number"):
        dense_of(open_source(path))
    with pytest.raises(FormatError, match=r"a.loom: matrix, gene 2, cell 3 is not a finite number"):
        dense_of(open_source(path), memory=1)
    path = write(tmp_path / "b.loom", dense)
    with h5py.File(path, "a") as file:
        del file["col_attrs/Age"]
        file["col_attrs/Age"] = np.arange(4)
    assert open_source(path).notes == ["col_attrs/Age was left out: b.loom: col_attrs/Age is 4, but matrix promises 5"]


def test_attributes_of_every_shape(tmp_path):
    path = write(tmp_path / "a.loom", np.eye(3, 4))
    kind = h5py.enum_dtype({"B": 0, "T": 1}, basetype="i1")
    with h5py.File(path, "a") as file:
        attributes = file["col_attrs"]
        attributes["upright"], attributes["lying"], attributes["texts"] = [[1], [2], [3]], [[1, 2, 3]], [[b"a"]] * 3
        attributes.create_dataset("kind", data=[1, 0, 1], dtype=kind)
        attributes["turned"] = np.arange(6).reshape(2, 3)
        attributes["latin"] = np.array(["ä".encode("latin-1"), "ö".encode(), b"u"])
        attributes["single"], attributes["nowhere"] = 5, h5py.SoftLink("/nowhere")
        attributes.create_dataset("lists", (3,), dtype=h5py.vlen_dtype("i4"))
        del attributes["UMAP"], file["layers/spliced"]
        file["layers/spliced"], file["layers/text"] = np.full((4, 3), np.nan), np.full((4, 3), b"a")
    source = open_source(path)
    columns = source.obs.drop(columns="Age").to_dict("list")
    assert columns.pop("kind") == ["T", "B", "T"]
    assert columns.pop("latin") == ["ä", "ö", "u"]
    assert columns == {"upright": [1, 2, 3], "lying": [1, 2, 3], "texts": ["a"] * 3}
    assert source.elements["obsm/turned"].tolist() == [[0, 3], [1, 4], [2, 5]]
    left = ["col_attrs/lists", "col_attrs/nowhere", "col_attrs/single", "layers/text"]
    assert [note.partition(" was left")[0] for note in source.notes if "left out" in note] == left


@pytest.mark.parametrize(
    ("cells", "genes", "expected"),
    [
        ("cell_id", "gene_names", ("C0", "G0")),
        ("Barcode", "Symbol", ("C0", "G0")),
        ("obs_names", "Accession", ("C0", "G0")),
        ("k", "j", ("0", "0")),
    ],
)
def test_names_under_other_names_and_none(cells, genes, expected, tmp_path):
    path = write(tmp_path / "a.loom", np.eye(3))
    with h5py.File(path, "a") as file:
        file.move("col_attrs/CellID", f"col_attrs/{cells}")
        file.move("row_attrs/Gene", f"row_attrs/{genes}")
    source = open_source(path)
    assert (source.obs.index[0], source.var.index[0]) == expected
    unnamed = [
        "col_attrs of a.loom has no CellID, but Age, k: the cells are numbered",
        "row_attrs of a.loom has no Gene, but Chromosome, j: the genes are numbered",
    ]
    assert source.notes == (unnamed if expected[0] == "0" else [])


def read(path, tmp_path):
    return kk.read(path, to=tmp_path / "a.zarr", progress=False)


def test_records_and_bytes(tmp_path, caplog):
    path = write(tmp_path / "a.loom", np.eye(3))
    with h5py.File(path, "a") as file:
        fields = [("PAX5(+)", "f8"), ("REL(+)", "f8")]
        file["col_attrs/RegulonsAUC"] = np.array([(0.1, 0.2), (0.3, 0.4), (0.5, 0.6)], fields)
        file.attrs["CellTypes"] = np.array([b"Astro", b"Endo"])
        file.create_group("col_attrs/nested")
    ds = read(path, tmp_path)
    assert ds.read("obsm/RegulonsAUC").columns.tolist() == ["PAX5(+)", "REL(+)"]
    assert ds.read("obsm/RegulonsAUC")["REL(+)"].tolist() == [0.2, 0.4, 0.6]
    assert ds.read("uns/CellTypes").tolist() == ["Astro", "Endo"]
    assert "col_attrs/nested was left out: a.loom: col_attrs/nested is a group" in caplog.text


@pytest.mark.parametrize("first", [0, 1])
def test_graphs_counted_from_0_and_from_1(tmp_path, first, caplog):
    path = write(tmp_path / "a.loom", np.eye(3))
    with h5py.File(path, "a") as file:
        del file["col_graphs"]
        for part, values in (("a", [0, 1, 2]), ("b", [1, 2, 0])):
            file[f"col_graphs/KNN/{part}"] = np.array(values) + first
        file["col_graphs/KNN/w"] = [0.5, 1.0, 2.0]
    assert read(path, tmp_path).read("obsp/KNN").toarray().tolist() == [[0, 0.5, 0], [0, 0, 1], [2, 0, 0]]
    assert ("counts its nodes from 1" in caplog.text) == (first == 1)
