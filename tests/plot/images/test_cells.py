"""The tissue: every cell in its colour, at its place, rows downwards; nothing over anything else."""

import numpy as np
import pytest
from matplotlib.colors import to_rgba

from kithkin.core.errors import FormatError, MissingResultError, ParameterError
from kithkin.plot import cells as module_or_function
from kithkin.plot.images.cells import MANY, cells
from kithkin.plot.look.palette import MISSING, group_colors

LABELS = np.kron(np.arange(12).reshape(3, 4), np.ones((10, 10), int))
IDS = np.array([5, 3, 11, 1, 7, 2])
KINDS = np.array(list("abcabc"))


@pytest.fixture
def tissue(table):
    y, x = np.divmod(IDS, 4)
    places = np.column_stack([10 * x + 4.5, 10 * y + 4.5])
    return table(6, {"leiden": KINDS, "cell_id": IDS, "size": IDS * 1.0}, obsm__spatial=places)


def texts_of(figure):
    found = [text for ax in figure.axes for text in (*ax.texts, ax._left_title)]
    legends = [text for ax in figure.axes if ax.get_legend() for text in ax.get_legend().get_texts()]
    return [text for text in (*found, *legends) if text.get_text()]


def test_the_name_is_a_function():
    assert module_or_function.__wrapped__ is cells


def test_dots_lie_at_their_places_and_rows_run_downwards(tissue, apart):
    figure = cells(tissue)
    ax = figure.axes[0]
    dots = ax.collections[0]
    order = [np.flatnonzero((tissue.read("obsm/spatial") == at).all(axis=1))[0] for at in dots.get_offsets()]
    colors = group_colors(["a", "b", "c"])[KINDS[order].astype("S1").view(np.uint8) - ord("a")]
    np.testing.assert_allclose(dots.get_facecolors(), colors)
    assert ax.get_ylim()[0] > ax.get_ylim()[1]
    assert apart(figure, texts_of(figure))


