"""Mini-batches for training, read from disk pool by pool: each chunk that a pool touches is decoded once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse

from kithkin.core.blocks import Array, SparseRows
from kithkin.core.errors import check, check_range, check_seed
from kithkin.core.heap import KeptHeap
from kithkin.core.row_order import RowOrder
from kithkin.core.stored import StoredDense, StoredRows

POOL = 64 * 10**6  # bytes of the rows in a pool: fewer would read chunks more often, see benchmarks/loader.py
SHARE = 3  # of the budget: a pool, a batch, and what is decoded
CHUNK = 64  # rows of a run


class Batch(NamedTuple):
    """Mini-batch of rows.

    Attributes
    ----------
    X
        Values, rows x columns: a SciPy CSR matrix or an array (with torch, tensors).
    rows
        int64, numbers of the rows in the dataset.
    obs
        Chosen columns of obs by name: numbers, or codes of categories (int64, -1 where missing).
    """

    X: Any
    rows: Any
    obs: dict[str, Any]


class Loader:
    """Mini-batches of some rows of a table, in a new order each epoch.

    Iterating over it is an epoch, and the next time the next one, unless `set_epoch` says which.

    Attributes
    ----------
    categories
        Names of the codes of each column of categories or texts.
    order
        Order of the rows.
    n_rows
        Number of rows.
    epoch
        Number of the next epoch.
    """

    def __init__(
        self,
        blocks: StoredRows | StoredDense,
        rows: Array | None,
        columns: Mapping[str, pd.Series[Any]],
        order: RowOrder,
        *,
        dense: bool,
        dtype: np.dtype[Any],
    ) -> None:
        self._blocks, self._rows, self.order = blocks, rows, order
        self._dense, self._dtype = dense, dtype
        self.n_rows, self.epoch = order.n_rows, 0
        self._columns: dict[str, Array] = {}
        self.categories: dict[str, list[Any]] = {}
        for name, column in columns.items():
            self._columns[name], names = as_codes(column)
            if names is not None:
                self.categories[name] = names

    def __len__(self) -> int:
        """Number of batches of an epoch."""
        return self.order.n_batches()

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches of the next epoch."""
        self.epoch += 1
        return self.batches((self.epoch - 1,))

    def set_epoch(self, epoch: int) -> None:
        """Set the number of the next epoch, on which its order depends beside the seed."""
        check_range("epoch", epoch, 0, 2**32 - 1)
        self.epoch = int(epoch)

    def batches(
        self, epoch: Sequence[int], worker: tuple[int, int] = (0, 1), rank: tuple[int, int] = (0, 1)
    ) -> Iterator[Batch]:
        """Yield the batches of an epoch, or those of one worker and rank of several, as `RowOrder.pools`."""
        with KeptHeap():  # pools are of the same size
            for drawn in self.order.pools(epoch, worker, rank):
                rows = drawn if self._rows is None else self._rows[drawn]
                ascending = np.sort(rows)
                # dense rows come to their places as they are decoded; of sparse ones whole runs are copied first
                found = self._blocks.take(ascending if self._blocks.is_sparse else rows)
                pool: Any = found.to_scipy(copy=False) if isinstance(found, SparseRows) else found
                for start in range(0, len(rows), self.order.size):
                    own = rows[start : start + self.order.size].copy()
                    if sparse.issparse(pool):
                        X = pool[np.searchsorted(ascending, own)]
                        X.data = X.data.astype(self._dtype, copy=False)  # without a copy of the indices
                        X = X.toarray() if self._dense else X
                    else:
                        X = pool[start : start + len(own)].astype(self._dtype)  # a copy, or it would keep the pool
                    yield Batch(X, own, {name: values[own] for name, values in self._columns.items()})
                del found, pool  # before the next one is read


def as_codes(column: pd.Series[Any]) -> tuple[Array, list[Any] | None]:
    """Return numbers as they are, missing ones as NaN; codes of categories or texts, -1 where missing, and their names.

    Examples
    --------
    >>> as_codes(pd.Series(["T", None, "B"]))
    (array([ 1, -1,  0]), ['B', 'T'])
    >>> as_codes(pd.Series([2, None], dtype="Int64"))
    (array([ 2., nan]), None)
    """
    kind: Any = column.dtype
    if not isinstance(kind, pd.CategoricalDtype):
        if isinstance(kind, np.dtype) and kind.kind in "biuf":
            return column.to_numpy(), None
        if pd.api.types.is_numeric_dtype(kind):
            return column.to_numpy(np.float64, na_value=np.nan), None
        column = column.astype("category")
    return column.cat.codes.to_numpy(np.int64), column.cat.categories.tolist()


def plan_order(
    blocks: StoredRows | StoredDense,
    n_rows: int,
    memory: int,
    *,
    size: int,
    shuffle: bool,
    seed: int,
    chunk: int,
    buffer: int | None,
    drop_last: bool,
    row_bytes: float,
) -> RowOrder:
    """Check the settings of a loader against the table and the budget, and plan the order of its rows.

    Parameters
    ----------
    blocks
        The table.
    n_rows
        Number of rows that are drawn.
    memory
        Budget in bytes, of which a pool and a batch take a third each at most.
    size, chunk, seed, shuffle, drop_last
        As in `RowOrder`.
    buffer
        Rows of a pool; None: as many as take 64 MB, or a third of the budget if that is less.
    row_bytes
        Bytes of a row in a batch.
    """
    check_range("size", size, 1, 2**31 - 1)
    check_range("chunk", chunk, 1, 2**31 - 1)
    check_seed(seed)
    for name, value in (("shuffle", shuffle), ("drop_last", drop_last)):
        check(isinstance(value, (bool, np.bool_)), f"{name} must be True or False, got {value!r}")
    within = f"within a memory of {memory / 1e6:,.0f} MB"
    held, largest = (max(1, int(memory / SHARE / max(one, 1.0))) for one in (blocks.row_bytes, row_bytes))
    largest = min(held, largest)
    check(size <= largest, f"size must be at most {largest:,} {within}, got {size:,}")
    if buffer is None:
        buffer = min(int(POOL / max(blocks.row_bytes, 1.0)), held)
    else:
        check_range("buffer", buffer, size, 2**62)
        check(min(buffer, n_rows) <= held, f"buffer must be at most {held:,} rows {within}, got {buffer:,}")
    return RowOrder(n_rows, size, chunk, max(size, buffer // size * size), seed, bool(shuffle), bool(drop_last))
