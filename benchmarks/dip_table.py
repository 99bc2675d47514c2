"""Quantiles of Hartigan's dip in samples of a uniform distribution, and agreement of our dip with the package diptest.

Usage: python benchmarks/dip_table.py quantiles [--draws 1000000]
       python benchmarks/dip_table.py agree --peer .../bin/python [--sets 400]

"quantiles" prints the table of kithkin.models.support.dip_test: square root of n times the dip, for each number of
values n (rows) and probability that it is larger (columns). "agree" draws sets of 10 to 5,000 values, smooth and tied,
and holds the dips and their p against those of the package (`diptest.diptest`, which interpolates a table of its own),
which the Python given by `--peer` imports.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit

from kithkin.kernels.dip import dip
from kithkin.models.support.dip_test import SIZES, TAILS, dip_pvalue

PEER = """
import json, sys
import diptest, numpy as np
sets = np.load(sys.argv[1])
found = [diptest.diptest(sets[str(i)]) for i in range(len(sets.files))]
print(json.dumps([[float(one) for one in pair] for pair in found]))
"""


@njit(nogil=True)
def uniform_dips(n: int, draws: int, seed: int) -> Any:
    """Draw sets of n ordered uniform values, by their spacings, and return the dip of each."""
    np.random.seed(seed)  # noqa: NPY002
    out, x = np.empty(draws), np.empty(n)
    for draw in range(draws):
        total = 0.0
        for i in range(n):
            total += np.random.standard_exponential()  # noqa: NPY002
            x[i] = total
        out[draw] = dip(x)
    return out


def quantiles(options: argparse.Namespace) -> None:
    """Print the table."""
    for n in SIZES:
        found = np.sqrt(n) * np.quantile(uniform_dips(n, options.draws, n), 1 - np.array(TAILS))
        print(f"    ({', '.join(f'{one:.4f}' for one in found)}),  # {n:,}", flush=True)


def agree(options: argparse.Namespace) -> None:
    """Compare with the package."""
    rng = np.random.default_rng(0)
    sets = []
    for size in np.exp(rng.uniform(np.log(10), np.log(5000), options.sets)).astype(int):
        far = rng.random(size) < rng.random()
        x = np.where(far, rng.normal(6 * rng.random(), 1, size), rng.normal(0, 1, size))
        sets.append(np.sort(x.round(int(rng.integers(0, 6)))))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sets.npz"
        np.savez(path, **{str(i): x for i, x in enumerate(sets)})
        done = subprocess.run([options.peer, "-c", PEER, path], capture_output=True, text=True, check=True)
    theirs = np.array(json.loads(done.stdout))
    ours = np.array([[dip(x), dip_pvalue(dip(x), len(x))] for x in sets])
    print(f"{len(sets)} sets: dips differ by at most {np.abs(ours[:, 0] - theirs[:, 0]).max():.1e}")
    print(f"p differ by at most {np.abs(ours[:, 1] - theirs[:, 1]).max():.4f}")
    sure = theirs[:, 1] > 1e-3
    print(f"logarithms of p above 0.001 differ by at most {np.abs(np.log(ours[sure, 1] / theirs[sure, 1])).max():.3f}")


def main() -> None:
    """Run one of the two."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("quantiles", "agree"))
    parser.add_argument("--draws", type=int, default=1_000_000)
    parser.add_argument("--peer", type=Path)
    parser.add_argument("--sets", type=int, default=400)
    options = parser.parse_args()
    {"quantiles": quantiles, "agree": agree}[options.what](options)


if __name__ == "__main__":
    main()
