"""The page of a dataset: one HTML file with a map, clusters, quality and history, which needs no network."""

from __future__ import annotations

import html
import io
import os
import secrets
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

from kithkin.core.dataset import Dataset
from kithkin.core.errors import KithkinError, check, check_range
from kithkin.core.keys import Key
from kithkin.core.records import HTML, contents_of
from kithkin.core.sequence import parent_of
from kithkin.core.words import THINGS
from kithkin.door import signature_of
from kithkin.plot.data import groups
from kithkin.reports.clusters import (
    dots_of,
    gates_of,
    genes_of_dots,
    genes_to_show,
    markers_to_show,
    partition_of,
    rows_of_clusters,
    tree_of,
)
from kithkin.reports.encoding import BlockWriter
from kithkin.reports.films import films_of
from kithkin.reports.gates import write_gates
from kithkin.reports.genes import write_genes
from kithkin.reports.models import model_tables
from kithkin.reports.pictures import pictures_of
from kithkin.reports.points import (
    MOST_POINTS,
    columns_to_show,
    embeddings_of,
    order_of,
    stale_mark,
    write_columns,
    write_embeddings,
    write_names,
)
from kithkin.reports.quality import quality_of
from kithkin.reports.samples import samples_of
from kithkin.reports.steps import steps_of
from kithkin.reports.template import head, tail
from kithkin.reports.thumbnails import write_thumbnails

FRAME_HEIGHT = 720  # pixels of the page in a notebook
MOST_GENES = 2_000


class Page:
    """A page in memory: a notebook shows it, `save` writes it.

    Attributes
    ----------
    html
        The whole page as text.

    Examples
    --------
    >>> page = Page("<p>cells</p>")
    >>> page
    Page of 12 bytes: save('report.html') writes it
    """

    def __init__(self, html: str) -> None:
        self.html = html

    def __repr__(self) -> str:
        return f"Page of {len(self.html):,} bytes: save('report.html') writes it"

    def _repr_html_(self) -> str:
        """Show the page in a frame that can reach neither the notebook nor a network."""
        return (
            f'<iframe sandbox="allow-scripts allow-downloads" width="100%" height="{FRAME_HEIGHT}" '
            f'style="border: 0" srcdoc="{html.escape(self.html, quote=True)}"></iframe>'
        )

    def save(self, path: str | Path) -> Path:
        """Write the page to a file.

        Raises
        ------
        KithkinError
            If the path is a folder, or lies in one that does not exist.
        """
        return write_whole(path, lambda file: file.write(self.html.encode()))


def report(
    ds: Dataset,
    to: str | Path | None = None,
    *,
    by: str = "auto",
    genes: str | Sequence[str] | None = None,
    n_genes: int = 100,
    columns: Sequence[str] | None = None,
    title: str | None = None,
    seed: int = 0,
) -> Path | Page:
    """Write an interactive page: maps, clusters with their markers, comparisons, quality and history.

    The page is one HTML file that opens from disk and needs no network. It holds positions, columns and the values of
    a few genes in a precision that the eye cannot exceed (1/65,534 of a map, 1/254 of a scale), not the dataset. Above
    ten million observations it shows a sample, of which sparse places of the map have more, and says so.

    Parameters
    ----------
    ds
        The dataset; the page shows whatever is there.
    to
        File to write, such as "report.html". Without one a notebook shows the page, and the command writes it beside
        the dataset.
    by
        Column of obs with the clusters that the page opens with. "auto": the first of leiden, deep, mixture, latent,
        paris, kmeans and topics that is there.
    genes
        Genes to show beside the markers, or columns of a table of values.
    n_genes
        Most markers to show, spread evenly over the clusters; of a table of values also its first columns.
    columns
        Columns to colour by, such as "obs/donor" or "obsm/scores/T cells"; by default all of obs, and of tables in obsm
        with scores or probabilities.
    title
        Title of the page; the name of the dataset by default.
    seed
        Seed of the order in which points are drawn.

    Returns
    -------
    Path or Page
        The file, or the page where no file is named.

    Raises
    ------
    MissingResultError
        If the clusters are not there.
    ParameterError
        If a gene or a column is not there.
    KithkinError
        If the file cannot be written.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> folder = tempfile.mkdtemp()
    >>> ds = kk.run(kk.datasets.simulate_counts(300, 400, 3), to=folder + "/a.zarr", cells="n_genes >= 10")
    >>> kk.report(ds, folder + "/report.html").name
    'report.html'
    """
    check_range("n_genes", n_genes, 0, MOST_GENES)
    asked = [genes] if isinstance(genes, str) else list(genes or ())
    asked = [str(ds.var_labels[at]) for at in ds.positions(asked, "var", "genes")]
    key = partition_of(ds, by)
    if columns is not None:
        named = [one if one.startswith("obsm/") else str(Key.parse(one, "obs", option="columns")) for one in columns]
        columns = list(dict.fromkeys([*([key] if key else []), *named]))
    write = _Writer(ds, key, asked, n_genes, columns, title or ds.name.removesuffix(".zarr"), seed)
    if to is not None:
        return write_whole(to, write)
    file = io.BytesIO()
    write(file)
    return Page(file.getvalue().decode())


