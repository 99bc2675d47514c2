import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import kithkin as kk
from kithkin.core.errors import MissingResultError, ParameterError
from kithkin.plot.data import Groups
from kithkin.plot.images.mean_image import mean_image, means_of

N, H, W = 300, 5, 4


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    return rng.integers(0, 255, (N, H * W)).astype(np.uint8) * (rng.random((N, H * W)) < 0.4).astype(np.uint8)


@pytest.fixture(scope="module")
def codes():
    return np.random.default_rng(1).integers(-1, 4, N)


def dataset(path, X, codes, names=None, **var):
    anndata = pytest.importorskip("anndata")
    names = [f"v{i}" for i in range(X.shape[1])] if names is None else names
    obs = pd.DataFrame({"kind": pd.Categorical.from_codes(codes, list("abcd"))}, index=[f"i{k}" for k in range(N)])
    table = anndata.AnnData(X, obs=obs, var=pd.DataFrame(var, index=names))
    return kk.read(table, to=path / "images.zarr")


def drawn(figure):
    return {
        ax.get_label(): np.ma.filled(ax.images[0].get_array().astype(float), np.nan) for ax in figure.axes if ax.images
    }


def expected(X, codes, shape=(H, W)):
    return {name: X[codes == i].mean(axis=0).reshape(shape) for i, name in enumerate("abcd")}


def same(figure, wanted):
    found = drawn(figure)
    assert list(found) == list(wanted)
    for name, image in wanted.items():
        np.testing.assert_allclose(found[name], image)


@pytest.mark.parametrize("layout", [np.asarray, sparse.csr_matrix])
@pytest.mark.parametrize("rows", [1, 7, 64, 300])
def test_means_equal_numpy_for_every_block_size(tmp_path, images, codes, layout, rows):
    ds = dataset(tmp_path, layout(images), codes)
    blocks = ds.blocks
    ds.blocks = lambda key="X": blocks(key, rows)
    means = means_of(ds, Groups("", codes, list("abcd")))
    np.testing.assert_allclose(means, [images[codes == i].mean(axis=0) for i in range(4)], rtol=1e-13)
    assert len(means_of(ds, Groups("", codes, list("abcde")))) == 4


def test_pictures_in_a_grid_with_names_and_sizes(tmp_path, images, codes, apart):
    figure = mean_image(dataset(tmp_path, images, codes), "obs/kind", shape=(H, W), n_columns=3)
    same(figure, expected(images, codes))
    panels = [ax for ax in figure.axes if ax.images]
    texts = [text for ax in panels for text in ax.texts]
    assert [t.get_text() for t in texts] == [s for i in range(4) for s in ("abcd"[i], str((codes == i).sum()))]
    assert apart(figure, [*texts, *[ax.patch for ax in panels]])
    assert {ax.images[0].get_clim() for ax in panels} == {(0.0, np.max(list(expected(images, codes).values())))}


def test_a_subset_of_pixels_lands_in_place(tmp_path, images, codes):
    rng = np.random.default_rng(2)
    kept = rng.permutation(H * W)[:13]
    row, column = np.divmod(kept, W)
    whole = {name: np.full(H * W, np.nan) for name in "abcd"}
    for name, image in expected(images, codes).items():
        whole[name][kept] = image.ravel()[kept]
    whole = {name: image.reshape(H, W) for name, image in whole.items()}
    ways = {
        "columns": {"row": row, "column": column},
        "pixel_{0}_{1}": {},
        "pixel{2}": {},
        "{2}": {},
    }
    for i, (form, var) in enumerate(ways.items()):
        names = None if var else [form.format(r, c, k) for r, c, k in zip(row, column, kept, strict=True)]
        folder = tmp_path / str(i)
        folder.mkdir()
        ds = dataset(folder, images[:, kept], codes, names, **var)
        same(mean_image(ds, "obs/kind", shape=(H, W)), whole)
        if "{2}" not in form:
            reach = row.max() + 1, column.max() + 1
            found = drawn(mean_image(ds, "obs/kind"))
            np.testing.assert_array_equal(found["a"], whole["a"][: reach[0], : reach[1]])


