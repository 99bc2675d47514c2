"""A notebook shows what a dataset holds, and nothing of it acts."""

import re

import numpy as np

import kithkin as kk


def test_keys_shapes_makers_and_stale_marks_are_shown(small_counts, tmp_path):
    ds = kk.read(small_counts, to=tmp_path / "a.zarr")
    kk.variable_genes(ds, 50)
    kk.pca(ds, 5)
    kk.variable_genes(ds, 60)
    shown = ds._repr_html_()
    rows = [re.sub(r"<[^>]+>", "|", row) for row in shown.split("<tr>")]
    of_pca = next(row for row in rows if "obsm/X_pca" in row)
    assert f"{ds.n_obs:,} × 5 float32" in of_pca
    assert "pca" in of_pca
    assert "stale: run it again" in of_pca
    assert not any("stale" in row for row in rows if "highly_variable|" in row)


def test_text_of_the_dataset_is_escaped_and_shortened(tmp_path):
    ds = kk.read(np.eye(3), to=tmp_path / "<b>&.zarr", kind="values")
    ds["obs/<script>alert(1)<"] = ["a", "b", "c"]
    ds["obs/" + "x" * 200] = ["a", "b", "c"]
    shown = ds._repr_html_()
    assert "<script>" not in shown
    assert "<b>" not in shown
    assert "x" * 70 not in shown


def test_of_very_many_columns_the_first_are_shown(tmp_path):
    ds = kk.read(np.eye(3), to=tmp_path / "a.zarr", kind="values")
    ds.write({f"obs/c{k}": ["a", "b", "c"] for k in range(60)})
    assert "and 20 more" in ds._repr_html_()
