"""Doublets of each sample by itself, the groups they are made of, and what is stored of them."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import kithkin as kk

N = 300


def sample(seed, n=N, n_pairs=24):
    cells = kk.datasets.simulate_counts(n, 300, 3, seed=seed)
    cells.obs["kind"] = cells.obs["group"].astype(str)
    rng = np.random.default_rng(seed)
    if n_pairs:
        kinds = cells.obs["kind"].to_numpy()
        pairs = rng.integers(0, n, (2, 9 * n_pairs))
        pairs = pairs[:, kinds[pairs[0]] != kinds[pairs[1]]][:, :n_pairs]
        sums = ad.AnnData(cells.X[pairs[0]] + cells.X[pairs[1]], var=cells.var[[]])
        sums.obs["pair"] = [" + ".join(sorted(kinds[pair])) for pair in pairs.T]
        sums.obs_names = [f"sum{k}" for k in range(n_pairs)]
        cells = ad.concat([cells[:, sums.var_names], sums], join="outer")
    cells.obs_names = [f"s{seed} {name}" for name in cells.obs_names]
    return cells


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("doublets")
    samples = {f"s{k}": sample(k) for k in range(2)} | {"tiny": sample(2, 20, 0)}
    ds = kk.read(samples, to=folder / "all.zarr")
    return folder, samples, ds, kk.doublets(ds)


def test_sums_are_found_in_each_sample(made):
    *_, ds, found = made
    is_sum = ds.obs_names.str.contains("sum")
    assert found["doublet"][is_sum].mean() > 0.5
    assert found["doublet"][~is_sum].mean() < 0.05
    assert found["doublet_score"].isna().tolist() == (ds["obs/sample"] == "tiny").tolist()
    assert found["doublet_of"].notna().tolist() == found["doublet"].tolist()
    table = ds["uns/doublet"]["samples"]
    assert table["n_cells"].to_dict() == {"s0": 324, "s1": 324, "tiny": 20}
    assert table["n_doublets"].sum() == found["doublet"].sum()
    assert table.loc[["s0", "s1"], "rate"].between(0.02, 0.15).all()
    assert found.attrs["text"]["tiny"] == "tiny: not scored, as it has 20 cells"


def test_a_sample_has_the_scores_that_it_has_alone(made, tmp_path):
    _, samples, ds, found = made
    alone = kk.doublets(kk.read(samples["s1"], to=tmp_path / "s1.zarr"))
    own = (ds["obs/sample"] == "s1").to_numpy()
    assert np.array_equal(found["doublet_score"][own], alone["doublet_score"])
    assert found["doublet_of"][own].astype(object).tolist() == alone["doublet_of"].astype(object).tolist()
    mixed = ad.concat([one[:100] for one in samples.values()] + [one[100:] for one in samples.values()], join="outer")
    mixed.obs["library"] = [name.split()[0] for name in mixed.obs_names]
    turned = kk.doublets(kk.read(mixed, to=tmp_path / "mixed.zarr"), by="library")
    rows = turned["doublet_score"].reindex(alone.index)
    np.testing.assert_allclose(rows, alone["doublet_score"])


def test_groups_may_be_given(made):
    *_, ds, _ = made
    found = kk.doublets(ds, groups="obs/kind", method="mixture", key="two")
    assert "obs/two_of" in ds
    assert ds["obs/two"].dtype == bool
    obs = ds.obs
    called = obs["pair"].notna() & obs["two"]
    assert called.sum() > 15
    assert (obs["two_of"][called].astype(str) == obs["pair"][called].astype(str)).mean() > 0.9
    without = kk.subset(ds, cells="not two", to=ds.path.with_name("without.zarr"))
    assert without.n_obs == ds.n_obs - found["doublet"].sum()


def test_the_same_again_is_a_look_up(made, listing):
    *_, ds, found = made
    before = listing(ds)
    again = kk.doublets(ds)
    pd.testing.assert_frame_equal(found, again, check_categorical=False)
    assert again.attrs == found.attrs
    assert listing(ds) == before
    assert kk.doublets(ds, by=None, key=None)["doublet_score"].notna().all()
    assert listing(ds) == before


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"by": "obs/donor"}, "obs/donor is not in all.zarr"),
        ({"groups": "obs/leiden"}, r"obs/leiden is not in all.zarr. Run kithkin.leiden"),
        ({"method": "scrublet"}, "method must be one of 'simulate', 'mixture'|method must be"),
        ({"rate": 80}, "rate must be in 0.001..0.5, got 80"),
        ({"by": "obs/n_counts"}, "by"),
        ({"groups": "var/symbol"}, "groups must lie in obs"),
        ({"on": "obsm/X_pca"}, "obsm/X_pca is not in all.zarr"),
    ],
)
def test_mistakes(made, settings, said):
    *_, ds, _ = made
    with pytest.raises(kk.KithkinError, match=said) as caught:
        kk.doublets(ds, **settings)
    assert "\n" not in str(caught.value)


def test_what_holds_no_counts_is_refused(tmp_path):
    values = kk.read(pd.DataFrame(np.random.default_rng(0).normal(size=(40, 5))), to=tmp_path / "v.zarr")
    with pytest.raises(kk.ParameterError, match=r"doublets is for counts, but X of v\.zarr holds values"):
        kk.doublets(values)
    few = kk.read(sample(0, 20, 0), to=tmp_path / "few.zarr")
    with pytest.raises(kk.ParameterError, match="must have a sample of at least 30 cells, but has 20"):
        kk.doublets(few)
