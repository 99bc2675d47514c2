import logging

import numpy as np
import pandas as pd
import pytest

import kithkin as kk
from kithkin.verbs.arguments.sets import find_sets, read_sets

GENES = ["CD3D", "CD3E", "CD19", "MS4A1", "HLA-A", "odd-"]


@pytest.fixture
def ds(tmp_path):
    counts = np.random.default_rng(0).poisson(2, (10, len(GENES)))
    ds = kk.read(pd.DataFrame(counts, columns=GENES), to=tmp_path / "a.zarr", kind="counts")
    ds.write({"obsm/ADT": pd.DataFrame(counts[:, :2], index=ds.obs_names, columns=["CD3", "CD19"])})
    return ds


def test_sets_come_in_several_forms(tmp_path):
    (tmp_path / "s.gmt").write_text("T\tx\tCD3D\tCD3E\n")
    wanted = {"T": ["CD3D", "CD3E"]}
    path = tmp_path / "s.gmt"
    for given in ({"T": ("CD3D", "CD3E")}, "T = CD3D, CD3E", ["T=CD3D,CD3E"], path, str(path), (str(path),)):
        assert read_sets(given) == wanted
    assert read_sets(pd.Index(["CD3D", "CD3E"])) == {"score": ["CD3D", "CD3E"]}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, r"sets must be a mapping .* got none"),
        ([], r"sets must be a mapping such as .* got \[\]"),
        (5, r"sets must be a mapping .* got 5"),
        ([3, 4], r"sets must be a mapping .* got \[3, 4\]"),
        ({"T": "CD3D"}, r"sets\['T'\] must be a list of genes such as \['CD3D', 'CD3E'\], got 'CD3D'"),
        ({"T": [1, 2]}, r"sets\['T'\] must be a list of genes"),
        ({"T": []}, r"sets\['T'\] must name at least one gene, got none"),
        ({"": ["CD3D"]}, r"sets must have names such as 'T cells', got ''"),
        (["T=CD3D", "T=CD3E"], r"sets names 'T' twice"),
        (["T=CD3D", "CD3E"], r"sets must be a mapping .*, got 'CD3E'"),
        ("T=", r"sets must be a mapping .*, got 'T='"),
        ({1: ["CD3D"], "1": ["CD3E"]}, r"sets must have different names"),
    ],
)
def test_other_forms_are_refused_in_a_sentence(given, said):
    with pytest.raises(kk.ParameterError, match=said):
        read_sets(given)


def test_a_name_that_is_neither_file_nor_genes_is_a_file_that_is_not_there():
    with pytest.raises(kk.KithkinError, match=r"hallmark\.gmt does not exist"):
        read_sets("hallmark.gmt")


def test_genes_are_found_by_name(ds):
    found = find_sets(ds, {"a": ["CD19", "CD3D", "none"], "b": ["HLA-A"]}, "X")
    assert {name: columns.tolist() for name, columns in found.columns.items()} == {"a": [2, 0, -1], "b": [4]}
    assert found.listed().loc["a", ["n_genes", "n_found", "genes"]].tolist() == [3, 2, "CD19, CD3D, none"]


def test_genes_are_found_by_symbol_and_columns_of_a_table_by_theirs(ds):
    ds["var/symbol"] = ["s1", "s2", "s3", "s3", "s5", "s6"]
    assert find_sets(ds, {"a": ["s2", "CD3D", "s3"]}, "X").columns["a"].tolist() == [1, 0, -1]
    assert find_sets(ds, {"a": ["CD19"]}, "obsm/ADT").columns["a"].tolist() == [1]


def test_signs_count_unless_a_gene_has_that_name(ds):
    found = find_sets(ds, {"a": ["CD3D+", "CD19-", "odd-", "none-"]}, "X", signed=True)
    assert found.columns["a"].tolist() == [0, 5]
    assert found.against["a"].tolist() == [2, -1]
    assert found.listed()["n_found"].tolist() == [3]
    with pytest.raises(kk.ParameterError, match=r"sets\['a'\] holds 'CD19-': only method='ucell' takes genes"):
        find_sets(ds, {"a": ["CD3D", "CD19-"]}, "X")


def test_capitals_are_matched_where_asked(ds):
    with pytest.raises(kk.ParameterError, match=r"but none is: 'cd3d', 'cd3e'\. Did you mean 'CD3D'"):
        find_sets(ds, {"a": ["cd3d", "cd3e"]}, "X")
    assert find_sets(ds, {"a": ["cd3d", "cd3e"]}, "X", any_case=True).columns["a"].tolist() == [0, 1]


def test_sets_without_genes_are_left_out_and_named(ds, caplog):
    with caplog.at_level(logging.INFO, "kithkin"):
        found = find_sets(ds, {"a": ["CD3D", "x1"], "b": ["x2"]}, "X")
    assert list(found.columns) == ["a"]
    assert "sets without a gene that is there were left out: 'b'" in caplog.text
    assert "1 of 2 genes of the sets are not there: x1" in caplog.text
