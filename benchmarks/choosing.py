"""What a parameter changes: one at a time, the others at the defaults of `kithkin run`, on counts with labels.

Usage: python benchmarks/choosing.py FILE.h5ad ... [--seeds 3]

Each file has counts with the classes in obs "label", "celltype" or "subtype". Prints a table for each parameter: the
adjusted Rand index of Leiden against the classes (mean over the seeds) and the number of clusters of the first seed, at
each value. Cells without a class take part and are not scored. Metrics are those of `kk.compare`.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np

import kithkin as kk
from timing import markdown

DEFAULTS = {"n_genes": 3000, "n_components": 50, "n_neighbors": 15, "resolution": 0.7}
VALUES: dict[str, tuple[Any, ...]] = {
    "n_genes": (500, 1000, 2000, 3000, 5000, 10000),
    "n_components": (5, 10, 20, 30, 50, 100),
    "n_neighbors": (5, 10, 15, 30, 50),
    "resolution": (0.3, 0.5, 0.7, 1.0, 1.5, 2.0),
}
NO_CLASS = ("", "NA", "nan")


def labels_of(table: ad.AnnData) -> Any:
    """Classes of the cells as text, None where there are none."""
    column = next(name for name in ("label", "celltype", "subtype") if name in table.obs)
    labels = table.obs[column].astype(str).astype(object)
    return labels.where(~labels.isin(NO_CLASS), None)


def clusters(ds: kk.Dataset, seed: int, **changed: Any) -> tuple[float, int]:
    """Adjusted Rand index against `obs/class` and number of clusters, with some settings changed."""
    given = DEFAULTS | changed
    kk.variable_genes(ds, min(given["n_genes"], ds.n_vars))
    kk.pca(ds, given["n_components"], seed=seed)
    kk.neighbors(ds, given["n_neighbors"], seed=seed)
    found = kk.leiden(ds, given["resolution"], seed=seed)
    return kk.compare(ds, "obs/leiden", to="obs/class").ari, found.nunique()


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    rows: dict[str, list[list[str]]] = {name: [[str(value)] for value in values] for name, values in VALUES.items()}
    for file in given.files:
        with tempfile.TemporaryDirectory() as folder:
            table = ad.read_h5ad(file)
            table.obs["class"] = labels_of(table)
            ds = kk.run(table, to=f"{folder}/cells.zarr", threads=1)
            for name, values in VALUES.items():
                for row, value in zip(rows[name], values, strict=True):
                    found = [clusters(ds, seed, **{name: value}) for seed in range(given.seeds)]
                    row.append(f"{np.mean([ari for ari, _ in found]):.3f} ({found[0][1]})")
                print(file.stem, name, [row[-1] for row in rows[name]], flush=True)
    for name, table in rows.items():
        print(f"\n{markdown([name, *(f'`{file.stem}`' for file in given.files)], table)}")


if __name__ == "__main__":
    main()
