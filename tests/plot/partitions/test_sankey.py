import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_hex

from kithkin import plot
from kithkin.core.errors import MissingResultError, ParameterError
from kithkin.plot.look.palette import MISSING, categorical
from kithkin.plot.partitions.crossings import crossing_matrix, crossings, uncross
from kithkin.plot.partitions.sankey import BAR, BETWEEN, LINE, lay_out


def ribbons(figure):
    """Corners of each ribbon at its two ends: left upper, left lower, right upper, right lower; and its colour."""
    out = []
    for collection in figure.axes[0].collections:
        assert isinstance(collection, PolyCollection)
        for path, color in zip(collection.get_paths(), collection.get_facecolors(), strict=True):
            corners = path.vertices[:-1] if np.array_equal(path.vertices[0], path.vertices[-1]) else path.vertices
            half = len(corners) // 2
            ends = corners[[0, -1, half - 1, half]]
            out.append((ends[:, 0], ends[:, 1], to_hex(color).upper()))
    return out


def bars(figure):
    """x, top, height and colour of each bar."""
    return [(p.get_x(), p.get_y(), p.get_height(), to_hex(p.get_facecolor()).upper()) for p in figure.axes[0].patches]


@pytest.fixture
def three(table):
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 5, 4000)
    cluster = np.where(
        rng.random(4000) < 0.9, (kind * 2 + rng.integers(0, 2, 4000)) * 7 % 10, rng.integers(0, 10, 4000)
    )
    batch = rng.integers(0, 2, 4000)
    obs = {"kind": pd.Categorical.from_codes(kind, list("vwxyz")), "cluster": cluster.astype(str)}
    return table(4000, {**obs, "batch": batch.astype(str)})


def test_ribbons_fill_their_bars(three):
    figure = plot.sankey(three, "obs/cluster", "obs/kind", "obs/batch")
    found, sides = bars(figure), ribbons(figure)
    scale = sum(height for x, _, height, _ in found if x == 0) / 4000
    for column, key in enumerate(("cluster", "kind", "batch")):
        here = [bar for bar in found if np.isclose(bar[0], column * BETWEEN)]
        counts = three.obs[key].value_counts()
        np.testing.assert_allclose(sorted(bar[2] for bar in here), sorted(scale * counts))
        for x, first in ((column * BETWEEN, 2), (column * BETWEEN + BAR, 0)):
            ends = [(y[first], y[first + 1]) for at, y, _ in sides if np.isclose(at[first], x)]
            for _, top, height, _ in here if ends else []:
                inside = sorted(end for end in ends if top - 1e-9 <= end[0] and end[1] <= top + height + 1e-9)
                assert inside[0][0] == pytest.approx(top)
                assert inside[-1][1] == pytest.approx(top + height)
                np.testing.assert_allclose([a[1] for a in inside[:-1]], [b[0] for b in inside[1:]])


def test_widths_are_the_shared_numbers(three):
    figure = plot.sankey(three, "obs/cluster", "obs/kind")
    counts = pd.crosstab(three.obs["cluster"], three.obs["kind"]).to_numpy()
    scale = sum(bar[2] for bar in bars(figure) if bar[0] == 0) / 4000
    widths = [(y[1] - y[0], y[3] - y[2]) for _, y, _ in ribbons(figure)]
    np.testing.assert_allclose(*zip(*widths, strict=True))
    np.testing.assert_allclose(sorted(w for w, _ in widths), sorted(scale * counts[counts > 0]))


def test_colours_are_those_of_the_groups(three):
    figure = plot.sankey(three, "obs/cluster", "obs/kind", color="obs/kind")
    labels = [text.get_text() for text in figure.axes[0].texts]
    by_name = dict(zip("vwxyz", categorical(5), strict=True))
    kinds = [bar for bar in bars(figure) if bar[0] > 0]
    assert [bar[3] for bar in kinds] == list(by_name.values())
    assert {color for _, _, color in ribbons(figure)} == set(by_name.values())
    main = pd.crosstab(three.obs["cluster"], three.obs["kind"]).idxmax(axis=1)
    clusters = [bar for bar in bars(figure) if bar[0] == 0]
    assert [bar[3] for bar in clusters] == [by_name[main[str(i)]] for i in range(10)]
    assert set(labels) == {*"vwxyz", *map(str, range(10)), "cluster", "kind"}


def test_colours_may_come_from_elsewhere_and_missing_is_grey(three):
    batch = three.obs["batch"].where(np.arange(4000) > 99)
    figure = plot.sankey(three, batch, "obs/kind", color=batch, palette={"0": "#FF0000", "1": "#0000FF"})
    assert [bar[3] for bar in bars(figure)][:3] == ["#FF0000", "#0000FF", MISSING]
    assert "missing" in [text.get_text() for text in figure.axes[0].texts]


