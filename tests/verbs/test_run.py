"""One call from a source to markers: it resumes, refuses what it was not made from, and takes tables of any size."""

import re
import shutil

import numpy as np
import pytest
from scipy import sparse
from sklearn.metrics import adjusted_rand_score

import kithkin as kk
from kithkin.verbs.arguments.batches import check_kept
from kithkin.verbs.arguments.labels import labels_of

CELLS = "n_genes >= 5"
STEPS = ["subset", "quality", "variable_genes", "pca", "neighbors", "umap", "leiden", "markers", "support"]


def run(source, to, **settings):
    """A run, and what it said."""
    said = []
    settings = {"cells": CELLS, "n_components": 15, "resolution": 0.5} | settings
    return kk.run(source, to=to, **settings, say=said.append), said


def finished_at(ds):
    """When each step's record was made: the identity of the record and its place on disk."""
    return {entry.verb: (entry.identity, entry.finished, entry.seconds) for entry in ds.lineage.entries}


def times(ds):
    keys = ("obsm/X_pca", "obsm/X_umap", "obsp/distances", "obs/leiden", "uns/rank_genes_groups", "var/highly_variable")
    return {key: (ds.path / key / "zarr.json").stat().st_mtime_ns for key in keys}


@pytest.fixture(scope="module")
def _done(_small_counts, tmp_path_factory):
    return run(_small_counts.copy(), tmp_path_factory.mktemp("run") / "out.zarr")


@pytest.fixture
def done(_done, tmp_path):
    """A run of the small counts, and what it said, for each test anew."""
    ds, said = _done
    shutil.copytree(ds.path.parent, tmp_path, dirs_exist_ok=True)
    return kk.open(tmp_path / "out.zarr"), said


def test_a_run_is_the_verbs_one_by_one(done, small_counts, tmp_path):
    ds, said = done
    assert ds.path == tmp_path / "out.zarr"
    assert ds.history()["step"].tolist() == STEPS
    assert set(ds.history()["state"]) == {"current"}
    assert adjusted_rand_score(ds.read("obs/group"), ds.read("obs/leiden")) > 0.9
    whole = kk.read(small_counts, to=tmp_path / "whole.zarr")
    part = kk.subset(whole, cells=CELLS, genes="n_cells >= 3", to=tmp_path / "part.zarr")
    kk.variable_genes(part, part.n_vars)
    kk.pca(part, 15)
    kk.neighbors(part)
    assert np.array_equal(kk.umap(part), ds.read("obsm/X_umap"))
    assert np.array_equal(kk.leiden(part, 0.5), ds.read("obs/leiden"))
    assert kk.markers(part, "leiden").equals(kk.markers(ds, "leiden"))
    plan = next(line for line in said if line.startswith("plan"))
    assert "variable-genes -> pca -> neighbors -> umap -> leiden -> markers -> support" in plan
    timed = [line.split("  ")[0] for line in said if " s   peak memory" in line]
    steps = ["subset", "variable-genes", "pca", "neighbors", "umap", "leiden", "markers", "support"]
    assert timed == ["convert", *(f"step {i} of 9: {name}" for i, name in enumerate(steps, 2))]


def test_running_again_does_nothing(done, small_counts):
    ds, _ = done
    before = times(ds)
    again, said = run(small_counts, ds.path)
    assert times(again) == before
    assert sum("is there already" in line for line in said) == 2


def test_another_resolution_repeats_clusters_and_markers_only(done, small_counts):
    ds, _ = done
    before, records = times(ds), finished_at(ds)
    again, _ = run(small_counts, ds.path, resolution=3.0)
    assert {key for key, time in times(again).items() if time != before[key]} == {"obs/leiden", "uns/rank_genes_groups"}
    changed = {verb for verb, record in finished_at(again).items() if record != records[verb]}
    assert changed == {"leiden", "markers", "support"}
    assert set(again.history()["state"]) == {"current"}


