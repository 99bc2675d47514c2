"""From counts to clusters, a map and markers: kithkin out of core beside scanpy in memory, on the same file in one go.

    python benchmarks/main_job.py counts.h5ad --peer OTHER/bin/python [--memory 256MB] [--threads 2]

OTHER is an environment with scanpy, igraph and leidenalg. Each program runs in a process of its own, which first does
the whole job on the first 9,000 cells, so that compilation is not counted. Printed per step: CPU seconds of all
threads, seconds of the clock, and the peak of resident memory up to its end; last, the adjusted Rand index of the
clusters against obs["subtype"] or obs["celltype"], and a table. `--until components` stops there;
`--programs kithkin` leaves the peer out. With `--to FOLDER` kithkin goes on where it was interrupted.

What the steps are: scanpy reads the file, keeps cells with 200 genes and genes in 3 cells, normalises to 10,000,
takes logarithms, and picks 2,000 variable genes; kithkin imports the file with its quality measures, filters by the
same conditions to a dataset of its own, and goes on with its defaults. Both then compute 50 principal components, 15
neighbours, UMAP, Leiden by igraph with two iterations, and the tie-corrected Wilcoxon test of every gene and cluster.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from timing import Steps, markdown, run_apart, total, write_sample

TRUTHS = ("subtype", "celltype")
STEPS = ("read", "filter", "variable genes", "components", "neighbours", "map", "clusters", "markers")


def kithkin_job(source: str, folder: Path, options: argparse.Namespace, loud: bool = True) -> dict[str, Any]:
    """Run kithkin from the file to the markers."""
    import kithkin as kk

    step, until = Steps(loud), STEPS.index(options.until)
    name = "job" if loud else "sample"
    how = {"memory": options.memory, "threads": options.threads}
    raw = step("read", lambda: kk.read(source, to=folder / f"{name}.raw.zarr", **how))
    ds = step(
        "filter",
        lambda: kk.subset(raw, cells="n_genes >= 200", genes="n_cells >= 3", to=folder / f"{name}.zarr"),
    )
    rest = (
        lambda: kk.variable_genes(ds),
        lambda: kk.pca(ds),
        lambda: kk.neighbors(ds),
        lambda: kk.umap(ds),
        lambda: kk.leiden(ds),
        lambda: kk.markers(ds, "obs/leiden"),
    )
    for title, do in list(zip(STEPS[2:], rest, strict=True))[: max(0, until - 1)]:
        step(title, do)
    if not loud and until > STEPS.index("components"):
        kk.neighbors(ds, method="partitioned", key=None)  # what the whole file will take, and the sample does not
    return {"steps": step.rows, "shape": ds.shape} | scores(ds.obs)


def scanpy_job(source: str, options: argparse.Namespace, loud: bool = True) -> dict[str, Any]:
    """Run scanpy from the file to the markers."""
    import scanpy as sc
    from scipy.sparse import csr_array, csr_matrix

    if not hasattr(csr_array, "getnnz"):  # what pynndescent 0.7 gives scanpy 1.11 lacks what the latter calls
        csr_array.getnnz = csr_array._getnnz
    step, until = Steps(loud), STEPS.index(options.until)

    def read() -> Any:
        data = sc.read_h5ad(source)
        kind = data.X.indices.dtype  # scanpy wants one type for both kinds of index
        data.X = csr_matrix((data.X.data, data.X.indices, data.X.indptr.astype(kind)), shape=data.shape)
        return data

    def keep() -> None:
        sc.pp.filter_cells(data, min_genes=200)
        sc.pp.filter_genes(data, min_cells=3)

    def variable() -> None:
        sc.pp.normalize_total(data, target_sum=1e4)
        sc.pp.log1p(data)
        sc.pp.highly_variable_genes(data, n_top_genes=2000)

    data = step("read", read)
    rest = (
        keep,
        variable,
        lambda: sc.pp.pca(data, n_comps=50, mask_var="highly_variable"),
        lambda: sc.pp.neighbors(data, n_neighbors=15),
        lambda: sc.tl.umap(data),
        lambda: sc.tl.leiden(data, flavor="igraph", n_iterations=2, directed=False),
        lambda: sc.tl.rank_genes_groups(data, "leiden", method="wilcoxon", tie_correct=True),
    )
    for title, do in list(zip(STEPS[1:], rest, strict=True))[:until]:
        step(title, do)
    return {"steps": step.rows, "shape": data.shape} | scores(data.obs)


def scores(obs: Any) -> dict[str, Any]:
    """Number of clusters, and how they agree with what is known."""
    from sklearn.metrics import adjusted_rand_score

    if "leiden" not in obs:
        return {}
    found = {f"ARI, {name}": adjusted_rand_score(obs[name], obs["leiden"]) for name in TRUTHS if name in obs}
    return {"clusters": int(obs["leiden"].nunique()), **found}


def child(options: argparse.Namespace) -> dict[str, Any]:
    """Warm up on the sample, then do the job."""
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        if options.child == "kithkin":
            kithkin_job(options.sample, Path(name), options, loud=False)
            return kithkin_job(options.source, options.to or Path(name), options)
        scanpy_job(options.sample, options, loud=False)
        return scanpy_job(options.source, options)


def run(program: str, source: str, options: argparse.Namespace) -> dict[str, Any]:
    """Run one program in a process of its own."""
    python = sys.executable if program == "kithkin" else options.peer
    print(
        f"{program}: {Path(source).name}" + (f", memory {options.memory}" if program == "kithkin" else ""), flush=True
    )
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        sample = Path(name) / "sample.h5ad"
        run_apart(sys.executable, __file__, "sample", [source, "--sample", str(sample)], options.threads)
        arguments = [source, "--sample", str(sample), "--memory", options.memory, "--until", options.until]
        arguments += ["--folder", options.folder] if options.folder else []
        arguments += ["--to", str(options.to)] if options.to else []
        done = run_apart(python, __file__, program, arguments, options.threads)
    whole = total(done["steps"])
    done["steps"]["all"] = whole
    print(f"  {'all':<24}{whole['cpu_s']:9.2f} CPU s{whole['wall_s']:9.2f} s   peak {whole['peak_MB']:6.0f} MB")
    others = {name: value for name, value in done.items() if name != "steps"}
    print("  " + ", ".join(f"{name} {round(v, 4) if isinstance(v, float) else v}" for name, v in others.items()))
    return done


def table(results: dict[str, dict[str, Any]]) -> str:
    """One row per step, CPU seconds, seconds and peak of each program."""
    head = ["step"] + [f"{name}, {what}" for name in results for what in ("CPU s", "s", "peak MB")]
    rows = []
    for step in next(iter(results.values()))["steps"]:
        cells = [result["steps"][step] for result in results.values()]
        rows.append([step, *(f"{c[k]:.{d}f}" for c in cells for k, d in (("cpu_s", 2), ("wall_s", 2), ("peak_MB", 0)))])
    for extra in [name for name in next(iter(results.values())) if name.startswith(("ARI", "clusters"))]:
        values = [result[extra] for result in results.values()]
        rows.append([extra, *(text for v in values for text in (f"{v:.3f}" if v < 1 else str(v), "", ""))])
    return markdown(head, rows)


def parser() -> argparse.ArgumentParser:
    """Make the options."""
    made = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    made.add_argument("source", help="counts as h5ad with CSR rows")
    made.add_argument("--peer", help="a Python interpreter with scanpy")
    made.add_argument("--programs", default="kithkin,scanpy")
    made.add_argument("--memory", default="256MB")
    made.add_argument("--threads", type=int, default=2)
    made.add_argument("--until", choices=STEPS, default="markers")
    made.add_argument("--folder", help="where the temporary datasets go")
    made.add_argument("--to", type=Path, help="keep kithkin's datasets here, and go on from what is there")
    made.add_argument("--json", type=Path, help="write all figures here")
    made.add_argument("--child", help=argparse.SUPPRESS)
    made.add_argument("--sample", help=argparse.SUPPRESS)
    return made


def main() -> None:
    """Run the programs, one after the other, and print the table."""
    options = parser().parse_args()
    if options.child == "sample":
        write_sample(options.source, Path(options.sample))
        print(json.dumps({}))
        return
    if options.child:
        print(json.dumps(child(options)))
        return
    programs = [name for name in options.programs.split(",") if name == "kithkin" or options.peer]
    results = {name: run(name, options.source, options) for name in programs}
    print(f"\n{table(results)}")
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