def brute(flow, above, below):
    """Crossings counted one pair of ribbons at a time."""
    rank = [np.argsort(above), np.argsort(below)]
    flows = [(i, j, flow[i, j]) for i, j in np.ndindex(*flow.shape)]
    return sum(v * w for a, b, v in flows for c, d, w in flows if rank[0][a] < rank[0][c] and rank[1][b] > rank[1][d])


def test_crossings_equal_a_count_of_pairs():
    rng = np.random.default_rng(0)
    flow = rng.integers(0, 9, (5, 4))
    orders = [rng.permutation(5), rng.permutation(4)]
    assert crossings([flow], orders) == brute(flow, *orders)
    matrix = crossing_matrix(flow)
    assert matrix[1, 3] == sum(flow[1, j] * flow[3, k] for j in range(4) for k in range(j))


def test_hidden_order_without_crossings_is_found():
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 9, 12)
    one, two = rng.permutation(12), rng.permutation(12)
    flow = np.zeros((12, 12), int)
    flow[one, two] = sizes
    flow[one[1:], two[:-1]] = 1
    orders = uncross([flow, flow.T])
    assert crossings([flow, flow.T], orders) == 0
    assert np.corrcoef(orders[0], np.arange(12))[0, 1] >= 0


def test_order_is_no_worse_than_given_or_random():
    rng = np.random.default_rng(0)
    flows = [rng.integers(0, 20, (7, 6)) ** 2, rng.integers(0, 20, (6, 8)) ** 2]
    found = crossings(flows, uncross(flows))
    for _ in range(200):
        assert found <= crossings(flows, [rng.permutation(k) for k in (7, 6, 8)])


def test_order_may_be_kept(three):
    figure = plot.sankey(three, "obs/cluster", "obs/kind", sort=False)
    assert [text.get_text() for text in figure.axes[0].texts if text.get_text() not in ("cluster", "kind")] == [
        *map(str, range(10)),
        *"vwxyz",
    ]


@pytest.mark.parametrize("k", [4, 60])
def test_names_do_not_overlap_and_stand_at_their_bars(table, apart, k):
    rng = np.random.default_rng(0)
    n = 5000
    first = np.r_[np.arange(k), rng.zipf(1.5, n - k) % k]  # most groups are tiny
    second = np.where(rng.random(n) < 0.9, first, rng.integers(0, k, n))
    obs = {f"level {i}": pd.Categorical.from_codes(c, [f"rather a long name ({j})" for j in range(k)])
           for i, c in enumerate((first, second, first // 2))}  # fmt: skip
    figure = plot.sankey(table(n, obs), *(f"obs/{name}" for name in obs))
    texts = figure.axes[0].texts
    assert apart(figure, texts)
    assert len(texts) == len(np.unique(first)) + len(np.unique(second)) + len(np.unique(first // 2)) + 3


def test_bars_never_overlap_and_names_have_room():
    rng = np.random.default_rng(0)
    sizes = [rng.integers(1, 100, 30), np.array([0]), np.array([0])]
    sizes[1:] = np.array([sizes[0].sum()]), np.array([1, sizes[0].sum() - 1])
    layout = lay_out([rng.permutation(len(size)) for size in sizes], sizes)
    for order, top, size in zip(layout.orders, layout.tops, layout.sizes, strict=True):
        assert (top[order][1:] > (top + size)[order][:-1]).all()
        assert (np.diff((top + size / 2)[order]) >= LINE - 1e-9).all()
        assert top.min() >= 0
        assert (top + size).max() <= layout.height + 1e-9


def test_one_observation(table):
    figure = plot.sankey(table(1), ["a"], ["b"])
    figure.canvas.draw()
    (first, second), ((_, ends, _),) = bars(figure), ribbons(figure)
    assert first[2] == second[2] > 0
    np.testing.assert_allclose(ends, [first[1], first[1] + first[2], second[1], second[1] + second[2]])


def test_wrong_input_is_one_sentence(three):
    with pytest.raises(ParameterError, match="columns must be two or more partitions, got 1"):
        plot.sankey(three, "obs/kind")
    with pytest.raises(MissingResultError, match="obs/leiden"):
        plot.sankey(three, "obs/kind", "obs/leiden")
    with pytest.raises(ParameterError, match="columns must be groups, got numbers"):
        plot.sankey(three, "obs/kind", np.arange(4000.0))
    with pytest.raises(ParameterError, match="palette has no colour for"):
        plot.sankey(three, "obs/kind", "obs/batch", palette={"0": "red"})
