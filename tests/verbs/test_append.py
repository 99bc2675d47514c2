"""Appended samples give what one joined import gives; old files stay; what was computed is stale; all or nothing."""

import logging
import os

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import kithkin as kk
from kithkin.core.transaction import workspace
from kithkin.io.streams import join


def part(k, genes=range(30), n_cells=40, dense=False, scale=1, cells=None):
    rng = np.random.default_rng(k)
    X = rng.poisson(0.6, (n_cells, len(genes))) * scale
    names = [f"{cells or f's{k} '}c{i}" for i in range(n_cells)]
    kinds = pd.Categorical(rng.choice(["T", "B", f"only {k}"], n_cells))
    obs = pd.DataFrame({"kind": kinds, "age": rng.integers(20, 70, n_cells), f"own{k}": 1.5}, names)
    var = pd.DataFrame({"long": [f"gene {g}" for g in genes]}, [f"MT-{g}" if g < 3 else f"GENE{g}" for g in genes])
    return ad.AnnData(X.astype(np.float32) if dense else sparse.csr_matrix(X.astype(np.float32)), obs, var)


def values(X):
    return X.toarray() if sparse.issparse(X) else np.asarray(X)


def equal(got, want):
    """The same values under the same names, whatever the order of columns and categories."""
    assert kk.check(got) == []
    a, b = ad.read_zarr(got.path), ad.read_zarr(want.path)
    assert a.obs_names.tolist() == b.obs_names.tolist()
    assert set(a.var_names) == set(b.var_names)
    assert a.X.dtype == b.X.dtype
    assert np.array_equal(values(a.X), values(b[:, a.var_names].X))
    options = {"check_categorical": False, "check_column_type": False, "check_index_type": False}
    for place in ("obs", "var"):
        one, other = getattr(a, place), getattr(b, place)
        assert set(one.columns) == set(other.columns)
        pd.testing.assert_frame_equal(one, other.loc[one.index, one.columns], **options)
    pd.testing.assert_frame_equal(a.uns["samples"], b.uns["samples"])
    assert kk.open(got.path).kind == kk.open(want.path).kind


@pytest.fixture
def small_files(monkeypatch):
    """Files of few values, so that a small table has many."""
    for module in ("layout", "growing"):
        monkeypatch.setattr(f"kithkin.core.{module}.SHARD", 512)
    monkeypatch.setattr("kithkin.core.layout.CHUNK", 256)
    monkeypatch.setattr("kithkin.core.elements.COLUMN_CHUNK", 32)


@pytest.mark.usefixtures("small_files")
@pytest.mark.parametrize(
    ("dense", "scale"), [((False, False), 10**5), ((True, True), 10**5), ((False, True), 1), ((True, False), 300)]
)
def test_equals_a_joined_import(tmp_path, dense, scale):
    samples = {f"s{k}": part(k, dense=dense[k > 0], scale=scale**k) for k in range(3)}
    want = kk.read(samples, to=tmp_path / "whole.zarr")
    ds = kk.read({"s0": samples["s0"]}, to=tmp_path / "a.zarr")
    for name in ("s1", "s2"):
        assert kk.append(ds, {name: samples[name]}) is ds
    equal(ds, want)
    assert ds.blocks().dtype == want.blocks().dtype
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zarr", "whole.zarr"]


@pytest.mark.usefixtures("small_files")
@pytest.mark.parametrize("genes", [range(5, 36), range(28, 60)])
def test_genes_that_are_new_come_last(tmp_path, genes):
    samples = {"s0": part(0), "s1": part(1, list(genes)[::-1]), "s2": part(2, range(3))}
    want = kk.read(samples, to=tmp_path / "whole.zarr")
    ds = kk.read({"s0": samples["s0"]}, to=tmp_path / "a.zarr")
    before = ds.var_names.tolist()
    kk.append(ds, {name: samples[name] for name in ("s1", "s2")})
    equal(ds, want)
    assert ds.var_names.tolist()[:30] == before


