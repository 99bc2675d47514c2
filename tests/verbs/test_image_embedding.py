import numpy as np
import pytest

import kithkin as kk
from kithkin.core.errors import MissingResultError, ParameterError
from kithkin.models.images.pca import ImagePCA
from kithkin.verbs.image_embedding import image_embedding
from kithkin.verbs.read_image import read_image

LABELS = np.kron(np.arange(1, 37).reshape(6, 6), np.pad(np.ones((8, 8), int), 2))
PIXELS = np.random.default_rng(0).integers(0, 60000, (3, *LABELS.shape)).astype(np.uint16)


@pytest.fixture
def tissue(tmp_path):
    return read_image(PIXELS, LABELS, to=tmp_path / "tissue.zarr", window_size=12, threads=2)


def test_scores_are_stored_and_looked_up(tissue):
    found = image_embedding(tissue, 5)
    assert found.shape == (36, 5)
    assert found.dtype == np.float32
    assert np.array_equal(tissue.read("obsm/X_image"), found)
    about = tissue.read("uns/X_image")
    assert about["params"]["method"] == "pca"
    assert about["params"]["masks"] == "obsm/masks"
    assert about["variance_ratio"].shape == (5,)
    assert about["scale"]["deviation"].shape == (3,)
    expected = ImagePCA(5).fit_transform(tissue.read("obsm/thumbnails"), tissue.read("obsm/masks"))
    np.testing.assert_allclose(found, expected, atol=1e-4)
    before = tissue.history()
    assert np.array_equal(image_embedding(tissue, 5), found)
    assert tissue.history().equals(before)
    assert kk.check(tissue) == []


def test_masks_hide_what_is_not_the_cell(tissue):
    seen = image_embedding(tissue, 5, masks=None, key="obsm/X_seen")
    assert "uns/X_seen" in tissue
    assert not np.allclose(np.abs(seen), np.abs(image_embedding(tissue, 5)), rtol=0.1)
    bare = read_image(PIXELS, LABELS, to=tissue.path.with_name("bare.zarr"), window_size=12, mask_cells=True)
    np.testing.assert_allclose(image_embedding(bare, 5, key=None), image_embedding(tissue, 5, key=None), atol=1e-4)


def test_nothing_is_stored_without_a_key(tissue):
    found = image_embedding(tissue, 5, key=None)
    assert found.shape == (36, 5)
    assert "obsm/X_image" not in tissue
    assert "uns/X_image" not in tissue


def test_the_usual_verbs_work_on_it(tissue):
    image_embedding(tissue, 5)
    kk.neighbors(tissue, 5, on="obsm/X_image")
    assert kk.leiden(tissue).nunique() >= 1


def test_an_autoencoder_in_its_place(tissue, tmp_path):
    pytest.importorskip("torch")
    settings = {"method": "autoencoder", "n_epochs": 2}
    found = image_embedding(tissue, 4, **settings, checkpoint=tmp_path / "state.safetensors")
    assert found.shape == (36, 4)
    history = tissue.read("uns/X_image")["history"]
    assert history["reconstruction"].shape == history["epoch"].shape == (2,)
    assert tissue.read("uns/X_image")["params"]["n_epochs"] == 2
    other = kk.open(tissue.path, threads=1, memory="50MB")
    assert np.array_equal(image_embedding(other, 4, **settings, key="obsm/X_again"), found)


def test_torch_is_asked_for_by_name(tissue, monkeypatch):
    import sys

    for name in [name for name in sys.modules if name.partition(".")[0] == "torch"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(
        kk.core.errors.KithkinError, match=r"image_embedding.* needs torch: pip install 'kithkin\[deep\]'"
    ):
        image_embedding(tissue, 4, method="autoencoder")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "tsne"}, "method must be one of 'pca', 'autoencoder'"),
        ({"n_components": 36}, r"n_components must be in 1..35, got 36"),
        ({"n_components": 0}, r"n_components must be in 1..35, got 0"),
        ({"n_epochs": 3}, "need method='autoencoder'"),
        ({"clip": 2.0}, "clip must be"),
        ({"on": "obsm/spatial", "masks": None}, "cells x channels x rows x columns, got 36 x 2"),
    ],
)
def test_what_is_refused(tissue, settings, message):
    with pytest.raises(ParameterError, match=message):
        image_embedding(tissue, **({"n_components": 4} | settings))
    assert "obsm/X_image" not in tissue


def test_thumbnails_are_needed(dataset):
    with pytest.raises(MissingResultError, match="obsm/thumbnails is not in"):
        image_embedding(dataset)
    with pytest.raises(MissingResultError, match="obsm/other is not in"):
        image_embedding(dataset, masks="obsm/other", on="X")


def test_constant_images_and_nan(tissue, tmp_path):
    flat = read_image(np.ones(PIXELS.shape), LABELS, to=tmp_path / "flat.zarr", window_size=8)
    with pytest.raises(ParameterError, match="the same everywhere"):
        image_embedding(flat, 4)
    spoilt = tissue.read("obsm/thumbnails").astype(np.float32)
    spoilt[7, 1, 6, 6] = np.nan
    tissue.write({"obsm/spoilt": spoilt})
    with pytest.raises(ParameterError, match="finite"):
        image_embedding(tissue, 4, on="obsm/spoilt")
