"""A page says of every point what the dataset says, and nothing in it can act."""

import base64
import hashlib
import html
import re
import warnings

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import kithkin as kk
from kithkin.cli.main import main

from .decoding import ReadPage


@pytest.fixture(scope="module")
def page(finished, tmp_path_factory):
    return ReadPage(kk.report(finished, tmp_path_factory.mktemp("report") / "report.html"))


@pytest.fixture(scope="module")
def rows(page, finished):
    """Row of each point."""
    rows = finished.obs_names.get_indexer(page.names())
    assert np.array_equal(np.sort(rows), np.arange(finished.n_obs))
    return rows


def test_positions_and_columns_are_those_of_the_dataset(page, rows, finished):
    xy = finished.read("obsm/X_umap")[rows]
    for axis in range(2):
        assert np.corrcoef(page.places()[:, axis], xy[:, axis])[0, 1] > 0.999999
    entry, codes = page.column("obs/leiden")
    assert np.array_equal(np.array(entry["names"])[codes], finished.read("obs/leiden").astype(str).to_numpy()[rows])
    entry, levels = page.column("obs/n_counts")
    values = finished.read("obs/n_counts").to_numpy()[rows].clip(entry["low"], entry["high"])
    step = (entry["high"] - entry["low"]) / 254
    assert np.abs(entry["low"] + levels * step - values).max() <= step


def test_genes_are_normalised_as_in_figures(page, rows, finished):
    genes = [one["name"] for one in page.contents["genes"]]
    assert 20 <= len(genes) <= 130
    totals = np.asarray(finished.blocks("X").read(0, finished.n_obs).to_dense().sum(axis=1), float)
    for gene in genes[:5]:
        wanted = np.log1p(finished.genes([gene])[:, 0] / totals * 10_000)[rows]
        assert np.abs(page.gene(gene) - wanted).max() <= wanted.max() / 254 * 1.01


def test_clusters_have_their_sizes_markers_and_support(page, finished):
    table = page.contents["clusters"][0]
    labels = finished.read("obs/leiden").astype(str)
    assert {row["name"]: row["size"] for row in table["rows"]} == labels.value_counts().to_dict()
    names = {row["name"]: [marker["name"] for marker in row["markers"]] for row in table["rows"]}
    tests = finished.read("uns/rank_genes_groups")
    for group, markers in names.items():
        assert markers[0] == str(tests["names"][group][0])
    assert all(0.5 < row["support"] <= 1 for row in table["rows"])


def test_dots_are_means_and_shares_of_the_clusters(page, finished):
    dots = page.contents["clusters"][0]["dots"]
    genes = [one["name"] for one in dots["genes"]]
    counts = finished.genes(genes)
    totals = np.asarray(finished.blocks("X").read(0, finished.n_obs).to_dense().sum(axis=1), float)
    frame = pd.DataFrame(np.log1p(counts / totals[:, None] * 10_000), columns=genes)
    labels = finished.read("obs/leiden").astype(str).to_numpy()
    assert np.allclose(frame.groupby(labels).mean().loc[dots["groups"]], dots["mean"], atol=1e-3)
    assert np.allclose(pd.DataFrame(counts > 0).groupby(labels).mean().loc[dots["groups"]], dots["share"], atol=1e-3)


def test_the_tree_joins_all_clusters_once(page):
    tree = page.contents["tree"]
    k = len(tree["leaves"])
    children = [int(child) for merge in tree["merges"] for child in merge[:2]]
    assert len(tree["merges"]) == k - 1
    assert sorted(children) == list(range(2 * k - 2))
    assert tree["merges"][-1][3] == page.contents["n_obs"]
    heights = [merge[2] for merge in tree["merges"] if merge[2] is not None]
    assert heights == sorted(heights)


def test_quality_and_history_are_complete(page, finished):
    quality = page.contents["quality"]
    assert {one["name"] for one in quality["distributions"]} >= {"n_counts", "n_genes", "pct_mito"}
    for one in quality["distributions"]:
        assert sum(one["counts"]) == quality["filters"][0]["before"]
    assert np.allclose(quality["elbow"]["variance"], finished.read("uns/pca")["variance_ratio"])
    assert [step["verb"] for step in page.contents["history"]][-1] == "score"


def test_only_the_script_of_the_page_may_run(page):
    policy = html.unescape(re.search(r'http-equiv="Content-Security-Policy"\s+content="([^"]*)"', page.text).group(1))
    scripts = re.findall(r"<script>(.*?)</script>", page.text, re.S)
    assert len(scripts) == 1
    digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
    wanted = f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data: blob:"
    assert policy == wanted
    assert not re.search(r"https?://(?!www\.w3\.org)", scripts[0])
    assert not re.search(r"\beval\(|new Function|innerHTML|outerHTML|document\.write|insertAdjacentHTML", scripts[0])