def test_a_run_that_was_interrupted_goes_on(small_counts, tmp_path):
    said = []

    def stop(line):
        said.append(line)
        if ": neighbors" in line:
            raise KeyboardInterrupt

    settings = {"cells": CELLS, "n_components": 15, "resolution": 0.5}
    with pytest.raises(KeyboardInterrupt):
        kk.run(small_counts, to=tmp_path / "out.zarr", **settings, say=stop)
    half = kk.open(tmp_path / "out.zarr")
    assert "obsp/connectivities" in half
    assert "obsm/X_umap" not in half
    changed = (half.path / "obsm/X_pca/zarr.json").stat().st_mtime_ns
    whole, _ = run(small_counts, tmp_path / "out.zarr")
    assert whole.history()["step"].tolist() == STEPS
    assert (half.path / "obsm/X_pca/zarr.json").stat().st_mtime_ns == changed


def test_another_source_or_filter_is_refused_unless_told(done, small_counts, tmp_path):
    ds, _ = done
    small_counts.X.data[0] += 1
    with pytest.raises(kk.KithkinError, match=r"out\.raw\.zarr was made from something else"):
        run(small_counts, ds.path)
    small_counts.X.data[0] -= 1
    with pytest.raises(kk.KithkinError, match=r"out\.zarr was made from something else or with other filters"):
        run(small_counts, ds.path, cells="n_genes >= 100")
    assert set(kk.open(ds.path).history()["state"]) == {"current"}
    again, _ = run(small_counts[:300].copy(), ds.path, overwrite=True)
    assert again.n_obs == 300
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.raw.zarr", "out.zarr"]


def test_a_file_that_changed_is_another_source(small_counts, tmp_path):
    path = tmp_path / "counts.h5ad"
    small_counts.write_h5ad(path)
    run(path, tmp_path / "out.zarr")
    assert sum("is there already" in line for line in run(path, tmp_path / "out.zarr")[1]) == 2
    small_counts[:500].copy().write_h5ad(path)
    with pytest.raises(kk.KithkinError, match="was made from something else"):
        run(path, tmp_path / "out.zarr")


def test_values_have_no_filters_and_no_variable_genes(tmp_path):
    digits = kk.datasets.digits()[:500].copy()
    ds, said = run(digits, tmp_path / "out.zarr", kind="values", resolution=1.0)
    assert ds.path == tmp_path / "out.zarr"
    assert [path.name for path in tmp_path.iterdir()] == ["out.zarr"]
    assert "var/highly_variable" not in ds
    assert ds.shape == (500, 64)
    assert adjusted_rand_score(digits.obs["digit"], ds.read("obs/leiden")) > 0.6
    assert "500 rows x 64 columns" in said
    assert "uns/rank_genes_groups" in ds
    assert ds.read("uns/support")["params"]["on"] == "obsm/X_pca"
    found, left = ds.read("obs/leiden").nunique(), ds.read("obs/support").nunique()
    assert said[-1] == f"support: {left} of {found} clusters are told apart by a gap between the rows"
    assert 1 < left <= found
    plan = next(line for line in said if line.startswith("plan"))
    assert plan.endswith("markers -> support")


@pytest.mark.parametrize(("n_columns", "found"), [(50, (20, 0.3)), (51, (15, 0.7))])
def test_tables_of_few_columns_have_defaults_of_their_own(tmp_path, n_columns, found):
    X = np.random.default_rng(0).normal(size=(90, n_columns)) + np.repeat(np.eye(3, n_columns) * 20, 30, axis=0)
    ds = kk.run(X, to=tmp_path / "out.zarr")
    assert (ds.read("uns/neighbors")["params"]["n_neighbors"], ds.read("uns/leiden")["params"]["resolution"]) == found
    assert ds.read("obs/leiden").nunique() == 3


def test_a_table_found_to_be_values_ends_where_it_was_asked_for(tmp_path):
    X = kk.datasets.digits().X[:120] + 0.5
    ds, _ = run(X, tmp_path / "out.zarr")
    assert ds.path == tmp_path / "out.zarr"
    before = (ds.path / "obsm/X_pca/zarr.json").stat().st_mtime_ns
    again, said = run(X, tmp_path / "out.zarr")
    assert (again.path / "obsm/X_pca/zarr.json").stat().st_mtime_ns == before
    assert any("is there already" in line for line in said)
    with pytest.raises(kk.KithkinError, match="was made from something else"):
        run(X + 1, tmp_path / "out.zarr")
    other, _ = run(X[:90] + 1, tmp_path / "out.zarr", overwrite=True)
    assert other.shape == (90, 64)
    assert [path.name for path in tmp_path.iterdir()] == ["out.zarr"]
    assert kk.check(other) == []


