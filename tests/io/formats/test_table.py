"""CSV, TSV and Parquet tables against pandas."""

import gzip

import numpy as np
import pandas as pd
import pytest

from kithkin.core.blocks import SparseRows
from kithkin.core.errors import FormatError, KithkinError
from kithkin.core.execute import Execution
from kithkin.io.formats.table import open_table, sniff

EXECUTION = Execution(memory=50 * 10**6, threads=1)


def read(source, execution=EXECUTION):
    blocks = list(source.tables["X"](execution))
    return np.concatenate([block.to_dense() if isinstance(block, SparseRows) else block for block in blocks])


def refusal(path, **settings):
    with pytest.raises(FormatError) as caught:
        read(open_table(path, **settings))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def frame(n_rows=40, kind="int", seed=0):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 300, (n_rows, 5)) if kind == "int" else rng.normal(size=(n_rows, 5))
    table = pd.DataFrame(values, columns=list("vwxyz"), index=[f"r{k}" for k in range(n_rows)])
    return table.assign(donor=rng.choice(["a", "b", "c, d"], n_rows))


@pytest.mark.parametrize("kind", ["int", "real"])
@pytest.mark.parametrize("delimiter", [",", "\t", ";", " "])
@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("rows", [1, 7, 1000])
def test_delimited(tmp_path, monkeypatch, kind, delimiter, zipped, rows):
    monkeypatch.setattr("kithkin.io.formats.table._rows_at_a_time", lambda width, execution: rows)
    table, path = frame(kind=kind), tmp_path / "table.dat"
    text = table.to_csv(sep=delimiter).encode()
    path.write_bytes(gzip.compress(text) if zipped else text)
    assert sniff(path)
    source = open_table(path)
    assert np.array_equal(read(source), table[list("vwxyz")])
    assert source.var.index.tolist() == list("vwxyz")
    assert source.obs.index.tolist() == table.index.tolist()
    assert source.obs["donor"].tolist() == table["donor"].tolist()


@pytest.mark.parametrize("kind", ["int", "real"])
@pytest.mark.parametrize("n_rows", [5, 40])
def test_genes_as_rows(tmp_path, kind, n_rows):
    table, path = frame(n_rows, kind), tmp_path / "genes.csv"
    table[list("vwxyz")] = table[list("vwxyz")].abs()
    table.to_csv(path)
    source = open_table(path, transpose=True)
    assert source.var.index.tolist() == table.index.tolist()  # genes are known before they are streamed
    assert np.array_equal(read(source), table[list("vwxyz")].T)
    assert source.n_columns == len(source.var) == n_rows
    assert source.obs.index.tolist() == list("vwxyz")
    assert source.var["donor"].tolist() == table["donor"].tolist()


def test_r_writes_no_cell_above_the_row_names(tmp_path):
    (tmp_path / "a.tsv").write_text('"A"\t"B"\n"g1"\t1\t2.5\n"g2"\t0\t7\n')
    source = open_table(tmp_path / "a.tsv")
    assert read(source).tolist() == [[1, 2.5], [0, 7]]
    assert source.obs.index.tolist() == ["g1", "g2"]


def test_names_may_occur_twice_but_a_donor_is_no_name(tmp_path):
    (tmp_path / "a.csv").write_text("gene,x\nA,1\nB,2\nB,3\nC,4\n")
    source = open_table(tmp_path / "a.csv", transpose=True)
    assert source.var.index.tolist() == ["A", "B", "B", "C"]
    (tmp_path / "b.csv").write_text("donor,x\nd1,1\nd1,2\nd2,3\nd2,4\n")
    source = open_table(tmp_path / "b.csv")
    assert read(source).tolist() == [[1], [2], [3], [4]]
    assert source.obs["donor"].tolist() == ["d1", "d1", "d2", "d2"]


def test_damaged_gzip_behind_the_head(tmp_path):
    whole = gzip.compress(frame(20_000).to_csv().encode())
    (tmp_path / "a.csv.gz").write_bytes(whole[:-8] + b"\0" * 8)
    assert refusal(tmp_path / "a.csv.gz").startswith("a.csv.gz: the compressed stream is damaged (")


def test_no_header(tmp_path):
    (tmp_path / "a.csv").write_text("1.5,2\n3,4\n")
    source = open_table(tmp_path / "a.csv")
    assert read(source).tolist() == [[1.5, 2], [3, 4]]
    assert source.var.index.tolist() == ["0", "1"]
    assert "no header" in source.notes[0]


def test_names_that_look_like_something_else(tmp_path):
    (tmp_path / "a.csv").write_text("gene,x\nNA,1\nnan,2\n1-Mar,3\n")
    assert open_table(tmp_path / "a.csv").tables
    source = open_table(tmp_path / "a.csv")
    read(source)
    assert source.obs.index.tolist() == ["NA", "nan", "1-Mar"]