def test_names_that_occur_twice_get_their_sample(tmp_path):
    samples = {f"s{k}": part(k, cells="x") for k in range(3)}
    want = kk.read(samples, to=tmp_path / "whole.zarr")
    ds = kk.read({name: samples[name] for name in ("s0", "s1")}, to=tmp_path / "a.zarr")
    equal(kk.append(ds, {"s2": samples["s2"]}), want)
    alone = kk.read({"s0": samples["s0"]}, to=tmp_path / "b.zarr")
    kk.append(alone, {"s1": samples["s1"]})
    assert alone.obs_names[[0, 40]].tolist() == ["xc0", "xc0-s1"], "those that are there keep theirs"


def test_a_dataset_of_one_sample_gets_names_of_samples(tmp_path):
    ds = kk.read(part(0), to=tmp_path / "first.zarr")
    part(1).write_h5ad(tmp_path / "second.h5ad")
    (tmp_path / "sheet.csv").write_text("sample,path,dose\nsecond,second.h5ad,3\n")
    kk.append(ds, tmp_path / "sheet.csv")
    assert ds["obs/sample"].tolist() == ["first"] * 40 + ["second"] * 40
    assert ds["obs/dose"].isna().tolist() == [True] * 40 + [False] * 40
    assert ds["uns/samples"]["n_cells"].to_dict() == {"first": 40, "second": 40}
    assert ds["uns/samples"]["n_counts"].tolist() == [
        ds["obs/n_counts"][:40].median(),
        ds["obs/n_counts"][40:].median(),
    ]
    kk.append(ds, [part(2)])
    kk.append(ds, part(3))
    assert ds["obs/sample"].cat.categories.tolist() == ["first", "second", "2", "3"]


@pytest.mark.usefixtures("small_files")
def test_files_that_are_full_stay_and_others_are_not_touched(tmp_path):
    ds = kk.read({"s0": part(0)}, to=tmp_path / "a.zarr")
    before = {file: (file.stat().st_ino, file.read_bytes()) for file in (ds.path / "X").rglob("c/*")}
    held = [os.open(file, os.O_RDONLY) for file in before]
    kk.append(ds, {"s1": part(1)})
    after = {file: file.stat().st_ino for file in (ds.path / "X").rglob("c/*")}
    same = [file for file, (inode, _) in before.items() if after[file] == inode]
    assert {file.parts[-3] for file in same} == {"data", "indices"}
    assert len(same) >= len([file for file in before if "indptr" not in file.parts]) - 2
    for handle, (_, content) in zip(held, before.values(), strict=True):
        assert os.pread(handle, 10**6, 0) == content, "a reader that has opened a file reads what was in it"
        os.close(handle)


def test_what_was_computed_is_stale_and_stays(tmp_path, states):
    samples = {f"s{k}": part(k, n_cells=60) for k in range(2)}
    ds = kk.read({"s0": samples["s0"]}, to=tmp_path / "a.zarr")
    kk.variable_genes(ds, 20, flavor="dispersion")
    kk.pca(ds, 4)
    kk.neighbors(ds, 5)
    kk.leiden(ds)
    kk.annotate(ds, "mine", ["x", "y"] * 30)
    ds["obs/hand"] = np.arange(60.0)
    labels, components = ds["obs/leiden"], ds["obsm/X_pca"]
    kk.append(ds, {"s1": samples["s1"]})
    assert kk.check(ds) == []
    state = states(ds)
    assert {name for name, one in state.items() if one == "stale"} == {"variable_genes", "pca", "neighbors", "leiden"}
    assert state["append"] == state["quality"] == state["read"] == "current"
    assert ds["obs/leiden"][:60].tolist() == labels.tolist()
    assert ds["obs/leiden"][60:].isna().all()
    assert np.array_equal(ds["obsm/X_pca"][:60], components)
    assert np.isnan(ds["obsm/X_pca"][60:]).all()
    assert ds["obsp/distances"].shape == (120, 120)
    assert ds["obs/hand"][60:].isna().all()
    assert ds["obs/mine"][60:].isna().all()
    again = kk.pca(ds, 4, genes=None)
    want = kk.pca(kk.read(samples, to=tmp_path / "whole.zarr"), 4, genes=None)
    np.testing.assert_allclose(again, want, rtol=1e-5, atol=1e-6)