def test_one_cluster_has_no_markers_and_this_is_said(tmp_path):
    alike = kk.datasets.simulate_counts(200, 200, n_groups=1)
    ds, said = run(alike, tmp_path / "out.zarr", resolution=1e-6)
    assert ds.read("obs/leiden").nunique() == 1
    assert "uns/rank_genes_groups" not in ds
    assert said[-1] == "markers: there is one cluster, and nothing to compare it with"
    assert "dotplot.png" not in [path.name for path in kk.figures(ds, tmp_path / "figures")]


@pytest.mark.parametrize(("n", "p"), [(3, 80), (12, 300)])
def test_tiny_tables(tmp_path, n, p):
    rng = np.random.default_rng(0)
    X = rng.poisson(rng.gamma(0.5, 4, p), (n, p))
    settings = {"cells": "n_genes >= 1", "genes": "n_cells >= 1", "n_components": 50}
    settings["kind"] = "counts"
    ds, _ = run(X, tmp_path / "out.zarr", **settings)
    assert ds.n_obs == n
    assert ds.read("obsm/X_umap").shape == (n, 2)
    assert np.isfinite(ds.read("obsm/X_umap")).all()
    assert ds.read("obsm/X_pca").shape[1] <= n - 1
    assert f"{n} cells" in kk.summary(ds)
    assert kk.figures(ds, tmp_path / "figures")


@pytest.mark.parametrize("n", [1, 2])
def test_a_table_too_small_is_refused_in_one_sentence(tmp_path, n):
    with pytest.raises(kk.KithkinError):
        run(np.random.default_rng(0).poisson(2.0, (n, 60)), tmp_path / "out.zarr", cells="n_genes >= 1")


def test_a_dataset_is_a_source_too(finished, tmp_path):
    labels = finished.read("obs/group").tolist()
    ds, _ = run(finished.path, tmp_path / "out.zarr")
    assert ds.n_obs == 600
    assert ds.read("obs/group").tolist() == labels
    assert ds.read("obsm/X_pca").shape == (600, 15), "what came along is replaced by what the run finds"
    for source in (finished.path, finished):
        _, said = run(source, tmp_path / "out.zarr")
        assert sum("is there already" in line for line in said) == 2


def test_what_is_wrong_is_named(small_counts, tmp_path):
    with pytest.raises(kk.ParameterError, match="kind must be one of"):
        run(small_counts, tmp_path / "out.zarr", kind="pictures")
    with pytest.raises(kk.ParameterError, match="keeps 0 of "):
        run(small_counts, tmp_path / "out.zarr", cells="n_genes >= 1e9")
    assert not (tmp_path / "out.zarr").exists()


def test_images_are_neither_counts_nor_as_bright_as_they_are(tmp_path):
    rng = np.random.default_rng(0)
    shapes = rng.random((3, 8, 8)) > 0.5
    images = shapes[np.arange(240) % 3] * rng.integers(20, 250, (240, 1, 1)) + rng.integers(0, 5, (240, 8, 8))
    np.save(tmp_path / "images.npy", images.astype(np.uint8))
    ds, _ = run(tmp_path / "images.npy", tmp_path / "out.zarr")
    assert "obs/n_counts" not in {key for entry in ds.lineage.entries for key in entry.inputs}
    assert ds.read("uns/pca")["params"]["normalize"] == "unit"
    assert adjusted_rand_score(np.arange(240) % 3, ds.read("obs/leiden")) > 0.6


def test_batches_are_harmonized_on_the_way(small_counts, tmp_path):
    small_counts.obs["batch"] = np.array(["x", "y"])[np.arange(600) % 2]
    rows, genes = small_counts.X.nonzero()
    small_counts.X.data[(rows % 2 == 1) & (genes < 20)] = 0  # genes that were not measured there
    small_counts.X.eliminate_zeros()
    ds, said = run(small_counts, tmp_path / "both.zarr", batch="batch")
    assert ds.history()["step"].tolist() == [*STEPS[:4], "harmonize", *STEPS[4:]]
    assert ds.read("uns/neighbors")["params"]["use_rep"] == "X_harmony"
    assert "var/highly_variable_nbatches" in ds
    assert any("pca -> harmonize -> neighbors" in line for line in said)
    assert adjusted_rand_score(ds.read("obs/group"), ds.read("obs/leiden")) > 0.9
    with pytest.raises(kk.MissingResultError, match=r"obs/donor is not in"):
        run(small_counts, tmp_path / "both.zarr", batch="donor")


