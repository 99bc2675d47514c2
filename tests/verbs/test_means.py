"""Means of groups: of counts, dense tables, tables in obsm and images, against NumPy and pandas."""

import numpy as np
import pandas as pd
import pytest

import kithkin as kk
from kithkin.core.errors import MissingResultError, ParameterError


def test_counts_as_scanpy_aggregates_them(dataset, small_counts):
    found = kk.means(dataset, "group")
    expected = small_counts.to_df().groupby(small_counts.obs["group"].to_numpy(), observed=True).mean()
    np.testing.assert_allclose(found.means, expected, rtol=1e-6)
    assert found.groups == [str(name) for name in expected.index]
    assert found.counts.tolist() == small_counts.obs["group"].value_counts().loc[expected.index].tolist()
    assert found.to_df().columns.tolist() == list(dataset.var_labels)
    assert repr(found).startswith("means of 500 columns of X in")


def test_the_same_for_any_threads_and_budget_and_nothing_is_written(dataset):
    before = {path: path.stat().st_mtime_ns for path in dataset.path.rglob("*")}
    answers = [
        kk.means(kk.open(dataset.path, threads=t, memory=m), "group").means for t, m in ((1, "50MB"), (3, "2GB"))
    ]
    assert np.array_equal(*answers)
    assert {path: path.stat().st_mtime_ns for path in dataset.path.rglob("*")} == before


def test_dense_tables_frames_and_images(tmp_path):
    rng = np.random.default_rng(0)
    X, pictures = rng.normal(size=(90, 6)), rng.integers(0, 9, (90, 2, 3, 4)).astype(np.uint8)
    ds = kk.read(X, to=tmp_path / "a.zarr", progress=False)
    ds["obs/kind"] = ["b", "a", None] * 30
    ds["obsm/pictures"], ds["obsm/X_pca"] = pictures, X[:, :2]
    ds["obsm/proteins"] = pd.DataFrame({"CD3": X[:, 0], "CD19": X[:, 1]}, index=ds.obs_names)
    for on, values in (("X", X), ("obsm/X_pca", X[:, :2]), ("obsm/proteins", X[:, :2]), ("obsm/pictures", pictures)):
        found = kk.means(ds, "obs/kind", on=on)
        np.testing.assert_allclose(found.means, [values[1::3].mean(axis=0), values[::3].mean(axis=0)])
        assert (found.groups, found.counts.tolist(), found.on) == (["a", "b"], [30, 30], on)
    assert kk.means(ds, "kind", on="obsm/proteins").columns == ["CD3", "CD19"]
    with pytest.raises(ParameterError, match=r"the means of obsm/pictures are images, 2 x 2 x 3 x 4, and no table"):
        kk.means(ds, "kind", on="obsm/pictures").to_df()


def test_pixels_beyond_the_image_are_no_part_of_the_mean(tmp_path):
    labels = np.zeros((30, 40), np.uint16)
    labels[0:3, 0:3], labels[15:18, 20:23] = 1, 2
    ds = kk.read_image(np.full((1, 30, 40), 7, np.uint8), labels, to=tmp_path / "t.zarr", window_size=6)
    ds["obs/kind"] = ["a", "a"]
    assert (kk.means(ds, "kind", on="obsm/thumbnails").means == 7).all()


def test_what_is_refused(dataset):
    with pytest.raises(MissingResultError, match="obs/nobody is not in"):
        kk.means(dataset, "nobody")
    dataset["obs/age"] = np.linspace(0, 1, 600)
    with pytest.raises(ParameterError, match="by must name labels such as obs/leiden, but obs/age holds numbers"):
        kk.means(dataset, "age")
    dataset["obs/none"] = pd.Categorical([None] * 600, ["a"])
    with pytest.raises(ParameterError, match="no row has a label in obs/none"):
        kk.means(dataset, "none")
    dataset["obs/own"], dataset["obsm/wide"] = [f"cell{k}" for k in range(600)], np.zeros((600, 3000), np.uint8)
    few = kk.open(dataset.path, memory="50MB")
    with pytest.raises(ParameterError, match=r"600 groups of 3000 values, which need memory=58MB, and 50MB are set"):
        kk.means(few, "own", on="obsm/wide")


def test_the_command_writes_a_table(dataset, capsys):
    from kithkin.cli.main import main

    assert main(["means", str(dataset.path), "--by", "group", "--format", "csv"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("group,n,")
    assert len(lines) == 1 + dataset["obs/group"].nunique()
