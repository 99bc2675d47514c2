import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from matplotlib.patches import Circle, Wedge
from matplotlib.text import Text
from scipy import sparse

import kithkin as kk
from kithkin import plot
from kithkin.core.blocks import InMemory
from kithkin.core.errors import MissingResultError, ParameterError
from kithkin.core.execute import Execution
from kithkin.metrics.hierarchy import group_weights, paris_linkage
from kithkin.plot.look.palette import group_colors
from kithkin.plot.trees.page import LINE

LONG = "long name of a cluster {:03}"


@pytest.fixture
def cells(table):
    """Build a dataset of k groups on a ring, with the graph between them."""

    def make(k=8, size=30, names="{}", parts=1, rows=None, seed=0):
        rng = np.random.default_rng(seed)
        n = k * size
        codes = rng.choice(k, n, p=rng.dirichlet(np.full(k, 5.0)))
        codes[:k] = np.arange(k)
        part = codes * parts // k
        ends = rng.integers(0, n, (2, 40 * n))
        apart = np.abs(codes[ends[0]] - codes[ends[1]])
        keep = (rng.random(40 * n) < np.exp(-0.9 * apart)) & (part[ends[0]] == part[ends[1]])
        half = sparse.coo_matrix((np.ones(keep.sum()), ends[:, keep]), (n, n)).tocsr()
        graph = half + half.T
        obs = {
            "group": pd.Categorical.from_codes(codes, [names.format(i) for i in range(k)]),
            "kind": rng.choice(["x", "y", "z"], n),
            "age": rng.normal(40, 5, n),
            "n_counts": np.full(n, 100.0),
        }
        ds = table(n, obs, rng.poisson(2, (n, 1)), ["GENE"], obsp__connectivities=graph)
        ds.execution = Execution(threads=1)
        ds.blocks = lambda key: InMemory(ds.X if key == "X" else ds.read(key), rows)
        return ds

    return make


def wedges(figure):
    """Shares of the parts of each node, nodes as they were drawn: leaves, then merges."""
    found = {}
    for patch in figure.axes[0].patches:
        if isinstance(patch, Wedge):
            _, node, _, part = patch.get_gid().split()
            found.setdefault(int(node), {})[int(part)] = (patch.theta2 - patch.theta1) / 360
    return found


def nodes(figure):
    rims = [p for p in figure.axes[0].patches if isinstance(p, Circle) and p.get_zorder() == 5]
    return np.array([p.center for p in rims]), np.array([p.radius for p in rims])


def boxes(figure, texts):
    """Corners of texts with their rotation, k x 4 x 2, in pixels."""
    figure.canvas.draw()
    out = []
    for text in texts:
        turn = text.get_rotation()
        whole = text.get_window_extent()
        middle = np.array([whole.x0 + whole.x1, whole.y0 + whole.y1]) / 2
        text.set_rotation(0)
        flat = text.get_window_extent()
        text.set_rotation(turn)
        half = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * [flat.width / 2, flat.height / 2]
        c, s = np.cos(np.deg2rad(turn)), np.sin(np.deg2rad(turn))
        out.append(middle + half @ np.array([[c, s], [-s, c]]))
    return np.array(out)


def overlap(a, b):
    """Whether two rectangles in any direction overlap: no side of either parts them."""
    for box in (a, b):
        for side in (box[1] - box[0], box[2] - box[1]):
            p, q = a @ side, b @ side
            if p.max() <= q.min() or q.max() <= p.min():
                return False
    return True


def any_overlap(corners):
    return [(i, j) for i in range(len(corners)) for j in range(i) if overlap(corners[i], corners[j])]


def everything_inside(figure):
    figure.canvas.draw()
    width, height = figure.canvas.get_width_height()
    box = figure.get_tightbbox(figure.canvas.get_renderer())
    return box.x0 >= 0 and box.y0 >= 0 and box.x1 * figure.dpi <= width + 1 and box.y1 * figure.dpi <= height + 1


def names_of(figure, ds):
    """The texts that name leaves, from left to right."""
    known = set(ds.obs["group"].astype(str))
    return [t for t in figure.axes[0].texts if t.get_text() in known and t.get_zorder() < 6]


