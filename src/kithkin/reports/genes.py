"""Values of a few genes for a page: read in one pass, kept sparse, and their means in groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy import sparse

from kithkin.core.blocks import Array, SparseRows
from kithkin.core.dataset import Dataset
from kithkin.core.execute import map_blocks
from kithkin.core.totals import totals_of
from kithkin.models.table.normalize import is_log_normalized, row_scale
from kithkin.plot.data import Groups, gene_slabs
from kithkin.reports.encoding import LEVELS, MISSING, BlockWriter, to_levels, to_sparse
from kithkin.reports.points import scale_of

LOGGED, STORED = "log(1 + counts per 10,000)", ""


@dataclass(frozen=True)
class GroupMeans:
    """Means and shares of genes in the groups of a partition: share of observations with a value that is not 0."""

    genes: list[str]
    mean: Array  # groups x genes
    share: Array  # groups x genes


def write_genes(
    ds: Dataset, owners: Mapping[str, str], labels: Groups | None, order: Array, blocks: BlockWriter
) -> tuple[list[dict[str, Any]], GroupMeans | None]:
    """Write the values of genes at the points of the page, and describe them; also their means in groups.

    Of counts log(1 + counts per 10,000), of other sparse tables the values as they are: only what is not 0. Of dense
    tables all values; of a table of values the share is of those above the mean of the column.

    Parameters
    ----------
    owners
        Genes, and the group whose marker each is, or "".
    labels
        Groups whose means are wanted.
    order
        Rows in the order of the points.
    """
    genes = list(owners)
    if not genes:
        return [], None
    place = np.full(ds.n_obs, -1, np.int64)
    place[order] = np.arange(len(order))
    table = ds.blocks("X")
    write = write_sparse if table.is_sparse else write_dense
    entries, mean, share = write(ds, genes, labels, place, blocks)
    described = [{"name": gene, "of": owners[gene], **entry} for gene, entry in zip(genes, entries, strict=True)]
    return described, None if labels is None else GroupMeans(genes, mean, share)


def write_sparse(
    ds: Dataset, genes: Sequence[str], labels: Groups | None, place: Array, blocks: BlockWriter
) -> tuple[list[dict[str, Any]], Array, Array]:
    """Write genes of which most values are 0, as many in a pass over X as the budget holds."""
    table = ds.blocks("X")
    logged = ds.kind == "counts" and not is_log_normalized(table)
    factor = row_scale(totals_of(ds, "X")).astype(np.float32) if logged else None
    positions = ds.positions(genes, "var")
    sizes = np.zeros(0) if labels is None else np.maximum(labels.sizes(), 1)
    mean, share = np.zeros((len(sizes), len(genes))), np.zeros((len(sizes), len(genes)))
    entries = []
    for slab in slabs_of(ds, positions):
        columns = np.full(ds.n_vars, -1, np.int32)
        columns[positions[slab]] = np.arange(len(slab), dtype=np.int32)
        pick = partial(pick_genes, columns=columns, n_genes=len(slab), factor=factor)
        parts = list(map_blocks(pick, table, ds.execution, "genes"))
        for k, gene in enumerate(slab):
            spans = [(rows, values, starts[k], starts[k + 1]) for rows, values, starts in parts]
            rows = np.concatenate([rows[a:b] for rows, _, a, b in spans])
            values = np.concatenate([values[a:b] for _, values, a, b in spans])
            if labels is not None:
                codes = labels.codes[rows]
                known = codes >= 0
                mean[:, gene] = np.bincount(codes[known], np.nan_to_num(values[known]), len(sizes)) / sizes
                share[:, gene] = np.bincount(codes[known], minlength=len(sizes)) / sizes
            entries.append(sparse_entry(place[rows], values, place, LOGGED if logged else STORED, blocks))
    return entries, mean, share


def slabs_of(ds: Dataset, positions: Array) -> list[range]:
    """Cut genes into runs whose stored values take at most a quarter of the budget, eight bytes each."""
    n_cells = ds.read("var/n_cells").to_numpy()[positions] if "var/n_cells" in ds else np.full(len(positions), ds.n_obs)
    slabs, start, held = list[range](), 0, 0
    for k, n in enumerate(n_cells.tolist()):
        if k > start and 8 * (held + n) > ds.execution.memory // 4:
            slabs.append(range(start, k))
            start, held = k, 0
        held += n
    return [*slabs, range(start, len(positions))]


def sparse_entry(at: Array, values: Array, place: Array, unit: str, blocks: BlockWriter) -> dict[str, Any]:
    """Write the values of a gene that are stored, at their places on the page, and describe them.

    Parameters
    ----------
    at
        Place of each stored value; -1 where its row is not on the page.
    values
        The stored values.
    place
        Place of each row.
    unit
        Unit of the values.
    blocks
        Writer of the page.
    """
    shown = np.flatnonzero(at >= 0)
    shown = shown[np.argsort(at[shown])]
    finite = values[np.isfinite(values)]
    high = float(finite.max()) if len(finite) else 1.0
    if len(finite) and float(finite.min()) < 0:  # 0 would be no level of its own
        full = np.zeros(int((place >= 0).sum()))
        full[at[shown]] = values[shown]
        return _dense_entry(full, unit, blocks)
    levels = np.clip(np.rint(values[shown] * (LEVELS / high)), 1, LEVELS)
    levels = np.where(np.isnan(levels), MISSING, levels)
    return {"high": high, "unit": unit, "n_stored": len(shown), "block": blocks.add(to_sparse(at[shown], levels))}


def pick_genes(
    block: SparseRows, start: int, columns: Array, n_genes: int, factor: Array | None
) -> tuple[Array, Array, Array]:
    """Take the values of the genes out of some rows, gene by gene: rows in int32, values, and the starts of genes."""
    picked = block.renumbered(columns, n_genes)
    values = picked.data.astype(np.float32)
    if factor is not None:
        rows = np.repeat(np.arange(start, start + picked.shape[0]), np.diff(picked.indptr))
        values = np.log1p(values * factor[rows])
    by_gene = sparse.csr_matrix((values, picked.indices, picked.indptr), shape=picked.shape).tocsc()
    by_gene.eliminate_zeros()
    return (by_gene.indices + start).astype(np.int32), by_gene.data, by_gene.indptr


def write_dense(
    ds: Dataset, genes: Sequence[str], labels: Groups | None, place: Array, blocks: BlockWriter
) -> tuple[list[dict[str, Any]], Array, Array]:
    """Write columns of a dense table, a few at a time."""
    shown = place >= 0
    order = np.argsort(place[shown])
    sizes = np.zeros(0) if labels is None else np.maximum(labels.sizes(), 1)
    mean, share = np.zeros((len(sizes), len(genes))), np.zeros((len(sizes), len(genes)))
    entries = []
    counts = ds.kind == "counts"
    unit = LOGGED if counts and not is_log_normalized(ds.blocks("X")) else STORED
    for part, slab in gene_slabs(ds, genes, "log1p"):
        for k, values in zip(range(part.start, part.stop), slab.T, strict=True):
            entries.append(_dense_entry(values[shown][order], unit, blocks))
            if labels is None:
                continue
            known = (labels.codes >= 0) & np.isfinite(values)
            codes = labels.codes[known]
            present = np.maximum(np.bincount(codes, minlength=len(sizes)), 1)
            mean[:, k] = np.bincount(codes, values[known], len(sizes)) / present
            above = values[known] > (0 if counts else values[known].mean() if known.any() else 0)
            share[:, k] = np.bincount(codes[above], minlength=len(sizes)) / present
    return entries, mean, share


def _dense_entry(values: Array, unit: str, blocks: BlockWriter) -> dict[str, Any]:
    """Write one value for each point, and describe them."""
    scale = scale_of(values)
    return {"dense": True, "unit": unit, **scale, "block": blocks.add(to_levels(values, scale["low"], scale["high"]))}
