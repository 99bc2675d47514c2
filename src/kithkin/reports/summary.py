"""Summary of a finished dataset as text."""

from __future__ import annotations

from kithkin.core.dataset import Dataset
from kithkin.core.group_faces import current_faces, face_lines
from kithkin.core.group_support import current_support, support_lines
from kithkin.core.group_tests import current_tests, held_out_lines, traits
from kithkin.core.sample_tests import sample_lines
from kithkin.core.words import THINGS
from kithkin.reports.partition import usual_partition


def summary(ds: Dataset, by: str = "auto", n_markers: int = 5) -> str:
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
        Column of obs with the clusters. "auto": the first of leiden, deep, mixture, latent, paris, kmeans and topics
        that is there.
    n_markers
        Most genes or columns to name for each cluster.

    Returns
    -------
    str
        Lines of text.

    Raises
    ------
    MissingResultError
        If the clusters that are named are not there, or there are none yet.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> counts = kk.datasets.simulate_counts(300, 400, 3)
    >>> ds = kk.run(counts, to=tempfile.mkdtemp() + "/a.zarr", cells="n_genes >= 10")
    >>> print(kk.summary(ds).splitlines()[0])
    a.zarr: 300 cells x ... genes
    """
    rows, columns = THINGS["counts" if ds.kind == "values" and is_counts(ds) else ds.kind]
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
    if by == "auto":
        by = usual_partition(ds) or "obs/leiden"
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


def is_counts(ds: Dataset) -> bool:
    """Tell whether the components, and so all that follows, come from normalised counts."""
    return "uns/pca" not in ds or "normalize" in ds.read("uns/pca").get("params", {})
