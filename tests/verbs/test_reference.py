"""References are made of components that other cells can be given, and of nothing else."""

import numpy as np
import pytest

import kithkin as kk
from kithkin.verbs.arguments.reference_file import LARGEST, Reference


@pytest.fixture
def harmonized(finished):
    kk.annotate(finished, "run", ["x", "y"] * 300)
    kk.harmonize(finished, "run")
    return finished


def test_a_reference_holds_the_sums_and_loadings_of_the_dataset(harmonized, tmp_path):
    kk.umap(harmonized, n_epochs=20)
    kk.reference(harmonized, "group", to=tmp_path / "a.kin")
    held = Reference.read(tmp_path / "a.kin")
    marked = harmonized.read("var/highly_variable").to_numpy()
    assert held.genes == list(harmonized.var_names[marked])
    assert held.labels == ["0", "1", "2", "3"]
    counts = harmonized.read("obs/n_counts").to_numpy()
    assert held.target_sum == max(1000, np.median(counts))
    about = harmonized.read("uns/X_harmony")
    np.testing.assert_allclose(held.map.sums, about["sums"], rtol=1e-6)
    np.testing.assert_allclose(held.map.loadings, harmonized.read("varm/PCs")[marked], rtol=1e-6)
    counts = harmonized.genes(held.genes)
    values = np.log1p(1000 * counts / harmonized.read("obs/n_counts").to_numpy()[:, None])
    np.testing.assert_allclose(held.map.mean, values.mean(axis=0), rtol=1e-4)
    group = (harmonized.read("obs/group") == "1").to_numpy()
    np.testing.assert_allclose(held.map.profiles.mean[1], values[group].mean(axis=0), atol=2e-3)
    own = (values - held.map.mean) @ held.map.loadings
    np.testing.assert_allclose(own, harmonized.read("obsm/X_pca"), atol=1e-3)
    assert held.map.layout.shape == (600, 2)
    assert held.about["batch"] == "obs/run"
    assert abs(held.size - (tmp_path / "a.kin").stat().st_size) < 4000


def test_components_on_one_scale_and_cells_without_a_label(finished, tmp_path):
    kk.pca(finished, 8, scale=True, key="scaled")
    kinds = finished.read("obs/group").astype(object)
    kinds[np.arange(600) % 4 == 0] = None
    finished["obs/kind"] = kinds
    expected = kk.reference(finished, "kind", to=tmp_path / "a.kin", on="obsm/scaled", layout=None)
    assert expected["n_cells"].sum() == 450
    assert len(Reference.read(tmp_path / "a.kin").map.places) == 0
    found = kk.map_to(finished, tmp_path / "a.kin", threshold=None)
    assert "obsm/X_mapped_umap" not in finished
    assert (found["label"].astype(str) == finished.read("obs/group").astype(str)).mean() > 0.97
    held = Reference.read(tmp_path / "a.kin")
    values = np.log1p(1000 * finished.genes(held.genes) / finished.read("obs/n_counts").to_numpy()[:, None])
    np.testing.assert_allclose((values - held.map.mean) @ held.map.loadings, finished.read("obsm/scaled"), atol=1e-2)


def test_landmarks_make_room_where_a_file_would_be_too_large(harmonized, tmp_path, monkeypatch):
    kk.umap(harmonized, n_epochs=20)
    kk.reference(harmonized, "group", to=tmp_path / "a.kin")
    whole = (tmp_path / "a.kin").stat().st_size
    assert whole < LARGEST
    monkeypatch.setattr("kithkin.verbs.reference.LARGEST", whole - 6000)
    kk.reference(harmonized, "group", to=tmp_path / "b.kin")
    held = Reference.read(tmp_path / "b.kin")
    assert 100 < len(held.map.places) < 500
    assert (tmp_path / "b.kin").stat().st_size <= whole - 6000
    monkeypatch.setattr("kithkin.verbs.reference.LARGEST", 2000)
    with pytest.raises(kk.ParameterError, match=r"would take 0\.\d MB: mark fewer variable genes"):
        kk.reference(harmonized, "group", to=tmp_path / "c.kin")


def test_what_was_computed_before_a_change_is_refused(harmonized, tmp_path):
    kk.pca(harmonized, 8)
    with pytest.raises(kk.ParameterError, match=r"obsm/X_harmony of cells\.zarr is out of date"):
        kk.reference(harmonized, "group", to=tmp_path / "a.kin")
    kk.reference(harmonized, "group", to=tmp_path / "a.kin", on="obsm/X_pca")
    kk.variable_genes(harmonized, 100)
    with pytest.raises(kk.ParameterError, match=r"varm/PCs of cells\.zarr is out of date"):
        kk.reference(harmonized, "group", to=tmp_path / "b.kin", on="obsm/X_pca")


def test_what_is_wrong_is_named(finished, tmp_path):
    path = tmp_path / "a.kin"
    with pytest.raises(kk.MissingResultError, match=r"Run kithkin\.harmonize\(ds, batch\) first"):
        kk.reference(finished, "group", to=path)
    with pytest.raises(kk.MissingResultError, match=r"obs/celltype is not in cells\.zarr"):
        kk.reference(finished, "celltype", to=path, on="obsm/X_pca")
    kk.annotate(finished, "one", "same")
    with pytest.raises(kk.ParameterError, match="labels must be two or more, but obs/one has 1"):
        kk.reference(finished, "one", to=path, on="obsm/X_pca")
    finished["obsm/X_mine"] = np.ones((600, 3))
    with pytest.raises(kk.ParameterError, match=r"on must be components that kithkin\.pca made of genes"):
        kk.reference(finished, "group", to=path, on="obsm/X_mine")
    kk.pca(finished, 5, method="lsi", key="lsi")
    with pytest.raises(kk.ParameterError, match="references need method='covariance'"):
        kk.reference(finished, "group", to=path, on="obsm/lsi")
    with pytest.raises(kk.ParameterError, match="layout must have two columns"):
        kk.reference(finished, "group", to=path, on="obsm/X_pca", layout="X_pca")
    assert not path.exists()
    kk.reference(finished, "group", to=path, on="obsm/X_pca")
    with pytest.raises(kk.KithkinError, match="exists already"):
        kk.reference(finished, "group", to=path, on="obsm/X_pca")
