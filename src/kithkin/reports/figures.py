"""Folder of the figures of a finished dataset."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from kithkin.core.dataset import Dataset
from kithkin.core.errors import KithkinError
from kithkin.core.group_faces import current_faces
from kithkin.core.group_tests import current_tests
from kithkin.core.sample_tests import current_results
from kithkin.core.sequence import parent_of
from kithkin.reports.partition import usual_partition
from kithkin.reports.summary import is_counts, summary


def figures(ds: Dataset, to: str | Path, by: str = "auto", *, values: str | Sequence[str] | None = None) -> list[Path]:
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
        Column of obs with the clusters. "auto": the first of leiden, deep, mixture, latent, paris, kmeans and topics
        that is there; without any, what needs no clusters is drawn, and there is no summary.
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
    key = usual_partition(ds) if by == "auto" else by
    normalize: Literal["log1p"] | None = "log1p" if is_counts(ds) else None
    shown = [values] if isinstance(values, str) else list(values or ())
    marked, before = key is not None and current_tests(ds, key) is not None, _measured_before(ds)
    shares, contrasts = (current_results(ds, verb) for verb in ("composition", "contrast"))
    makers: dict[str, tuple[bool, Callable[[], Any]]] = {
        "quality": ("obs/pct_mito" in ds and is_counts(ds), lambda: plot.quality(before, thresholds=ds)),
        "elbow": ("uns/pca" in ds, lambda: plot.elbow(ds)),
        "umap": ("obsm/X_umap" in ds, lambda: plot.scatter(ds, color=key)),
        "mixing": ("uns/mixing" in ds, lambda: plot.mixing(ds)),
        "dotplot": (marked, lambda: plot.dotplot(ds, by=key, normalize=normalize)),
        "heatmap": (marked, lambda: plot.heatmap(ds, by=key, normalize=normalize)),
        "faces": (key is not None and current_faces(ds, key) is not None, lambda: plot.faces(ds, str(key))),
        "composition": (bool(shares), lambda: plot.composition(ds, shares[-1])),
        "volcano": (bool(contrasts), lambda: plot.volcano(ds, contrasts[-1])),
        "violin": (bool(shown), lambda: plot.violin(ds, shown, by=key, normalize=normalize)),
        "values": (bool(shown) and "obsm/X_umap" in ds, lambda: plot.scatter(ds, color=shown, normalize=normalize)),
    }
    written = []
    for name, (possible, make) in makers.items():
        if possible:
            make().savefig(folder / f"{name}.png", dpi=150)
            written.append(folder / f"{name}.png")
    if key is not None:
        written.append(folder / "summary.txt")
        written[-1].write_text(summary(ds, key) + "\n", encoding="utf-8")
    return written


def _measured_before(ds: Dataset) -> Dataset:
    """Open the dataset that was filtered, if it is there and measured; else this one."""
    before = parent_of(ds)
    return before if before is not None and "obs/n_counts" in before else ds
