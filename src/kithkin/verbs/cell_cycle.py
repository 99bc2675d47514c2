"""Phase of the cell cycle of each cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from kithkin.core.dataset import Dataset
from kithkin.core.errors import check
from kithkin.core.history import Step, digest
from kithkin.core.keys import Key
from kithkin.core.totals import totals_of
from kithkin.models.sets.cell_cycle import FORMER, GENES, PHASES, assign_phases
from kithkin.models.sets.set_scores import SetScores
from kithkin.verbs.arguments.labels import label_column
from kithkin.verbs.arguments.normalization import check_table, resolve_normalize
from kithkin.verbs.arguments.sets import NamedSets, columns_by_name, find_sets, read_sets
from kithkin.verbs.quality import refuse_values


def cell_cycle(
    ds: Dataset,
    sets: Mapping[str, Sequence[str]] | Sequence[str] | str | Path | None = None,
    *,
    normalize: Literal["log1p"] | None = "log1p",
    on: str = "X",
    key: str | None = "obs/phase",
    seed: int = 0,
) -> pd.DataFrame:
    """Phase of the cell cycle of each cell, by the scores of the genes of S and of G2 and M.

    Parameters
    ----------
    ds
        The dataset.
    sets
        Genes of two sets named S and G2M, as in `kithkin.score`. By default those of Tirosh et al. 2016, 43 and 54
        human genes, which are found in other species where symbols differ by capitals only.
    normalize
        "log1p": scores are of log1p(count / total * 10,000). Without normalisation values stay as they are.
    on
        Table of counts: X or a layer; it may also be log-normalised.
    key
        Key under which the result is stored; without one it is only returned. Scores are S_score and G2M_score beside
        "phase", and have another name before them.
    seed
        Seed of the control genes.

    Returns
    -------
    DataFrame
        n rows: phase ("G1", "S" or "G2M", categorical; missing for cells without counts), S_score and G2M_score (mean
        of the set less that of control genes). Stored in obs. Cells that do not divide are G1 too.

    Raises
    ------
    ParameterError
        If there are other sets than S and G2M, one of them has no gene in the dataset, or X holds values that are not
        those of genes.

    References
    ----------
    Tirosh et al. 2016, doi:10.1126/science.aad0501.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> cells = kk.datasets.simulate_counts(50, 200, 2)
    >>> cells.X = cells.X.toarray()
    >>> cells.X[:2, 60:70] = 30  # GENE8 to GENE17 in the first two cells
    >>> ds = kk.read(cells, to=tempfile.mkdtemp() + "/a.zarr")
    >>> sets = {"S": [f"GENE{k}" for k in range(8, 18)], "G2M": [f"GENE{k}" for k in range(30, 40)]}
    >>> kk.cell_cycle(ds, sets)["phase"].tolist()[:2]
    ['S', 'S']
    """
    check_table(on)
    ds.need(on)
    refuse_values(ds, on, "cell_cycle", "there are no genes of a cell cycle")
    named = NamedSets(usual_sets(ds, on)) if sets is None else read_sets(sets)
    check(set(named) == {"S", "G2M"}, f"sets must be two, named S and G2M, got {', '.join(named)}")
    both = NamedSets({name: named[name] for name in ("S", "G2M")}, named.descriptions)
    treatment = resolve_normalize(ds, on, normalize)
    target = Key.of(key, "obs/phase")
    prefix = "" if target.name == "phase" else f"{target.name}_"
    columns = {str(target): "phase", f"obs/{prefix}S_score": "S_score", f"obs/{prefix}G2M_score": "G2M_score"}
    genes = None if sets is None else digest([named["S"], named["G2M"]])
    parameters = {"sets": genes, "normalize": treatment, "on": on, "seed": seed}

    def compute() -> dict[str, Any]:
        found = find_sets(ds, both, on, any_case=sets is None, needed="give the genes of S and of G2M in sets")
        # as scanpy: as many controls as the smaller set has genes
        n_controls = min(len(genes) for genes in named.values())
        model = SetScores(found.columns, "mean", n_controls=n_controls, normalize=treatment, seed=seed)
        totals = totals_of(ds, on) if treatment else None
        scores = model.fit(ds.blocks(on), totals, ds.execution).scores_
        phase = assign_phases(scores[:, 0], scores[:, 1])
        phase[model.filled_ == 0] = -1
        values = (label_column(ds, str(target), phase, PHASES), scores[:, 0].copy(), scores[:, 1].copy())
        return dict(zip(columns, values, strict=True))

    step = Step("cell_cycle", 2, parameters, (on,), tuple(columns))
    values = ds.results(step, compute, store=key is not None)
    table = {name: values[place] for place, name in columns.items()}
    return pd.DataFrame({name: getattr(one, "array", one) for name, one in table.items()}, index=ds.obs_names)


def usual_sets(ds: Dataset, on: str) -> dict[str, list[str]]:
    """Return the sets of Tirosh et al., with former symbols where the dataset has those."""
    present = {name.casefold() for name in columns_by_name(ds, on)}
    return {
        one: [FORMER[gene] if FORMER.get(gene, gene).casefold() in present and gene.casefold() not in present else gene
              for gene in genes]
        for one, genes in GENES.items()
    }  # fmt: skip