def test_the_same_again_changes_nothing(tmp_path, listing, caplog):
    part(1).write_h5ad(tmp_path / "s1.h5ad")
    ds = kk.read({"s0": part(0)}, to=tmp_path / "a.zarr")
    kk.append(ds, tmp_path / "s1.h5ad")
    kk.append(ds, part(2))
    before = listing(ds)
    with caplog.at_level(logging.INFO):
        kk.append(ds, tmp_path / "s1.h5ad")
        kk.append(str(ds.path), str(tmp_path / "s1.h5ad"))
    assert listing(ds) == before
    assert "has these samples already" in caplog.text
    assert kk.read({"s0": part(0)}, to=tmp_path / "a.zarr").n_obs == 120, "a script runs again from its start"


@pytest.mark.parametrize(
    ("damage", "dense"), [(None, False), ("checkpoint.json", False), ("0-data.npy", True), ("annotate", True)]
)
@pytest.mark.usefixtures("small_files")
def test_goes_on_at_the_sample_it_was_at(tmp_path, monkeypatch, damage, dense):
    samples = {f"s{k}": part(k, dense=dense, scale=300**k) for k in range(4)}
    want = kk.read(samples, to=tmp_path / "whole.zarr")
    ds = kk.read({"s0": samples.pop("s0")}, to=tmp_path / "a.zarr")
    before, streamed, blocks = ad.read_zarr(ds.path), [], join.Sample.blocks

    def stream(one, *given):
        if one.name == "s3" and "s3" not in streamed:
            streamed.append("s3")
            raise KeyboardInterrupt
        streamed.append(one.name)
        yield from blocks(one, *given)

    monkeypatch.setattr(join.Sample, "blocks", stream)
    with pytest.raises(KeyboardInterrupt):
        kk.append(ds, samples)
    now = ad.read_zarr(ds.path)
    assert np.array_equal(values(now.X), values(before.X))
    assert kk.check(ds) == []
    if damage == "annotate":
        ds["obs/mine"] = ["x"] * 40
    elif damage:
        (file,) = workspace(ds.path).glob(f"staging-kept-*/{damage.replace('0-', '1-')}")
        file.write_bytes(file.read_bytes()[:20])
    del streamed[:-1]
    kk.append(ds, samples)
    assert streamed == ["s3", *(["s1", "s2", "s3"] if damage and damage != "annotate" else ["s3"])]
    if damage == "annotate":
        assert ds["obs/mine"].notna().sum() == 40
        del ds["obs/mine"]
    equal(ds, want)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zarr", "whole.zarr"]


def test_an_error_changes_nothing(tmp_path, listing):
    ds = kk.read({"s0": part(0)}, to=tmp_path / "a.zarr")
    before = listing(ds)
    broken = part(1)
    broken.X.data[:] = np.inf
    with pytest.raises(kk.KithkinError):
        kk.append(ds, {"s1": broken})
    assert listing(ds) == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"]


def test_layers_and_tables_beside_x_grow(tmp_path):
    parts = [part(k) for k in range(3)]
    for k, one in enumerate(parts):
        one.layers["twice"] = one.X * 2
        one.obsm["place"] = np.full((40, 2), k)
        one.obsm["protein"] = pd.DataFrame({"CD3": np.arange(40), "CD4": 1.5}, one.obs_names)
        one.obsm["sparse"] = sparse.random(40, 7, 0.3, format="csr", random_state=k)
    want = kk.read({f"s{k}": one for k, one in enumerate(parts)}, to=tmp_path / "whole.zarr")
    ds = kk.read({"s0": parts[0]}, to=tmp_path / "a.zarr")
    for k in (1, 2):
        kk.append(ds, {f"s{k}": parts[k]})
    equal(ds, want)
    for key in ("layers/twice", "obsm/place", "obsm/sparse"):
        assert np.array_equal(values(ds[key]), values(want[key])), key
    pd.testing.assert_frame_equal(ds["obsm/protein"], want["obsm/protein"], check_names=False)
    bare = part(3)
    with pytest.raises(kk.FormatError, match=r"layers/twice of a.zarr is not in every sample: delete it first"):
        kk.append(ds, {"s3": bare})
    bare.layers["twice"] = bare.X
    kk.append(ds, {"s3": bare})
    assert np.isnan(ds["obsm/place"][120:]).all()
    assert ds["obsm/protein"].iloc[120:].isna().all(axis=None)
    assert kk.check(ds) == []


