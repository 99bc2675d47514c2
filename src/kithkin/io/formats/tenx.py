"""10x Genomics' HDF5 matrices: version 2 (a group for each genome) and version 3 (one group, types of features)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from kithkin.core.blocks import Array, SparseRows
from kithkin.core.errors import FormatError, ParameterError, check_choice
from kithkin.core.execute import Execution
from kithkin.core.layout import index_dtype
from kithkin.io.formats.features import GENES, FeatureSplit, select_columns
from kithkin.io.formats.gene_names import are_ids
from kithkin.io.source import Source
from kithkin.io.streams.annotation import texts
from kithkin.io.streams.checks import Place, check_shape
from kithkin.io.streams.compressed import Compressed, open_compressed
from kithkin.io.streams.sequential import read_slice


def _is_matrix(node: Any, features: str) -> bool:
    return not hasattr(node, "dtype") and all(part in node for part in ("barcodes", "indptr", "shape", features))


def _genomes(root: Any) -> list[str]:
    """Groups of a version 2 file."""
    return [key for key in root if _is_matrix(root[key], "genes")]


def _lacks_genes(node: Any) -> bool:
    """Tell whether a group of a version 2 file has all that makes a genome but its genes."""
    return _is_matrix(node, "data") and "genes" not in node


def sniff(root: Any) -> bool:
    """Tell whether an open HDF5 file is a 10x matrix."""
    return ("matrix" in root and _is_matrix(root["matrix"], "features")) or bool(_genomes(root))


def open_tenx(file: h5py.File, *, genome: str | None = None) -> Source:
    """Open a 10x HDF5 file, filtered or raw.

    Gene expression is X; features of any other type are in `elements` as obsm/<type>, once X has been streamed. A
    version 2 file with several genomes gives the genes of all of them, with the genome before each name, provided that
    they have the same barcodes. With `genome` only the genes of this genome are taken. The caller closes the file.
    Raises FormatError if the file is damaged or contradicts itself, or its genomes have different cells; ParameterError
    if there is no such genome.
    """
    name = Path(file.filename).name
    if "matrix" in file and _is_matrix(file["matrix"], "features"):
        return _open_features(file["matrix"], name, genome)
    return _open_genomes(file, name, genome)


def _names(group: Any, key: str, length: int, name: str, place: str) -> Array:
    where = f"{place}/{key}"
    values = texts(read_slice(group[key], slice(None), name, where))
    if values.shape != (length,):
        raise FormatError(f"{name}: {where} has {len(values)} entries, but the shape promises {length}")
    return values


def _open_matrix(group: Any, name: str, key: str) -> tuple[Compressed, Array]:
    """Open the matrix, whose lines are cells, and read their barcodes."""
    n_genes, n_cells = check_shape(read_slice(group["shape"], slice(None), name, f"{key}/shape")[::-1], name, key)[::-1]
    table = open_compressed(group, n_cells, n_genes, Place(name, key, line="cell", across="gene"))
    return table, _names(group, "barcodes", n_cells, name, key)


def _are_swapped(ids: list[str], symbols: list[str]) -> bool:
    return are_ids(symbols) and not are_ids(ids)


def _open_features(group: Any, name: str, genome: str | None) -> Source:
    table, barcodes = _open_matrix(group, name, "matrix")
    features = group["features"]
    if "id" not in features and "name" not in features:
        raise FormatError(f"{name}: matrix/features has neither id nor name")
    columns, notes = dict[str, Array](), list[str]()
    for key in ("id", "name", "feature_type", "genome", "interval", "pattern", "read", "sequence"):
        try:
            if key in features:
                columns[key] = _names(features, key, table.width, name, "matrix/features")
        except FormatError as error:
            if key in ("id", "name", "feature_type"):
                raise
            notes.append(f"var/{key} was left out: {error}")
    if "id" in columns and "name" in columns and _are_swapped(*(columns[key].tolist() for key in ("id", "name"))):
        columns["id"], columns["name"] = columns["name"], columns["id"]
        notes.append(f"{name} has ids where symbols belong, which its content tells, and was read so")
    symbols = columns["name" if "name" in columns else "id"]
    ids = columns["id" if "id" in columns else "name"]
    types = columns.get("feature_type", np.full(table.width, GENES, object))
    others = {key: values for key, values in columns.items() if key not in ("id", "name", "feature_type")}
    every = pd.DataFrame({"gene_ids": ids, "feature_types": types, **others}, index=pd.Index(symbols))
    kept = np.arange(table.width)
    if genome is not None:  # the genes of one genome, and all features that are not genes
        genomes = columns["genome"] if "genome" in columns else np.full(table.width, "", object)
        genes = types == GENES
        check_choice(f"genome (of {name})", genome, sorted({str(item) for item in genomes[genes]} - {""}))
        kept = np.flatnonzero((genomes == genome) | ~genes)
    split = FeatureSplit(every.index[kept], every["feature_types"].iloc[kept])
    obs, var = pd.DataFrame(index=pd.Index(barcodes, dtype=object)), every.iloc[kept][split.mask]
    var = var.loc[:, [column for column in var.columns if (var[column] != "").any()]]
    source = Source(name, len(var), {}, obs, var, notes=[*notes, *split.notes])
    everything = len(kept) == table.width

    def stream(execution: Execution) -> Iterator[SparseRows]:
        split.clear()
        for block in table.blocks(execution):
            yield split.take(block if everything else select_columns(block, kept))
        source.elements.update(split.elements(obs.index))

    source.tables["X"] = stream
    if len(var) == table.width:
        source.stored, source.ranges["X"] = table.stored, table.by_range
    return source


def _open_genomes(root: Any, name: str, genome: str | None) -> Source:
    genomes = _genomes(root)
    if genome is not None:
        check_choice(f"genome (of {name})", genome, genomes)
        genomes = [genome]
    notes, without = list[str](), sorted(key for key in root if key not in genomes and _lacks_genes(root[key]))
    for key in genomes if genome is None and len(genomes) > 1 else ():
        shape = read_slice(root[key]["shape"], slice(None), name, f"{key}/shape")
        if len(shape) == 2 and int(shape[0]) == 0:
            without.append(key)
    genomes = [key for key in genomes if key not in without]
    if genome is None:
        notes += [f"{key} of {name} was left out, as it has no genes" for key in without]
    if not genomes:
        raise FormatError(f"{name} has no genes in any of its genomes: {', '.join(without)}")
    opened = [_open_matrix(root[key], name, key) for key in genomes]
    barcodes = opened[0][1]
    if any(not np.array_equal(barcodes, others) for _, others in opened[1:]):
        choices = " or ".join(f"genome={key!r}" for key in genomes)
        raise ParameterError(f"{name} holds genomes with different cells: choose {choices}")
    tables = [table for table, _ in opened]
    frames = []
    for key, table in zip(genomes, tables, strict=True):
        ids = _names(root[key], "genes", table.width, name, key)
        symbols = _names(root[key], "gene_names", table.width, name, key) if "gene_names" in root[key] else ids
        prefix = f"{key}_" if len(genomes) > 1 else ""
        index = pd.Index([prefix + symbol for symbol in symbols], dtype=object)
        frames.append(pd.DataFrame({"gene_ids": ids, "genome": key}, index=index, dtype=object))
    var = pd.concat(frames)
    source = Source(name, len(var), {}, pd.DataFrame(index=pd.Index(barcodes, dtype=object)), var, notes=notes)
    source.stored = sum(table.stored for table in tables)
    if len(genomes) > 1:
        source.notes.append(f"X holds the genes of {', '.join(genomes)}, each named with its genome before it")

    def stream(execution: Execution) -> Iterator[SparseRows]:
        if len(tables) == 1:
            yield from tables[0].blocks(execution)
            return
        together = replace(tables[0], indptr=np.sum([table.indptr for table in tables], axis=0))
        ranges = list(together.ranges(max(1, execution.memory // (64 * (execution.threads + 1)))))
        for blocks in zip(*(table.lines_of(ranges) for table in tables), strict=True):
            yield join_columns(list(blocks))

    source.tables["X"] = stream
    if len(tables) == 1:
        source.ranges["X"] = tables[0].by_range
    return source


def join_columns(blocks: list[SparseRows]) -> SparseRows:
    """Join blocks with the same rows, side by side."""
    width = sum(block.n_columns for block in blocks)
    shifts = np.cumsum([0, *(block.n_columns for block in blocks)])
    n_rows = blocks[0].shape[0]
    rows = np.concatenate([np.repeat(np.arange(n_rows), np.diff(block.indptr)) for block in blocks])
    order = np.argsort(rows, kind="stable")
    pairs = zip(blocks, shifts, strict=False)
    columns = np.concatenate([block.indices.astype(np.int64) + shift for block, shift in pairs])[order]
    values = np.concatenate([block.data for block in blocks])[order]
    indptr = np.sum([block.indptr for block in blocks], axis=0)
    return SparseRows(values, columns.astype(index_dtype(width)), indptr, width)
