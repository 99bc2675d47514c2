"""A part is what AnnData's own subsetting gives, and remembers where it came from and what went why."""

import shutil

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse, stats

import kithkin as kk


@pytest.fixture(scope="module")
def _rich_path(_finished_path, tmp_path_factory):
    path = tmp_path_factory.mktemp("rich") / "cells.zarr"
    shutil.copytree(_finished_path, path)
    finished = kk.open(path)
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=600), "t": ["u", "v"] * 300}, index=finished.obs_names)
    finished.write(
        {
            "obs/when": np.arange(600) / 7,
            "obs/text": np.array([f"cell {i}" for i in range(600)], dtype=object),
            "obs/maybe": pd.Series([1, None] * 300, dtype="Int64"),
            "obsm/frame": frame,
            "obsm/cube": rng.normal(size=(600, 2, 3)),
            "obsm/sparse": sparse.random(600, 20, 0.2, "csr", random_state=0),
            "obsp/dense": rng.normal(size=(600, 600)).astype(np.float32),
            "varp/links": sparse.random(500, 500, 0.01, "csr", random_state=0),
            "varm/loads": rng.normal(size=(500, 3)),
            "uns/about": {"a": 1, "b": {"c": "text"}},
        }
    )
    return path


@pytest.fixture
def rich(_rich_path, copy_of):
    """A finished dataset with an element in every place."""
    return copy_of(_rich_path)


def assert_equal(ours, theirs):
    if sparse.issparse(theirs):
        assert ours.shape == theirs.shape
        assert abs(ours - theirs).max() == 0
    elif isinstance(theirs, pd.DataFrame):
        pd.testing.assert_frame_equal(ours, theirs, check_dtype=False)
    else:
        assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("which", ["cells", "genes", "both"])
def test_a_part_is_anndatas(rich, tmp_path, which):
    rng = np.random.default_rng(1)
    cells = rng.random(600) < 0.4 if which != "genes" else np.ones(600, bool)
    genes = rng.random(500) < 0.6 if which != "cells" else np.ones(500, bool)
    whole = rich.to_anndata()
    expected = whole[cells, genes].copy()
    chosen = {"cells": cells if which != "genes" else None, "genes": genes if which != "cells" else None}
    part = kk.subset(rich, **chosen, to=tmp_path / "part.zarr")
    found = part.to_anndata()
    assert_equal(found.X, expected.X)
    for place in ("obsm", "varm", "obsp", "varp"):
        assert set(getattr(found, place)) == set(getattr(expected, place))
        for name, theirs in getattr(expected, place).items():
            assert_equal(getattr(found, place)[name], theirs)
    retaken = ["n_counts", "n_genes", "pct_mito", "pct_ribo"]
    for column in expected.obs.columns.difference(retaken):
        assert found.obs[column].astype(object).equals(expected.obs[column].astype(object)), column
    for column in expected.var.columns.difference(["n_cells", "mean_counts"]):
        assert found.var[column].astype(object).equals(expected.var[column].astype(object)), column
    assert list(found.obs.columns) == list(expected.obs.columns)
    assert found.uns["about"]["b"]["c"] == "text"
    assert kk.check(part) == []


@pytest.mark.parametrize("layout", [sparse.csr_matrix, np.asarray])
def test_layers_and_dense_tables_are_cut_too(tmp_path, layout):
    rng = np.random.default_rng(0)
    dense = rng.poisson(1.0, (40, 25))
    adata = anndata.AnnData(layout(dense), layers={"half": layout(dense * 0.5)})
    ds = kk.read(adata, to=tmp_path / "a.zarr")
    cells, genes = rng.random(40) < 0.5, rng.random(25) < 0.5
    part = kk.subset(ds, cells=cells, genes=genes, to=tmp_path / "b.zarr").to_anndata()
    for found, expected in ((part.X, dense), (part.layers["half"], dense * 0.5)):
        assert sparse.issparse(found) == (layout is sparse.csr_matrix)
        assert_equal(found.toarray() if sparse.issparse(found) else found, expected[np.ix_(cells, genes)])


