import importlib
import io

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from kithkin import plot
from kithkin.core.errors import MissingResultError, ParameterError
from kithkin.plot.look.palette import MISSING, categorical
from kithkin.plot.points.limits import limits_of
from kithkin.plot.points.panel import LED, PALER, ZERO, middle_of


def blobs(n, k, seed=0):
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, k, n)
    return rng.uniform(-10, 10, (k, 2))[codes] + rng.normal(0, 0.5, (n, 2)), codes


def names(figure, panel=0):
    """Names of a legend, without the sizes of the groups."""
    return [text.get_text().rpartition(" (")[0] or text.get_text() for text in legend_of(figure, panel)]


def legend_of(figure, panel=0):
    return figure.axes[panel].get_legend().get_texts()


def dots(figure, panel=0):
    return next(c for c in figure.axes[panel].collections if isinstance(c, PathCollection))


def pixel(figure, at, panel=0):
    """Colour on the finished figure at a point in data coordinates."""
    figure.canvas.draw()
    image = np.asarray(figure.canvas.buffer_rgba())
    x, y = figure.axes[panel].transData.transform(at)
    return to_hex(image[image.shape[0] - 1 - int(y), int(x), :3] / 255).upper()


def test_groups_have_one_legend_entry_and_colour_each(table):
    points, codes = blobs(300, 3)
    ds = table(300, {"kind": pd.Categorical.from_codes(codes, ["a", "b", "c"])}, obsm__X_umap=points)
    figure = plot.scatter(ds, color="kind")
    assert names(figure) == ["a", "b", "c"]
    assert {to_hex(c).upper() for c in dots(figure).get_facecolors()} == set(categorical(3))
    assert figure.axes[0].get_title(loc="left") == "kind"
    assert figure.axes[0].get_xlabel() == "UMAP 1"


def test_known_pixels_have_the_groups_colour(table):
    points = np.array([[0.0, 0.0], [4.0, 4.0], [0.0, 4.0]])
    figure = plot.scatter(table(3), on=points, color=pd.Categorical(["a", "b", None]), size=200)
    assert [pixel(figure, at) for at in points] == [*categorical(2), MISSING]
    assert names(figure) == ["a", "b", "missing"]


def test_known_pixels_of_many_points(table):
    n = 200_001
    codes = np.arange(n) % 3 - 1
    points = np.array([[0.0, 0.0], [4.0, 4.0], [0.0, 4.0]])[codes]
    figure = plot.scatter(table(n), on=points, color=pd.Categorical.from_codes(codes, ["a", "b"]))
    image = figure.axes[0].images[0].get_array()
    side = len(image)
    (left, right), (bottom, top) = figure.axes[0].get_xlim(), figure.axes[0].get_ylim()
    found = []
    for x, y in ([0, 0], [4, 4], [0, 4]):
        found.append(image[int((y - bottom) / (top - bottom) * side), int((x - left) / (right - left) * side)])
    assert [to_hex(c[:3]).upper() for c in found] == [*categorical(2), MISSING]
    assert [c[3] for c in found] == [1, 1, 1]


def test_one_million_points_are_one_image(table, tmp_path):
    points, codes = blobs(1_000_000, 27)
    ds = table(1_000_000)
    figure = plot.scatter(ds, on=points, color=pd.Categorical.from_codes(codes, [str(i) for i in range(27)]))
    figure.savefig(tmp_path / "a.png")
    assert (len(figure.axes[0].images), len(figure.axes[0].collections)) == (1, 0)


@pytest.mark.parametrize("k", [3, 40])
def test_legend_is_beside_the_data_and_on_the_page(table, apart, k):
    points, codes = blobs(500, k)
    labels = pd.Categorical.from_codes(codes, [f"a rather long name of a cell type, {i}" for i in range(k)])
    figure = plot.scatter(table(500), on=points, color=[labels, labels], n_columns=2)
    assert len(names(figure)) == k
    assert apart(figure, [ax.get_legend() for ax in figure.axes] + [_Area(ax) for ax in figure.axes])


class _Area:
    """The inside of axes, as something with an extent."""

    def __init__(self, ax):
        self.ax = ax

    def get_window_extent(self):
        return self.ax.patch.get_window_extent()


