"""A million cells: kithkin's main job on a large file, and what it takes in proportion to a small one.

    python benchmarks/million.py small.h5ad large.h5ad [--memory 2GB] [--threads 2] [--folder SCRATCH]

Both go through `benchmarks/main_job.py` with the same budget, each in a process of its own that is warmed up first.
SCRATCH needs about 4 GB for a million cells of 800 genes each.
"""

from __future__ import annotations

from main_job import parser, run
from timing import markdown


def main() -> None:
    """Run both and print the proportions."""
    made = parser()
    made.add_argument("large", help="many more cells")
    made.set_defaults(memory="2GB")
    options = made.parse_args()
    small, large = (run("kithkin", source, options) for source in (options.source, options.large))
    rows = []
    for step, row in large["steps"].items():
        before = small["steps"][step]
        factors = [f"{row[name] / before[name]:.1f}" for name in ("cpu_s", "wall_s")]
        rows.append([step, f"{row['cpu_s']:.1f}", f"{row['wall_s']:.1f}", f"{row['peak_MB']:.0f}", *factors])
    cells = [f"{result['shape'][0]:,}" for result in (small, large)]
    print(f"\n{cells[1]} cells, and as a multiple of {cells[0]} cells:\n")
    print(markdown(["step", "CPU s", "s", "peak MB", "CPU, times", "seconds, times"], rows))


if __name__ == "__main__":
    main()
