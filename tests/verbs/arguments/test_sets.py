import logging

import numpy as np
import pandas as pd
import pytest

import kithkin as kk
from kithkin.verbs.arguments.sets import find_sets, read_sets

GENES = ["CD3D", "CD3E", "CD19", "MS4A1", "HLA-A", "odd-"]


def find_named(ds, sets, *args, **settings):
    return find_sets(ds, read_sets(sets), *args, **settings)


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
        (pd.DataFrame({"T": ["CD3D"]}), r"sets must be a mapping .*, got a DataFrame"),
        ({"T": pd.DataFrame({"CD3D": [1]})}, r"sets\['T'\] must be a list of genes"),
        ({"_index": ["CD3D"]}, r"sets must have names such as 'T cells', got '_index'"),
        ("", r"sets must be a mapping .*, got an empty text"),
        (["CD3D", " "], r"sets must be a mapping .*, got an empty text"),
        (["a.gmt", "CD3D"], r"sets must be one \.gmt file, or none, got 'a\.gmt' among 2"),
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
    found = find_named(ds, {"a": ["CD19", "CD3D", "none"], "b": ["HLA-A"]}, "X")
    assert {name: columns.tolist() for name, columns in found.columns.items()} == {"a": [2, 0, -1], "b": [4]}
    assert found.listed().loc["a", ["n_genes", "n_found", "genes"]].tolist() == [3, 2, "CD19, CD3D, none"]


def test_genes_are_found_by_symbol_and_columns_of_a_table_by_theirs(ds):
    ds["var/symbol"] = ["s1", "s2", "s3", "s3", "s5", "s6"]
    assert find_named(ds, {"a": ["s2", "CD3D", "s4"]}, "X").columns["a"].tolist() == [1, 0, -1]
    assert find_named(ds, {"a": ["CD19"]}, "obsm/ADT").columns["a"].tolist() == [1]


def test_signs_count_unless_a_gene_has_that_name(ds):
    found = find_named(ds, {"a": ["CD3D+", "CD19-", "odd-", "none-"]}, "X", signed=True)
    assert found.columns["a"].tolist() == [0, 5]
    assert found.against["a"].tolist() == [2, -1]
    assert found.listed()["n_found"].tolist() == [3]
    with pytest.raises(kk.ParameterError, match=r"sets\['a'\] holds 'CD19-': only method='ucell' takes genes"):
        find_named(ds, {"a": ["CD3D", "CD19-"]}, "X")


def test_capitals_are_matched_where_asked(ds):
    with pytest.raises(kk.ParameterError, match=r"but none is: 'cd3d', 'cd3e'\. Did you mean 'CD3D'"):
        find_named(ds, {"a": ["cd3d", "cd3e"]}, "X")
    assert find_named(ds, {"a": ["cd3d", "cd3e"]}, "X", any_case=True).columns["a"].tolist() == [0, 1]


def test_sets_without_genes_are_left_out_and_named(ds, caplog):
    with caplog.at_level(logging.INFO, "kithkin"):
        found = find_named(ds, {"a": ["CD3D", "x1"], "b": ["x2"]}, "X")
    assert list(found.columns) == ["a"]
    assert "sets without a gene that is there were left out: 'b'" in caplog.text
    assert "1 of 2 genes of the sets are not there: x1" in caplog.text


def test_a_path_with_a_sign_of_equality_is_a_file(tmp_path):
    path, other = tmp_path / "a=b.gmt", tmp_path / "a=b"
    for one in (path, other):
        one.write_text("T\tx\tCD3D\n")
        for given in (one, str(one), [str(one)]):
            assert read_sets(given) == {"T": ["CD3D"]}
    with pytest.raises(kk.KithkinError, match=r"c=d\.gmt does not exist"):
        read_sets(str(tmp_path / "c=d.gmt"))