@pytest.mark.parametrize(("k", "name"), [(27, "{}"), (40, "long cell type {}")])
def test_labels_on_the_data_do_not_overlap(table, apart, k, name):
    points, codes = blobs(2000, k)
    labels = pd.Categorical.from_codes(codes, [name.format(i) for i in range(k)])
    figure = plot.scatter(table(2000), on=points, color=labels, legend="on data")
    texts = [text for text in figure.axes[0].texts if text.get_text()]
    assert [text.get_text() for text in texts] == list(labels.categories)
    assert figure.axes[0].get_legend() is None
    assert apart(figure, texts)


def test_a_label_stands_at_its_group(table):
    points, codes = blobs(600, 4, seed=3)
    figure = plot.scatter(table(600), on=points, color=codes.astype(str), legend="on data")
    ax = figure.axes[0]
    for i, text in enumerate(ax.texts):
        at = ax.transData.inverted().transform(ax.transAxes.transform(text.get_position()))
        assert np.linalg.norm(at - points[codes == i].mean(axis=0)) < 0.5


def test_three_hundred_groups_get_a_legend_that_ends(table):
    points, codes = blobs(3000, 300)
    found = names(plot.scatter(table(3000), on=points, color=codes.astype(str)))
    assert len(found) < 200
    assert found[-1] == f"and {len(np.unique(codes)) - len(found) + 1} more"


def test_numbers_in_names_sort_as_numbers(table):
    points, codes = blobs(300, 12)
    assert names(plot.scatter(table(300), on=points, color=codes.astype(str))) == [str(i) for i in range(12)]


def test_values_are_clipped_at_percentiles_and_have_a_bar(table):
    values = np.arange(1000.0)
    values[-1] = 1e9
    figure = plot.scatter(table(1000), on=np.random.default_rng(0).normal(size=(1000, 2)), color=values)
    bar = figure.axes[0].child_axes[0]
    assert bar.get_ylim() == pytest.approx((9.99, 989.01))
    assert figure.axes[0].get_legend() is None


def test_a_gene_that_few_cells_express_still_shows(table):
    X = np.zeros((500, 1))
    X[7] = 3
    ds = table(
        500, {"n_counts": np.full(500, 1e4)}, X, ["CD3E"], obsm__X_umap=np.random.default_rng(0).normal(size=(500, 2))
    )
    figure = plot.scatter(ds, color="CD3E")
    assert figure.axes[0].child_axes[0].get_ylim() == pytest.approx((0, np.log1p(3)))
    colors = {to_hex(c) for c in dots(figure).get_facecolors()}
    assert colors == {ZERO.lower(), to_hex(mpl.colormaps["viridis"](1.0))}
    assert to_hex(dots(figure).get_facecolors()[-1]) != ZERO.lower(), "the cells that express it lie above"


@pytest.mark.parametrize(
    "values", [np.full(50, 3.0), np.full(50, np.nan), np.r_[np.nan, np.inf, np.arange(48.0)], None]
)
@pytest.mark.parametrize("repeat", [1, 4001])
def test_odd_values_are_drawn(table, values, repeat):
    points = np.tile(np.random.default_rng(0).normal(size=(50, 2)), (repeat, 1))
    values = None if values is None else np.tile(values, repeat)
    figure = plot.scatter(table(len(points)), on=points, color=values)
    figure.canvas.draw()
    axes = figure.axes[0].get_window_extent().extents.astype(int)
    inside = np.asarray(figure.canvas.buffer_rgba())[::-1][axes[1] + 9 : axes[3] - 9, axes[0] + 9 : axes[2] - 9, :3]
    assert (inside != inside[0, 0]).any(), "no dot is drawn"


def test_missing_values_are_grey_and_lie_below(table):
    values = np.array([np.nan, 1.0, np.nan, 2.0])
    colors = [to_hex(c).upper() for c in dots(plot.scatter(table(4), on=np.eye(4), color=values)).get_facecolors()]
    assert colors[:2] == [MISSING, MISSING]
    assert MISSING not in colors[2:]


def test_one_cell_and_coordinates_that_are_missing(table):
    one = plot.scatter(table(1), on=np.zeros((1, 2)), color=np.array(["only"]), legend="on data")
    two = plot.scatter(table(2), on=np.array([[np.nan, 0], [1, 1]]), color=np.array(["a", "b"]), legend="on data")
    for figure in (one, two):
        figure.canvas.draw()
        places = np.ma.filled(dots(figure).get_offsets().astype(float), np.nan)
        assert np.isfinite(places).all(axis=1).sum() == 1


