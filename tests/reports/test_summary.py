"""The summary tells what is there now, and the figures are those that it can give."""

import shutil

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread

import kithkin as kk


@pytest.fixture(scope="module")
def _done(_small_counts, tmp_path_factory):
    settings = {"cells": "n_genes > 120 and pct_mito < 6", "n_components": 10, "resolution": 0.5}
    return kk.run(_small_counts.copy(), to=tmp_path_factory.mktemp("run") / "out.zarr", **settings).path


@pytest.fixture
def done(_done, tmp_path):
    """A run of the small counts for each test anew."""
    shutil.copytree(_done.parent, tmp_path, dirs_exist_ok=True)
    return kk.open(tmp_path / "out.zarr")


def lines_of(ds, **settings):
    return kk.summary(ds, **settings).splitlines()


def clusters(lines):
    """Name -> (size, share, markers) of the table at the end."""
    start = next(i for i, line in enumerate(lines) if line.startswith("cluster"))
    rows = (line.split(maxsplit=3) for line in lines[start + 1 :])
    return {
        name: (int(size.replace(",", "")), float(share[:-1]), names.split(", ")) for name, size, share, names in rows
    }


def test_the_summary_counts_what_went_and_why(done, small_counts):
    lines = lines_of(done)
    about = done.read("uns/subset")["cells"]
    reasons = sorted(about["removed"].items(), key=lambda item: -item[1])
    assert lines[0] == f"out.zarr: {done.n_obs} cells x {done.n_vars} genes"
    why = "; ".join(f"{n} not {reason}" for reason, n in reasons)
    assert lines[1] == f"cells in 600, kept {done.n_obs} (removed: {why})"
    assert lines[2].startswith(f"genes in 500, kept {done.n_vars}")


def test_the_summary_names_each_cluster_with_size_and_markers(done):
    found, labels = clusters(lines_of(done, n_markers=3)), done.read("obs/leiden")
    table = kk.markers(done, "leiden")
    assert list(found) == list(labels.cat.categories)
    for name, (size, share, names) in found.items():
        assert size == (labels == name).sum()
        assert share == pytest.approx(100 * size / done.n_obs, abs=0.06)
        assert names == table[table["group"] == name]["gene"].astype(str)[:3].tolist()


def test_markers_are_named_by_symbol_where_there_is_one(done):
    names = [f"symbol{i}" for i in range(done.n_vars)]
    done.write({"var/symbol": np.array(names, dtype=object)})
    assert all(gene.startswith("symbol") for row in clusters(lines_of(done)).values() for gene in row[2])


def test_markers_of_other_clusters_are_not_shown(done):
    assert all(row[2] == ["-"] for row in clusters(lines_of(done, by="obs/group")).values())
    kk.leiden(done, 3.0)
    assert all(row[2] == ["-"] for row in clusters(lines_of(done)).values()), "stale: from before the clusters changed"
    table = kk.markers(done, "leiden")
    table = table[(table["pval_adj"] <= 0.05) & (table["score"] > 0)]
    found = clusters(lines_of(done))
    for name, (_, _, genes) in found.items():
        assert genes == (table[table["group"] == name]["gene"].astype(str)[:5].tolist() or ["-"]), "significant ones"
    assert sum(len(genes) == 5 for _, _, genes in found.values()) >= 2


def test_without_clusters_the_verb_is_named(dataset):
    with pytest.raises(kk.MissingResultError, match=r"Run kithkin.leiden\(ds\) first"):
        kk.summary(dataset)


def test_the_figures_are_pictures_and_the_summary_is_beside_them(done, tmp_path):
    written = kk.figures(done, tmp_path / "a" / "figures")
    names = ["quality.png", "elbow.png", "umap.png", "dotplot.png", "heatmap.png", "summary.txt"]
    assert [path.name for path in written] == names
    for path in written[:-1]:
        image = imread(path)
        assert min(image.shape[:2]) > 300
        assert len(np.unique(image[..., :3].reshape(-1, 3), axis=0)) > 20, "not blank"
    assert written[-1].read_text().rstrip("\n") == kk.summary(done)


def test_figures_of_what_is_not_there_are_left_out(dataset, tmp_path):
    kk.pca(dataset, 5)
    kk.kmeans(dataset, 3)
    written = kk.figures(dataset, tmp_path / "figures", by="obs/kmeans", values="n_counts")
    assert [path.name for path in written] == ["quality.png", "elbow.png", "violin.png", "summary.txt"]


