import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from kithkin import plot
from kithkin.core.errors import MissingResultError, ParameterError
from kithkin.core.history import Step
from kithkin.plot.explanation.gates import choose_features
from kithkin.plot.look.palette import categorical


@pytest.fixture
def cells(table):
    codes = np.repeat([0, 1, 2], 20)
    gates = np.zeros((6, 3))
    gates[[0, 1], 0] = 1.0, 0.7
    gates[[1, 2, 3], 1] = 0.9, 0.9, 0.6
    gates[5, 2], gates[4] = 0.8, 0.4
    names = [f"g{j}" for j in range(6)]
    obs = {"deep": pd.Categorical.from_codes(codes, ["T", "B", "NK"])}
    return table(60, obs, np.zeros((60, 6)), names, varm__deep_gates=gates)


def rows(figure):
    return [label.get_text() for label in figure.axes[0].get_yticklabels()]


def test_each_feature_stands_at_the_cluster_that_has_it_most_open(cells):
    figure = plot.gates(cells)
    assert rows(figure) == ["g0", "g2", "g1", "g3", "g5"], "of equal gates the one that others lack comes first"
    image = np.asarray(figure.axes[0].images[0].get_array())
    np.testing.assert_array_equal(image, cells.read("varm/deep_gates")[[0, 2, 1, 3, 5]])
    beside = figure.axes[1].images[0].get_array()[:, 0]
    assert [to_hex(c).upper() for c in beside] == [categorical(3)[k] for k in (0, 1, 1, 1, 2)]


def test_only_open_gates_make_features(cells):
    assert rows(plot.gates(cells, n_features=1)) == ["g0", "g2", "g5"]
    assert "g4" in rows(plot.gates(cells, threshold=0.3))
    with pytest.raises(ParameterError, match="no gate of obs/deep is above 1"):
        plot.gates(cells, threshold=1)


def test_the_table_of_explain_gives_the_order(cells):
    listed = pd.DataFrame({"group": ["B", "B", "T", "NK"], "feature": ["g3", "g1", "g1", "g5"], "gate": 0.9})
    cells.elements["uns/deep_explanation"] = listed
    assert choose_features(cells, "obs/deep", 5, 0.5).sets == [[], [3, 1], [5]]


@pytest.mark.parametrize("k", [3, 25])
def test_names_do_not_overlap(table, apart, k):
    rng = np.random.default_rng(0)
    names = [f"a long name of a feature, {j}" for j in range(200)]
    obs = {"deep": pd.Categorical.from_codes(np.arange(500) % k, [f"type {i} of cells" for i in range(k)])}
    ds = table(500, obs, np.zeros((500, 200)), names, varm__deep_gates=rng.random((200, k)) ** 9)
    figure = plot.gates(ds, n_features=4)
    assert apart(figure, [*figure.axes[0].texts, *figure.axes[0].get_yticklabels()])


def test_clusters_without_members_are_not_drawn(cells):
    labels = np.where(np.arange(60) < 20, "0", "2")
    cells.obs["deep"] = labels
    figure = plot.gates(cells)
    assert [text.get_text() for text in figure.axes[0].texts] == ["0", "2"]
    assert rows(figure) == ["g0", "g1", "g5"]


def test_wrong_input_is_one_sentence(cells):
    with pytest.raises(ParameterError, match="kind must be one of 'auto', 'heatmap', 'image', 'values', got 'pie'"):
        plot.gates(cells, kind="pie")
    with pytest.raises(ParameterError, match="n_features must be in 1"):
        plot.gates(cells, n_features=0)
    with pytest.raises(MissingResultError, match="uns/deep_explanation"):
        plot.gates(cells, kind="values")
    with pytest.raises(MissingResultError, match="obs/leiden"):
        plot.gates(cells, "obs/leiden")
    cells.obs["deep"] = np.arange(60) % 4
    cells.obs["deep"] = cells.obs["deep"].astype(str)
    with pytest.raises(ParameterError, match="varm/deep_gates has 3 clusters, but obs/deep has 4"):
        plot.gates(cells)


def test_gates_of_clusters_that_were_replaced_are_not_drawn(dataset):
    labels = np.array([f"k{i % 3}" for i in range(600)], dtype=object)
    about = pd.DataFrame(
        {"group": ["k0"], "feature": dataset.var_names[:1], "gate": 0.9, "mean": 1.0, "mean_rest": 0.0}
    )
    outputs = ("obs/deep", "varm/deep_gates")
    gates = np.eye(500, 3, dtype=np.float32)
    dataset.result(Step("deep", 1, {}, ("X",), outputs), lambda: {outputs[0]: labels, outputs[1]: gates})
    dataset.result(Step("explain", 1, {}, outputs, ("uns/deep_explanation",)), lambda: {"uns/deep_explanation": about})
    looks = [{"kind": "heatmap"}, {"kind": "values"}, {"kind": "image", "shape": (20, 25)}]
    for look in looks:
        assert plot.gates(dataset, **look).axes
    dataset.write({"obs/deep": labels[::-1]})
    for look in looks:
        with pytest.raises(
            ParameterError, match=r"another obs/deep than there is now: run kithkin.explain\(ds, 'obs/d"
        ):
            plot.gates(dataset, **look)
    dataset.write({"varm/deep_gates": gates})
    assert rows(plot.gates(dataset)) == dataset.var_names[:3].tolist(), "nor does the old table give the order"
