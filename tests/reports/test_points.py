"""The points of a page are the rows of the dataset in one random order."""

import io

import numpy as np
import pandas as pd

import kithkin as kk
from kithkin.reports.encoding import BlockWriter
from kithkin.reports.points import columns_to_show, embeddings_of, order_of, write_columns


def shown(ds, order, blocks, by=None):
    return write_columns(ds, columns_to_show(ds), order, blocks, by, asked=False)


def test_the_order_is_a_permutation_and_a_prefix_a_sample(finished):
    order = order_of(finished, "obsm/X_umap", 10**7, 0)
    assert np.array_equal(np.sort(order), np.arange(finished.n_obs))
    assert not np.array_equal(order, order_of(finished, "obsm/X_umap", 10**7, 1))
    assert abs(order[: finished.n_obs // 2].mean() / finished.n_obs - 0.5) < 0.1


def test_a_sample_takes_more_where_the_map_is_sparse(tmp_path):
    rng = np.random.default_rng(0)
    ds = kk.read(np.ones((4000, 2)), to=tmp_path / "a.zarr", kind="values")
    xy = np.concatenate([rng.normal(0, 0.05, (3800, 2)), rng.uniform(5, 50, (200, 2))])
    ds["obsm/X_umap"] = xy
    order = order_of(ds, "obsm/X_umap", 1000, 0)
    assert len(set(order.tolist())) == 1000
    share = (order >= 3800).mean()
    assert share > 2 * 200 / 4000
    assert order_of(ds, None, 1000, 0).shape == (1000,)


def test_maps_are_found_and_those_made_to_look_at_come_first(finished, tmp_path):
    assert embeddings_of(finished) == ["obsm/X_umap", "obsm/X_pca"]
    ds = kk.read(np.eye(5), to=tmp_path / "a.zarr", kind="values")
    assert embeddings_of(ds) == []
    ds.write({"obsm/X_wide": np.ones((5, 7)), "obsm/spatial": np.ones((5, 2)), "obsm/numbers": np.ones((5, 2))})
    assert embeddings_of(ds) == ["obsm/spatial"]


def test_columns_are_sorted_into_sections_and_share_colours(finished):
    blocks, order = BlockWriter(io.BytesIO()), np.arange(finished.n_obs)
    columns = {one["key"]: one for one in shown(finished, order, blocks)}
    assert columns["obs/leiden"]["section"] == columns["obs/kmeans"]["section"] == "clusters"
    assert columns["obs/n_counts"]["section"] == "quality"
    assert columns["obsm/scores/first"]["section"] == "scores"
    colors = columns["obs/leiden"]["colors"]
    assert len(set(colors)) == len(colors)
    table = pd.crosstab(finished.read("obs/leiden"), finished.read("obs/kmeans"))
    i, j = np.unravel_index(table.to_numpy().argmax(), table.shape)
    assert colors[i] == columns["obs/kmeans"]["colors"][j]


def test_text_in_which_every_row_is_another_is_left_out(tmp_path):
    ds = kk.read(np.ones((300, 2)), to=tmp_path / "a.zarr", kind="values")
    ds["obs/barcode"] = [f"cell {k}" for k in range(300)]
    ds["obs/empty"] = np.full(300, np.nan)
    ds["obs/donor"] = ["a", "b", None] * 100
    found = shown(ds, np.arange(300), BlockWriter(io.BytesIO()))
    assert [one["key"] for one in found] == ["obs/donor"]
    assert found[0]["sizes"] == [100, 100]