@pytest.mark.parametrize("shape", ["rectangular", "radial"])
def test_pies_are_the_composition_and_heights_those_of_paris(cells, shape):
    ds = cells(8)
    figure = plot.cluster_tree(ds, "obs/group", fill="obs/kind", shape=shape)
    codes = ds.obs["group"].cat.codes.to_numpy()
    linkage = paris_linkage(group_weights(ds.read("obsp/connectivities"), codes))
    below = [{i} for i in range(8)]
    for a, b in linkage[:, :2].astype(int):
        below.append(below[a] | below[b])
    found = wedges(figure)
    noted = [text.get_text() for text in figure.texts if "merges without a picture" in text.get_text()]
    assert 12 <= len(found) == 15 - (int(noted[0].split()[-1]) if noted else 0)
    for node, groups in enumerate(below):
        if node not in found:
            continue
        wanted = ds.obs["kind"][np.isin(codes, list(groups))].value_counts(normalize=True).sort_index()
        assert [found[node][part] for part in sorted(found[node])] == pytest.approx(list(wanted))
    centers, radii = nodes(figure)
    depth = -centers[:, 1] if shape == "rectangular" else np.linalg.norm(centers, axis=1)
    assert np.ptp(depth[:8]) < 1e-9
    assert (np.diff(depth[8:]) <= 1e-9).all()
    assert depth[-1] == pytest.approx(0.0)
    drawn = [node for node in sorted(found) if node >= 8]
    heights = np.log(linkage[[node - 8 for node in drawn], 2])
    scale = np.polyfit(heights, depth[8:], 1)
    np.testing.assert_allclose(depth[8:], np.polyval(scale, heights), atol=1e-9, err_msg="one logarithmic axis")
    counts = np.array([np.isin(codes, list(below[node])).sum() for node in sorted(found)])
    assert (np.diff(radii[np.argsort(counts)]) >= -1e-9).all()


@pytest.mark.parametrize("shape", ["rectangular", "radial"])
@pytest.mark.parametrize(
    ("k", "names", "parts"), [(2, LONG, 1), (9, "{}", 1), (9, LONG, 3), (24, "{}b", 2), (64, LONG, 2), (64, "{}", 1)]
)
def test_neither_names_nor_nodes_overlap_nor_leave_the_page(cells, shape, k, names, parts):
    ds = cells(k, names=names, parts=parts)
    figure = plot.cluster_tree(ds, "obs/group", fill="obs/kind", shape=shape)
    texts = names_of(figure, ds)
    assert len(texts) == k
    assert any_overlap(boxes(figure, figure.axes[0].texts)) == []
    corners = boxes(figure, texts)
    assert everything_inside(figure)
    centers, radii = nodes(figure)
    apart = np.linalg.norm(centers[:, None] - centers[None], axis=2) - radii[:, None] - radii[None]
    np.fill_diagonal(apart, 1.0)
    assert apart.min() > 0
    to_pixels = figure.axes[0].transData
    middles, reach = to_pixels.transform(centers), radii * figure.dpi
    for box in corners:
        sides = np.array([box[1] - box[0], box[2] - box[1]])
        size = np.linalg.norm(sides, axis=1)
        off = np.maximum(np.abs((middles - box.mean(axis=0)) @ (sides / size[:, None]).T) - size / 2, 0)
        assert (np.linalg.norm(off, axis=1) > reach).all()


def test_scales_of_both_axes_are_inches(cells):
    for shape in ("rectangular", "radial"):
        ax = plot.cluster_tree(cells(5), "group", shape=shape).axes[0]
        box = ax.get_position().transformed(ax.figure.transFigure)
        assert box.width / np.ptp(ax.get_xlim()) == pytest.approx(ax.figure.dpi)
        assert box.height / np.ptp(ax.get_ylim()) == pytest.approx(ax.figure.dpi)


def test_leaves_stand_side_by_side_under_their_names(cells):
    ds = cells(7)
    figure = plot.cluster_tree(ds, "group")
    centers, _ = nodes(figure)
    names = {t.get_text(): t.get_position()[0] for t in names_of(figure, ds)}
    places = np.array([names[str(i)] for i in range(7)])
    np.testing.assert_allclose(centers[:7, 0], places)
    assert np.ptp(np.diff(np.sort(places))) < 1e-9


def test_without_fill_the_groups_have_their_own_colours(cells):
    ds = cells(5)
    ds.obs["group"] = ds.obs["group"].cat.set_categories(["nobody", *map(str, range(5))])
    figure = plot.cluster_tree(ds, "group")
    first = {int(p.get_gid().split()[1]): p.get_facecolor() for p in figure.axes[0].patches if p.get_gid()}
    colors = group_colors(["nobody", *map(str, range(5))])
    assert [first[i] for i in range(5)] == [tuple(c) for c in colors[1:]]
    assert [ax.get_label() for ax in figure.axes] == ["tree", "sizes"]


@pytest.mark.parametrize("fill", ["obs/age", "GENE"])
def test_values_are_shown_as_means(cells, fill):
    ds = cells(4)
    figure = plot.cluster_tree(ds, "group", fill=fill)
    bar = next(ax for ax in figure.axes if ax.get_label() == "colours")
    values = ds.obs["age"].to_numpy() if fill == "obs/age" else np.log1p(100.0 * ds.X[:, 0])
    means = pd.Series(values).groupby(ds.obs["group"].cat.codes.to_numpy()).mean()
    assert bar.get_ylim() == pytest.approx((means.min(), means.max()))
    assert bar._left_title.get_text() == f"mean {fill.removeprefix('obs/')}"
    found = wedges(figure)
    assert sorted(found) == list(range(7))
    assert all(len(parts) == 1 for parts in found.values())


