"""Cells get the labels of a reference in a file, and what the reference never held is unknown."""

import json

import anndata
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

import kithkin as kk
from kithkin.io.formats.tensors import read_tensors, write_tensors
from kithkin.verbs.arguments.reference_file import Reference


def cells(seed=0, n=900):
    """Counts of five kinds in two runs, which differ in all genes a little."""
    source = kk.datasets.simulate_counts(n_cells=n, n_genes=400, n_groups=5, seed=0)
    rng = np.random.default_rng(seed)
    run = np.array(["one", "two", "three"])[np.arange(n) % 3]
    factor = {name: np.exp(rng.normal(0, 0.15, 400)) for name in ("one", "two", "three")}
    means = source.X.multiply(np.stack([factor[name] for name in run])).tocsr()
    means.data = rng.poisson(means.data).astype(np.float32)
    means.eliminate_zeros()
    return anndata.AnnData(means, source.obs.assign(run=run), source.var)


@pytest.fixture(scope="module")
def old_and_new(tmp_path_factory):
    """A reference of two runs, and the third run, which it never saw."""
    folder, both = tmp_path_factory.mktemp("reference"), cells()
    ds = kk.read(both[both.obs["run"] != "three"].copy(), to=folder / "old.zarr")
    kk.pca(ds, 12)
    kk.harmonize(ds, "run")
    kk.neighbors(ds, on="obsm/X_harmony")
    kk.umap(ds, n_epochs=60)
    expected = kk.reference(ds, "group", to=folder / "old.kin")
    kk.read(both[both.obs["run"] == "three"].copy(), to=folder / "new.zarr")
    return folder, expected


@pytest.fixture
def new(old_and_new, copy_of):
    return copy_of(old_and_new[0] / "new.zarr")


@pytest.fixture
def path(old_and_new):
    return old_and_new[0] / "old.kin"


def test_another_run_is_labelled_and_placed(new, path, old_and_new):
    found = kk.map_to(new, path)
    truth = new.read("obs/group").astype(str)
    assert (found["label"].astype(str) == truth).mean() > 0.95
    assert found["probability"].between(0.2, 1.0).all()
    assert (found["distance"] > 1).mean() < 0.1
    assert new.read("obs/mapped").equals(found["label"].rename("mapped"))
    assert new.read("obsm/X_mapped").shape == (300, 12)
    plan, old = new.read("obsm/X_mapped_umap"), kk.open(old_and_new[0] / "old.zarr")
    there = {g: np.median(old.read("obsm/X_umap")[old.read("obs/group") == g], axis=0) for g in truth.unique()}
    nearest = [min(there, key=lambda g: np.linalg.norm(place - there[g])) for place in plan]
    assert (np.array(nearest) == truth.to_numpy()).mean() > 0.9
    counted = new.read("uns/mapped")["labels"]["n_cells"]
    assert counted.sum() == 300


def test_held_out_runs_say_what_to_expect(old_and_new):
    expected = old_and_new[1]
    assert expected["n_cells"].sum() == 600
    assert expected["recall"].min() > 0.9
    assert expected["precision"].min() > 0.9
    assert expected["probability"].min() > 0.8


def test_a_kind_that_the_reference_lacks_is_unknown(old_and_new, new, tmp_path):
    old = kk.open(old_and_new[0] / "old.zarr")
    part = kk.subset(old, cells="group != '2'", to=tmp_path / "part.zarr")
    kk.pca(part, 12)
    kk.harmonize(part, "run")
    kk.reference(part, "group", to=tmp_path / "part.kin")
    found = kk.map_to(new, tmp_path / "part.kin")
    lacking = (new.read("obs/group") == "2").to_numpy()
    assert (found["label"] == "unknown")[lacking].mean() > 0.8
    assert (found["label"] == "unknown")[~lacking].mean() < 0.1
    assert "unknown" not in set(kk.map_to(new, tmp_path / "part.kin", threshold=None, key=None)["label"])


def test_the_file_is_small_and_holds_neither_counts_nor_names_of_cells(path, old_and_new):
    arrays, texts = read_tensors(path)
    assert path.stat().st_size < 300_000
    assert arrays["loadings"].shape == (400, 12)
    assert not any(len(array) == 400 and array.ndim == 2 and array.shape[1] > 12 for array in arrays.values())
    raw = path.read_bytes()
    assert b"cell0" not in raw
    assert json.loads(texts["about"])["dataset"] == "old.zarr"
    reliability = json.loads(texts["about"])["reliability"]
    assert sum(one["n"] for one in reliability) == 600
    assert abs(reliability[-1]["probability"] - reliability[-1]["right"]) < 0.05