def test_quality_is_taken_again_over_the_genes_that_are_kept(dataset, small_counts, tmp_path):
    part = kk.subset(dataset, cells="n_genes > 120", genes="n_cells >= 60", to=tmp_path / "part.zarr")
    dense = small_counts.X.toarray().astype(float)
    cells = (dense > 0).sum(1) > 120
    genes = (dense[cells] > 0).sum(0) >= 60  # in the cells that are kept
    kept = dense[np.ix_(cells, genes)]
    assert np.array_equal(part.read("obs/n_counts"), kept.sum(1))
    assert np.array_equal(part.read("obs/n_genes"), (kept > 0).sum(1))
    assert np.array_equal(part.read("var/n_cells"), (kept > 0).sum(0))
    np.testing.assert_allclose(part.read("var/mean_counts"), kept.mean(0))
    assert part.obs_names.tolist() == small_counts.obs_names[cells].tolist()
    assert part.var_names.tolist() == small_counts.var_names[genes].tolist()


def test_without_quality_before_there_is_none_after(dataset, tmp_path):
    bare = anndata.AnnData(np.eye(4) - 0.5)
    part = kk.subset(kk.read(bare, to=tmp_path / "a.zarr"), cells=np.arange(4) > 1, to=tmp_path / "b.zarr")
    assert "obs/n_counts" not in part


def test_reasons_are_counted_in_their_order(dataset, small_counts, tmp_path):
    obs = dataset.obs
    low, many = obs["n_genes"] <= 120, obs["pct_mito"] >= 6
    query = "n_genes > 120 and pct_mito < 6"
    part = kk.subset(dataset, cells=query, genes="n_cells >= 3", to=tmp_path / "part.zarr")
    about = part.read("uns/subset")
    assert about["parent"] == "cells.zarr"
    assert about["cells"]["before"] == 600
    assert about["cells"]["kept"] == part.n_obs == (~low & ~many).sum()
    assert about["cells"]["removed"] == {"n_genes > 120": low.sum(), "pct_mito < 6": (many & ~low).sum()}
    assert min(about["cells"]["removed"].values()) > 0
    n_cells = (small_counts.X[np.flatnonzero(~low & ~many)] > 0).sum(axis=0)
    assert about["genes"]["removed"]["n_cells >= 3"] == (n_cells < 3).sum()


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("group in ['0', '2'] or n_genes < 100", lambda f: f["group"].isin(["0", "2"]) | (f["n_genes"] < 100)),
        ("not group == '1'", lambda f: f["group"] != "1"),
        ("100 < n_genes <= 150", lambda f: (f["n_genes"] > 100) & (f["n_genes"] <= 150)),
        ("n_counts / n_genes > 3", lambda f: f["n_counts"] / f["n_genes"] > 3),
        ("group in " + repr([f"a long name {i}" for i in range(40)] + ["1"]), lambda f: f["group"] == "1"),
        ("n_genes > 100 and n_genes > 100", lambda f: f["n_genes"] > 100),
    ],
)
def test_any_condition_is_pandas(dataset, tmp_path, query, expected):
    mask = expected(dataset.obs).to_numpy()
    part = kk.subset(dataset, cells=query, to=tmp_path / "part.zarr")
    assert part.obs_names.tolist() == dataset.obs_names[mask].tolist()
    assert sum(part.read("uns/subset")["cells"]["removed"].values()) == 600 - mask.sum()


def test_a_mask_may_be_a_list_or_a_series(dataset, tmp_path):
    mask = dataset.obs["n_genes"] > 150
    parts = [kk.subset(dataset, cells=m, to=tmp_path / f"{i}.zarr") for i, m in enumerate((mask, mask.tolist()))]
    assert parts[0].obs_names.equals(parts[1].obs_names)
    assert parts[0].read("uns/subset")["cells"]["removed"] == {"mask": (~mask).sum()}


