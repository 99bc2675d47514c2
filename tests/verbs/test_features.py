"""Features of cells are measured on their thumbnails, stored with names, and read by the other verbs."""

import numpy as np
import pandas as pd
import pytest

import kithkin as kk
from kithkin.verbs.features import features
from kithkin.verbs.read_image import read_image

SIDE, KIND = 30, np.arange(64) % 2  # of a square in which a cell lies; round cells and long ones by turns
CENTRES = np.stack(np.divmod(np.arange(64), 8), axis=1) * SIDE + SIDE // 2


def draw(seed=0):
    """Return an image of round and long cells, of which the long ones are brighter in CD3, and their labels."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((8 * SIDE, 8 * SIDE), np.uint16)
    y, x = np.mgrid[: 8 * SIDE, : 8 * SIDE]
    for k, ((cy, cx), long) in enumerate(zip(CENTRES + rng.uniform(-2, 2, CENTRES.shape), KIND, strict=True)):
        a, b = (12, 4) if long else (7, 7)
        labels[((y - cy) / a) ** 2 + ((x - cx) / b) ** 2 < 1] = k + 1
    pixels = rng.integers(90, 110, (3, *labels.shape)).astype(np.uint16)
    pixels[1] += np.append(0, 400 + 800 * KIND)[labels].astype(np.uint16)
    return pixels, labels


PIXELS, LABELS = draw()


@pytest.fixture(scope="module")
def tissue(tmp_path_factory):
    ds = read_image(PIXELS, LABELS, to=tmp_path_factory.mktemp("made") / "tissue.zarr", threads=2)
    features(ds)
    return ds


def test_features_are_stored_with_their_names(tissue):
    table = features(tissue)
    assert table.shape == tissue.read("obsm/features").shape
    assert np.isfinite(table.to_numpy()).all()
    assert kk.check(tissue) == []
    assert tissue.history()["state"].tolist() == ["current", "current"]
    means = np.array([PIXELS[:, k == LABELS].mean(axis=1) for k in range(1, 65)])
    np.testing.assert_allclose(table[[f"{name}_mean" for name in tissue.var_names]], means, rtol=1e-6)
    np.testing.assert_allclose(table["eccentricity"], tissue.read("obs/eccentricity"), rtol=1e-6)
    pd.testing.assert_frame_equal(features(tissue, key=None), table)
    few = features(tissue, ["shape", "correlation"], key="obsm/few")
    first, last = tissue.var_names[-2:]
    assert few.columns.tolist()[-1] == f"correlation_{first}_{last}"


def test_the_usual_verbs_work_on_features(tissue):
    kk.pca(tissue, 10, on="obsm/features", normalize=None, scale=True)
    kk.neighbors(tissue)
    kk.umap(tissue, n_epochs=20)
    kk.paris(tissue)
    found = kk.kmeans(tissue, 2, on="obsm/X_pca")
    share = (found.astype(int) == KIND).mean()
    assert max(share, 1 - share) > 0.8
    assert "obsm/X_umap" in tissue


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32", "float16", "float64"])
def test_pixels_of_any_type_have_features(tmp_path, dtype):
    pixels = (PIXELS // 100 > 5 if dtype == "bool" else PIXELS // 10).astype(dtype)
    ds = read_image(pixels, LABELS.astype(np.int64), to=tmp_path / "tissue.zarr")
    assert np.isfinite(features(ds).to_numpy()).all()


def test_features_need_thumbnails(dataset):
    with pytest.raises(kk.MissingResultError, match="obsm/thumbnails is not in"):
        features(dataset)