def test_a_set_of_a_file_has_a_name_that_a_column_may_have(tmp_path):
    (tmp_path / "s.gmt").write_text("_index\tx\tCD3D\n")
    with pytest.raises(kk.ParameterError, match="sets must have names such as 'T cells', got '_index'"):
        read_sets(tmp_path / "s.gmt")


def test_every_gene_of_a_symbol_counts(ds, caplog):
    ds["var/symbol"] = pd.Categorical(["s1", "s2", "s3", "s3", None, None])
    with caplog.at_level(logging.INFO, "kithkin"):
        found = find_named(
            ds, {"a": ["s3", "x", "s1"], "b": ["s3-", "s2"], "c": ["None", "nan", "s1"]}, "X", signed=True
        )
    assert {name: columns.tolist() for name, columns in found.columns.items()} == {
        "a": [2, 3, 0, -1],
        "b": [1],
        "c": [0, -1, -1],
    }
    assert found.against["b"].tolist() == [2, 3]
    assert found.listed()["n_found"].tolist() == [2, 2, 1]
    assert "symbols of several genes, of which each counts: s3, s3-" in caplog.text


def test_a_name_goes_before_a_symbol_of_another_gene(ds):
    ds["var/symbol"] = ["CD19", "s2", "s3", "s4", "s5", "s6"]
    assert find_named(ds, {"a": ["CD19"]}, "X").columns["a"].tolist() == [2]


def test_genes_are_found_by_identifier_with_or_without_its_version(ds):
    ds["var/gene_ids"] = [f"ENSG{k:011}.{k}" for k in range(5)] + ["ENSG00000000001"]
    genes = ["ENSG00000000001", "ENSG00000000003.7", "CD3D", "ENSG00000000009"]
    assert find_named(ds, {"a": genes}, "X").columns["a"].tolist() == [1, 5, 3, 0, -1]


def test_an_identifier_that_is_not_there_is_no_other_one_with_like_numbers(ds):
    ds["var/gene_ids"] = [f"ENSG{k:011}" for k in range(6)]
    with pytest.raises(kk.ParameterError, match=r"but none is: 'ENSG00000000009'$"):
        find_named(ds, {"a": ["ENSG00000000009"]}, "X")
    ds["var/accession"] = [f"ENSG{k:011}" for k in range(10, 16)]
    with pytest.raises(kk.ParameterError, match=r"but none is: 'ENSG00000000011'\. Did you mean 'CD3E'\?$"):
        find_named(ds, {"a": ["ENSG00000000011"]}, "X")


def test_a_gene_that_a_file_has_as_a_description_is_told(ds, tmp_path, caplog):
    (tmp_path / "s.gmt").write_text("T\tCD3D\tCD3E\nB\tMS4A1\tMS4A1\tCD19\nM\tmonocytes\tHLA-A\n")
    find_sets(ds, read_sets(tmp_path / "s.gmt"), "X")
    notes = [record.getMessage() for record in caplog.records]
    assert notes == [
        "'CD3D' of the set 'T' was read as its description, not as a gene: a line is name, description, genes"
    ]


def test_sets_with_nothing_but_signs_are_told_apart_from_those_without_genes(ds, caplog):
    found = find_named(ds, {"a": ["CD3D"], "b": ["CD3E-"], "c": ["x"]}, "X", signed=True)
    assert list(found.columns) == ["a"]
    assert "left out, as none speaks for them: 'b'" in caplog.text
    assert "without a gene that is there were left out: 'c'" in caplog.text
    with pytest.raises(kk.ParameterError, match="sets must hold genes that speak for them, but 'b' has only genes wi"):
        find_named(ds, {"b": ["CD3E-"]}, "X", signed=True)


def test_a_set_that_is_needed_is_refused_with_advice(ds, caplog):
    with pytest.raises(kk.ParameterError, match=r"sets\['b'\] has no gene that is in var of a\.zarr: 'x': do so$"):
        find_named(ds, {"a": ["CD3D"], "b": ["x"]}, "X", needed="do so")
    assert not caplog.records