def test_several_samples_are_told_of_their_differences(small_counts, tmp_path):
    pair = {"a": small_counts[:300].copy(), "b": small_counts[300:].copy()}
    ds, said = run(pair, tmp_path / "pair.zarr")
    assert "several samples: batch='obs/sample' takes out what differs between them" in said
    again, said = run(pair, tmp_path / "pair.zarr", batch="obs/sample")
    assert again.path == ds.path
    assert not any("takes out" in line for line in said)
    assert "obsm/X_harmony" in again


def test_a_filter_that_leaves_too_little_of_batches_is_refused_before_it(small_counts, tmp_path, caplog):
    number = np.arange(600)
    small_counts.obs["age"] = number
    small_counts.obs["batch"] = np.where(number < 300, "x", "y")
    small_counts.obs["three"] = np.where(number < 5, "z", small_counts.obs["batch"])
    settings = {"batch": "batch", "n_genes": 100, "n_components": 5}
    for cells, said in {
        "age < 300": "of obs/batch the filter of cells (age < 300) keeps only 'x': choose another filter",
        "age < 301": "batches of 2 cells or more, but the filter of cells (age < 301) keeps fewer of obs/batch y",
    }.items():
        with pytest.raises(kk.ParameterError, match=re.escape(said)):
            run(small_counts, tmp_path / "out.zarr", cells=cells, **settings)
        assert not (tmp_path / "out.zarr").exists()
    kept = np.repeat([False, True], [5, 595])
    check_kept(labels_of(kk.open(tmp_path / "out.raw.zarr"), "three"), kept, "age >= 5", 2)
    assert "the filter of cells (age >= 5) keeps no cell of obs/three z" in caplog.text


@pytest.mark.parametrize("n", [20, 40])
@pytest.mark.parametrize("batch", [None, "batch"])
def test_a_few_real_cells_run_to_clusters(pbmc, tmp_path, n, batch):
    few = pbmc[np.random.default_rng(n).choice(pbmc.n_obs, n, replace=False)].copy()
    few.obs["batch"] = np.where(np.arange(n) % 2, "u", "v")
    ds = kk.run(few, to=tmp_path / "few.zarr", batch=batch, say=lambda _: None)
    assert ds.n_obs == n
    assert 1 <= ds.read("obs/leiden").nunique() < n / 2


def write_mtx(folder, X, names):
    from scipy.io import mmwrite

    folder.mkdir()
    mmwrite(folder / "matrix.mtx", sparse.csr_matrix(X.astype(int)).T)
    (folder / "features.tsv").write_text("".join(f"{name}\t{name}\tGene Expression\n" for name in names))
    (folder / "barcodes.tsv").write_text("".join(f"image{k}\n" for k in range(len(X))))
    return folder


@pytest.mark.parametrize("names", ["pixels", "numbers"])
def test_images_in_a_format_of_counts_lose_no_row(tmp_path, names):
    rng = np.random.default_rng(0)
    X = rng.integers(1, 256, (90, 256)) * (rng.random((90, 256)) < np.linspace(0.02, 0.9, 90)[:, None])
    listed = [f"pixel_{k // 16}_{k % 16}" for k in range(256)] if names == "pixels" else [str(k) for k in range(256)]
    X[0, 0] = 255
    ds = kk.run(write_mtx(tmp_path / "mtx", X, listed), to=tmp_path / "a.zarr", n_components=5)
    assert (ds.kind, ds.shape) == ("images", (90, 256))
    assert (ds["var/row"].iloc[17], ds["var/column"].iloc[17]) == (1, 1)


def test_a_run_says_what_a_filter_removed_and_what_to_do(tmp_path, small_counts):
    counts = small_counts.copy()
    counts.X = sparse.csr_matrix(counts.X)
    counts.X.data[counts.X.indptr[30] :] = 0
    _, said = run(counts, tmp_path / "a.zarr", cells="n_genes >= 5 and pct_mito < 99")
    line = next(line for line in said if line.startswith("subset: "))
    assert re.match(r"subset: 570 of 600 cells \(95 %\) went: 570 not n_genes >= 5; \d+ of 500 genes", line)
    assert line.endswith("kind='images' or kind='values', which filter nothing")
    assert 'a milder condition, such as cells="' in line