def test_a_series_goes_by_its_names(dataset, tmp_path):
    mask = dataset.obs["n_genes"] > 150
    shuffled = mask.sample(frac=1, random_state=0)
    assert not np.array_equal(shuffled, mask)
    part = kk.subset(dataset, cells=shuffled, to=tmp_path / "a.zarr")
    assert part.obs_names.equals(dataset.obs_names[mask])
    by_position = kk.subset(dataset, cells=shuffled.reset_index(drop=True), to=tmp_path / "b.zarr")
    assert by_position.obs_names.equals(dataset.obs_names[shuffled.to_numpy()])
    nullable = kk.subset(dataset, cells=shuffled.astype("boolean"), to=tmp_path / "c.zarr")
    assert nullable.obs_names.equals(part.obs_names)
    genes = pd.Series(np.arange(500) % 2 == 0, index=dataset.var_names[::-1])
    assert kk.subset(dataset, genes=genes, to=tmp_path / "d.zarr").var_names.equals(dataset.var_names[1::2])


def test_a_series_with_other_names_is_refused(dataset, tmp_path):
    mask = dataset.obs["n_genes"] > 150
    other = mask.set_axis([f"other {k}" for k in range(600)])
    with pytest.raises(kk.ParameterError, match="cells is indexed by other names than the dataset: other 0"):
        kk.subset(dataset, cells=other, to=tmp_path / "a.zarr")


def test_a_part_of_a_part_names_its_own_parent(dataset, tmp_path):
    first = kk.subset(dataset, cells="n_genes > 100", to=tmp_path / "one.zarr")
    second = kk.subset(first, cells="n_genes > 130", to=tmp_path / "two.zarr")
    about = second.read("uns/subset")
    assert about["parent"] == "one.zarr"
    assert about["cells"]["before"] == first.n_obs


def test_what_is_done_to_the_part_leaves_the_whole_alone(dataset, tmp_path, listing):
    before = listing(dataset)
    part = kk.subset(dataset, cells="n_genes > 100", to=tmp_path / "part.zarr")
    kk.pca(part, 4)
    assert listing(dataset) == before
    assert part.history()["step"].tolist() == ["subset", "quality", "pca"]
    assert set(part.history()["state"]) == {"current"}