def test_reals_are_read_to_the_last_bit(tmp_path):
    values = np.exp(np.random.default_rng(0).uniform(-50, 50, (50, 3)))
    pd.DataFrame(values, columns=list("abc")).to_csv(tmp_path / "a.csv", index=False)
    assert np.array_equal(read(open_table(tmp_path / "a.csv")), values)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x,y\n" + "1,2\n" * 1500 + "5,oops\n", "a.csv: line 1502 has 'oops' in column 'y', which holds numbers"),
        ("x,y\n\n1,2\n\n3,abc\n4,5\n", "a.csv: line 5 has 'abc' in column 'y', which holds numbers"),
        ("x,y\n1,2\n3\n4,5\n", "a.csv: line 3 has 1 fields, but the first has 2"),
        ("x,y\n1,2\n3,4,5\n", "a.csv: line 3 has 3 fields, but the first has 2"),
        ("x,y\n1,2\n3,inf\n", "a.csv: line 3 has 'inf' in column 'y'"),
        ("x,y\n1.5,9007199254740993\n3,4\n", "line 2 has 9007199254740993 in column 'y', which cannot be kept exactly"),
        ("x,y\n1,1e999\n3,4\n", "a number is too large"),
        ('n,y\nc,1\n"a,2\nb,4\n', "a.csv: line 3 has 1 fields"),
        ("x,y\n", "a.csv has no rows after its header"),
        ("x,y\na,b\nc,d\n", "a.csv has no columns of numbers; a sheet of samples has the columns 'path' and 'sample'"),
        ("hello\n", "a.csv is not a table with a delimiter"),
        ("", "a.csv is not a table with a delimiter"),
    ],
)
def test_bad_text_is_named(tmp_path, text, message):
    (tmp_path / "a.csv").write_text(text)
    assert message in refusal(tmp_path / "a.csv")


def test_truncated_gzip(tmp_path):
    text = frame(2000).to_csv().encode()
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(text)[:-50])
    assert sniff(tmp_path / "a.csv.gz")
    assert "a.csv.gz is truncated" in refusal(tmp_path / "a.csv.gz")


@pytest.mark.parametrize("kind", ["int", "real"])
@pytest.mark.parametrize("rows", [3, 1000])
@pytest.mark.parametrize("transpose", [False, True])
def test_parquet(tmp_path, monkeypatch, kind, rows, transpose):
    pytest.importorskip("pyarrow")
    monkeypatch.setattr("kithkin.io.formats.table._rows_at_a_time", lambda width, execution: rows)
    table, path = frame(kind=kind), tmp_path / "table"
    table[list("vwxyz")] = table[list("vwxyz")].abs()
    table.to_parquet(path)
    assert sniff(path)
    source, X = open_table(path, transpose=transpose), table[list("vwxyz")]
    assert np.array_equal(read(source), X.T if transpose else X)
    names = source.var if transpose else source.obs
    assert names.index.tolist() == table.index.tolist()
    assert names["donor"].tolist() == table["donor"].tolist()


def test_bad_parquet_is_named(tmp_path):
    pytest.importorskip("pyarrow")
    path = tmp_path / "a.parquet"
    frame().assign(v=lambda table: table["v"].where(table.index != "r3")).to_parquet(path)
    assert np.argwhere(np.isnan(read(open_table(path)))).tolist() == [[3, 0]]
    assert "a.parquet: row 3 has no number in column 'v'" in refusal(path, transpose=True)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert sniff(path)
    assert "a.parquet is not a whole Parquet file" in refusal(path)


def test_parquet_without_pyarrow(tmp_path, monkeypatch):
    pytest.importorskip("pyarrow")
    path = tmp_path / "a.parquet"
    frame().to_parquet(path)
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(KithkinError, match=r"reading Parquet needs pyarrow: pip install 'kithkin\[all\]'"):
        open_table(path)


def test_other_things_are_not_tables(tmp_path):
    (tmp_path / "a").write_bytes(b"\x89HDF\r\n\0\0,,,")
    (tmp_path / "b").write_text("%%MatrixMarket matrix coordinate integer general\n1 1 1\n1 1 1\n")
    assert not sniff(tmp_path / "a")
    assert not sniff(tmp_path / "b")
    assert not sniff(tmp_path)


def test_names_of_parquet_in_any_type(tmp_path):
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    names = arrow.array(["a", "b", "c"])
    values = {"CD3E": arrow.array([1, 2, 3]), "CD8A": arrow.array([0, 0, 1])}
    kinds = [names.dictionary_encode(), names.cast("large_string"), names.cast("binary")]
    for k, column in enumerate([*kinds, arrow.array([b"a", b"b", b"c"], arrow.binary(1))]):
        took = arrow.array([1, 2, 90_000], arrow.duration("s"))
        kind = arrow.array([b"T", b"B", b"T"])
        parquet.write_table(
            arrow.table({"cell": column, "took": took, "kind": kind} | values), tmp_path / f"{k}.parquet"
        )
        source = open_table(tmp_path / f"{k}.parquet")
        assert read(source).tolist() == [[1, 0], [2, 0], [3, 1]]
        assert source.obs.index.tolist() == ["a", "b", "c"]
        assert source.obs["took"].tolist() == [1, 2, 90_000]
        assert source.obs["kind"].tolist() == ["T", "B", "T"]