def test_with_a_mask_every_cell_has_its_shape(tissue, apart):
    figure = cells(tissue, mask=LABELS)
    image = np.asarray(figure.axes[0].images[0].get_array())
    colors = dict(zip(IDS, group_colors(["a", "b", "c"])[[0, 1, 2, 0, 1, 2]], strict=True))
    for label in range(12):
        expected = colors.get(label, to_rgba(MISSING if label else "white"))
        inside = image[label // 4 * 10 + 5, label % 4 * 10 + 5]
        np.testing.assert_allclose(inside, expected)
    assert apart(figure, texts_of(figure))


def test_a_large_mask_is_read_with_steps(tissue):
    class Large:
        shape, dtype, steps = (30_000, 40_000), np.dtype(int), None

        def __getitem__(self, key):
            Large.steps = [part.step for part in key]
            return np.zeros([len(range(*part.indices(n))) for part, n in zip(key, self.shape, strict=True)], int)

    figure = cells(tissue, mask=Large())
    assert min(Large.steps) >= 30
    assert max(figure.axes[0].images[0].get_array().shape) < 1400


def test_values_have_a_colour_bar(tissue):
    figure = cells(tissue, "size", clip=(0, 100))
    assert len(figure.axes) == 2
    assert figure.axes[1].get_ylim() == (1.0, 11.0)
    assert not figure.axes[0].get_legend()


def test_several_images_have_a_panel_each(table, apart):
    rng = np.random.default_rng(0)
    regions = np.repeat(["left", "right"], 20)
    ds = table(40, {"region": regions, "leiden": np.tile(list("ab"), 20), "cell_id": np.tile(np.arange(1, 21), 2)},
               obsm__spatial=rng.uniform(0, [40, 30], (40, 2)))  # fmt: skip
    figure = cells(ds)
    assert [len(ax.collections[0].get_offsets()) for ax in figure.axes] == [20, 20]
    assert apart(figure, texts_of(figure))
    assert len(cells(ds, region="right").axes) == 1
    masks = {"left": LABELS, "right": LABELS}
    assert [len(ax.images) for ax in cells(ds, mask=masks).axes] == [1, 1]
    with pytest.raises(ParameterError, match="region must be an image of obs/region, got 'top': there are"):
        cells(ds, region="top")
    with pytest.raises(ParameterError, match="mask must name the mask of each image"):
        cells(ds, mask=LABELS)


@pytest.mark.parametrize("color", ["leiden", "size", None])
def test_many_cells_become_pixels(table, color):
    rng = np.random.default_rng(0)
    places = rng.uniform(0, 1, (MANY, 2)) * [4000, 1000]
    half = np.where(places[:, 0] < 2000, "a", "b")
    ds = table(MANY, {"leiden": half, "size": places[:, 1]}, obsm__spatial=places)
    figure = cells(ds, color)
    image = np.asarray(figure.axes[0].images[0].get_array())
    if color == "leiden":
        colors = group_colors(["a", "b"])
        half = image.shape[1] // 2
        for side, own in ((image[:, : half - 25], colors[0]), (image[:, half + 25 :], colors[1])):
            filled = side[side[..., 3] > 0]
            assert len(filled) > 10_000
            np.testing.assert_allclose(filled[:, :3], np.tile(own[:3], (len(filled), 1)))
    assert not figure.axes[0].collections
    with pytest.raises(ParameterError, match="size has no effect"):
        cells(ds, color, size=3)


def test_missing_groups_are_grey_and_named(tissue):
    tissue.obs["leiden"] = np.where(IDS > 6, None, "a")
    figure = cells(tissue)
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["a", "missing"]


def test_what_is_not_possible_is_refused(tissue):
    with pytest.raises(ParameterError, match="mask must be whole numbers, rows x columns"):
        cells(tissue, mask=np.zeros((3, 4, 2)))
    with pytest.raises(ParameterError, match="mask has 9 rows x 9 columns, but cells lie as far as row"):
        cells(tissue, mask=LABELS[:9, :9])
    with pytest.raises(ParameterError, match="size has no effect on a mask"):
        cells(tissue, mask=LABELS, size=4)
    with pytest.raises(MissingResultError):
        cells(tissue, on="obsm/elsewhere")


@pytest.fixture(scope="module")
def sparse_tissue():
    """20,000 small cells on 8,000 x 8,000 pixels: noise about 100, and 40 cells of 1,000."""
    rng = np.random.default_rng(0)
    row, column = np.divmod(rng.permutation(150 * 150)[:20_000], 150)
    places = np.column_stack([column, row]) * 53.0 + rng.uniform(10, 40, (20_000, 2))
    values = rng.normal(100, 5, 20_000)
    values[:40] = 1000
    return places, values


def test_twenty_thousand_cells_are_seen(table, sparse_tissue):
    places, values = sparse_tissue
    sizes = {"t": {"metadata": {"width": 8000, "height": 8000}}}
    ds = table(20_000, {"v": values, "area": np.full(20_000, 300.0)}, obsm__spatial=places, uns__spatial=sizes)
    ax = cells(ds, "v").axes[0]
    width = np.sqrt(ax.collections[0].get_sizes()[0]) / 72 * ax.figure.dpi
    assert width >= 3  # pixels
    nearest = 20 / 8000 * ax.get_window_extent().width
    assert width < 2 * nearest  # and no blot


def test_rare_bright_values_have_a_colour_of_their_own_and_lie_on_top(table, sparse_tissue):
    places, values = sparse_tissue
    figure = cells(table(20_000, {"v": values}, obsm__spatial=places), "v")
    dots = figure.axes[0].collections[0]
    bright = dots.get_facecolors()[-40:]
    np.testing.assert_allclose(dots.get_offsets()[-40:], places[:40])
    np.testing.assert_allclose(bright, bright[:1].repeat(40, axis=0))
    others = dots.get_facecolors()[:-40]
    assert np.abs(others[:, :3] - bright[0, :3]).max(axis=1).min() > 0.2
    assert np.ptp(others[:, :3], axis=0).max() > 0.3  # and the others can still be told from each other
    assert any(text.get_text() == "1,000" for text in figure.axes[1].get_yticklabels())
    few = np.where(np.arange(20_000) < 40, 7.0, 0.0)  # fewer than are clipped away
    figure = cells(table(20_000, {"v": few}, obsm__spatial=places), "v")
    assert figure.axes[1].get_ylim()[0] == 0


def test_no_small_cell_falls_between_the_rows_of_a_large_mask(table):
    rng = np.random.default_rng(0)
    places = (rng.permutation(400 * 400)[:3000][:, None] // [1, 400] % 400 * 20 + 7.0).astype(float)
    mask = np.zeros((8000, 8000), np.int32)
    x, y = places.astype(int).T
    mask[y, x] = np.arange(1, 3001)  # one pixel each
    ds = table(3000, {"cell_id": np.arange(1, 3001), "v": np.arange(3000.0)}, obsm__spatial=places)
    image = np.asarray(cells(ds, "v", mask=mask).axes[0].images[0].get_array())
    assert (image[..., :3] < 1).any(axis=2).sum() >= 2900


@pytest.mark.parametrize("kind", [np.uint16, np.float32])
def test_a_mask_may_be_a_path(tissue, tmp_path, kind):
    tifffile = pytest.importorskip("tifffile")
    tifffile.imwrite(tmp_path / "mask.tif", LABELS.astype(kind), tile=(16, 16))
    wanted = np.asarray(cells(tissue, mask=LABELS).axes[0].images[0].get_array())
    for path in (tmp_path / "mask.tif", str(tmp_path / "mask.tif")):
        np.testing.assert_array_equal(np.asarray(cells(tissue, mask=path).axes[0].images[0].get_array()), wanted)


def test_masks_are_read_as_the_verbs_read_them(tissue, tmp_path):
    wanted = np.asarray(cells(tissue, mask=LABELS).axes[0].images[0].get_array())
    np.save(tmp_path / "mask.npy", LABELS)
    for mask in (tmp_path / "mask.npy", LABELS.astype(np.float64)):
        np.testing.assert_array_equal(np.asarray(cells(tissue, mask=mask).axes[0].images[0].get_array()), wanted)
    with pytest.raises(FormatError):
        cells(tissue, mask=LABELS + 0.5)
    with pytest.raises(FormatError, match="does not exist"):
        cells(tissue, mask=tmp_path / "none.tif")


def test_pixels_that_are_not_square_are_drawn_as_they_are(tissue):
    size = {"pixel_height": 2.0, "pixel_width": 0.5}
    square, tall = cells(tissue, mask=LABELS), None
    tissue.elements["uns/thumbnails"] = size
    tall = cells(tissue, mask=LABELS)
    sides = [figure.axes[0].get_window_extent() for figure in (square, tall)]
    assert tuple(round(box.height / box.width, 3) for box in sides) == (0.75, 3.0)
    bar = next(text for text in tall.axes[0].texts if "µm" in text.get_text())
    assert bar.get_text() == "5 µm"  # a quarter of 40 pixels of 0.5 µm


def test_a_mask_on_disk_is_read_with_steps(table, tmp_path):
    tifffile = pytest.importorskip("tifffile")
    labels = np.kron(np.arange(1, 26).reshape(5, 5), np.ones((401, 333), np.uint8)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "mask.tif", labels, tile=(256, 128), compression="zlib")
    y, x = np.divmod(np.arange(25), 5)
    places = np.column_stack([x * 333 + 166.0, y * 401 + 200.0])
    ds = table(25, {"cell_id": np.arange(1, 26), "v": np.arange(25.0)}, obsm__spatial=places)
    pair = [cells(ds, "v", mask=mask).axes[0].images[0].get_array() for mask in (labels, tmp_path / "mask.tif")]
    np.testing.assert_array_equal(np.asarray(pair[0]), np.asarray(pair[1]))


def test_channels_by_number_count_from_one(table, tissue):
    ds = table(6, {"cell_id": IDS}, np.arange(12.0).reshape(6, 2), ["DAPI", "CD3"])
    ds.elements["obsm/spatial"] = tissue.read("obsm/spatial")
    titles = [cells(ds, color).axes[0].get_title(loc="left") for color in (2, np.int64(1), "CD3")]
    assert titles == ["CD3", "DAPI", "CD3"]
    with pytest.raises(ParameterError, match=r"color must be in 1..2, got 0"):
        cells(ds, 0)
