"""Features of several types in one matrix: genes go to X, antibodies and the like to obsm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from kithkin.core.blocks import Array, SparseRows
from kithkin.io.streams.annotation import unique_names
from kithkin.io.streams.checks import whole_values

GENES = "Gene Expression"
WIDE = 4096  # features from which a type is kept sparse: a dense table of chromatin peaks would fill the memory


class FeatureSplit:
    """Splitter of row blocks into genes, which are returned, and features of other types, which are kept.

    Without `types` all are genes. `mask` tells for each feature whether it is a column of X, which holds the type "Gene
    Expression", or the most frequent type if there is none. `notes` are the decisions that were taken, one sentence
    each.

    Examples
    --------
    >>> split = FeatureSplit(["CD3E", "CD3"], ["Gene Expression", "Antibody Capture"])
    >>> split.take(SparseRows(np.array([4, 5]), np.array([0, 1]), np.array([0, 2]), 2)).to_dense().tolist()
    [[4]]
    >>> split.elements(["cell"])["obsm/Antibody Capture"].to_dict("list")
    {'CD3': [5]}
    """

    def __init__(
        self, names: Sequence[str] | pd.Index[Any], types: Sequence[str] | pd.Series[Any] | None = None
    ) -> None:
        self._names = np.asarray(names, dtype=object)
        kinds = np.full(len(self._names), GENES, object) if types is None else np.asarray(types, dtype=object)
        present, counts = np.unique(kinds.astype(str), return_counts=True)
        main = GENES if GENES in present or not len(present) else str(present[counts.argmax()])
        self.mask: Array = kinds == main
        self.notes: list[str] = []
        self._others = {str(kind): np.flatnonzero(kinds == kind) for kind in present if kind != main}
        if self._others:
            rest = ", ".join(f"{len(where):,} {kind}" for kind, where in self._others.items())
            self.notes.append(f"X holds {self.mask.sum():,} {main}; in obsm are {rest}")
        self._pieces: dict[str, list[sparse.csr_matrix]] = {}
        self.clear()

    def clear(self) -> None:
        """Forget what was kept, before a stream begins again."""
        self._pieces = {kind: [] for kind in self._others}

    def take(self, block: SparseRows) -> SparseRows:
        """Return the columns of X, in their order; keep the other columns."""
        for kind, where in self._others.items():
            self._pieces[kind].append(select_columns(block, where).to_scipy())
        if not self._others:
            return block
        genes = select_columns(block, np.flatnonzero(self.mask))
        # the genes may be whole numbers where what was measured beside them is not
        return replace(genes, data=whole_values(genes.data, str)[0]) if genes.data.dtype.kind == "f" else genes

    def elements(self, obs_names: Any) -> dict[str, Any]:
        """Map keys ("obsm/<type>") to tables of what was kept, a row per cell."""
        out: dict[str, Any] = {}
        for kind, where in self._others.items():
            table = sparse.vstack(self._pieces[kind], format="csr")
            key = kind.replace("/", "-")
            if len(where) < WIDE:
                names = unique_names(pd.Index(self._names[where].astype(str), dtype=object))
                out[f"obsm/{key}"] = pd.DataFrame(
                    table.toarray(), index=pd.Index(obs_names, dtype=object), columns=names
                )
            else:
                out[f"obsm/{key}"], out[f"uns/{key}_names"] = table, self._names[where]
        return out


def select_columns(block: SparseRows, columns: Array) -> SparseRows:
    """Select columns of a block, in their new numbers.

    The columns to keep are ascending.
    """
    number = np.full(block.n_columns, -1, np.int64)
    number[columns] = np.arange(len(columns))
    return block.renumbered(number, len(columns))
