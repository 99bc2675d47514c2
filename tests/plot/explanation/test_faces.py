"""Dots are where the shares are, and what is drawn beside them is what the table says."""

import numpy as np
import pandas as pd
import pytest

import kithkin as kk
from kithkin import plot
from kithkin.core.errors import MissingResultError, ParameterError

SHARES = {"a": [0.95, 0.2, 0.96], "b": [0.3, 0.9, 0.9], "rare": [np.nan] * 3, "(all)": [0.62, 0.55, 0.93]}
ON = ["X", "obsp/spatial_connectivities", "together"]
SAID = {"a": ["high CD3D, low LYZ", "", ""], "b": ["", "high a nearby", ""]}


def stored(shares=SHARES):
    rows = [
        [name, on, share, share - 0.1, share + 0.04, 1 / 3, text]
        for name, found in shares.items()
        for on, share, text in zip(ON, found, SAID.get(name, [""] * 3), strict=True)
    ]
    columns = ["group", "on", "share", "low", "high", "chance", "features"]
    return {"table": pd.DataFrame(rows, columns=columns)}


@pytest.fixture
def drawn(table):
    figure = plot.faces(table(3, {"kind": ["a", "b", "rare"]}, uns__kind_faces=stored()), "kind")
    figure.canvas.draw()
    return figure


def test_each_share_is_a_dot_in_the_row_of_its_cluster(drawn):
    ax = drawn.axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()][::-1] == ["a", "b", "rare", "average"]
    dots = [line for line in ax.lines if line.get_marker() == "o"]
    found = {}
    for line in dots:
        row = round(float(line.get_ydata()[0]))
        found.setdefault(list(SHARES)[3 - row], []).append(float(line.get_xdata()[0]))
    for name, shares in SHARES.items():
        np.testing.assert_allclose(found[name], shares)
    spans = [tuple(line.get_xdata()) for line in ax.lines if line.get_marker() == "None" and line.get_alpha() == 0.6]
    assert len(spans) == 8
    np.testing.assert_allclose(spans[-2:], [(0.85, 0.99), (0.1, 0.24)])  # of the first cluster, which is drawn last
    guess = [
        line.get_xdata()[0] for line in ax.lines if line.get_linestyle() == "--" and len(set(line.get_xdata())) == 1
    ]
    assert guess == [1 / 3]


def test_features_stand_beside_where_a_modality_is_better_than_a_guess(drawn):
    ax = drawn.axes[0]
    beside = {round(text.xy[1]): text.get_text() for text in ax.texts if text.xycoords == "data"}
    assert beside == {3: "high CD3D, low LYZ", 2: "high a nearby", 1: "too few cells", 0: ""}
    legend = [text.get_text() for text in ax.texts if text.xycoords == "axes fraction"]
    assert legend == ["● X", "● spatial neighbours", "○ together", "╌ guess"]


def test_nothing_leaves_the_picture_or_covers_another(table):
    long = {f"cluster number {k} of a very long name, and longer": [0.9, 0.8, 0.9] for k in range(12)}
    found = stored(long)
    found["table"]["features"] = "high " + ", high ".join(f"GENE{k}" for k in range(30))
    figure = plot.faces(table(2, {"kind": ["x", "y"]}, uns__kind_faces=found), "kind")
    figure.canvas.draw()
    inside = figure.bbox
    boxes = [text.get_window_extent() for text in [*figure.axes[0].texts, *figure.axes[0].get_yticklabels()]]
    assert all(box.x0 >= inside.x0 and box.x1 <= inside.x1 and box.y1 <= inside.y1 for box in boxes)
    pairs = [(a, b) for i, a in enumerate(boxes) for b in boxes[:i]]
    assert not any(a.overlaps(b) for a, b in pairs)


def test_shares_of_a_real_dataset_are_drawn(tmp_path):
    ds = kk.read(kk.datasets.simulate_counts(200, 100, 2), to=tmp_path / "a.zarr")
    ds.write({"obsm/measures": np.arange(400.0).reshape(200, 2)})
    with pytest.raises(MissingResultError, match="uns/group_faces"):
        plot.faces(ds, "group")
    table = kk.explain(ds, "group", on=["X", "obsm/measures"]).set_index(["group", "on"])
    ax = plot.faces(ds, "group").axes[0]
    first = next(line for line in ax.lines if line.get_marker() == "o" and round(float(line.get_ydata()[0])) == 2)
    assert first.get_xdata()[0] == table["share"]["0", "X"]
    ds.write({"obs/group": np.roll(ds.read("obs/group").astype(str).to_numpy(), 7)})
    with pytest.raises(ParameterError, match=r"was made with another obs/group than there is now"):
        plot.faces(ds, "group")


def test_what_is_no_table_of_shares_is_refused(table):
    with pytest.raises(ParameterError, match=r"uns/kind_faces must be a result of kithkin\.explain with several modal"):
        plot.faces(table(2, {"kind": ["a", "b"]}, uns__kind_faces={"params": 1}), "kind")