def test_the_part_is_opened_with_the_same_execution(dataset, tmp_path):
    ds = kk.open(dataset.path, memory="123MB", threads=1, progress=False)
    assert kk.subset(ds, genes="n_cells > 9", to=tmp_path / "part.zarr").execution == ds.execution


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cells": "nothing > 1"}, "there is no column 'nothing'; there are group, n_counts"),
        ({"genes": "n_genes > 1"}, "there is no column 'n_genes'"),
        ({"cells": "n_genes > 10**"}, "cannot be read"),
        ({"cells": "n_genes > 1e9"}, "n_genes > .* keeps 0 of 600 cells; the median is "),
        ({"genes": "n_cells > 1e9"}, "n_cells > .* keeps 0 of 500 genes; the median is "),
        (
            {"cells": np.ones(599, bool)},
            r"cells must be a condition, names or 600 booleans, got bool of shape \(599,\)",
        ),
        ({"genes": np.arange(500)}, "genes must be a condition, names or 500 booleans, got int64"),
        ({"cells": "group > 5"}, "cells: group holds text, got 5: write '5'"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_written(dataset, tmp_path, settings, message):
    with pytest.raises(kk.ParameterError, match=message):
        kk.subset(dataset, **settings, to=tmp_path / "part.zarr")
    assert [path.name for path in tmp_path.iterdir()] == ["cells.zarr"]


def test_an_existing_target_is_kept_unless_told(dataset, tmp_path):
    part = kk.subset(dataset, cells="n_genes > 150", to=tmp_path / "part.zarr")
    fewer = part.n_obs
    with pytest.raises(kk.KithkinError, match="exists already"):
        kk.subset(dataset, cells="n_genes > 100", to=tmp_path / "part.zarr")
    assert kk.open(part.path).n_obs == fewer
    again = kk.subset(dataset, cells="n_genes > 100", to=tmp_path / "part.zarr", overwrite=True)
    assert again.n_obs > fewer
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cells.zarr", "part.zarr"]


@pytest.fixture(scope="module")
def _proteins_path(tmp_path_factory):
    frame = pd.DataFrame({"CD3D": [1, 0, 2, 0], "CD19": [0, 3, 0, 1], "n.1": 1}, index=list("abcd"))
    ds = kk.read(frame, to=tmp_path_factory.mktemp("proteins") / "p.zarr", progress=False)
    ds["obsm/Antibody Capture"] = pd.DataFrame({"CD3_prot": [9.0, 1.0, 2.0, 8.0]}, index=ds.obs_names)
    ds["obs/leiden"] = pd.Categorical(list("0011"))
    ds["obs/good one"] = pd.array([True, None, True, False], dtype="boolean")
    return ds.path


@pytest.fixture
def proteins(_proteins_path, copy_of):
    """Four cells with two genes, a protein, clusters and a column that misses a value."""
    return copy_of(_proteins_path)


@pytest.mark.parametrize(
    ("cells", "kept"),
    [
        ("leiden == 0", "ab"),
        ("CD3D > 0", "ac"),
        ("`n.1` > 0 and CD19 < 2", "acd"),
        ("CD3_prot > 5", "ad"),
        ("`obsm/Antibody Capture/CD3_prot` > 5 and leiden == '1'", "d"),
        ("index in ['a', 'd']", "ad"),
        ("`good one`", "ac"),
        ("`good one` and leiden != 0", "c"),
        (["d", "b"], "bd"),
        (pd.Index(["c"]), "c"),
        ("c", "c"),
        (pd.Series([True, False, False, False], index=list("dcba")), "d"),
    ],
)
def test_cells_are_chosen_by_any_name(proteins, tmp_path, cells, kept):
    assert list(kk.subset(proteins, cells=cells, to=tmp_path / "part.zarr").obs_names) == list(kept)


def test_genes_are_chosen_by_name_and_positions_are_refused(proteins, tmp_path):
    part = kk.subset(proteins, genes=["CD19", "CD3D"], cells=["a"], to=tmp_path / "part.zarr")
    assert list(part.var_names) == ["CD3D", "CD19"]
    with pytest.raises(kk.ParameterError, match=r"names of genes are not in var of p.zarr: CD3d. Did you mean 'CD3D'"):
        kk.subset(proteins, genes=["CD3d"], to=tmp_path / "b.zarr")
    for cells in ([0, 1], np.array([2])):
        with pytest.raises(kk.ParameterError, match=r"for positions take their names, ds.obs_names\[positions\]"):
            kk.subset(proteins, cells=cells, to=tmp_path / "b.zarr")


def test_the_same_call_finds_its_result_until_something_changed(proteins, tmp_path):
    to = tmp_path / "part.zarr"
    kk.annotate(kk.subset(proteins, cells="leiden == 0", to=to), "mine", "x")
    again = kk.subset(proteins, cells="leiden == 0", to=to)
    assert again["obs/mine"].tolist() == ["x", "x"]
    for call in (
        lambda: kk.subset(proteins, cells="leiden == 1", to=to),
        lambda: kk.subset(proteins, cells="leiden == 0", genes=["CD19"], to=to),
        lambda: (
            proteins.write({"obs/leiden": pd.Categorical(list("0111"))}),
            kk.subset(proteins, cells="leiden == 0", to=to),
        ),
    ):
        with pytest.raises(kk.KithkinError, match="exists already"):
            call()
    assert kk.subset(proteins, cells="leiden == 0", to=to, overwrite=True).n_obs == 1


def test_auto_removes_the_outliers_of_each_sample(tmp_path):
    """Samples of different depth keep their own cells: what is usual in one is an outlier in the other."""
    rng = np.random.default_rng(0)
    genes = [f"MT-{k}" if k < 5 else f"GENE{k}" for k in range(200)]
    samples = {}
    for name, mean in (("shallow", 0.3), ("deep", 1.0)):
        X = rng.poisson(mean, (60, 200))
        X[0, 5:] *= 40  # too many counts
        X[1, 20:] = 0  # too few genes
        X[2, :5] += int(60 * mean) + 1  # too many mitochondrial counts
        samples[name] = pd.DataFrame(X, [f"{name}{k}" for k in range(60)], genes)
    ds = kk.read(samples, to=tmp_path / "a.zarr")
    part = kk.subset(ds, cells="auto", to=tmp_path / "b.zarr")
    kept, counted = [], np.zeros(3, int)
    for one in (ds.obs[ds.obs["sample"] == name] for name in samples):
        columns = [np.log1p(one["n_counts"]), np.log1p(one["n_genes"]), one["pct_mito"]]
        scores = np.array([(x - x.median()) / stats.median_abs_deviation(x, scale="normal") for x in columns])
        out = np.array([np.abs(scores[0]) > 5, np.abs(scores[1]) > 5, scores[2] > 3])
        kept += one.index[~out.any(axis=0)].tolist()
        counted += np.bincount(out.argmax(axis=0)[out.any(axis=0)], minlength=3)
    assert part.obs_names.tolist() == kept
    removed = part.read("uns/subset")["cells"]["removed"]
    reasons = ["n_counts within 5 MADs", "n_genes within 5 MADs", "pct_mito at most 3 MADs above the median"]
    assert [removed[reason] for reason in reasons] == counted.tolist()
    assert not {f"{name}{k}" for name in samples for k in range(3)} & set(kept)
    assert kk.subset(ds, cells="auto", by="obs/sample", to=tmp_path / "b.zarr").n_obs == part.n_obs
    ds.delete("obs/sample")
    assert kk.subset(ds, cells="auto", to=tmp_path / "c.zarr").n_obs > part.n_obs, (
        "of one sample there are other outliers"
    )
    with pytest.raises(kk.KithkinError, match="by has no effect"):
        kk.subset(ds, cells="n_genes > 0", by="obs/sample", to=tmp_path / "d.zarr")


@pytest.mark.parametrize("n_kept", [30, 100, 190])
@pytest.mark.parametrize("layout", [np.asarray, sparse.csr_matrix])
def test_measures_of_genes_are_those_of_the_cells_that_are_kept(tmp_path, layout, n_kept):
    rng = np.random.default_rng(0)
    X = rng.poisson(0.3, (200, 60))
    X[:n_kept, :10] = 0  # genes of the other cells alone
    ds = kk.read(layout(X.astype(np.float32)), to=tmp_path / "a.zarr", kind="counts", progress=False)
    some = np.arange(200) < n_kept
    part = kk.subset(ds, cells=some, genes="n_cells >= 3", to=tmp_path / "b.zarr")
    expected = (X[some] > 0).sum(axis=0) >= 3
    assert part.var_names.tolist() == ds.var_names[expected].tolist()
    assert part["var/n_cells"].min() >= 3
    assert not expected[:10].any()
    mean = kk.subset(ds, cells=some, genes="mean_counts > 0.3", to=tmp_path / "c.zarr")
    assert mean.var_names.tolist() == ds.var_names[X[some].mean(axis=0) > 0.3].tolist()
    assert kk.subset(ds, genes="n_cells >= 3", to=tmp_path / "d.zarr").n_vars == ((X > 0).sum(axis=0) >= 3).sum()
    assert kk.subset(ds, cells=some, genes="n_cells >= 3", to=tmp_path / "b.zarr").shape == part.shape, "a look-up"


def test_a_column_of_genes_that_is_no_measure_is_taken_as_it_is(dataset, tmp_path):
    dataset["var/n_cells"] = np.arange(500)
    part = kk.subset(dataset, cells="group == '0'", genes="n_cells >= 400", to=tmp_path / "b.zarr")
    assert part.var_names.tolist() == dataset.var_names[400:].tolist()


def test_only_filters_that_were_counted_otherwise_have_another_revision():
    from kithkin.verbs.subset import subset_step

    chosen = (("n > 1", "n_cells >= 3"), (None, "n_cells >= 3"), ("n > 1", "marker == 'x'"), ("n > 1", None))
    assert [subset_step(*one).revision for one in chosen] == [2, 1, 1, 1]
