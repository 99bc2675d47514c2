"""Samples from a list, a mapping, a sheet, a pattern or a folder, and their names."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from kithkin.core.errors import FormatError, ParameterError
from kithkin.io.formats.samples import find_samples, names_of


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return folder


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["a.h5ad", "b.h5ad"], ["a", "b"]),
        (["s1/outs/filtered_feature_bc_matrix.h5", "s10/outs/filtered_feature_bc_matrix.h5"], ["s1", "s10"]),
        (["GSM1_a_matrix.mtx.gz", "GSM2_b_matrix.mtx.gz"], ["GSM1_a", "GSM2_b"]),
        (["ctrl_1.h5", "stim_1.h5"], ["ctrl", "stim"]),
        (["x/1/a.h5", "y/1/b.h5"], ["x-1-a", "y-1-b"]),
        (["run/a/counts.csv", "run/b/counts.tsv.gz"], ["a", "b"]),
        (["x/../y/s1.h5", "y/s2.h5"], ["s1", "s2"]),
        (["runs/s1/outs/raw_feature_bc_matrix.h5"], ["s1"]),
    ],
)
def test_samples_are_named_by_what_differs(paths, names):
    assert names_of([Path(path) for path in paths]) == names


def test_one_source_is_no_samples(tmp_path):
    touch(tmp_path, "table.csv", "mtx/matrix.mtx", "mtx/barcodes.tsv", "one/s1/outs/filtered_feature_bc_matrix.h5")
    (tmp_path / "table.csv").write_text("path,length\n1,2\n")
    for source in (np.eye(2), tmp_path / "table.csv", tmp_path / "mtx", tmp_path / "one", "nowhere.h5ad"):
        assert find_samples(source) is None


def test_folders_of_outputs(tmp_path):
    touch(
        tmp_path / "runs", *(f"s{k}/outs/{kind}_feature_bc_matrix.h5" for k in (10, 2) for kind in ("raw", "filtered"))
    )
    found = find_samples(tmp_path / "runs").sources
    assert list(found) == ["s2", "s10"]
    assert all(path.name == "filtered_feature_bc_matrix.h5" for path in found.values())
    touch(tmp_path / "geo", *(f"GSM{k}_{part}" for k in (1, 2) for part in ("matrix.mtx.gz", "barcodes.tsv.gz")))
    assert {name: path.name for name, path in find_samples(tmp_path / "geo").sources.items()} == {
        "GSM1": "GSM1_matrix.mtx.gz",
        "GSM2": "GSM2_matrix.mtx.gz",
    }
    touch(tmp_path / "outs", "raw_feature_bc_matrix.h5", "filtered_feature_bc_matrix.h5", "molecule_info.h5")
    assert find_samples(tmp_path / "outs") is None, "two tables of one sample"
    files = ("s1/outs/filtered_feature_bc_matrix.h5", "s2/filtered_feature_bc_matrix.h5")
    folders = [f"s{k}/outs/filtered_feature_bc_matrix/matrix.mtx.gz" for k in (1, 3)]
    touch(tmp_path / "mixed", *files, *folders, "all.h5ad")
    found = find_samples(tmp_path / "mixed").sources
    assert {name: path.name for name, path in found.items()} == {
        "s1": "filtered_feature_bc_matrix.h5",
        "s2": "filtered_feature_bc_matrix.h5",
        "s3": "filtered_feature_bc_matrix",
    }, "each sample once, in whatever form"


def test_a_pattern(tmp_path):
    touch(tmp_path, "s1.h5ad", "s10.h5ad", "s9.h5ad")
    assert list(find_samples(str(tmp_path / "*.h5ad")).sources) == ["s1", "s9", "s10"]
    with pytest.raises(FormatError, match=r"no file matches .*\*\.loom"):
        find_samples(str(tmp_path / "*.loom"))


@pytest.mark.parametrize("separator", [",", "\t", ";", "|", " , "])
def test_a_sheet(tmp_path, separator):
    touch(tmp_path, "data/a.h5ad", "data/b.h5ad")
    rows = [["sample", "path", "age"], ["one", "data/a.h5ad", "31"], ["002", "data/b.h5ad", "44"]]
    sheet = tmp_path / "sheet.csv"
    sheet.write_text("\ufeff" + "\n".join(separator.join(row) for row in rows))
    found = find_samples(sheet)
    assert {name: path.name for name, path in found.sources.items()} == {"one": "a.h5ad", "002": "b.h5ad"}
    assert found.columns.to_dict("index") == {"one": {"age": 31}, "002": {"age": 44}}


@pytest.mark.parametrize(
    "write",
    [
        lambda text: text.encode("utf-16"),
        lambda text: text.encode("latin-1"),
        lambda text: text.replace("\n", "\r").encode(),
        lambda text: text.replace("\n", "\r\n").encode("utf-8-sig"),
        lambda text: gzip.compress(text.encode()),
    ],
)
def test_a_sheet_as_programs_save_it(tmp_path, write):
    touch(tmp_path, "a.h5ad", "b.h5ad")
    sheet = tmp_path / "sheet.csv"
    sheet.write_bytes(write("path,sample,place\na.h5ad,one,Orléans\nb.h5ad,two,Lyon\n"))
    found = find_samples(sheet)
    assert list(found.sources) == ["one", "two"]
    assert found.columns["place"].tolist() == ["Orléans", "Lyon"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("path,sample\n", "names none"),
        ("path,sample\na.h5ad,one\na.h5ad,two,3\n", "can be read: Expected 2 fields in line 3, saw 3$"),
        ("path,sample\na.h5ad,one\na.h5ad,one\n", r"line 3 names the sample 'one' again"),
        ("path,sample\na.h5ad,one,1,2\n", "line 2 has more values than the sheet has columns"),
        ("path,sample\na.h5ad,one\n./a.h5ad,two\n", "a.h5ad is given twice: as 'one' and as 'two'"),
        ("path,sample\na.h5ad, \n", "line 2 of the sheet has no path or no sample"),
        ("path,sample\na.h5ad,\n", "line 2 of the sheet has no path or no sample"),
        ("path,sample\nb.h5ad,one\nc.h5ad,two\n", r"b\.h5ad and 1 more, not found from the folder of the sheet"),
    ],
)
def test_a_wrong_sheet_is_refused(tmp_path, text, said):
    touch(tmp_path, "a.h5ad")
    (tmp_path / "sheet.csv").write_text(text)
    with pytest.raises((FormatError, ParameterError), match=said):
        find_samples(tmp_path / "sheet.csv")


def test_names_must_differ():
    with pytest.raises(ParameterError, match="'a' comes twice: give a sheet, or in Python a mapping"):
        find_samples(["a.h5ad", "a.loom"])
    with pytest.raises(ParameterError, match=r"a\.h5ad is given twice"):
        find_samples(["x/a.h5ad", "x/../x/a.h5ad"])
    assert len(find_samples({"1": "a.h5ad", "2": "a.h5ad"}).sources) == 2, "a mapping names them on purpose"
    with pytest.raises(ParameterError, match="each sample must have a name"):
        find_samples({"": "a.h5ad", "b": "b.h5ad"})
    with pytest.raises(ParameterError, match="at least one sample"):
        find_samples([])
    assert list(find_samples([np.eye(2), np.eye(2)]).sources) == ["0", "1"]