HOSTILE = [
    "</script><script>alert(1)</script>",
    "",
    "'\"&<>",
    "😀 مرحبا",
    "\u202e reversed",
    "x" * 100_000,
    "a\nb\tc",
    "\ud800",
]


def test_names_cannot_leave_their_places(tmp_path):
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(80, 3)), columns=["</script>", "<img src=x onerror=alert(1)>", "c"])
    ds = kk.read(table, to=tmp_path / "</title><b>.zarr".replace("/", "-"), kind="values")
    ds["obs/<script>alert(2)"] = [name.encode("utf-8", "replace").decode() for name in HOSTILE * 10]
    ds["obsm/X_umap"] = rng.normal(size=(80, 2))
    page = ReadPage(kk.report(ds, tmp_path / "r.html", title="</title><script>alert(3)</script>"))
    assert page.text.count("<script>") == 1
    assert "</title><script>" not in page.text
    column = next(one for one in page.contents["columns"] if one["name"].startswith("<script>"))
    assert set(column["names"]) == {name.encode("utf-8", "replace").decode() for name in HOSTILE}
    assert {one["name"] for one in page.contents["genes"]} == set(table.columns)


def test_a_table_without_any_result_makes_a_page(tmp_path):
    ds = kk.read(np.random.default_rng(0).normal(size=(40, 3)), to=tmp_path / "a.zarr", kind="values")
    contents = ReadPage(kk.report(ds, tmp_path / "r.html")).contents
    assert contents["n"] == 40
    assert {"clusters", "tree", "embeddings", "partition", "figures", "samples"} & set(contents) == set()
    assert [one["name"] for one in contents["genes"]] == ["0", "1", "2"]


def test_rows_that_are_images_bring_their_pictures(tmp_path):
    ds = kk.read(kk.datasets.digits(), to=tmp_path / "digits.zarr")
    page = ReadPage(kk.report(ds, tmp_path / "r.html"))
    made = page.contents["thumbnails"]
    assert (made["height"], made["width"], made["n"]) == (8, 8, ds.n_obs)
    first = page.block(made["blocks"][0]).reshape(-1, 8, 8, 3)
    image = ds.rows([page.names()[0]])
    image = (image.to_dense() if hasattr(image, "to_dense") else image)[0].reshape(8, 8)
    assert np.corrcoef(first[0, :, :, 0].ravel(), image.ravel())[0, 1] > 0.999


def test_what_is_asked_for_is_shown(finished, tmp_path):
    gene = str(finished.var_names[-1])
    settings = {"by": "obs/kmeans", "genes": gene, "n_genes": 0, "columns": ["n_genes"]}
    page = ReadPage(kk.report(finished, tmp_path / "r.html", **settings))
    assert [one["name"] for one in page.contents["genes"]] == [gene]
    assert [one["key"] for one in page.contents["columns"]] == ["obs/kmeans", "obs/n_genes"]
    assert page.contents["partition"] == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"genes": "CD3E2"}, "CD3E2"),
        ({"columns": ["obs/nothing"]}, "nothing"),
        ({"by": "obs/nothing"}, "obs/nothing is not in out.zarr"),
        ({"by": "obs/n_counts"}, "by must be groups, got numbers"),
        ({"n_genes": -1}, "n_genes must be in 0..2000, got -1"),
    ],
)
def test_wrong_wishes_are_refused_before_anything_is_written(finished, tmp_path, settings, message):
    with pytest.raises(kk.KithkinError, match=re.escape(message)):
        kk.report(finished, tmp_path / "r.html", **settings)
    assert list(tmp_path.iterdir()) == []