def test_values_of_a_dense_table_may_be_missing(tmp_path):
    parts = {f"s{k}": part(k, range(6 - k), dense=True) for k in range(2)}
    for one in parts.values():
        one.X = one.X + np.float32(0.5)
    want = kk.read(parts, to=tmp_path / "whole.zarr", kind="values")
    ds = kk.read({"s0": parts["s0"]}, to=tmp_path / "a.zarr", kind="values")
    kk.append(ds, {"s1": parts["s1"]})
    assert np.array_equal(ds.to_anndata().X, want.to_anndata()[:, ds.var_names].X, equal_nan=True)
    assert ds["var/n_missing"].tolist() == [0] * 5 + [40]


@pytest.mark.filterwarnings("ignore:Consolidated metadata")
def test_it_goes_on_below_what_anndata_wrote(tmp_path):
    first = part(0, n_cells=300)
    with ad.settings.override(zarr_write_format=3):
        first.write_zarr(tmp_path / "a.zarr")
    ds = kk.open(tmp_path / "a.zarr")
    kk.append(ds, {"s1": part(1)})
    assert np.array_equal(values(ds.to_anndata().X), np.concatenate([values(first.X), values(part(1).X)]))
    assert kk.check(ds) == []


def test_a_part_of_a_dataset_grows(tmp_path):
    ds = kk.read({"s0": part(0), "s1": part(1)}, to=tmp_path / "a.zarr")
    some = kk.subset(ds, cells="sample == 's1'", to=tmp_path / "b.zarr")
    kk.append(some, {"s2": part(2)})
    assert some["uns/samples"]["n_cells"].to_dict() == {"s1": 40, "s2": 40}
    assert kk.subset(ds, cells="sample == 's1'", to=tmp_path / "b.zarr").n_obs == 80, "found again"
    assert some.history()["state"].eq("current").all()


