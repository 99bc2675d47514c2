"""10x HDF5 of both versions, with several genomes and types of features."""

import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from kithkin.core.errors import FormatError, ParameterError
from kithkin.core.execute import Execution
from kithkin.io.read import open_source


def counts(shape, seed=0):
    return np.random.default_rng(seed).poisson(0.4, shape).astype(np.int32)


def put_matrix(group, dense, barcodes):
    """Cells x genes as 10x stores it: genes x cells by columns."""
    matrix = sparse.csr_matrix(dense)
    group["data"], group["indices"], group["indptr"] = (
        matrix.data,
        matrix.indices.astype("i8"),
        matrix.indptr.astype("i8"),
    )
    group["shape"] = np.array(dense.shape[::-1], "i4")
    group["barcodes"] = np.array(barcodes, "S")


def write_v3(path, dense, types, genomes=None, **more):
    with h5py.File(path, "w") as file:
        group = file.create_group("matrix")
        put_matrix(group, dense, [f"AAC{i}-1" for i in range(len(dense))])
        p = dense.shape[1]
        features = group.create_group("features")
        features["id"] = np.array([f"ENSG{j}" for j in range(p)], "S")
        features["name"] = np.array([f"G{j}" for j in range(p)], "S")
        features["feature_type"] = np.array(types, "S")
        features["genome"] = np.array(genomes or ["GRCh38"] * p, "S")
        features["_all_tag_keys"] = np.array([b"genome"])
        for key, values in more.items():
            features[key] = np.array(values, "S")
    return path


def write_v2(path, genomes):
    with h5py.File(path, "w") as file:
        for genome, (dense, barcodes) in genomes.items():
            group = file.create_group(genome)
            put_matrix(group, dense, barcodes)
            p = dense.shape[1]
            group["genes"] = np.array([f"{genome}_ENSG{j}" for j in range(p)], "S")
            group["gene_names"] = np.array([f"G{j}" for j in range(p)], "S")
    return path


def dense_of(source, memory=10**8):
    return np.concatenate([block.to_dense() for block in source.tables["X"](Execution(memory, 1))])


@pytest.mark.parametrize("memory", [1, 3000, 10**8])
@pytest.mark.parametrize("shape", [(1, 1), (25, 25), (40, 12)])
def test_version_3(shape, memory, tmp_path):
    path = write_v3(tmp_path / "a.h5", counts(shape), ["Gene Expression"] * shape[1])
    source = open_source(path)
    assert np.array_equal(dense_of(source, memory), counts(shape))
    assert source.var.index.tolist() == [f"G{j}" for j in range(shape[1])]
    assert source.var.columns.tolist() == ["gene_ids", "feature_types", "genome"]
    assert source.obs.index[0] == "AAC0-1"
    assert source.elements == {}


def test_feature_types_go_to_obsm_with_their_names(tmp_path):
    dense = counts((30, 10))
    types = ["Gene Expression"] * 6 + ["Antibody Capture"] * 3 + ["CRISPR Guide Capture"]
    source = open_source(write_v3(tmp_path / "a.h5", dense, types))
    for _ in range(2):  # a second pass starts anew
        assert np.array_equal(dense_of(source, 500), dense[:, :6])
    table = source.elements["obsm/Antibody Capture"]
    expected = pd.DataFrame(dense[:, 6:9], source.obs.index, pd.Index(["G6", "G7", "G8"], dtype=object))
    pd.testing.assert_frame_equal(table, expected, check_dtype=False)
    assert source.elements["obsm/CRISPR Guide Capture"]["G9"].tolist() == dense[:, 9].tolist()
    assert source.var["feature_types"].tolist() == ["Gene Expression"] * 6


def test_one_of_several_genomes_of_version_3(tmp_path):
    dense, genomes = counts((20, 6)), ["GRCh38", "mm10", "GRCh38", "mm10", "mm10", ""]
    types = ["Gene Expression"] * 5 + ["Antibody Capture"]
    path = write_v3(tmp_path / "a.h5", dense, types, genomes)
    assert np.array_equal(dense_of(open_source(path)), dense[:, :5])
    source = open_source(path, genome="mm10")
    assert np.array_equal(dense_of(source), dense[:, [1, 3, 4]])
    assert source.elements["obsm/Antibody Capture"]["G5"].tolist() == dense[:, 5].tolist()
    with pytest.raises(ParameterError, match=r"genome \(of a.h5\) must be one of 'GRCh38', 'mm10', got 'hg19'"):
        open_source(path, genome="hg19")


def test_version_2(tmp_path):
    dense = counts((30, 8))
    source = open_source(write_v2(tmp_path / "a.h5", {"hg19": (dense, [f"A{i}" for i in range(30)])}))
    assert np.array_equal(dense_of(source), dense)
    assert source.var.index.tolist() == [f"G{j}" for j in range(8)]
    assert source.var["gene_ids"].iloc[0] == "hg19_ENSG0"