def test_names_may_count_from_one(tmp_path, images, codes):
    ds = dataset(tmp_path, images, codes, [f"pixel{i + 1}" for i in range(H * W)])
    same(mean_image(ds, "obs/kind", shape=(H, W)), expected(images, codes))


def test_names_that_number_something_else_leave_the_order(tmp_path, images, codes):
    ds = dataset(tmp_path, images, codes, [f"feature{100 + i}" for i in range(H * W)])
    same(mean_image(ds, "obs/kind", shape=(H, W)), expected(images, codes))
    with pytest.raises(ParameterError, match=r"shape \(4, 4\) has no pixel feature119"):
        mean_image(ds, "obs/kind", shape=(4, 4))


def test_images_in_obsm(tmp_path, images, codes):
    ds = dataset(tmp_path, np.ones((N, 2)), codes)
    ds.write({"obsm/crops": images.reshape(N, H, W)})
    same(mean_image(ds, "obs/kind", on="obsm/crops"), expected(images, codes))
    with pytest.raises(ParameterError, match=r"shape must be that of the images in obsm/crops, \(5, 4\), got \(4, 5\)"):
        mean_image(ds, "obs/kind", on="obsm/crops", shape=(W, H))


def test_thumbnails_have_their_channels_first(tmp_path, images, codes):
    ds = dataset(tmp_path, np.ones((N, 2)), codes)
    stack = images[:, :18].reshape(N, 2, 3, 3)
    ds.write({"obsm/thumbnails": stack})
    for channel in range(2):
        means = expected(stack[:, channel].reshape(N, 9), codes, (3, 3))
        same(mean_image(ds, "obs/kind", on="obsm/thumbnails", channel=channel + 1), means)