def test_a_page_goes_to_its_place_whole(finished, tmp_path, monkeypatch):
    target = tmp_path / "r.html"
    target.write_text("<!DOCTYPE html>old")
    monkeypatch.setattr("kithkin.reports.build.steps_of", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        kk.report(finished, target)
    assert target.read_text() == "<!DOCTYPE html>old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize(("to", "message"), [("gone/r.html", "make the folder first"), (".", "is a folder")])
def test_places_that_cannot_be_written_are_named(finished, tmp_path, to, message):
    with pytest.raises(kk.KithkinError, match=message):
        kk.report(finished, tmp_path / to)


def test_a_notebook_shows_the_page_in_a_sandbox(finished):
    page = kk.report(finished)
    shown = page._repr_html_()
    assert shown.startswith('<iframe sandbox="allow-scripts allow-downloads"')
    inner = html.unescape(re.search(r'srcdoc="([^"]*)"', shown).group(1))
    assert ReadPage(inner).contents["n"] == finished.n_obs


def test_the_command_writes_beside_the_dataset(finished, capsys):
    assert main(["report", str(finished.path)]) == 0
    assert capsys.readouterr().out.strip().endswith("out.html")
    assert ReadPage(finished.path.with_suffix(".html")).contents["file"] == "out.zarr"


def test_what_is_no_page_is_not_replaced(finished, tmp_path):
    (tmp_path / "data.h5ad").write_bytes(b"counts")
    with pytest.raises(kk.KithkinError, match=r"data\.h5ad exists and is no page"):
        kk.report(finished, tmp_path / "data.h5ad")
    assert (tmp_path / "data.h5ad").read_bytes() == b"counts"


def test_results_that_are_out_of_date_are_marked(small_counts, tmp_path):
    ds = kk.run(small_counts, to=tmp_path / "a.zarr", cells="n_genes > 120", n_components=6)
    kk.pca(ds, 5)
    contents = ReadPage(kk.report(ds, tmp_path / "r.html")).contents
    stale = {one["key"] for one in (*contents["embeddings"], *contents["columns"]) if one.get("stale")}
    assert stale >= {"obsm/X_umap", "obs/leiden"}
    assert not stale & {"obsm/X_pca", "obs/n_counts"}
    assert contents["clusters"][0]["stale"]
    assert "tree" not in contents


def write_by_anndata(adata, path):
    with anndata.settings.override(zarr_write_format=3), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of zarr, that headers in one file are no part of the specification
        adata.write_zarr(path)


def test_a_page_is_made_of_what_other_programs_wrote(tmp_path):
    rng = np.random.default_rng(0)
    counts = sparse.csr_matrix(rng.poisson(1.0, (60, 8)).astype(np.float32))
    counts.data[: len(counts.data) // 9] = 0  # stored zeros
    cells = anndata.AnnData(counts)
    cells.obs["leiden"] = rng.integers(3, size=60)  # numbers
    cells.obs["louvain"] = pd.Categorical([None] * 60, categories=["a"])
    cells.obs["kmeans"] = pd.Categorical([None] * 60, categories=["a"])
    cells.obs["paris"] = pd.Categorical(np.where(np.arange(60) % 2, "a", "b"))
    cells.obsm["X_umap"] = sparse.csr_matrix(rng.normal(size=(60, 2)))
    cells.obsm["X_tsne"] = 5e8 + np.arange(120.0).reshape(60, 2)
    cells.uns["pca"] = np.ones(3)
    cells.uns["subset"] = "yes"
    cells.obsp["connectivities"] = sparse.csr_matrix(np.triu(np.ones((60, 60)), 1))
    write_by_anndata(cells, tmp_path / "a.zarr")
    page = ReadPage(kk.report(kk.open(tmp_path / "a.zarr"), tmp_path / "r.html", genes=[str(k) for k in range(8)]))
    contents = page.contents
    assert [one["key"] for one in contents["embeddings"]] == ["obsm/X_tsne"]
    assert len(np.unique(page.places(), axis=0)) == 60
    assert contents["columns"][contents["partition"]]["key"] == "obs/paris"
    assert "tree" not in contents
    rows = [int(name) for name in page.names()]
    assert np.allclose(page.gene("3"), counts[:, 3].toarray()[rows, 0], atol=0.02 * counts.max())


def test_missing_and_infinite_values_are_no_error(tmp_path):
    X = sparse.csr_matrix(np.array([[1.0, np.nan], [3.0, 2.0], [np.inf, 0.0]] * 10, np.float32))
    ds = kk.read(np.eye(30, 2), to=tmp_path / "b.zarr", kind="values")
    ds["obs/x"] = np.array([np.inf, 1.0, np.nan] * 10)
    ReadPage(kk.report(ds, tmp_path / "r.html"))
    write_by_anndata(anndata.AnnData(X), tmp_path / "a.zarr")
    page = ReadPage(kk.report(kk.open(tmp_path / "a.zarr"), tmp_path / "s.html", genes=["0", "1"]))
    assert len(page.contents["genes"]) == 2


def test_columns_that_cannot_be_shown_are_refused_where_they_were_named(tmp_path):
    ds = kk.read(np.ones((300, 2)), to=tmp_path / "a.zarr", kind="values")
    ds["obs/barcode"] = [f"cell {k}" for k in range(300)]
    with pytest.raises(kk.ParameterError, match="obs/barcode cannot be shown: it holds 300 different values"):
        kk.report(ds, tmp_path / "r.html", columns=["barcode"])
    assert "columns" not in ReadPage(kk.report(ds, tmp_path / "r.html")).contents


def test_large_pictures_are_made_small_within_the_page(tmp_path):
    ds = kk.read(np.eye(5), to=tmp_path / "a.zarr", kind="values")
    ds.write({"obsm/thumbnails": np.random.default_rng(0).random((5, 2, 130, 100)).astype(np.float32)})
    made = ReadPage(kk.report(ds, tmp_path / "r.html")).contents["thumbnails"]
    assert (made["height"], made["width"], made["n"]) == (43, 33, 5)