class _Writer:
    """Writer of the parts of a page one after the other, so that no more than one is held."""

    def __init__(
        self,
        ds: Dataset,
        by: str | None,
        asked: Sequence[str],
        n_genes: int,
        columns: Sequence[str] | None,
        title: str,
        seed: int,
    ) -> None:
        self.ds, self.by, self.title, self.seed = ds, by, title, seed
        self.columns, self.asked = columns_to_show(ds) if columns is None else list(columns), columns is not None
        self.maps = embeddings_of(ds)
        self.markers = markers_to_show(ds, by, n_genes)
        self.owners = genes_to_show(ds, self.markers, asked, n_genes)

    def __call__(self, file: IO[bytes]) -> None:
        """Write the page."""
        file.write(head(self.title))
        blocks = BlockWriter(file)
        points = self.points(blocks)
        contents = {**self.about(), **points, **self.rest(points["columns"])}
        file.write(tail({name: value for name, value in contents.items() if value not in (None, [], {})}))

    def about(self) -> dict[str, Any]:
        """Describe the dataset."""
        ds = self.ds
        rows, columns = THINGS[ds.kind]
        about: dict[str, Any] = {"title": self.title, "file": ds.name, "kind": ds.kind, "rows": rows, "vars": columns}
        about |= {"n_obs": ds.n_obs, "n_vars": ds.n_vars, "version": version("kithkin")}
        return about | {"date": datetime.now(UTC).isoformat(timespec="minutes")}

    def points(self, blocks: BlockWriter) -> dict[str, Any]:
        """Write what there is for each point."""
        ds, by = self.ds, self.by
        maps = self.maps
        order = order_of(ds, maps[0] if maps else None, MOST_POINTS, self.seed)
        out: dict[str, Any] = {"n": len(order), "embeddings": write_embeddings(ds, maps, order, blocks)}
        if len(order) < ds.n_obs:
            rows = THINGS[ds.kind][0]
            out["sampled"] = f"{len(order):,} of {ds.n_obs:,} {rows} are shown, more of them where the map is sparse."
        out["columns"] = write_columns(ds, self.columns, order, blocks, by, asked=self.asked)
        keys = [column["key"] for column in out["columns"]]
        for key in [column["key"] for column in out["columns"] if column["section"] == "clusters"]:
            out["columns"] += write_gates(ds, key, order, blocks)
        labels = groups(ds, by) if by is not None else None
        dots = genes_of_dots(self.markers)
        owners = {**dots, **self.owners}
        out["genes"], means = write_genes(ds, owners, labels, order, blocks)
        if by in keys and by is not None and labels is not None:
            out["partition"] = keys.index(by)
            unit = out["genes"][0]["unit"] if out["genes"] else ""
            drawn = dots_of(means, labels, dots, unit) if means is not None else None
            table = rows_of_clusters(ds, by, labels)
            out["clusters"] = [{"column": keys.index(by), **table, "dots": drawn, **stale_mark(ds, by)}]
            out["clusters"][0]["gates"] = gates_of(ds, by)
            out["tree"] = tree_of(ds, by, keys.index(by))
        out["clusters"] = [*out.get("clusters", []), *self.other_partitions(out["columns"])]
        out["names"] = write_names(ds, order, blocks)
        out["thumbnails"] = write_thumbnails(ds, order, blocks)
        return out

    def other_partitions(self, columns: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Tabulate the other clusters of the dataset."""
        found = []
        for place, column in enumerate(columns):
            clusters = column["kind"] == "groups" and column["section"] == "clusters" and any(column["sizes"])
            if clusters and column["key"] != self.by:
                table = rows_of_clusters(self.ds, column["key"], groups(self.ds, column["key"]))
                mark = stale_mark(self.ds, column["key"])
                found.append({"column": place, **table, "gates": gates_of(self.ds, column["key"]), **mark})
        return found

    def rest(self, columns: list[dict[str, Any]]) -> dict[str, Any]:
        """Describe what is not of single points."""
        ds = self.ds
        groups_ = [column for column in columns if column["kind"] == "groups"]
        colors = {one["key"]: dict(zip(one["names"], one["colors"], strict=True)) for one in groups_}
        models = model_tables(ds, self.by)
        return {
            "quality": quality_of(ds, parent_of(ds) or ds),
            "samples": samples_of(ds),
            "figures": [*pictures_of(ds, self.by, colors), *films_of(ds, self.maps[0] if self.maps else None), *models],
            "history": steps_of(ds, signature_of),
            "results": contents_of(ds),
        }


def write_whole(path: str | Path, write: Callable[[IO[bytes]], Any]) -> Path:
    """Write a file beside its name and move it there whole."""
    to = Path(path).expanduser()
    check(to.parent.is_dir(), f"{to.parent} does not exist: make the folder first")
    if to.is_file() and not first_bytes(to).lstrip().lower().startswith(HTML):
        raise KithkinError(f"{to} exists and is no page: choose another name")
    if to.is_dir():
        raise KithkinError(f"{to} is a folder, and the page is a file: name it, such as {to / 'report.html'}")
    beside = to.with_name(f".{to.name[:50]}.{secrets.token_hex(6)}")
    try:
        with beside.open("xb") as file:
            write(file)
        os.replace(beside, to)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    return to


def first_bytes(path: Path) -> bytes:
    """Read the begin of a file."""
    with path.open("rb") as file:
        return file.read(200)
