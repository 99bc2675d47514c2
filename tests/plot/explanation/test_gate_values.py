import numpy as np
import pandas as pd
import pytest

from kithkin import plot
from kithkin.core.errors import ParameterError


@pytest.fixture
def explained(table):
    rng = np.random.default_rng(0)
    names = [f"gene number {j}" for j in range(40)]
    parts = []
    for k in range(7):
        j = rng.choice(40, 2 + k, replace=False)
        mean = rng.uniform(-1, 4, (2, len(j)))
        columns = {"group": f"cluster {k}", "feature": np.array(names)[j], "gate": np.sort(rng.random(len(j)))[::-1]}
        parts.append(pd.DataFrame(columns | {"mean": mean[0], "mean_rest": mean[1]}))
    listed = pd.concat(parts, ignore_index=True)
    listed["group"] = pd.Categorical(listed["group"])
    obs = {"deep": pd.Categorical([f"cluster {i % 7}" for i in range(70)])}
    return table(70, obs, np.zeros((70, 40)), names, uns__deep_explanation=listed, varm__deep_gates=np.ones((40, 7)))


def test_each_cluster_has_its_features_with_their_values(explained):
    listed = explained.read("uns/deep_explanation")
    figure = plot.gates(explained, kind="values", n_features=4, threshold=0.0)
    panels = {ax.get_label(): ax for ax in figure.axes if ax.get_label().startswith("cluster")}
    assert list(panels) == [f"cluster {k}" for k in range(7)]
    for name, ax in panels.items():
        part = listed[listed["group"] == name].head(4)
        assert [label.get_text() for label in ax.get_yticklabels()] == part["feature"].tolist()
        outside, inside = (np.asarray(dots.get_offsets())[:, 0] for dots in ax.collections[-2:])
        np.testing.assert_allclose(inside, part["mean"])
        np.testing.assert_allclose(outside, part["mean_rest"])
    assert len({ax.get_xlim() for ax in panels.values()}) == 1, "values can be compared between clusters"


def test_nothing_overlaps(explained, apart):
    figure = plot.gates(explained, kind="values", n_features=9, threshold=0.0)
    panels = [ax for ax in figure.axes if ax.get_label().startswith("cluster")]
    labels = [text for ax in panels for text in [*ax.get_yticklabels(), *ax.texts]]
    legend = next(ax for ax in figure.axes if ax.get_label() == "legend").get_legend()
    assert apart(figure, [*labels, *legend.get_texts(), *[ax.patch for ax in panels]])


def test_closed_gates_are_left_out(explained):
    with pytest.raises(ParameterError, match="no gate of obs/deep is above 1"):
        plot.gates(explained, kind="values", threshold=1)
    one = plot.gates(explained, kind="values", threshold=0.0, n_columns=1)
    assert one.get_size_inches()[0] < plot.gates(explained, kind="values", threshold=0.0).get_size_inches()[0]