def test_nothing_is_written_without_a_key_and_a_second_time_is_a_look_up(new, path, listing):
    kk.map_to(new, path)
    before = listing(new)
    again = kk.map_to(new, path)
    returned = kk.map_to(new, path, key=None)
    assert listing(new) == before
    assert again.equals(returned)
    kk.map_to(new, path, key="obs/other", threshold=None)
    assert "obs/other_probability" in new
    assert "obsm/X_other" in new


@pytest.mark.parametrize(("threads", "memory"), [(1, "50MB"), (3, "2GB")])
def test_threads_and_memory_do_not_matter(new, path, threads, memory):
    first = kk.map_to(new, path, key=None)
    again = kk.map_to(kk.open(new.path, threads=threads, memory=memory), path, key=None)
    assert (first["label"] == again["label"]).all()
    np.testing.assert_allclose(first[["probability", "distance"]], again[["probability", "distance"]], atol=1e-4)


def test_cells_of_the_same_run_do_not_depend_on_how_a_table_is_cut(new, path, tmp_path):
    order = np.argsort(new.read("obs/group").to_numpy(), kind="stable")
    source = new.to_anndata()[order].copy()
    turned = kk.map_to(kk.read(source, to=tmp_path / "turned.zarr"), path, key=None)
    straight = kk.map_to(new, path, key=None)
    np.testing.assert_allclose(turned["distance"], straight["distance"].loc[turned.index], atol=1e-3)


def test_genes_that_are_missing_count_as_usual_ones(new, path, tmp_path, caplog):
    part = kk.subset(new, genes=new.var_names[::2], to=tmp_path / "half.zarr")
    found = kk.map_to(part, path, threshold=None)
    assert "200 of the 400 genes of old.kin are not in half.zarr" in caplog.text
    assert (found["label"].astype(str) == part.read("obs/group").astype(str)).mean() > 0.85


def test_genes_are_found_by_their_symbols(new, path, tmp_path):
    source = new.to_anndata()
    source.var["symbol"] = source.var_names
    source.var_names = [f"ENSG{k:011d}" for k in range(400)]
    other = kk.read(source, to=tmp_path / "ids.zarr")
    found = kk.map_to(other, path, key=None)
    assert (found["label"] == kk.map_to(new, path, key=None)["label"]).all()


def test_batches_of_the_query_are_moved_one_by_one(new, path):
    lane = np.arange(300) % 2
    kk.annotate(new, "lane", lane.astype(str))
    both = kk.map_to(new, path, batch="lane", key=None)
    assert (both["label"].astype(str) == new.read("obs/group").astype(str)).mean() > 0.95
    kk.annotate(new, "one", "same")
    assert kk.map_to(new, path, batch="one", key=None).equals(kk.map_to(new, path, key=None))
    with pytest.raises(kk.MissingResultError, match=r"obs/plate is not in new\.zarr"):
        kk.map_to(new, path, batch="plate")


def test_values_and_counts_are_not_mixed_up(new, path, tmp_path):
    source = new.to_anndata()
    dense = source.X.toarray()
    source.X = np.log1p(1e4 * dense / dense.sum(axis=1, keepdims=True))
    logs = kk.read(source, to=tmp_path / "logs.zarr")
    with pytest.raises(kk.ParameterError, match=r"old\.kin was made of counts, and X of logs\.zarr holds other values"):
        kk.map_to(logs, path)
    kk.pca(logs, 10)
    kk.reference(logs, "group", to=tmp_path / "logs.kin", on="obsm/X_pca")
    with pytest.raises(kk.ParameterError, match=r"logs\.kin was made of values that were normalised before"):
        kk.map_to(new, tmp_path / "logs.kin")
    found = kk.map_to(logs, tmp_path / "logs.kin", threshold=None)
    assert (found["label"].astype(str) == logs.read("obs/group").astype(str)).mean() > 0.95