def test_values_are_rows_and_have_no_quality(tmp_path):
    ds = kk.run(kk.datasets.digits()[:300].copy(), to=tmp_path / "out.zarr", kind="values", n_components=10)
    assert lines_of(ds)[0] == "out.zarr: 300 rows x 64 columns"
    assert "quality.png" not in [path.name for path in kk.figures(ds, tmp_path / "figures")]


def test_images_are_images_of_pixels(tmp_path):
    pixels = pd.DataFrame(kk.datasets.digits().X[:300]).add_prefix("pixel")
    ds = kk.run(pixels, to=tmp_path / "out.zarr", n_components=10)
    assert lines_of(ds)[0] == "out.zarr: 300 images x 64 pixels"
    assert kk.describe(ds).attrs["text"]["0"].split(":")[0].endswith(" images)")


def test_values_are_summed_up_in_sentences(tmp_path):
    kind = np.arange(90) % 3
    table = np.random.default_rng(0).normal(np.column_stack([20.0 * (kind == 0), 9.0 * (kind == 1), kind * 0]), 1.0)
    table = pd.DataFrame(table, columns=["length", "width", "noise"])
    ds = kk.run(table, to=tmp_path / "out.zarr", kind="values", n_components=2, resolution=0.3)
    lines = lines_of(ds)[-ds.read("obs/leiden").nunique() :]
    text = kk.describe(ds).attrs["text"]
    assert [line.split("%  ")[1] for line in lines] == [said.partition(": ")[2] for said in text.values()]
    assert "high length (19.6, elsewhere " in "".join(lines)
    assert "low length (" in "".join(lines)


def test_a_file_is_no_folder(done, tmp_path):
    (tmp_path / "figures").write_text("x")
    with pytest.raises(kk.KithkinError, match="figures is a file, and figures need a folder"):
        kk.figures(done, tmp_path / "figures")


def test_quality_is_drawn_before_filtering_where_that_dataset_is_still_there(done, tmp_path, monkeypatch):
    drawn = []
    quality = kk.plot.quality
    monkeypatch.setattr(
        kk.plot, "quality", lambda ds, **settings: drawn.append((ds, settings)) or quality(ds, **settings)
    )
    kk.figures(done, tmp_path / "figures")
    assert (drawn[0][0].n_obs, drawn[0][1]["thresholds"].path) == (600, done.path)
    shutil.rmtree(tmp_path / "out.raw.zarr")
    kk.figures(done, tmp_path / "figures")
    assert drawn[1][0].n_obs == done.n_obs


def test_samples_and_what_differs_between_them_are_told_and_drawn(done, tmp_path):
    number = np.arange(done.n_obs) % 6
    done["obs/sample"], done["obs/drug"] = [f"s{k}" for k in number], np.where(number % 2, "yes", "no")
    assert [path.name for path in kk.figures(done, tmp_path / "before")][-1] == "summary.txt"
    kk.contrast(done, "drug", sample="sample", within="leiden")
    kk.composition(done, "drug", sample="sample")
    lines = lines_of(done)
    assert "genes that differ, yes against no (~ drug, 3 against 3 samples):" in lines
    assert any(line.startswith("clusters of leiden that change their share, yes against no") for line in lines)
    names = {path.name for path in kk.figures(done, tmp_path / "figures")}
    assert names - {path.name for path in (tmp_path / "before").iterdir()} == {"composition.png", "volcano.png"}


def test_partitions_that_are_there_take_the_place_of_leiden(dataset, tmp_path):
    kk.pca(dataset, 5)
    kk.neighbors(dataset)
    kk.umap(dataset, n_epochs=10)
    first = kk.figures(dataset, tmp_path / "none")
    assert [path.name for path in first] == ["quality.png", "elbow.png", "umap.png"]
    kk.kmeans(dataset, 3)
    kk.paris(dataset, n_clusters=4)
    kk.markers(dataset, "paris")
    written = kk.figures(dataset, tmp_path / "figures")
    names = ["quality.png", "elbow.png", "umap.png", "dotplot.png", "heatmap.png", "summary.txt"]
    assert [path.name for path in written] == names
    assert written[-1].read_text().rstrip("\n") == kk.summary(dataset) == kk.summary(dataset, "obs/paris")
    with pytest.raises(kk.MissingResultError, match=r"obs/leiden is not in"):
        kk.figures(dataset, tmp_path / "named", by="obs/leiden")
