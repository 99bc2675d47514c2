import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex, to_rgb

from kithkin.core.errors import ParameterError
from kithkin.plot.look.palette import MISSING, OKABE_ITO, categorical, group_colors, to_oklab, views


def nearest(colors, view):
    lab = views(np.array([to_rgb(color) for color in colors]))[view]
    distance = np.linalg.norm(lab[:, None] - lab[None], axis=2)
    return distance[~np.eye(len(colors), dtype=bool)].min()


@pytest.mark.parametrize(("n", "least"), [(8, 0.15), (20, 0.11), (40, 0.085), (60, 0.07)])
def test_colours_stay_apart_for_a_normal_eye(n, least):
    assert nearest(categorical(n), 0) >= least


@pytest.mark.parametrize("view", [1, 2])
@pytest.mark.parametrize(("n", "least"), [(8, 0.07), (16, 0.073), (20, 0.065), (40, 0.045)])
def test_colours_stay_apart_for_colour_blind_eyes(n, least, view):
    assert nearest(categorical(n), view) >= least


def test_few_groups_get_okabe_and_ito():
    assert categorical(8) == list(OKABE_ITO)
    assert categorical(0) == []


def test_order_is_fixed_and_continues():
    assert categorical(40) == categorical(90)[:40]
    assert categorical(9)[:7] == list(OKABE_ITO[:7])
    assert len(set(categorical(160))) == 160
    assert categorical(161)[160] == categorical(161)[0]


def test_no_group_looks_like_missing_or_paper():
    colors = np.array([to_rgb(color) for color in categorical(80)])
    lab, grey = to_oklab(colors), to_oklab(np.array([to_rgb(MISSING), (1, 1, 1)]))
    assert np.linalg.norm(lab[:, None] - grey[None], axis=2).min() > 0.06


def test_oklab_of_known_colours():
    # reference values from the page that defines the space
    lab = to_oklab(np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]))
    np.testing.assert_allclose(lab, [[0.628, 0.2249, 0.1258], [0.452, -0.0325, -0.3115]], atol=2e-3)


def test_own_palettes():
    assert [to_hex(c) for c in group_colors(["a", "b"], ["#ff0000", "#00ff00", "#0000ff"])] == ["#ff0000", "#00ff00"]
    with pytest.raises(ParameterError, match="no colour for 'b'"):
        group_colors(["a", "b"], {"a": "red"})
    with pytest.raises(ParameterError, match="at least 2 colours, got 1"):
        group_colors(["a", "b"], ["red"])
    with pytest.raises(ParameterError, match="must hold colours"):
        group_colors(["a"], ["no such colour"])


def test_a_series_of_colours_goes_by_its_names():
    colors = pd.Series(["red", "blue"], index=["T", "B"])
    assert group_colors(["B", "T"], colors).tolist() == group_colors(["B", "T"], colors.to_dict()).tolist()
    in_order = colors.reset_index(drop=True)
    assert group_colors(["B", "T"], in_order).tolist() == group_colors(["B", "T"], ["red", "blue"]).tolist()