def test_what_is_no_reference_is_refused(new, path, tmp_path):
    with pytest.raises(kk.FormatError, match=r"none\.kin does not exist"):
        kk.map_to(new, tmp_path / "none.kin")
    with pytest.raises(kk.FormatError, match=r"ol\.kin does not exist\. Did you mean 'old\.kin'"):
        kk.map_to(new, path.with_name("ol.kin"))
    with pytest.raises(kk.ParameterError, match=r"reference\(ds, labels, to='name\.kin'\) wrote, and new\.zarr is a"):
        kk.map_to(new, new.path)
    arrays, texts = read_tensors(path)
    write_tensors(tmp_path / "other.kin", arrays, {"format": "something else"})
    with pytest.raises(kk.FormatError, match=r"other\.kin holds arrays, but is no reference"):
        kk.map_to(new, tmp_path / "other.kin")
    write_tensors(tmp_path / "late.kin", arrays, texts | {"version": "99"})
    with pytest.raises(kk.FormatError, match="written by a later version of kithkin"):
        kk.map_to(new, tmp_path / "late.kin")
    for name, changed in {
        "short": arrays | {"coef": arrays["coef"][:2]},
        "broken": arrays | {"mean": np.full_like(arrays["mean"], np.nan)},
        "less": {key: array for key, array in arrays.items() if key != "sums"},
    }.items():
        write_tensors(tmp_path / f"{name}.kin", changed, texts)
        with pytest.raises(kk.FormatError, match=f"{name}\\.kin is damaged"):
            kk.map_to(new, tmp_path / f"{name}.kin")
    strange = kk.read(np.random.default_rng(0).poisson(1.0, (50, 30)), to=tmp_path / "strange.zarr", kind="counts")
    with pytest.raises(kk.ParameterError, match=r"strange\.zarr has 0 of the 400 genes of the reference, and 6 are"):
        kk.map_to(strange, path)
    with pytest.raises(kk.ParameterError, match=r"threshold must be in 0\.0\.\."):
        kk.map_to(new, path, threshold=-1)


def test_a_kind_whose_kin_stays_in_the_reference_is_told_by_the_groups_of_the_query(tmp_path):
    """A kind that differs from another in 15 of 400 genes passes for it cell by cell, and not as a group."""
    both = cells(n=1500)
    both = both[np.argsort(both.obs["group"].to_numpy() != "1", kind="stable")].copy()
    rng, n_kin = np.random.default_rng(1), int((both.obs["group"] == "1").sum()) // 2
    dense = both.X.toarray()
    dense[:n_kin, :15] += rng.poisson(1.5, (n_kin, 15))
    kind = both.obs["group"].astype(str).to_numpy()
    kind[:n_kin] = "kin"
    both = anndata.AnnData(dense.astype(np.float32), both.obs.assign(group=kind), both.var)
    old, new = (both.obs["run"] != "three") & (kind != "kin"), both.obs["run"] == "three"
    ds = kk.read(both[old].copy(), to=tmp_path / "old.zarr")
    kk.pca(ds, 12)
    kk.harmonize(ds, "run")
    kk.reference(ds, "group", to=tmp_path / "old.kin")
    asked = kk.read(both[new].copy(), to=tmp_path / "new.zarr")
    by_groups = kk.map_to(asked, tmp_path / "old.kin", key=None)["distance"]
    held = Reference.read(tmp_path / "old.kin")
    held.map.groups = None
    held.write(tmp_path / "alone.kin")
    alone = kk.map_to(asked, tmp_path / "alone.kin", key=None)["distance"]
    missing = kind[new] == "kin"
    assert roc_auc_score(missing, by_groups) > 0.95
    assert roc_auc_score(missing, by_groups) > roc_auc_score(missing, alone) + 0.05
    assert (by_groups[~missing] > 1).mean() < 0.1


def test_few_cells_are_told_one_by_one(new, path, tmp_path):
    few = kk.subset(new, cells=np.arange(300) < 40, to=tmp_path / "few.zarr")
    found = kk.map_to(few, path, key=None)
    held = Reference.read(path)
    assert held.map.groups.n_groups >= 4
    held.map.groups = None
    held.write(tmp_path / "alone.kin")
    assert found["distance"].equals(kk.map_to(few, tmp_path / "alone.kin", key=None)["distance"])
    assert not kk.map_to(new, path, key=None)["distance"].equals(
        kk.map_to(new, tmp_path / "alone.kin", key=None)["distance"]
    )


def test_references_of_the_first_version_are_read(new, path, tmp_path):
    arrays, texts = read_tensors(path)
    numbers = json.loads(texts["numbers"])
    first = {name: value for name, value in numbers.items() if name not in ("floor", "groups")}
    write_tensors(tmp_path / "first.kin", arrays, texts | {"version": "1", "numbers": json.dumps(first)})
    found = kk.map_to(new, tmp_path / "first.kin", key=None)
    assert found["distance"].between(0, 2).mean() > 0.95
    assert found["label"].ne("unknown").mean() > 0.9
