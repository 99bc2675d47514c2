"""Which modality makes a cluster: a small tissue in which it is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

import kithkin as kk
from kithkin.cli.main import main

N = 120
TABLES = ["X", "obsm/thumbnails", "obsm/features", "obsp/spatial_connectivities"]


@pytest.fixture(scope="module")
def _tissue_path(tmp_path_factory):
    """Clusters a, b, c: genes tell a from the rest, pictures b, measures and neighbours nothing."""
    rng = np.random.default_rng(0)
    codes = np.arange(N) % 3
    means = np.ones((3, 40))
    means[0, :5] = 8
    pixels = rng.poisson(20, (N, 2, 9, 9)).astype(np.uint16)
    pixels[codes == 1, 1, 3:6, 3:6] += 60
    links = sparse.random_array((N, N), density=0.05, rng=rng, format="csr").astype(np.float32)
    path = tmp_path_factory.mktemp("tissue") / "t.zarr"
    ds = kk.read(sparse.csr_matrix(rng.poisson(means[codes])), to=path, kind="counts", progress=False)
    kk.annotate(ds, "kind", np.array(["a", "b", "c"])[codes])
    values = {"obsm/thumbnails": pixels, "obsm/features": rng.normal(size=(N, 4)), "obsp/spatial_connectivities": links}
    ds.write(values)
    kk.explain(ds, "kind", on=TABLES)
    return path


@pytest.fixture
def tissue(_tissue_path, copy_of):
    """The tissue with its shares stored, for each test anew."""
    return copy_of(_tissue_path)


def test_shares_say_which_modality_makes_a_cluster(tissue):
    table = kk.explain(tissue, "kind", on=TABLES)  # looked up
    share = table.set_index(["group", "on"])["share"]
    assert share["a", "X"] > 0.95
    assert share["b", "obsm/thumbnails"] > 0.95
    assert share["b", "X"] < 0.8
    assert min(share[group, "together"] for group in "abc") > 0.9
    assert share["(all)", "X"] == pytest.approx(np.mean([share[group, "X"] for group in "abc"]))
    assert table["chance"].unique().tolist() == [1 / 3]
    assert (table["n_cells"].iloc[:-5] == N // 3).all()
    assert ((table["low"] <= table["share"]) & (table["share"] <= table["high"])).all()
    said = table.set_index(["group", "on"])["features"]
    assert said["a", "X"].startswith("high ")
    assert set(said["a", "X"].replace("high ", "").split(", ")) == set("01234")
    assert "high channel 2 " in said["b", "obsm/thumbnails"]


def test_what_is_stored_tells_features_cells_and_calls(tissue):
    stored = tissue.read("uns/kind_faces")
    assert set(stored) == {"table", "features", "cells", "calls", "groups", "params"}
    kinds, cells = tissue.read("obs/kind").astype(str), stored["cells"]
    assert (kinds.loc[cells["cell"].astype(str)].to_numpy() == cells["group"].astype(str)).all()
    best = cells[(cells["group"] == "a") & (cells["on"] == "X")]["probability"]
    assert best.is_monotonic_decreasing
    assert best.min() > 0.9
    first = stored["features"].query("group == 'a' and on == 'X'").iloc[0]
    assert first["mean"] > first["mean_rest"]
    np.testing.assert_allclose(stored["calls"].sum(axis=2), N // 3)
    assert list(stored["params"]["kinds"]) == ["counts", "images", "table", "graph"]


def test_sentences_are_told_by_the_table_and_the_summary(tissue, capsys):
    text = kk.explain(tissue, "kind", on=TABLES).attrs["text"]
    assert text["a"].startswith("a is given back by X alone (")
    assert text["c"].startswith("c is given back by all together (")
    assert text["a"] in kk.summary(tissue, "obs/kind")
    assert main(["explain", str(tissue.path), "--by", "kind", *(f"--on={name}" for name in TABLES)]) == 0
    assert text["a"] in capsys.readouterr().out
    kk.annotate(tissue, "kind", np.array(["a", "b"])[np.arange(N) % 2])
    assert "given back" not in kk.summary(tissue, "obs/kind")


def test_shares_are_the_same_for_other_threads_and_budgets(tissue):
    first = kk.explain(tissue, "kind", on=TABLES)
    other = kk.open(tissue.path, threads=3, memory="50MB")
    again = kk.explain(other, "kind", on=TABLES, key=None)
    assert again.astype(str).equals(first.astype(str))
    assert kk.explain(tissue, "kind", on=["X", "obsm/features"], seed=3, key="two") is not None
    assert "uns/two" in tissue


def test_one_table_by_name_is_explained_by_gates_as_ever(tissue, capsys):
    with pytest.raises(kk.ParameterError, match="on must be X or a layer, got 'obsm/features'"):
        kk.explain(tissue, "kind", on="obsm/features")
    assert main(["explain", str(tissue.path), "--by", "kind", "--on", "obsm/features"]) == 1
    assert "on must be X or a layer" in capsys.readouterr().err


def test_mistakes_are_answered_in_a_sentence(tissue):
    for on, settings, said in (
        ([], {}, r"on must name one modality at least"),
        (["X", "X"], {}, r"on must name each modality once, got 'X' twice"),
        (["X", "obs/kind"], {}, r"on must be X, a layer, a table or thumbnails in obsm, or a graph .* got 'obs/kind'"),
        (["X", "obsm/thumbnail"], {}, r"obsm/thumbnail is not in t\.zarr"),
        (["X", "features"], {}, r"on must be a key such as 'obsm/X_pca', got 'features'"),
        (["X"], {"names": ["0"]}, r"names has no effect with several modalities in on"),
        (["X"], {"threshold": 0.5, "device": "cpu"}, r"threshold and device have no effect"),
        (["X", "obsp/distances"], {}, r"Run kithkin\.neighbors\(ds\) first"),
        (["X", "uns/kind_faces"], {}, r"on must be X, a layer"),
    ):
        with pytest.raises(kk.KithkinError, match=said):
            kk.explain(tissue, "kind", on=on, **settings)
    with pytest.raises(kk.KithkinError, match=r"obs/kinds is not in t\.zarr"):
        kk.explain(tissue, "kinds", on=TABLES)
