"""The kind of a table, decided once by its names and values."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import kithkin as kk
from kithkin.io.formats.gene_names import genes_among

RNG = np.random.default_rng(0)
PANEL = [
    "CD3D",
    "CD3E",
    "CD4",
    "CD8A",
    "CD8B",
    "IL7R",
    "CCR7",
    "SELL",
    "LEF1",
    "MS4A1",
    "CD79A",
    "CD79B",
    "CD19",
    "NKG7",
    "GNLY",
    "KLRD1",
    "NCAM1",
    "PRF1",
    "GZMB",
    "LYZ",
    "CD14",
    "S100A8",
    "S100A9",
    "FCGR3A",
    "LST1",
    "AIF1",
    "FCER1A",
    "CST3",
    "CLEC10A",
    "PPBP",
    "PF4",
    "MKI67",
    "TOP2A",
]


def read(data, tmp_path, **settings):
    return kk.read(data, to=tmp_path / "a.zarr", overwrite=True, progress=False, **settings)


def csv(tmp_path, frame):
    frame.to_csv(tmp_path / "a.csv", index=False)
    return tmp_path / "a.csv"


TABLES = {
    "likert": (pd.DataFrame(RNG.integers(1, 6, (40, 30)), columns=[f"Q{k}" for k in range(30)]), "values"),
    "digits without names": (RNG.integers(0, 17, (40, 64)), "values"),
    "pendigits": (
        pd.DataFrame(RNG.integers(0, 101, (40, 16)), columns=[f"{a}{k}" for k in range(8) for a in "xy"]),
        "values",
    ),
    "cars": (pd.DataFrame({"mpg": RNG.normal(20, 3, 40), "cyl": 4, "hp": 90}), "values"),
    "negative": (np.array([[-1, 2], [3, 4]]), "values"),
    "panel of genes": (pd.DataFrame(RNG.poisson(1, (40, 33)), columns=PANEL), "counts"),
    "panel of the mouse": (pd.DataFrame(RNG.poisson(1, (40, 33)), columns=[g.title() for g in PANEL]), "counts"),
    "expression of a panel": (pd.DataFrame(RNG.normal(5, 1, (40, 33)), columns=PANEL), "values"),
    "stable ids": (pd.DataFrame(RNG.poisson(1, (9, 3)), columns=[f"ENSG0000016728{k}" for k in range(3)]), "counts"),
    "cytometer": (
        pd.DataFrame(RNG.integers(0, 999, (9, 5)), columns=["FSC-A", "SSC-A", "CD3", "CD4", "CD8"]),
        "values",
    ),
    "wide and mostly zero": (pd.DataFrame(RNG.poisson(0.2, (40, 300))).add_prefix("word"), "counts"),
    "wide and full": (pd.DataFrame(RNG.poisson(9, (40, 300))).add_prefix("word"), "values"),
    "sparse matrix": (sparse.csr_matrix(RNG.poisson(0.5, (40, 12))), "counts"),
    "images by their names": (pd.DataFrame(RNG.random((20, 64))).add_prefix("pixel"), "images"),
    "images of Kaggle": (
        pd.DataFrame(RNG.integers(0, 9, (20, 81)), columns=[f"{r}x{c}" for r in range(1, 10) for c in range(1, 10)]),
        "images",
    ),
    "images without names": ((RNG.random((40, 784)) * 255).round().astype(int), "images"),
    "no square": (RNG.integers(0, 256, (40, 785)), "values"),
}


@pytest.mark.parametrize("name", TABLES)
def test_kinds_of_tables(name, tmp_path):
    data, kind = TABLES[name]
    ds = read(data, tmp_path)
    assert ds.kind == kind, ds.kind_and_reason
    assert ds.stores_kind
    assert f"  X: {kind}, {ds.kind_and_reason[1]}" in kk.info(ds)
    assert ({"row", "column"} <= set(ds.var.columns)) == (kind == "images")
    assert ("n_counts" in ds.obs) == (kind != "values")
    if isinstance(data, pd.DataFrame):
        again = read(csv(tmp_path, data), tmp_path)
        assert again.kind == kind
        assert again.shape == data.shape


@pytest.mark.parametrize("kind", ["counts", "values", "images"])
def test_the_kind_is_what_it_is_said_to_be(kind, tmp_path):
    assert read(np.eye(4), tmp_path, kind=kind).kind == kind
    with pytest.raises(kk.ParameterError, match="kind must be one of 'auto', 'counts', 'values', 'images', got 'x'"):
        read(np.eye(4), tmp_path, kind="x")


def test_counts_of_a_format_of_counts_need_no_names(small_counts, tmp_path):
    small_counts.var_names = [f"v{k}" for k in range(small_counts.n_vars)]
    assert read(small_counts, tmp_path).kind_and_reason == (
        "counts", f"integers 0 to {int(small_counts.X.max())} in 500 columns of a format that holds counts"
    )  # fmt: skip
    small_counts.X = small_counts.X * 0.5
    ds = read(small_counts, tmp_path)
    assert ds.kind == "values"
    assert "n_genes" in ds.obs, "normalised values of genes are measured as before"
    kk.variable_genes(ds, 20, flavor="dispersion")


def test_the_kind_goes_along(tmp_path):
    answers = pd.DataFrame(RNG.integers(1, 6, (40, 30))).add_prefix("Q")
    ds = kk.read(answers, to=tmp_path / "a.zarr", progress=False)
    part = kk.subset(ds, cells=np.arange(40) < 20, to=tmp_path / "b.zarr")
    copies = [kk.read(source, to=tmp_path / f"{k}.zarr") for k, source in enumerate((ds, part, part.to_anndata()))]
    part.to_anndata().write_h5ad(tmp_path / "c.h5ad")
    copies.append(kk.read(tmp_path / "c.h5ad", to=tmp_path / "c.zarr"))
    assert {one.kind_and_reason for one in (ds, part, *copies)} == {ds.kind_and_reason}
    assert "n_counts" not in part.obs


def test_a_dataset_without_a_kind_is_taken_as_it_was(dataset, tmp_path):
    import shutil

    shutil.rmtree(dataset.path / "uns/kithkin/kind")
    old = kk.open(dataset.path)
    assert not old.stores_kind
    assert old.kind == "counts"
    assert not kk.subset(old, genes="n_cells >= 3", to=tmp_path / "b.zarr").stores_kind


def test_names_of_genes():
    assert genes_among(pd.DataFrame(index=PANEL)) == PANEL
    assert genes_among(pd.DataFrame({"symbol": ["CD3D", "LYZ", "NKG7"]}, index=["a", "b", "c"])) == [
        "CD3D",
        "LYZ",
        "NKG7",
    ]
    assert genes_among(pd.DataFrame(index=["hg19_CD3D", "CD4_TotalSeqB", "mm10___Cd8a", "x"])) != []
    assert genes_among(pd.DataFrame(index=["CD3E", "CD8A"])) == ["CD3E", "CD8A"]
    for others in (
        ["crim", "zn", "indus", "chas", "nox", "rm", "age", "dis"],
        [f"V{k}" for k in range(50)],
        ["CD4", "age"],
        ["INS", "KIT"],
    ):
        assert genes_among(pd.DataFrame(index=others)) == []
