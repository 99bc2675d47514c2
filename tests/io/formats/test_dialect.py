"""Tables of text as other programs write them."""

import gzip

import numpy as np
import pytest

import kithkin as kk
from kithkin.io.formats.dialect import find_delimiter, find_dialect, is_number, names_rows, split_line


def read(tmp_path, text, **settings):
    (tmp_path / "a.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    return kk.read(tmp_path / "a.csv", to=tmp_path / "a.zarr", overwrite=True, progress=False, **settings)


def dense(ds):
    X = ds.read("X")
    return X.toarray().tolist() if hasattr(X, "toarray") else np.asarray(X).tolist()


WANTED = (["c1", "c2"], ["CD3E", "CD8A"], [[3, 0], [0, 5]])
SAME = {
    "plain": "cell,CD3E,CD8A\nc1,3,0\nc2,0,5\n",
    "comments": "## a program\n# sample, x\ncell,CD3E,CD8A\nc1,3,0\nc2,0,5\n",
    "quoted comments": '"# a program"\ncell,CD3E,CD8A\nc1,3,0\nc2,0,5\n',
    "header behind a hash": "#cell,CD3E,CD8A\nc1,3,0\nc2,0,5\n",
    "blank lines": "\n\ncell,CD3E,CD8A\n\nc1,3,0\n\nc2,0,5\n\n",
    "trailing delimiters": "cell,CD3E,CD8A,\nc1,3,0,\nc2,0,5,\n",
    "trailing delimiters of the rows": "cell,CD3E,CD8A\nc1,3,0,\nc2,0,5,\n",
    "trailing delimiter of the header": "cell,CD3E,CD8A,\nc1,3,0\nc2,0,5\n",
    "byte order mark": b"\xef\xbb\xbfcell,CD3E,CD8A\nc1,3,0\nc2,0,5\n",
    "byte order mark, gzipped": gzip.compress(b"\xef\xbb\xbfcell,CD3E,CD8A\nc1,3,0\nc2,0,5\n"),
    "write.table": '"CD3E" "CD8A"\n"c1" 3 0\n"c2" 0 5\n',
    "write.csv": '"","CD3E","CD8A"\r\n"c1",3,0\r\n"c2",0,5\r\n',
    "write.table with a trailing delimiter": "CD3E\tCD8A\t\nc1\t3\t0\t\nc2\t0\t5\t\n",
    "long": "gene\tcell\tcount\nCD3E\tc1\t3\nCD8A\tc2\t5\n",
    "long, cells first": "barcode\tgene_name\tn\nc1\tCD3E\t3\nc2\tCD8A\t5\n",
}


@pytest.mark.parametrize("form", SAME)
def test_forms_of_one_table(tmp_path, form):
    ds = read(tmp_path, SAME[form])
    assert (list(ds.obs_names), list(ds.var_names), dense(ds)) == WANTED


@pytest.mark.parametrize(
    ("text", "names", "values"),
    [
        (
            "AAA-1,0,0,10\nCCC-1,1,0,20\nGGG-1,1,1,15\n",
            ["AAA-1", "CCC-1", "GGG-1"],
            [[0, 0, 10], [1, 0, 20], [1, 1, 15]],
        ),
        ("A1BG\t0\t3\nCD3E\t2\t0\nLYZ\t1\t1\n", ["A1BG", "CD3E", "LYZ"], [[0, 3], [2, 0], [1, 1]]),
        ("a,1,2\nb,0,3\n", ["a", "b"], [[1, 2], [0, 3]]),
        ("a,3,x\nb,0,y\nc,1,x\n", ["a", "b", "c"], [[3], [0], [1]]),
        ("gene,1001,1002\nA,1,2\nB,0,3\n", ["A", "B"], [[1, 2], [0, 3]]),
        (",0,1\nA,1,2\nB,0,3\n", ["A", "B"], [[1, 2], [0, 3]]),
    ],
)
def test_a_first_line_of_numbers_is_no_header(tmp_path, text, names, values):
    ds = read(tmp_path, text)
    assert (list(ds.obs_names), dense(ds)) == (names, values)


@pytest.mark.parametrize("word", ["Cell_Index", "cell_id", "CellID", "barcode", "gene_id", "index"])
def test_numbers_below_a_word_for_names_are_names(tmp_path, word, caplog):
    ds = read(tmp_path, f"{word},CD3E,CD8A\n1001,3,0\n1002,0,5\n1003,1,1\n")
    assert (list(ds.obs_names), list(ds.var_names)) == (["1001", "1002", "1003"], ["CD3E", "CD8A"])
    assert f"the numbers in the first column of a.csv, {word!r}, were read as names" in caplog.text


def test_other_numbers_are_values_and_a_note_says_so(tmp_path, caplog):
    ds = read(tmp_path, "area,CD3E\n1001,3\n1002,0\n1003,1\n")
    assert list(ds.var_names) == ["area", "CD3E"]
    assert "the numbers in the first column of a.csv, 'area', were read as values" in caplog.text


def test_long_tables(tmp_path):
    ds = read(tmp_path, "gene\tcell\tcount\nA\tc1\t3\nA\tc2\t1\nB\tc1\t4\nB\tc3\t2\n")
    assert (list(ds.obs_names), list(ds.var_names)) == (["c1", "c2", "c3"], ["A", "B"])
    assert dense(ds) == [[3, 4], [1, 0], [0, 2]]
    with pytest.raises(kk.FormatError, match=r"cell c1, gene A|is stored twice"):
        read(tmp_path, "gene\tcell\tcount\nA\tc1\t3\nA\tc1\t1\n")
    with pytest.raises(
        kk.FormatError, match="seems to hold one value in a line: name its columns gene, cell and count"
    ):
        read(tmp_path, "x\ty\tz\nA\tc1\t3\nA\tc2\t1\nB\tc1\t4\nB\tc2\t2\n")


@pytest.mark.parametrize("transpose", [False, True])
def test_negative_values_are_taken_and_said(tmp_path, transpose, caplog):
    ds = read(tmp_path, "gene,c1,c2\nA,-0.5,1.5\nB,0,3\n", transpose=transpose)
    expected = np.array([[-0.5, 1.5], [0, 3]])
    assert dense(ds) == (expected.T if transpose else expected).tolist()
    assert "negative values" in caplog.text


def test_a_last_column_without_a_name_must_be_empty(tmp_path):
    rows = "".join(f"c{k},1,\n" for k in range(1200))
    with pytest.raises(kk.FormatError, match="the last column has no name, but holds something"):
        read(tmp_path, f"cell,CD3E,\n{rows}x,1,7\n")


def test_what_is_no_table(tmp_path):
    (tmp_path / "a").write_bytes(b"a,b\n1,2\n\0")
    assert find_dialect(tmp_path / "a") is None
    (tmp_path / "b").write_text("one word\n")
    assert find_dialect(tmp_path / "b", ",") is None


def test_quotes_within_names(tmp_path):
    text = '"CD3E"\t"CD8A"\n"A\\"x"\t3\t0\n"B ""y"""\t0\t5\n"C\\"\t1\t1\n'
    assert list(read(tmp_path, text).obs_names) == ['A"x', 'B "y"', "C\\"]


def test_places_in_the_genome_are_no_counts(tmp_path):
    head = "# Program:featureCounts v2.0.1; Command:...\nGeneid\tChr\tStart\tEnd\tStrand\tLength\ts1\ts2\n"
    ds = read(tmp_path, f"{head}G1\t1\t5\t9\t+\t4\t3\t0\nG2\t1;1\t5\t9\t-\t4\t0\t7\n", transpose=True)
    assert (list(ds.obs_names), list(ds.var_names), dense(ds)) == (["s1", "s2"], ["G1", "G2"], [[3, 0], [0, 7]])
    assert ds.var["Chr"].tolist() == ["1", "1;1"]


def test_fields_and_delimiters():
    assert split_line('"a,b",1', ",") == ["a,b", "1"]
    assert find_delimiter(["a;b,c;d", "1;2;3"]) == ";"
    assert [is_number(text) for text in ("-1.5e3", "007", "NA")] == [True, True, False]
    assert [names_rows(cell) for cell in ("Cell_Index", "CD3E", "")] == [True, False, True]


@pytest.mark.parametrize(
    "text",
    ["cell;A;B\nc1;1,5;2\nc2;-0,5;3\n", 'cell,A,B\nc1,"1,5",2\nc2,"-0,5",3\n', "A\tB\nc1\t1,5\t2\nc2\t-0,5\t3\n"],
)
def test_decimal_commas(tmp_path, text):
    ds = read(tmp_path, text)
    assert (list(ds.obs_names), list(ds.var_names)) == (["c1", "c2"], ["A", "B"])
    assert dense(ds) == [[1.5, 2], [-0.5, 3]]


def test_commas_that_may_mean_thousands_are_refused(tmp_path):
    with pytest.raises(kk.FormatError, match="may mean thousands or a fraction"):
        read(tmp_path, "cell\tA\tB\nc1\t1,500\t2\nc2\t2,250\t3\n")


def test_lists_beside_decimal_dots_stay_text(tmp_path):
    ds = read(tmp_path, 'cell,A,near\nc1,0.5,"3,4"\nc2,2.5,"1,7"\n')
    assert dense(ds) == [[0.5], [2.5]]
    assert ds.obs["near"].tolist() == ["3,4", "1,7"]


def test_all_last_columns_without_name_and_values_are_dropped(tmp_path):
    ds = read(tmp_path, "cell,A,B,,\nc1,1,2,,\nc2,3,4,,\n")
    assert (list(ds.var_names), list(ds.obs.columns.difference(["n_counts", "n_genes", "pct_mito", "pct_ribo"]))) == (
        ["A", "B"],
        [],
    )
    with pytest.raises(kk.FormatError, match="last column"):
        read(tmp_path, "cell,A,B,,\n" + "c1,1,2,,\n" * 1500 + "c2,3,4,5,\n")


LONG = (["c1", "c2"], ["A", "B"], [[3, 4], [1, 0]])


@pytest.mark.parametrize(
    "text",
    [
        "gene,cell,sample,count\nA,c1,s,3\nB,c1,s,4\nA,c2,s,1\n",
        "cell_id,x,feature_name,umis\nc1,5,A,3\nc1,6,B,4\nc2,7,A,1\n",
        "Gene\tBarcodes\tMIDCount\tlane\nA\tc1\t3\t1\nB\tc1\t4\t1\nA\tc2\t1\t1\n",
    ],
)
def test_other_columns_of_a_long_table_are_left_out_with_a_note(tmp_path, text, caplog):
    ds = read(tmp_path, text)
    assert (list(ds.obs_names), list(ds.var_names), dense(ds)) == LONG
    assert "left out" in caplog.text


def test_cells_of_a_long_table_may_be_numbers(tmp_path):
    ds = read(tmp_path, "gene,cell,count\nA,1,3\nB,1,4\nA,2,1\n")
    assert (list(ds.obs_names), list(ds.var_names), dense(ds)) == (["1", "2"], *LONG[1:])


@pytest.mark.parametrize(
    "text",
    [
        "geneID\tx\ty\tMIDCount\nA\t1\t1\t3\nB\t1\t1\t4\nA\t2\t1\t1\n",
        "transcript_id,cell_id,feature_name,x_location\n1,c1,A,3.1\n2,c1,B,4.2\n3,c2,A,1\n",
    ],
)
def test_tables_of_molecules_are_refused(tmp_path, text):
    with pytest.raises(kk.FormatError, match="name its columns gene, cell and count"):
        read(tmp_path, text)


def test_numbers_of_cells_that_begin_anew_are_names(tmp_path, caplog):
    ds = read(tmp_path, "CellID,A,B\n1,3,0\n2,1,1\n1,0,5\n")
    assert (list(ds.obs_names), list(ds.var_names)) == (["1", "2", "1-1"], ["A", "B"])
    assert "read as names" in caplog.text


def test_numbers_without_a_header_cell_are_names_without_a_note(tmp_path, caplog):
    ds = read(tmp_path, "A\tB\n1\t1\t2\n2\t3\t4\n3\t0\t1\n")
    assert list(ds.obs_names) == list("123")
    assert "read as" not in caplog.text