def test_channels(tmp_path, images, codes):
    row, rest = np.divmod(np.arange(20), 4)
    ds = dataset(tmp_path, images, codes, row=row, column=rest // 2, channel=rest % 2)
    stack = expected(images, codes, (5, 2, 2))
    same(mean_image(ds, "kind", channel=2), {name: image[..., 1] for name, image in stack.items()})
    with pytest.raises(ParameterError, match=r"channel must be one of 1..2 or a name, got None"):
        mean_image(ds, "kind")
    with pytest.raises(ParameterError, match=r"channel must be in 1..2, got 3"):
        mean_image(ds, "kind", channel=3)


def test_three_channels_are_colours(tmp_path, images, codes):
    ds = dataset(tmp_path, images[:, :18], codes, [f"pixel_{i // 9}_{i // 3 % 3}_{i % 3}" for i in range(18)])
    found = drawn(mean_image(ds, "kind"))
    stack = expected(images[:, :18], codes, (2, 3, 3))
    top = max(image.max() for image in stack.values())
    for name, image in stack.items():
        np.testing.assert_allclose(found[name], image / top)


def test_long_names_are_cut_and_do_not_overlap(tmp_path, images, apart):
    names = np.array([f"upright and slanted ones, kind number {i}" for i in range(9)])[np.arange(N) % 9]
    ds = dataset(tmp_path, images, np.zeros(N, int))
    figure = mean_image(ds, names, shape=(H, W))
    texts = [text for ax in figure.axes for text in ax.texts]
    assert apart(figure, [*texts, *[ax.patch for ax in figure.axes if ax.images]])
    assert len({text.get_text() for text in texts[::2]}) == 9


def test_one_group_without_members_is_not_drawn(tmp_path, images):
    ds = dataset(tmp_path, images, np.where(np.arange(N) < 5, 2, -1))
    same(mean_image(ds, "kind", shape=(H, W)), {"c": images[:5].mean(axis=0).reshape(H, W)})


def test_wrong_input_is_one_sentence(tmp_path, images, codes):
    ds = dataset(tmp_path, images, codes, [f"gene{chr(97 + i)}" for i in range(20)])
    with pytest.raises(
        ParameterError, match=r"shape \(28, 28\) must have 20 pixels, or var/row and var/column must say"
    ):
        mean_image(ds, "kind", shape=(28, 28))
    with pytest.raises(ParameterError, match="shape must be given, or var/row"):
        mean_image(ds, "kind")
    with pytest.raises(ParameterError, match=r"shape must be rows and columns, such as \(28, 28\), got 28"):
        mean_image(ds, "kind", shape=28)
    with pytest.raises(MissingResultError, match="obs/leiden"):
        mean_image(ds, shape=(H, W))
    with pytest.raises(MissingResultError, match="layers/raw"):
        mean_image(ds, "kind", shape=(H, W), on="layers/raw")
    with pytest.raises(ParameterError, match="n_columns must be at least 1, got 0"):
        mean_image(ds, "kind", shape=(H, W), n_columns=0)


def test_pixels_outside_of_the_shape_are_refused(tmp_path, images, codes):
    ds = dataset(tmp_path, images, codes, [f"pixel_{i // 4}_{i % 4}" for i in range(20)])
    with pytest.raises(ParameterError, match=r"4 of 20 pixels lie outside of shape \(4, 4\)"):
        mean_image(ds, "kind", shape=(4, 4))


def test_variables_in_the_same_pixel_are_refused(tmp_path, images, codes):
    ds = dataset(tmp_path, images, codes, row=np.arange(20) // 8, column=np.arange(20) % 4)
    with pytest.raises(ParameterError, match="8 variables share a pixel with another"):
        mean_image(ds, "kind")


@pytest.fixture
def tissue(tmp_path):
    """Cells on an image of ones, in its middle, at an edge and in a corner: windows of 6 x 6 pixels."""
    labels = np.zeros((30, 40), np.uint16)
    for k, (row, column) in enumerate([(15, 20), (0, 20), (0, 0), (27, 37)]):
        labels[row : row + 3, column : column + 3] = k + 1
    image = np.stack([np.ones((30, 40), np.uint8), np.full((30, 40), 7, np.uint8)])
    return kk.read_image(image, labels, to=tmp_path / "t.zarr", window_size=6)


def test_padding_beyond_the_edge_of_the_image_is_not_counted(tissue):
    for groups in (["a"] * 4, ["a", "a", "b", "b"], ["a", "b", "c", "d"]):
        for channel, value in ((1, 1.0), (2, 7.0)):
            for ax in mean_image(tissue, groups, on="obsm/thumbnails", channel=channel).axes:
                if ax.images:
                    shown = ax.images[0].get_array()
                    assert np.all(np.ma.compressed(shown) == value)
    corner = mean_image(tissue, ["a", "b", "c", "d"], on="obsm/thumbnails", channel=1).axes[2].images[0].get_array()
    assert np.ma.getmaskarray(corner).sum() == 36 - 16  # of no member: tinted


def test_channels_of_thumbnails_by_name_or_number(tissue):
    kinds = ["a"] * 4
    for channel in (2, "channel 2", np.int64(2)):
        image = mean_image(tissue, kinds, on="obsm/thumbnails", channel=channel).axes[0].images[0].get_array()
        assert image.max() == 7
    with pytest.raises(ParameterError, match="got 'CD3': there are 'channel 1', 'channel 2'"):
        mean_image(tissue, kinds, on="obsm/thumbnails", channel="CD3")
    with pytest.raises(ParameterError, match=r"channel must be in 1..2, got 0"):
        mean_image(tissue, kinds, on="obsm/thumbnails", channel=0)
    with pytest.raises(ParameterError, match=r"a number from 1, got 1.5"):
        mean_image(tissue, kinds, on="obsm/thumbnails", channel=1.5)