def test_draw_order_is_random_but_seeded(table):
    points = np.random.default_rng(0).normal(size=(100, 2))
    codes = np.repeat(["a", "b"], 50)
    first, again, other = (
        dots(plot.scatter(table(100), on=points, color=codes, seed=s)).get_offsets() for s in (0, 0, 1)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert not np.array_equal(first, points)


def test_global_state_of_matplotlib_is_left_alone(table):
    before = dict(mpl.rcParams)
    plot.scatter(table(3), on=np.eye(3), color=np.array(["a", "b", "c"])).canvas.draw()
    assert dict(mpl.rcParams) == before


def test_wrong_input_is_one_sentence(table):
    ds = table(3, {"batch": ["x", "y", "z"]}, np.zeros((3, 2)), ["CD3E", "CD4"], obsm__X_umap=np.eye(3))
    with pytest.raises(MissingResultError, match="obsm/X_tsne"):
        plot.scatter(ds, on="obsm/X_tsne")
    with pytest.raises(MissingResultError, match="obs/leiden"):
        plot.scatter(ds, color="obs/leiden")
    with pytest.raises(ParameterError, match=r"got 'CD3'\. Did you mean 'CD3E'"):
        plot.scatter(ds, color="CD3")
    with pytest.raises(ParameterError, match="one value per observation: 3, got 2"):
        plot.scatter(ds, color=np.arange(2))
    with pytest.raises(ParameterError, match="on must be numbers, 3 observations"):
        plot.scatter(ds, on=np.zeros((4, 2)))
    with pytest.raises(ParameterError, match=r"dims must be in 0..2"):
        plot.scatter(ds, dims=(0, 3))
    with pytest.raises(ParameterError, match="legend must be one of"):
        plot.scatter(ds, legend="left")
    with pytest.raises(MissingResultError, match="obs/n_counts"):
        plot.scatter(ds, color="CD4")


def test_figures_keep_their_names_whatever_is_imported_first():
    importlib.import_module("kithkin.plot.expression.dotplot")
    importlib.import_module("kithkin.plot.points.scatter")
    assert callable(plot.scatter)
    assert callable(plot.dotplot)
    with pytest.raises(AttributeError, match=r"kithkin\.plot has no .pie"):
        plot.pie  # noqa: B018


def test_a_notebook_can_show_it(table):
    assert plot.scatter(table(3), on=np.eye(3))._repr_png_().startswith(b"\x89PNG")


@pytest.mark.parametrize("kind", ["groups", "values"])
def test_a_series_is_aligned_by_name(table, kind):
    ds = table(6, obsm__X_umap=blobs(6, 3)[0])
    given = pd.Series(list("aabbcc") if kind == "groups" else np.arange(6.0), index=ds.obs_names, name="mine")
    plain = plot.scatter(ds, color=given.to_numpy())
    shuffled = plot.scatter(ds, color=given.sample(frac=1, random_state=1))
    assert (dots(plain).get_facecolors() == dots(shuffled).get_facecolors()).all()
    assert shuffled.axes[0].get_title(loc="left") == "mine"
    numbered = plot.scatter(ds, color=given.reset_index(drop=True))  # without names: by position
    assert (dots(plain).get_facecolors() == dots(numbered).get_facecolors()).all()


def test_coordinates_in_a_table_are_aligned_by_name(table):
    ds, at = table(6), blobs(6, 3)[0]
    shuffled = pd.DataFrame(at, index=ds.obs_names).sample(frac=1, random_state=1)
    figures = plot.scatter(ds, on=at), plot.scatter(ds, on=shuffled)
    first, second = (dots(figure).get_offsets() for figure in figures)
    assert (first == second).all()


def test_a_series_of_other_cells_is_refused(table):
    ds = table(3, obsm__X_umap=np.eye(3))
    with pytest.raises(ParameterError, match="color is indexed by other names than the dataset: x, y, z"):
        plot.scatter(ds, color=pd.Series(list("abc"), index=list("xyz")))
    with pytest.raises(ParameterError, match="by is indexed by other names than the dataset"):
        plot.structure(ds, "obsm/X_umap", by=pd.Series(list("abc"), index=list("xyz")))


def test_the_legend_says_how_many(table):
    figure = plot.scatter(table(4), on=np.eye(4), color=pd.Categorical(["a", "b", "b", None]))
    assert [text.get_text() for text in legend_of(figure)] == ["a (1)", "b (2)", "missing (1)"]


def test_a_name_covers_the_middle_of_its_group_or_a_line_leads_there(table, apart):
    rng = np.random.default_rng(5)
    codes = rng.integers(0, 24, 3000)
    points = rng.uniform(-4, 4, (24, 2))[codes] + rng.normal(0, 0.15, (3000, 2))
    labels = pd.Categorical.from_codes(codes, [f"memory B cell {i}" for i in range(24)])
    figure = plot.scatter(table(3000), on=points, color=labels, legend="on data")
    ax = figure.axes[0]
    figure.canvas.draw()
    assert apart(figure, ax.texts)
    ends = [line.get_transform().transform(line.get_xydata()[1]) for line in ax.lines if line.get_label() == LED]
    assert ends
    for i, text in enumerate(ax.texts):
        at = ax.transData.transform(points[codes == i])
        box = text.get_window_extent()
        middle = ax.transData.transform(middle_of(points[codes == i]))
        reached = min(np.linalg.norm(middle - end) for end in ends) < 0.5
        assert reached or (box.x0 - 7 < middle[0] < box.x1 + 7 and box.y0 - 7 < middle[1] < box.y1 + 7)
        assert np.linalg.norm(at - middle, axis=1).min() < 1e-6


def test_a_name_stands_in_the_larger_part_of_a_group(table):
    rng = np.random.default_rng(0)
    two = np.r_[rng.normal(0, 0.3, (300, 2)), rng.normal(10, 0.3, (200, 2))]
    assert np.linalg.norm(middle_of(two)) < 0.5


def test_chosen_groups_are_coloured_and_lie_above_grey(table):
    points, codes = blobs(300, 3)
    labels = pd.Categorical.from_codes(codes, ["a", "b", "c"])
    figure = plot.scatter(table(300), on=points, color=labels, groups="b")
    shown = [to_hex(c).upper() for c in dots(figure).get_facecolors()]
    n = int((codes == 1).sum())
    assert set(shown[:-n]) == {MISSING}
    assert set(shown[-n:]) == {categorical(3)[1]}
    assert [text.get_text() for text in legend_of(figure)] == [f"b ({n})", f"other ({300 - n})"]
    with pytest.raises(ParameterError, match=r"groups must be among those of color, got 'd': there are 'a', 'b', 'c'"):
        plot.scatter(table(300), on=points, color=labels, groups=["b", "d"])


def test_ends_of_the_scale_are_numbers_or_percentiles(table):
    values, points = np.arange(101.0) - 1, np.random.default_rng(0).normal(size=(101, 2))
    figure = plot.scatter(table(101), on=points, color=values, vmin=10, vmax="p90", cmap="Reds")
    assert figure.axes[0].child_axes[0].get_ylim() == pytest.approx((10, 89))
    top = dots(figure).get_facecolors()[-1]
    assert to_hex(top) in {to_hex(c) for c in mpl.colormaps["Reds"](np.arange(256))}
    for wrong in ("99", "q3", "p101", float("nan"), [1]):
        with pytest.raises(ParameterError, match="vmax must be a number or"):
            plot.scatter(table(101), on=points, color=values, vmax=wrong)
    with pytest.raises(
        ParameterError, match=r"cmap must be the name of a colour map, got 'virids'\. Did you mean 'viridis'"
    ):
        plot.scatter(table(101), on=points, color=values, cmap="virids")
    with pytest.raises(ParameterError, match="vmin must be at most vmax"):
        plot.scatter(table(101), on=points, color=values, vmin=5, vmax=1)


def test_zeros_lie_below_and_missing_values_below_them(table):
    values = np.r_[np.arange(1.0, 50), np.zeros(50), np.full(20, np.nan)]
    figure = plot.scatter(table(119), on=np.random.default_rng(0).normal(size=(119, 2)), color=values)
    shown = [to_hex(c).upper() for c in dots(figure).get_facecolors()]
    assert set(shown[:20]) == {PALER}
    assert set(shown[20:70]) == {ZERO}
    assert not {PALER, ZERO} & set(shown[70:])


def test_strays_are_cut_off_and_counted(table):
    rng = np.random.default_rng(0)
    points = np.r_[
        rng.normal(0, 1, (20_000, 2)), rng.normal(0, 1, (60, 2)) * 0.1 + [9, 9], rng.normal(0, 500, (150, 2))
    ]
    low, high, outside = limits_of(points)
    assert (low > -20).all()
    assert (high < 30).all()
    assert (high > 9.2).all(), "a small cluster far away is no stray"
    assert outside == ((points < low) | (points > high)).any(axis=1).sum() > 100
    figure = plot.scatter(table(len(points)), on=points)
    assert f"{outside} of 20,210 lie outside" in [text.get_text() for text in figure.axes[0].texts]
    for some in (points[:20_000], np.zeros((1, 2)), np.full((3, 2), np.nan)):
        assert limits_of(some)[2] == 0


def test_points_are_the_smaller_the_more_there_are(table):
    rng = np.random.default_rng(0)
    areas = [dots(plot.scatter(table(n), on=rng.normal(size=(n, 2)))).get_sizes()[0] for n in (100, 827, 3000, 50_000)]
    assert areas == sorted(areas, reverse=True)
    assert areas[0] <= 16
    assert areas[1] < 14


def test_a_panel_in_axes_of_the_user(table):
    points, codes = blobs(300, 3)
    figure = Figure(figsize=(9, 4))
    left, right = figure.subplots(1, 2)
    left.set_title("mine")
    for color, legend in ((codes.astype(str), "right"), (codes.astype(str), "on data"), (points[:, 0], "right")):
        assert plot.scatter(table(300), on=points, color=color, ax=right, title="$ours", legend=legend) is figure
    assert right.get_title(loc="left") == "$ours"
    assert left.get_title() == "mine"
    figure.savefig(io.BytesIO(), format="png")
    figure.savefig(io.BytesIO(), format="pdf")
    with pytest.raises(ParameterError, match="ax takes one panel, got 2 colors"):
        plot.scatter(table(300), on=points, color=[None, None], ax=right)
    with pytest.raises(ParameterError, match="title must be one for each of 2 panels, got 3"):
        plot.scatter(table(300), on=points, color=[None, None], title=["a", "b", "c"])


def test_a_cluster_has_one_colour_everywhere(table):
    points, codes = blobs(600, 5)
    renamed = np.array(list("vwxyz"))[(codes * 2 + 1) % 5]
    obs = {"leiden": codes.astype(str), "truth": renamed, "batch": np.resize(["l", "r"], 600)}
    ds = table(600, obs, obsm__X_umap=points, uns__leiden={"params": {}})

    def colors(panel, figure):
        handles = figure.axes[panel].get_legend().legend_handles
        return dict(zip(names(figure, panel), (to_hex(h.get_color()) for h in handles), strict=True))

    alone = colors(0, plot.scatter(ds, color="leiden"))
    figure = plot.scatter(ds, color=["truth", "leiden", "batch"])
    truth, leiden, batch = (colors(i, figure) for i in range(3))
    assert leiden == alone
    assert {name: truth[name] for name in renamed} == {
        name: leiden[str(code)] for name, code in zip(renamed, codes, strict=True)
    }
    assert batch == colors(0, plot.scatter(ds, color="batch")), "nothing in it is alike"
    sankey = plot.sankey(ds, "obs/truth", "obs/leiden")
    bars = [to_hex(bar.get_facecolor()) for bar in sankey.axes[0].patches]
    assert bars == [*truth.values(), *leiden.values()]
    stored = table(600, obs, obsm__X_umap=points, uns__leiden_colors=np.array(["red", "blue", "lime", "gold", "pink"]))
    kept = colors(0, plot.scatter(stored, color=["leiden", "truth"]))
    assert list(kept.values()) == [to_hex(c) for c in ("red", "blue", "lime", "gold", "pink")]


def test_colour_bars_stand_at_the_same_distance_in_every_row(table):
    points, _ = blobs(300, 3)
    color = [points[:, 0], None, None, points[:, 1], points[:, 0], None]
    axes = plot.scatter(table(300), on=points, color=color).axes
    left = np.array([ax.get_position().x0 for ax in axes[:6]]).reshape(2, 3)
    assert np.allclose(np.diff(left, axis=1), np.diff(left, axis=1)[0, 0], atol=1e-3)


@pytest.mark.parametrize(
    ("name", "other"), [("umap", "scatter"), ("rank_genes_groups", "dotplot"), ("tsne", "scatter")]
)
def test_a_name_of_scanpy_says_what_to_call(name, other):
    with pytest.raises(AttributeError, match=rf"kithkin\.plot has no '{name}': use kithkin\.plot\.{other}"):
        getattr(plot, name)


def test_a_column_of_values_is_drawn_as_it_is(table):
    ds = table(4, None, np.array([[1.5], [-2.0], [3.0], [0.25]]), ["alcohol"], obsm__X_umap=np.eye(4))
    ds.kind = "values"
    figure = plot.scatter(ds, color="alcohol", clip=(0, 100))
    assert figure.axes[0].child_axes[0].get_ylim() == pytest.approx((-2, 3))
    assert figure.axes[0].child_axes[0].get_ylabel() == ""
