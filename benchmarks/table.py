"""A table as people keep it, with known groups: ids, dates, categories, gaps, outliers, and units over six orders.

Usage: python benchmarks/table.py --to table.csv [--rows 200000] [--seed 0] [--read | --run table.zarr]

The same seed and number of rows give the same file. Its 80 columns are 75 of numbers and id, joined (dates), region
and plan (categories that go with the groups), and group, which is the truth. Of the numbers 45 tell the groups apart
and 30 do not; each third one is skewed; 3 % are missing; in 1 % of the rows five numbers are far out. `--read` imports
the file and prints CPU seconds and peak memory, `--run` runs all of kithkin on it and prints the agreement, too.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from timing import Steps

N_GROUPS, N_TELLING, N_OTHER = 8, 45, 30
SEPARATION = 1.6  # standard deviation of the centres of groups, in that of the rows about them
MISSING, OUTLIERS, FAR = 0.03, 0.01, 25.0
ROWS = 10_000  # drawn and written at a time
REGIONS, PLANS = ("north", "east", "south", "west", "abroad"), ("basic", "family", "business")
LOYAL = 0.7  # share of rows with the category of their group


def draw(n_rows: int, seed: int = 0) -> Iterator[pd.DataFrame]:
    """Draw the table in chunks of rows."""
    rng = np.random.default_rng(seed)
    width = N_TELLING + N_OTHER
    centers = np.zeros((N_GROUPS, width))
    centers[:, rng.permutation(width)[:N_TELLING]] = rng.normal(0, SEPARATION, (N_GROUPS, N_TELLING))
    unit = 10.0 ** rng.uniform(-3, 3, width)
    offset, skewed = rng.normal(0, 3, width), np.arange(width) % 3 == 2
    shares = rng.dirichlet(np.full(N_GROUPS, 8.0))
    region_of, plan_of = rng.integers(0, len(REGIONS), N_GROUPS), rng.integers(0, len(PLANS), N_GROUPS)
    for start in range(0, n_rows, ROWS):
        n = min(ROWS, n_rows - start)
        group = rng.choice(N_GROUPS, n, p=shares)
        values = centers[group] + rng.normal(size=(n, width))
        far = np.flatnonzero(rng.random(n) < OUTLIERS)
        values[far[:, None], rng.integers(0, width, (len(far), 5))] += rng.choice([-FAR, FAR], (len(far), 5))
        # a skewed number far out is as far from the others as the rest, not e to that power
        values[:, skewed] = np.exp(0.7 * np.clip(values[:, skewed], -8, 8))
        values[:, ~skewed] += offset[~skewed]
        values *= unit
        values[rng.random(values.shape) < MISSING] = np.nan
        table = pd.DataFrame(values, columns=[f"m{k:02d}" for k in range(width)])
        days = np.datetime64("2019-01-01") + rng.integers(0, 2000, n)
        table.insert(0, "id", np.arange(start + 1, start + n + 1))
        table.insert(1, "joined", days.astype(str))
        for place, name, labels, own in ((2, "region", REGIONS, region_of), (3, "plan", PLANS, plan_of)):
            codes = np.where(rng.random(n) < LOYAL, own[group], rng.integers(0, len(labels), n))
            table.insert(place, name, np.array(labels)[codes])
        table["group"] = np.char.add("group ", group.astype(str))
        yield table


def write(path: Path, n_rows: int, seed: int = 0) -> None:
    """Write the table as CSV."""
    with path.open("w", encoding="utf-8", newline="") as file:
        for number, table in enumerate(draw(n_rows, seed)):
            table.to_csv(file, index=False, header=number == 0, float_format="%.6g")


def main() -> None:
    """Write the table, and measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--read", action="store_true")
    parser.add_argument("--run", type=Path)
    options = parser.parse_args()
    if not options.to.exists():
        write(options.to, options.rows, options.seed)
    if not options.read and options.run is None:
        return
    import kithkin as kk

    steps = Steps()
    if options.read:
        with tempfile.TemporaryDirectory() as folder:
            ds = steps("read", lambda: kk.read(options.to, to=f"{folder}/table.zarr", progress=False))
            print(ds)
    if options.run is not None:
        ds = steps("run", lambda: kk.run(options.to, to=options.run, overwrite=True, progress=False, say=print))
        print(kk.compare(ds, "leiden", to="group"))


if __name__ == "__main__":
    main()