def test_broken_lines_lead_to_what_nothing_connects(cells):
    figure = plot.cluster_tree(cells(9, parts=3), "group")
    solid, broken = figure.axes[0].collections
    assert len(broken.get_segments()) == 1 + 3
    assert len(solid.get_segments()) == 6 * 3
    assert broken.get_linestyle()[0][1] is not None
    assert "∞" in [t.get_text() for t in figure.axes[0].get_yticklabels()]
    assert len(nodes(figure)[0]) == 9 + 6 + 1


def test_missing_values_are_left_out_and_said_so(cells):
    ds = cells(4)
    ds.obs.loc[ds.obs.index[10:17], "group"] = np.nan
    ds.obs.loc[ds.obs.index[:5], "kind"] = None
    figure = plot.cluster_tree(ds, "group", fill="kind")
    notes = [text.get_text() for text in figure.texts]
    assert "7 observations without group: left out" in notes
    assert "5 observations without kind: not in the colours" in notes
    known = ds.obs.dropna(subset=["group", "kind"])
    root = wedges(figure)[6]
    assert list(root.values()) == pytest.approx(list(known["kind"].value_counts(normalize=True).sort_index()))
    ds.obs["kind"] = ds.obs["kind"].where(ds.obs["group"] != "2")
    legend = plot.cluster_tree(ds, "group", fill="kind").axes
    legend = next(ax for ax in legend if ax.get_label() == "groups").get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["x", "y", "z", "missing"]


def test_blocks_of_the_graph_do_not_change_the_tree(cells):
    whole, blocks = (plot.cluster_tree(cells(6, rows=rows), "group") for rows in (None, 17))
    np.testing.assert_allclose(nodes(whole)[0], nodes(blocks)[0])


def test_a_dataset_on_disk_and_labels_made_by_hand(dataset):
    import kithkin as kk

    kk.pca(dataset, n_components=5)
    kk.neighbors(dataset)
    by = np.where(np.arange(dataset.n_obs) % 2, "odd", "even")
    figure = kk.plot.cluster_tree(dataset, by, fill="obs/group", shape="radial")
    assert {"odd", "even"} <= {text.get_text() for text in figure.axes[0].texts}


def test_wrong_input_is_one_sentence(cells, table):
    ds = cells(4)
    with pytest.raises(MissingResultError, match="obs/nope"):
        plot.cluster_tree(ds, "nope")
    with pytest.raises(MissingResultError, match="obs/nope"):
        plot.cluster_tree(ds, "group", fill="obs/nope")
    with pytest.raises(MissingResultError, match="obsp/other"):
        plot.cluster_tree(ds, "group", on="obsp/other")
    with pytest.raises(ParameterError, match="by must hold at least two groups, got only 'a'"):
        plot.cluster_tree(ds, ["a"] * ds.n_obs)
    with pytest.raises(ParameterError, match="by must be groups, got numbers"):
        plot.cluster_tree(ds, "age")
    with pytest.raises(ParameterError, match="by must hold at most 400 groups"):
        plot.cluster_tree(cells(4, 101), np.arange(404).astype(str))
    with pytest.raises(ParameterError, match="shape must be one of"):
        plot.cluster_tree(ds, "group", shape="round")
    ds.elements["obsp/connectivities"] = sparse.csr_matrix((3, 3))
    with pytest.raises(ParameterError, match="on must name a graph of 120 observations, got 3 x 3"):
        plot.cluster_tree(ds, "group")
    ds.elements["obsp/connectivities"] = sparse.csr_matrix(np.triu(np.ones((120, 120))))
    with pytest.raises(ParameterError, match="undirected links, and of obsp/connectivities the weights must be symm"):
        plot.cluster_tree(ds, "group")


def line_colors(figure):
    lines = [one for one in figure.axes[0].collections if isinstance(one, LineCollection) and one.get_segments()]
    return {to_hex(color) for one in lines for color in one.get_colors()}


def test_support_colours_the_splits(tmp_path):
    counts = kk.datasets.simulate_counts(300, 300, 2)
    ds = kk.read(counts, to=tmp_path / "a.zarr")
    kk.annotate(ds, "cut", [f"{kind}{'ab'[k % 2]}" for k, kind in enumerate(ds.obs["group"])])
    kk.pca(ds, 5)
    kk.neighbors(ds)
    with pytest.raises(
        MissingResultError, match=r"the support of cut is not in a\.zarr\. Run kithkin\.support\(ds, by="
    ):
        plot.cluster_tree(ds, "cut", support=True)
    kk.support(ds, "cut")
    figure = plot.cluster_tree(ds, "obs/cut", support=True)
    assert line_colors(figure) == {LINE.lower(), "#d55e00"}
    legend = [text.get_text() for ax in figure.axes for text in ax.texts]
    assert {"supported", "not supported"} <= set(legend) | {t.get_text() for t in figure.findobj(Text)}
    assert line_colors(plot.cluster_tree(ds, "obs/cut")) == {LINE.lower()}
    with pytest.raises(MissingResultError, match="the support of obs/group is not in"):
        plot.cluster_tree(ds, "obs/group", support=True)
