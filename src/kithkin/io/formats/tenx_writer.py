"""Datasets written as a folder of text: the three files of 10x, and tables beside them, for R and other programs."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pandas as pd
from isal import igzip

from kithkin.core.blocks import SparseRows
from kithkin.core.dataset import Dataset
from kithkin.core.execute import map_blocks
from kithkin.core.published import without_copies
from kithkin.core.tables import embedding_columns, write_table

GENES, CELLS, COUNTS = "features.tsv.gz", "barcodes.tsv.gz", "matrix.mtx.gz"
UNSAFE = r"[\t\r\n]"


def write_tenx(ds: Dataset, folder: Path) -> None:
    """Write a dataset to a new folder that Seurat's Read10X and scanpy's read_10x_mtx read.

    matrix.mtx.gz holds a sparse X, genes as rows; a dense X goes to X.csv.gz, cells as rows. Beside it are the names
    (features.tsv.gz, barcodes.tsv.gz), obs.csv, var.csv, layers/ in the form of X, and embeddings/ with a table for
    each embedding. Everything is in the order of the dataset.

    Parameters
    ----------
    ds
        The dataset.
    folder
        The folder.
    """
    folder.mkdir()
    obs, var, keys = ds.obs, ds.var, without_copies(ds.path, ds.keys())
    ids = var["gene_ids"].astype(str) if "gene_ids" in var else pd.Series(ds.var_names, index=var.index)
    kinds = var["feature_types"].astype(str) if "feature_types" in var else "Gene Expression"
    features = pd.DataFrame({"id": ids.to_numpy(), "symbol": ds.var_labels}).assign(kind=np.asarray(kinds))
    _write_lines(features, folder / GENES)
    _write_lines(pd.DataFrame({"cell": ds.obs_names}), folder / CELLS)
    write_table(obs, "csv", folder / "obs.csv")
    write_table(var, "csv", folder / "var.csv")
    if "X" in keys:
        _write_values(ds, "X", folder, COUNTS.removesuffix(".mtx.gz"))
    for key in keys:
        place, _, name = key.partition("/")
        if place == "layers":
            (folder / place).mkdir(exist_ok=True)
            _write_values(ds, key, folder / place, name)
        if place == "obsm" and (table := embedding_columns(name, ds.read(key), obs.index)) is not None:
            (folder / "embeddings").mkdir(exist_ok=True)
            write_table(table, "csv", folder / "embeddings" / f"{name}.csv")


def write_dense(ds: Dataset, key: str, path: Path, separator: str) -> None:
    """Write X or a layer as text, a row for each observation, row block by row block."""
    names, labels, row = ds.obs_names, ds.var_labels, 0
    with _compressed(path) if path.suffix == ".gz" else path.open("x", encoding="utf-8") as file:
        for block in map_blocks(_dense, ds.blocks(key), ds.execution, f"export {key}"):
            index = pd.Index(names[row : row + len(block)], name="name")
            pd.DataFrame(block, index=index, columns=labels).to_csv(file, sep=separator, header=row == 0)
            row += len(block)


def _write_values(ds: Dataset, key: str, folder: Path, name: str) -> None:
    blocks = ds.blocks(key)
    if not blocks.is_sparse:
        write_dense(ds, key, folder / f"{'X' if key == 'X' else name}.csv.gz", ",")
        return
    field = "integer" if blocks.dtype.kind in "iu" else "real"
    n_cells, n_genes = blocks.shape
    row = 1
    with _compressed(folder / f"{name}.mtx.gz") as file:
        file.write(f"%%MatrixMarket matrix coordinate {field} general\n%\n")
        file.write(f"{n_genes} {n_cells} {blocks.n_stored}\n")  # type: ignore[union-attr]
        for block in map_blocks(_same, blocks, ds.execution, f"export {key}"):
            cells = np.repeat(np.arange(row, row + block.shape[0]), np.diff(block.indptr))
            entries = {"gene": block.indices.astype(np.int64) + 1, "cell": cells, "value": block.data}
            pd.DataFrame(entries).to_csv(file, sep=" ", header=False, index=False)
            row += block.shape[0]


def _write_lines(table: pd.DataFrame, path: Path) -> None:
    """Write names as they are, without quotes; tabs and ends of lines in them become spaces."""
    clean = table.astype(str).replace(UNSAFE, " ", regex=True)
    with _compressed(path) as file:
        clean.to_csv(file, sep="\t", header=False, index=False, quoting=csv.QUOTE_NONE, quotechar="\0")


def _compressed(path: Path) -> TextIO:
    opened: TextIO = igzip.open(path, "xt", encoding="utf-8")  # type: ignore[no-untyped-call]
    return opened


def _same(block: Any, start: int) -> Any:  # noqa: ARG001
    return block


def _dense(block: Any, start: int) -> Any:  # noqa: ARG001
    return block.to_scipy().toarray() if isinstance(block, SparseRows) else block
