"""Report of a run: figures in a folder, and a summary to read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from kithkin.core.dataset import Dataset
from kithkin.core.dataset import open as open_dataset
from kithkin.core.errors import KithkinError
from kithkin.core.group_faces import current_faces, face_lines
from kithkin.core.group_support import current_support, support_lines
from kithkin.core.group_tests import current_tests, held_out_lines, traits
from kithkin.core.sample_tests import current_results, sample_lines
from kithkin.core.words import THINGS


def summary(ds: Dataset, by: str = "obs/leiden", n_markers: int = 5) -> str:
    """Summarise a finished dataset: cells in, cells kept and why, clusters with sizes and top markers, samples.

    Of samples it tells their cells, the clusters that change their share between conditions and the genes that differ,
    where `kithkin.composition` and `kithkin.contrast` have tested these. Markers are those with an adjusted p of at
    most 0.05. Of a table of values they are sentences, such as "low proline (507, elsewhere 820)"; `kithkin.describe`
    gives these as a table.

    Parameters
    ----------
    ds
        A finished dataset.
    by
        Column of obs with the clusters.
    n_markers
        Most genes or columns to name for each cluster.

    Returns
    -------
    str
        Lines of text.

    Raises
    ------
    MissingResultError
        If the clusters are not there yet.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> counts = kk.datasets.simulate_counts(300, 400, 3)
    >>> ds = kk.run(counts, to=tempfile.mkdtemp() + "/a.zarr", cells="n_genes >= 10")
    >>> print(kk.summary(ds).splitlines()[0])
    a.zarr: 300 cells x ... genes
    """
    rows, columns = THINGS["counts" if ds.kind == "values" and _is_counts(ds) else ds.kind]
    lines = [f"{ds.name}: {ds.n_obs:,} {rows} x {ds.n_vars:,} {columns}"]
    if "uns/subset" in ds:
        subset = ds.read("uns/subset")
        for axis in ("cells", "genes"):
            removed = subset[axis].get("removed", {})
            most_first = sorted(removed.items(), key=lambda item: (-int(item[1]), item[0]))
            reasons = [f"{int(n):,} not {reason}" for reason, n in most_first if int(n)]
            why = f" (removed: {'; '.join(reasons)})" if reasons else ""
            lines.append(f"{axis} in {int(subset[axis]['before']):,}, kept {int(subset[axis]['kept']):,}{why}")
    recall = float(ds.read("uns/neighbors").get("recall", 1.0)) if "uns/neighbors" in ds else 1.0
    if recall < 1:
        lines.append(f"nearest neighbours found: {100 * recall:.1f}% (recall, estimated on 1,000 {rows})")
    labels = ds.read(by)
    sizes = labels.value_counts(sort=False)
    tests, symbols = current_tests(ds, by), dict(zip(ds.var_names, ds.var_labels, strict=True))
    values = tests is not None and "means" in tests
    width = max(len("cluster"), *(len(str(name)) for name in sizes.index))
    lines += ["", f"{'cluster':<{width}}  {rows:>9}  {'share':>6}  markers"]
    for name, size in sizes.items():
        found = traits(tests, str(name), n_markers, symbols) if tests is not None else []
        said = ", ".join(trait.sentence if values else trait.column for trait in found) or "-"
        lines.append(f"{name!s:<{width}}  {size:>9,}  {100 * size / ds.n_obs:>5.1f}%  {said}")
    lines += held_out_lines(tests) if tests is not None else []
    support = current_support(ds, by)
    lines += ["", *support_lines(support)] if support is not None and support_lines(support) else []
    faces = current_faces(ds, by)
    lines += ["", *face_lines(faces)] if faces is not None else []
    samples = sample_lines(ds, symbols, n_markers)
    lines += ["", *samples] if samples else []
    return "\n".join(lines)


def _is_counts(ds: Dataset) -> bool:
    """Tell whether the components, and so all that follows, come from normalised counts."""
    return "uns/pca" not in ds or "normalize" in ds.read("uns/pca").get("params", {})


def _before_filtering(ds: Dataset) -> Dataset:
    """Open the dataset beside this one that it is a subset of, if it is there and measured; else this one."""
    parent = str(ds.read("uns/subset").get("parent", "")) if "uns/subset" in ds else ""
    path = ds.path.with_name(parent) if parent else ds.path
    if path == ds.path or not path.exists():
        return ds
    before = open_dataset(path)
    same = before.lineage.identity("X") == next(
        (entry.inputs.get("file:parent") for entry in ds.lineage.entries if entry.verb == "subset"), None
    )
    return before if same and "obs/n_counts" in before else ds


def figures(
    ds: Dataset, to: str | Path, by: str = "obs/leiden", *, values: str | Sequence[str] | None = None
) -> list[Path]:
    """Write the figures that a finished dataset can give, and the summary, into a folder.

    Quality is that of the cells before filtering where the dataset that was filtered is still beside this one, with
    lines where it was cut.

    Parameters
    ----------
    ds
        A finished dataset.
    to
        Folder for the figures; made if it is not there.
    by
        Column of obs with the clusters.
    values
        Genes, columns of obs or keys to draw as violins by cluster, and on the map; none by default.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    KithkinError
        If the folder is a file.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> counts = kk.datasets.simulate_counts(300, 400, 3)
    >>> ds = kk.run(counts, to=tempfile.mkdtemp() + "/a.zarr", cells="n_genes >= 10")
    >>> [path.name for path in kk.figures(ds, tempfile.mkdtemp())]
    ['quality.png', 'elbow.png', 'umap.png', 'dotplot.png', 'heatmap.png', 'summary.txt']
    """
    from kithkin import plot

    folder = Path(to)
    if folder.exists() and not folder.is_dir():
        raise KithkinError(f"{folder} is a file, and figures need a folder")
    folder.mkdir(parents=True, exist_ok=True)
    normalize: Literal["log1p"] | None = "log1p" if _is_counts(ds) else None
    shown = [values] if isinstance(values, str) else list(values or ())
    marked, before = current_tests(ds, by) is not None, _before_filtering(ds)
    shares, contrasts = (current_results(ds, verb) for verb in ("composition", "contrast"))
    makers: dict[str, tuple[bool, Callable[[], Any]]] = {
        "quality": ("obs/pct_mito" in ds and _is_counts(ds), lambda: plot.quality(before, thresholds=ds)),
        "elbow": ("uns/pca" in ds, lambda: plot.elbow(ds)),
        "umap": ("obsm/X_umap" in ds, lambda: plot.scatter(ds, color=by)),
        "mixing": ("uns/mixing" in ds, lambda: plot.mixing(ds)),
        "dotplot": (marked, lambda: plot.dotplot(ds, by=by, normalize=normalize)),
        "heatmap": (marked, lambda: plot.heatmap(ds, by=by, normalize=normalize)),
        "composition": (bool(shares), lambda: plot.composition(ds, shares[-1])),
        "volcano": (bool(contrasts), lambda: plot.volcano(ds, contrasts[-1])),
        "violin": (bool(shown), lambda: plot.violin(ds, shown, by=by, normalize=normalize)),
        "values": (bool(shown) and "obsm/X_umap" in ds, lambda: plot.scatter(ds, color=shown, normalize=normalize)),
    }
    written = []
    for name, (possible, make) in makers.items():
        if possible:
            make().savefig(folder / f"{name}.png", dpi=150)
            written.append(folder / f"{name}.png")
    text = folder / "summary.txt"
    text.write_text(summary(ds, by) + "\n", encoding="utf-8")
    return [*written, text]
