import warnings

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

import kithkin as kk
from kithkin import plot
from kithkin.core.errors import ParameterError
from kithkin.plot.look.style import ABSENT

N, H, W = 120, 6, 5


@pytest.fixture
def images(tmp_path):
    anndata = pytest.importorskip("anndata")
    rng = np.random.default_rng(0)
    codes = np.arange(N) % 3
    X = rng.integers(0, 255, (N, H * W)).astype(np.uint8)
    var = pd.DataFrame({"row": np.arange(H * W) // W, "column": np.arange(H * W) % W})
    var.index = [f"pixel{j}" for j in range(H * W)]
    obs = pd.DataFrame({"deep": pd.Categorical.from_codes(codes, ["0", "1", "2"])}, index=[f"i{k}" for k in range(N)])
    ds = kk.read(anndata.AnnData(X, obs=obs, var=var), to=tmp_path / "images.zarr")
    gates = np.where(rng.random((H * W, 3)) < 0.3, rng.uniform(0.6, 1, (H * W, 3)), 0.5).astype(np.float32)
    ds.write({"varm/deep_gates": gates})
    return ds, X, codes, gates


def test_open_gates_lie_over_the_mean_image(images, apart):
    ds, X, codes, gates = images
    figure = plot.gates(ds)
    panels = [ax for ax in figure.axes if len(ax.images) == 2]
    assert [ax.get_label() for ax in panels] == ["0", "1", "2"]
    for k, ax in enumerate(panels):
        mean, mask = (image.get_array() for image in ax.images)
        np.testing.assert_allclose(np.ma.filled(mean, np.nan), X[codes == k].mean(axis=0).reshape(H, W))
        opened = gates[:, k].reshape(H, W)
        np.testing.assert_allclose(mask.filled(0), np.where(opened > 0.55, opened, 0), rtol=1e-6)
    texts = [text for ax in panels for text in ax.texts]
    assert [text.get_text() for text in texts] == ["0", "40", "1", "40", "2", "40"]
    assert apart(figure, [*texts, *[ax.patch for ax in panels]])


def test_the_shape_may_be_given_and_a_heat_map_wanted(images):
    ds, *_ = images
    shaped = plot.gates(ds, shape=(H, W), n_columns=1)
    assert shaped.get_size_inches()[1] > plot.gates(ds, n_columns=3).get_size_inches()[1]
    assert plot.gates(ds, kind="heatmap").axes[0].get_label() == "gates"
    with pytest.raises(ParameterError, match="pixels lie outside of shape"):
        plot.gates(ds, shape=(2, 2))


def test_a_colour_image_has_the_largest_gate_of_its_channels(tmp_path):
    anndata = pytest.importorskip("anndata")
    place = np.indices((2, 2, 3)).reshape(3, -1)
    var = pd.DataFrame(dict(zip(("row", "column", "channel"), place, strict=True)), index=[f"v{j}" for j in range(12)])
    obs = pd.DataFrame({"deep": ["0", "0"]}, index=["a", "b"])
    X = np.arange(24, dtype=np.uint8).reshape(2, 12)
    ds = kk.read(anndata.AnnData(X, obs=obs, var=var), to=tmp_path / "colour.zarr")
    gates = np.zeros((12, 1), np.float32)
    gates[[1, 2, 9], 0] = 0.6, 0.9, 0.7
    ds.write({"varm/deep_gates": gates})
    mean, mask = (image.get_array() for image in plot.gates(ds).axes[0].images)
    assert mean.shape == (2, 2, 3)
    np.testing.assert_allclose(mask.filled(0), [[0.9, 0], [0, 0.7]], rtol=1e-6)


def test_a_whole_image_has_as_many_pixels_as_its_shape(images, tmp_path):
    ds, *_ = images
    with pytest.raises(ParameterError, match=r"as many pixels as there are, 30 features, got \(6, 6\)"):
        plot.gates(ds, shape=(H, W + 1))
    bare = kk.read(np.ones((4, 64)), to=tmp_path / "bare.zarr")
    bare.write({"obs/deep": np.array(["0", "0", "1", "1"], dtype=object), "varm/deep_gates": np.eye(64, 2)})
    assert plot.gates(bare, shape=(8, 8)).axes
    for shape in ((8, 9), (9, 8), (4, 17)):
        with pytest.raises(ParameterError, match="shape must have as many pixels"):
            plot.gates(bare, shape=shape)


def test_pixels_may_be_missing_and_are_tinted_without_a_warning(images, tmp_path):
    anndata = pytest.importorskip("anndata")
    _, X, *_ = images
    kept = np.delete(np.arange(H * W), [0, 7, 29])
    obs = pd.DataFrame({"deep": ["0"] * N}, index=[f"i{k}" for k in range(N)])
    var = pd.DataFrame({"row": kept // W, "column": kept % W}, index=kept.astype(str))
    few = kk.read(anndata.AnnData(X[:, kept], obs=obs, var=var), to=tmp_path / "few.zarr")
    few.write({"varm/deep_gates": np.ones((len(kept), 1), np.float32)})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = plot.gates(few, shape=(H, W))
    mean = figure.axes[0].images[0]
    assert np.ma.getmaskarray(mean.get_array()).ravel().nonzero()[0].tolist() == [0, 7, 29]
    assert to_hex(mean.get_cmap().get_bad()).upper() == ABSENT
