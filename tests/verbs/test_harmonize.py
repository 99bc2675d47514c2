"""Batches mix, conditions that would be lost are refused, and other verbs go on from the result."""

import anndata
import numpy as np
import pytest

import kithkin as kk
from kithkin.models import Harmony


@pytest.fixture
def batches(finished):
    """The finished counts, whose second half was measured elsewhere."""
    Z = finished.read("obsm/X_pca")
    later = np.arange(600) % 2 == 1
    moved = Z + later[:, None] * np.linspace(2, 0, Z.shape[1], dtype=np.float32)
    finished.write({"obsm/X_pca": moved, "obs/batch": np.where(later, "late", "early")})
    return finished


def test_it_is_the_model_and_is_looked_up(batches, states):
    Z = kk.harmonize(batches, "batch")
    model = Harmony().fit(batches.read("obsm/X_pca"), np.arange(600) % 2)
    np.testing.assert_allclose(Z, model.embedding_, atol=1e-4)
    about = batches.read("uns/X_harmony")
    assert about["params"]["batch"] == "obs/batch"
    assert about["sizes"].sum() == pytest.approx(600)
    np.testing.assert_allclose(about["sums"], model.sums_, rtol=1e-3, atol=1e-2)
    changed = (batches.path / "obsm/X_harmony/zarr.json").stat().st_mtime_ns
    kk.harmonize(batches, "obs/batch")
    assert (batches.path / "obsm/X_harmony/zarr.json").stat().st_mtime_ns == changed
    kk.annotate(batches, "batch", np.repeat(["a", "b"], 300))
    assert states(batches)["harmonize"] == "stale"


def test_neighbours_and_map_go_on_from_it(batches):
    kk.harmonize(batches, "batch")
    kk.neighbors(batches, on="obsm/X_harmony")
    assert batches.read("uns/neighbors")["params"]["use_rep"] == "X_harmony"
    kk.leiden(batches, 0.5)
    assert kk.compare(batches, "leiden", to="group").ari > 0.9
    table = kk.mixing(batches, "batch", labels="group")
    assert table.loc["before", "ilisi"] < 1.6
    assert table.loc["after", "ilisi"] > 1.85
    assert table.loc["after", "clisi"] < 1.05


def test_a_condition_that_would_be_lost_is_refused(batches, caplog):
    kk.annotate(batches, "drug", np.where(np.arange(600) % 2 == 1, "yes", "no"))
    with pytest.raises(kk.ParameterError, match=r"obs/batch tells obs/drug \(Cramér's V = 1\)"):
        kk.harmonize(batches, "batch", condition="drug")
    assert "obsm/X_harmony" not in batches
    kk.annotate(batches, "other", np.where(np.arange(600) % 40 == 1, "no", batches.read("obs/drug")))
    kk.harmonize(batches, "batch", condition="other", key=None)
    assert "obs/batch nearly tells obs/other (Cramér's V = 0.95)" in caplog.text
    caplog.clear()
    kk.harmonize(batches, "batch", condition="group", key=None)
    assert "nearly tells" not in caplog.text
    assert kk.harmonize(batches, "drug", key=None).shape == (600, 10)


def test_samples_that_each_have_one_condition_tell_it(batches):
    kk.annotate(batches, "sample", [f"s{k % 6}" for k in range(600)])
    kk.annotate(batches, "drug", np.where(np.arange(600) % 2 == 1, "yes", "no"))
    with pytest.raises(kk.ParameterError, match="name batches that hold several conditions each"):
        kk.harmonize(batches, "sample", condition="drug")


def test_what_is_missing_or_wrong_is_named(batches):
    with pytest.raises(kk.MissingResultError, match=r"obs/donor is not in cells\.zarr"):
        kk.harmonize(batches, "donor")
    with pytest.raises(kk.MissingResultError, match=r"Run kithkin\.harmonize\(ds, batch\) first"):
        kk.neighbors(batches, on="obsm/X_harmony")
    kk.annotate(batches, "half", [None, "a", "b"] * 200)
    with pytest.raises(kk.ParameterError, match=r"batch must give each row a label, but 200 of 600 in obs/half have"):
        kk.harmonize(batches, "half")
    batches["obs/n_counts"] = np.random.default_rng(0).random(600)
    with pytest.raises(kk.ParameterError, match=r"batch must name labels such as obs/leiden, but obs/n_counts holds"):
        kk.harmonize(batches, "n_counts")


def test_control_and_stimulated_cells_mix_while_their_kinds_stay_apart(shared_data, tmp_path):
    source = anndata.read_h5ad(shared_data / "samples" / "ifnb_four_samples.h5ad")
    ds = kk.read(source, to=tmp_path / "ifnb.zarr")
    kk.variable_genes(ds, 600, batch="obs/condition")
    kk.pca(ds, 20)
    kk.harmonize(ds, "obs/condition")
    table = kk.mixing(ds, "obs/condition", labels="obs/cell_type")
    assert table.loc["before", "ilisi"] < 1.2
    assert table.loc["after", "ilisi"] > 1.5
    assert table["clisi"].max() < 1.1