@pytest.mark.parametrize("memory", [1, 2000, 10**8])
def test_version_2_with_two_genomes(memory, tmp_path):
    human, mouse, barcodes = counts((30, 8)), counts((30, 5), 1), [f"A{i}" for i in range(30)]
    path = write_v2(tmp_path / "a.h5", {"hg19": (human, barcodes), "mm10": (mouse, barcodes)})
    source = open_source(path)
    assert np.array_equal(dense_of(source, memory), np.hstack([human, mouse]))
    assert source.var.index.tolist() == [f"hg19_G{j}" for j in range(8)] + [f"mm10_G{j}" for j in range(5)]
    source = open_source(path, genome="mm10")
    assert np.array_equal(dense_of(source, memory), mouse)
    assert source.var.index[0] == "G0"


def test_version_2_with_genomes_of_different_cells(tmp_path):
    genomes = {"hg19": (counts((3, 8)), ["A", "B", "C"]), "mm10": (counts((2, 5)), ["A", "B"])}
    path = write_v2(tmp_path / "a.h5", genomes)
    with pytest.raises(ParameterError, match="different cells: choose genome='hg19' or genome='mm10'"):
        open_source(path)
    assert np.array_equal(dense_of(open_source(path, genome="hg19")), counts((3, 8)))


def replaced(group, key, values):
    del group[key]
    group[key] = values


REFUSED = {
    "out of range": (
        lambda group: group["indices"].__setitem__(0, 8),
        "matrix, cell 0 names gene 8, but genes are 0 to 7",
    ),
    "barcodes": (
        lambda group: replaced(group, "barcodes", np.array([b"A"])),
        "matrix/barcodes has 1 entries, but the shape promises 20",
    ),
    "shape": (
        lambda group: group["shape"].__setitem__(0, 9),
        "features/id has 8 entries, but the shape promises 9",
    ),
    "no cells": (
        lambda group: group["shape"].__setitem__(1, 0),
        "matrix has no rows",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_damage_is_refused(case, tmp_path):
    path = write_v3(tmp_path / "a.h5", np.maximum(counts((20, 8)), 1), ["Gene Expression"] * 8)
    change, message = REFUSED[case]
    with h5py.File(path, "a") as file:
        change(file["matrix"])
    with pytest.raises(FormatError, match=f"^a.h5: .*{message}"):
        dense_of(open_source(path))


def test_a_genome_without_genes_is_left_out_and_named(tmp_path):
    barcodes = [f"c{i}" for i in range(4)]
    dense = counts((4, 3))
    path = write_v2(tmp_path / "a.h5", dict.fromkeys(("hg19", "mm10", "rn6"), (dense, barcodes)))
    with h5py.File(path, "a") as file:
        del file["mm10/genes"], file["rn6/shape"], file["rn6/genes"], file["rn6/gene_names"]
        file["rn6/shape"], file["rn6/genes"] = np.array([0, 4]), np.zeros(0, "S1")
    source = open_source(path)
    assert source.notes == [f"{name} of a.h5 was left out, as it has no genes" for name in ("mm10", "rn6")]
    assert np.array_equal(dense_of(source), dense)
    assert source.var.index.tolist() == ["G0", "G1", "G2"]


def test_a_field_of_features_that_cannot_be_read_is_left_out_and_named(tmp_path):
    dense = counts((4, 3))
    path = write_v3(tmp_path / "a.h5", dense, ["Gene Expression"] * 3)
    with h5py.File(path, "a") as file:
        del file["matrix/features/genome"]
        file["matrix/features/genome"] = np.array([b"GRCh38"])
    source = open_source(path)
    assert source.notes == [
        "var/genome was left out: a.h5: matrix/features/genome has 1 entries, but the shape promises 3"
    ]
    assert np.array_equal(dense_of(source), dense)


def test_ids_in_the_place_of_symbols(tmp_path):
    path = write_v3(tmp_path / "a.h5", counts((4, 3)), ["Gene Expression"] * 3)
    with h5py.File(path, "a") as file:
        del file["matrix/features/id"], file["matrix/features/name"]
        file["matrix/features/id"] = np.array([b"CD3E", b"LYZ", b"MS4A1"])
        file["matrix/features/name"] = np.array([f"ENSG0000000000{k}" for k in range(3)], "S")
    source = open_source(path)
    assert source.var.index.tolist() == ["CD3E", "LYZ", "MS4A1"]
    assert source.var["gene_ids"].tolist() == [f"ENSG0000000000{k}" for k in range(3)]
    assert source.notes == ["a.h5 has ids where symbols belong, which its content tells, and was read so"]
