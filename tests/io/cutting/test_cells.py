"""Tables of cells by every convention, and what is refused of them."""

import gzip

import anndata
import numpy as np
import pandas as pd
import pytest

from kithkin.core.errors import FormatError
from kithkin.io.cutting.cells import CONVENTIONS, listed, read_cells

TABLE = pd.DataFrame({"CellID": [9, 2, 5], "X_centroid": [1.5, 20.0, 3.25], "Y_centroid": [7.0, 8.5, 9.75]})


def same(cells):
    assert cells.ids.tolist() == [9, 2, 5]
    assert cells.x.tolist() == [1.5, 20.0, 3.25]
    assert cells.y.tolist() == [7.0, 8.5, 9.75]
    assert cells.ids.dtype == np.int64


@pytest.mark.parametrize("names", CONVENTIONS, ids="-".join)
def test_conventions(names):
    same(read_cells(TABLE.set_axis(names, axis=1).assign(Area=3)))


@pytest.mark.parametrize("separator", [",", "\t", ";"])
@pytest.mark.parametrize("packed", [False, True])
def test_text(tmp_path, separator, packed):
    text = "\ufeff" + TABLE.to_csv(index=False, sep=separator)
    data = text.encode()
    (tmp_path / "cells.txt").write_bytes(gzip.compress(data) if packed else data)
    same(read_cells(tmp_path / "cells.txt"))


def test_parquet(tmp_path):
    pytest.importorskip("pyarrow")
    TABLE.to_parquet(tmp_path / "cells")
    same(read_cells(tmp_path / "cells"))


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("ending", ["h5ad", "zarr"])
@pytest.mark.parametrize("ids", ["column", "index"])
def test_anndata(tmp_path, ending, ids):
    obs = pd.DataFrame({"cell_id": [9, 2, 5]} if ids == "column" else {}, index=["9", "2", "5"])
    cells = anndata.AnnData(obs=obs, obsm={"spatial": TABLE[["X_centroid", "Y_centroid"]].to_numpy()})
    same(read_cells(cells))
    getattr(cells, f"write_{ending}")(tmp_path / "cells")
    same(read_cells(tmp_path / "cells"))


def test_columns_by_name():
    named = TABLE.set_axis(["nr", "breite", "hoehe"], axis=1)
    same(read_cells(named, ("nr", "breite", "hoehe")))
    same(read_cells(TABLE.rename(columns={"CellID": "nr"}), ("nr", None, None)))


REFUSED = {
    "has no column Y_centroid: cells need an id": TABLE.drop(columns="Y_centroid"),
    "has no cells": TABLE[:0],
    "names 1 id more than once: 9": TABLE.assign(CellID=[9, 2, 9]),
    "1 cell without a centroid: 2": TABLE.assign(X_centroid=[1, None, 3]),
    "2 cells without a centroid: 9, 5": TABLE.assign(Y_centroid=["a", 1, np.inf]),
    "ids of cells must be whole numbers, got b": TABLE.assign(CellID=["1", "b", "2"]),
    "ids of cells must be whole numbers, got 2.5": TABLE.assign(CellID=[1, 2.5, 3]),
}


@pytest.mark.parametrize("says", REFUSED)
def test_what_is_refused(tmp_path, says):
    REFUSED[says].to_csv(tmp_path / "cells.csv", index=False)
    with pytest.raises(FormatError, match=f"^cells.csv:? {says}"):
        read_cells(tmp_path / "cells.csv")


def test_files_that_are_no_tables(tmp_path):
    with pytest.raises(FormatError, match=r"nowhere.csv does not exist$"):
        read_cells(tmp_path / "nowhere.csv")
    (tmp_path / "empty.csv").write_bytes(b"")
    with pytest.raises(FormatError, match=r"^empty.csv is empty$"):
        read_cells(tmp_path / "empty.csv")
    (tmp_path / "odd.csv").write_bytes(b"\x00\xff\xfe" * 100)
    with pytest.raises(FormatError, match=r"^odd.csv "):
        read_cells(tmp_path / "odd.csv")


def test_long_lists_are_cut_short():
    assert listed([3, 1]) == "3, 1"
    assert listed(range(12)) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more"


@pytest.mark.parametrize("mark", ["-", "_"])
@pytest.mark.parametrize("dimensions", [2, 3, 4])
def test_the_last_two_axes_of_regionprops_are_y_and_x(mark, dimensions):
    place = [0.0, 0.0, 21.5, 9.5][-dimensions:]
    table = pd.DataFrame({"label": [1]} | {f"centroid{mark}{k}": [value] for k, value in enumerate(place)})
    cells = read_cells(table)
    assert (cells.x.tolist(), cells.y.tolist()) == ([9.5], [21.5])
