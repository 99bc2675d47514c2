"""The Paris tree of a stored graph: CPU seconds, peak memory and quality of its cuts, beside scikit-network.

    python benchmarks/paris.py dataset.zarr [--truth obs/digit] [--clusters 20] [--threads 1] [--peer PYTHON]

Each weighting, and the peer, runs in a process of its own on `obsp/connectivities`, after a warm-up on a small part of
it. `--truth` names a known grouping, for the adjusted Rand index, the normalised mutual information and the purity.
`--peer` names an interpreter that has scikit-network besides kithkin; on more than 200,000 observations it is left out
unless `--patient` is given.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

import numpy as np

from timing import Steps, markdown, peak_memory, run_apart

WARM_UP = 500  # observations
PEER_AT_MOST = 200_000


def figures(labels: np.ndarray, truth: np.ndarray | None) -> str:
    """How many clusters, and how well they agree with the truth."""
    text = f"{len(np.unique(labels))} clusters"
    if truth is None:
        return text
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
    from sklearn.metrics.cluster import contingency_matrix

    purity = contingency_matrix(truth, labels).max(axis=0).sum() / len(truth)
    scores = adjusted_rand_score(truth, labels), normalized_mutual_info_score(truth, labels), purity
    return f"{text}, " + ", ".join(
        f"{name} {score:.3f}" for name, score in zip(("ARI", "NMI", "purity"), scores, strict=True)
    )


def grow_tree(weights: str, graph: Any, threads: int) -> Any:
    """The tree by one way: kithkin's with a weighting, or scikit-network's of the weights as they are."""
    from kithkin.core.execute import Execution
    from kithkin.models.paris.paris import grow

    if weights != "scikit-network":
        return grow(graph, weights, Execution(threads=threads))
    from sknetwork.hierarchy import Paris

    return Paris(reorder=False).fit_transform(graph)  # only timed: its merges are not in the order of their heights


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """One way of making the tree, with its cuts."""
    import kithkin as kk

    ds = kk.open(options.dataset, threads=options.threads)
    graph = ds.read("obsp/connectivities")
    truth = None if options.truth is None else np.asarray(ds.read(options.truth)).astype(str)
    small = graph[:WARM_UP][:, :WARM_UP].tocsr()
    warm = grow_tree(options.child, small, options.threads)
    if options.child != "scikit-network":
        warm.cut_persistent(small)
    before, steps = peak_memory(), Steps(loud=False)
    tree = steps("tree", lambda: grow_tree(options.child, graph, options.threads))
    result = {"way": options.child, "n": graph.shape[0], "before": before}
    if options.child != "scikit-network":
        result["auto"] = figures(steps("auto", lambda: tree.cut_persistent(graph)), truth)
        result["cut"] = figures(steps("cut", lambda: tree.cut(options.clusters)), truth)
    return result | {"rows": steps.rows, "peak": peak_memory()}


def row(result: dict[str, Any]) -> list[str]:
    """One line of the table."""
    seconds = [f"{result['rows'][name]['cpu_s']:.2f}" if name in result["rows"] else "" for name in ("tree", "auto")]
    memory = [f"{result['before']:.0f}", f"{result['peak']:.0f}"]
    return [result["way"], *seconds, *memory, result.get("auto", ""), result.get("cut", "")]


def main() -> None:
    """Both weightings, then the peer."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("dataset")
    parser.add_argument("--truth")
    parser.add_argument("--clusters", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--peer")
    parser.add_argument("--patient", action="store_true")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(measure(options)))
        return
    given = [options.dataset, "--clusters", str(options.clusters)]
    given += ["--truth", options.truth] if options.truth else []
    results = [run_apart(sys.executable, __file__, way, given, options.threads) for way in ("shared", "graph")]
    n = results[0]["n"]
    if options.peer and (options.patient or n <= PEER_AT_MOST):
        results.append(run_apart(options.peer, __file__, "scikit-network", given, options.threads))
    head = [
        "tree",
        "CPU s",
        "CPU s, automatic cut",
        "MB before",
        "MB peak",
        "automatic",
        f"cut into {options.clusters}",
    ]
    print(f"{n:,} observations; {options.threads} threads\n")
    print(markdown(head, map(row, results)))


if __name__ == "__main__":
    main()