REFUSED = {
    "a sample of this name": ({"s0": part(1)}, {}, r"obs/sample of a.zarr has a sample 's0' already: give the new one"),
    "other values": ({"s1": 0.5}, {}, r"holds values that are not integers, but a.zarr holds counts"),
    "negative counts": ({"s1": -1}, {}, r"holds negative values, but a.zarr holds counts"),
    "inner": (
        {"s1": part(1, range(20))},
        {"join": "inner"},
        r"join='inner' would take 10 columns .* that s1 lacks, such",
    ),
    "a column that is taken": ({"s1": part(1)}, {"sample": "obs/n_counts"}, "sample must be a free column of obs"),
    "a choice": ({"s1": part(1)}, {"join": "left"}, "join must be one of"),
    "ids": ({"s1": part(1)}, {"match": "ids"}, r"match='ids' needs a column of identifiers .* but a.zarr has none"),
    "a layer": ({"s1": part(1)}, {"layer": "spliced"}, "sample s1: "),
    "nothing": ([], {}, "at least one sample"),
    "no file": ("nowhere.h5ad", {}, "nowhere.h5ad does not exist"),
    "a dataset": (1, {}, "an object of type int cannot be read"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refusals(tmp_path, listing, case):
    source, settings, said = REFUSED[case]
    if isinstance(source, dict) and isinstance(source["s1" if "s1" in source else "s0"], (int, float)):
        other = part(1)
        other.X = other.X * np.float32(source["s1"])
        source = {"s1": other}
    ds = kk.read({"s0": part(0)}, to=tmp_path / "a.zarr")
    before = listing(ds)
    with pytest.raises(kk.KithkinError, match=said) as caught:
        kk.append(ds, source, **settings)
    assert "\n" not in str(caught.value)
    assert listing(ds) == before


def test_results_without_the_new_rows_are_not_computed_with(tmp_path):
    ds = kk.read({"s0": part(0)}, to=tmp_path / "a.zarr")
    kk.pca(ds, 4, genes=None)
    kk.neighbors(ds, 5)
    kk.leiden(ds)
    kk.append(ds, {"s1": part(1)})
    for verb, missing, again in (
        (kk.neighbors, "obsm/X_pca", "pca"),
        (kk.umap, "obsp/connectivities", "neighbors"),
        (kk.leiden, "obsp/connectivities", "neighbors"),
        (kk.paris, "obsp/connectivities", "neighbors"),
        (lambda one: kk.markers(one, "obs/leiden"), "obs/leiden", "leiden"),
        (lambda one: kk.kmeans(one, 3, on="obsm/X_pca"), "obsm/X_pca", "pca"),
    ):
        said = rf"^{missing} was computed before rows were appended.*kithkin.{again}.ds.* again first"
        with pytest.raises(kk.MissingResultError, match=said):
            verb(ds)
    assert ds.read("obs/leiden").isna().sum() == 40
    kk.pca(ds, 4, genes=None)
    kk.neighbors(ds, 5)
    kk.leiden(ds)
    assert kk.markers(ds, "obs/leiden")["group"].nunique() == ds.read("obs/leiden").nunique()


def test_the_column_of_the_import_stays_that_of_the_samples(tmp_path):
    ds = kk.read({"A": part(0), "B": part(1)}, to=tmp_path / "a.zarr")
    kk.append(ds, {"C": part(2)}, sample="obs/run")
    kk.append(ds, {"D": part(3)})
    assert ds["obs/sample"].iloc[-1] == "D"


def test_an_object_without_a_name_is_appended_once(tmp_path):
    ds = kk.read([part(0)], to=tmp_path / "a.zarr")
    for _ in range(2):
        kk.append(ds, part(1))
        kk.append(ds, [part(2), part(3)])
    assert ds["obs/sample"].cat.categories.tolist() == ["0", "1", "2", "3"]
    assert ds.n_obs == 160


def test_samples_without_cells_and_cells_without_a_sample(tmp_path):
    one = part(0)
    one.obs["sample"] = pd.Categorical(["a"] * 30 + [None] * 10, ["a", "b"])
    ds = kk.read(one, to=tmp_path / "a.zarr")
    kk.append(ds, {"b": part(1)})
    assert ds["uns/samples"]["n_cells"].to_dict() == {"a": 30, "b": 40}


def test_columns_that_change_their_type_are_named_and_the_kind_says_when_it_was_found(tmp_path, caplog):
    ds = kk.read({"s0": part(0)}, to=tmp_path / "a.zarr")
    other = part(1)
    other.obs["age"] = "old"
    with caplog.at_level(logging.WARNING, "kithkin"):
        kk.append(ds, {"s1": other})
    assert "of another type than before, so that they hold the new values too: obs/age" in caplog.text
    assert ds.kind_and_reason[1].endswith(" at import")
    kk.append(ds, {"s2": part(2)})
    assert ds.kind_and_reason[1].count(" at import") == 1


def test_a_dataset_is_not_appended_to_itself(tmp_path):
    ds = kk.read(part(0), to=tmp_path / "a.zarr")
    for source in (ds, str(ds.path), {"again": ds.path}, [ds]):
        with pytest.raises(kk.ParameterError, match="source must be another path than"):
            kk.append(ds, source)
    dense = kk.read(part(0, dense=True), to=tmp_path / "b.zarr")
    with pytest.raises(kk.ParameterError, match=r"b.zarr is a dense table of 30 columns, and cannot be given 5 more"):
        kk.append(dense, part(1, range(35)))
    kk.append(dense, part(1, range(35)), join="inner")
    assert dense.shape == (80, 30)
