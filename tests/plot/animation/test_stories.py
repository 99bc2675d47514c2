"""Ready-made animations: which colours and steps they choose."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from kithkin import plot
from kithkin.core.errors import ParameterError
from kithkin.plot.animation.stories import leading, match_groups, strides

CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
PLACES = [(185, 15), (185, 185), (15, 15), (15, 185)]
PLAIN = {"size": (200, 200), "legend": False, "dot": 15, "titles": None}


def colors_of(film):
    """Colours of the four corners in every frame."""
    out = []
    with Image.open(film.path) as image:
        for k in range(image.n_frames):
            image.seek(k)
            frame = np.asarray(image.convert("RGB"))
            out.append([tuple(frame[place].tolist()) for place in PLACES])
    return out


@given(st.integers(1, 400), st.integers(2, 60))
def test_strides_begin_and_end_and_never_shrink(n_steps, most):
    steps = strides(n_steps, most)
    assert len(steps) == min(n_steps, most)
    assert steps[0] == 0
    assert steps[-1] == n_steps - 1
    assert (np.diff(steps) >= 1).all()


def test_groups_keep_their_colors_where_a_group_splits(tmp_path):
    film = plot.animate_partitions(
        CORNERS, [[0, 0, 0, 0], [1, 1, 1, 0], [2, 2, 0, 1]], to=tmp_path / "a.gif", palette=["red", "blue", "lime"],
        **PLAIN,
    )  # fmt: skip
    red, blue, lime = (255, 0, 0), (0, 0, 255), (0, 255, 0)
    assert colors_of(film) == [[red] * 4, [red, red, red, blue], [red, red, lime, blue]]


def test_a_renaming_of_groups_changes_nothing():
    rng = np.random.default_rng(0)
    cuts, names = [rng.integers(0, 6, 200)], []
    for _ in range(5):
        cuts.append(rng.permutation(6)[cuts[-1]])
    for codes, table in zip(cuts, match_groups(cuts.__getitem__, 6), strict=True):
        names.append(table[codes])
    assert all((name == names[0]).all() for name in names)


def test_missing_members_and_empty_groups_are_no_error():
    cuts = np.array([[-1, -1, -1], [4, -1, 4], [-1, 0, 1]])
    tables = match_groups(cuts.__getitem__, 3)
    assert [table.tolist() for table in tables] == [[], [-1, -1, -1, -1, 0], [1, 0]]


@given(st.lists(st.lists(st.integers(-1, 5), min_size=8, max_size=8), min_size=1, max_size=5))
def test_numbers_of_a_frame_differ(cuts):
    cuts = np.array(cuts)
    for codes, table in zip(cuts, match_groups(cuts.__getitem__, len(cuts)), strict=True):
        present = table[np.unique(codes[codes >= 0])]
        assert len(set(present.tolist())) == len(present)
        assert (present >= 0).all()


def test_moving_points_show_training(tmp_path):
    rng = np.random.default_rng(0)
    coords, codes = rng.normal(size=(4, 100, 2)), rng.integers(0, 3, (4, 100))
    assert plot.animate_partitions(coords, codes, to=tmp_path / "a.gif", between=2).n_frames == 10


def test_a_history_of_one_set_is_shown_by_rank(tmp_path):
    history = np.array([[1, 0, 0, 0], [1, 0.1, 0, 0], [1, 0.1, 0.01, 0]], np.float32)
    gray = {"palette": ["black", "white"]} | PLAIN
    films = [
        plot.animate_propagation(CORNERS, what, to=tmp_path / f"{k}.gif", **gray)
        for k, what in enumerate((history, history[..., None], history.tolist()))
    ]
    np.save(tmp_path / "history.npy", history)
    films.append(plot.animate_propagation(CORNERS, tmp_path / "history.npy", to=tmp_path / "path.gif", **gray))
    assert len({film.path.read_bytes() for film in films}) == 1
    last = [color[0] for color in colors_of(films[0])[-1]]
    assert last == pytest.approx([255, 170, 85, 0], abs=2)


def test_a_history_of_several_sets_shows_the_winner(tmp_path):
    history = np.zeros((2, 4, 2), np.float32)
    history[:, 0, 0] = history[:, 1, 1] = 1
    history[1, 2], history[1, 3] = (0.2, 0.1), (0.1, 0.3)
    film = plot.animate_propagation(
        CORNERS, history, to=tmp_path / "a.gif", names=["B", "T"], palette=["red", "blue"], **PLAIN
    )
    red, blue, grey = (255, 0, 0), (0, 0, 255), (217, 217, 217)
    assert colors_of(film) == [[red, blue, grey, grey], [red, blue, red, blue]]
    assert leading(np.full((1, 2), np.nan)).tolist() == [-1]


def test_long_histories_are_shortened(tmp_path):
    history = np.random.default_rng(0).random((300, 4))
    assert plot.animate_propagation(CORNERS, history, to=tmp_path / "a.gif", most=20).n_frames == 20


def test_points_come_in_their_order_and_go(tmp_path):
    grey = (217, 217, 217)
    for tail, wanted in ((None, [1, 2, 3, 4]), (0.5, [1, 2, 2, 2])):
        film = plot.animate_order(
            CORNERS, [3.0, 1.0, 0.0, 2.0], ["b", "a", "a", "b"], to=tmp_path / "a.gif", n_frames=4, tail=tail,
            palette=["red", "blue"], **PLAIN,
        )  # fmt: skip
        frames = colors_of(film)
        assert [sum(color != grey for color in frame) for frame in frames] == wanted
    film = plot.animate_order(
        CORNERS, [np.nan, 1.0, 0.0, 2.0], [0.0, 1.0, 2.0, 3.0], to=tmp_path / "b.gif", n_frames=3, **PLAIN
    )
    assert [frame[0] for frame in colors_of(film)] == [grey] * 3


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda to: plot.animate_propagation(CORNERS, np.zeros(4), to=to), "history must be frames x n"),
        (lambda to: plot.animate_propagation(CORNERS, np.ones((2, 4, 2)), names=["a"], to=to), "one per set: 2, got 1"),
        (lambda to: plot.animate_propagation(CORNERS, np.ones((2, 4)), names=["a"], to=to), "names has no effect"),
        (lambda to: plot.animate_partitions(CORNERS, np.ones((2, 4)), to=to), "partitions must be whole numbers"),
        (lambda to: plot.animate_order(CORNERS, np.full(4, np.nan), to=to), "order must be one number per point"),
        (lambda to: plot.animate_order(CORNERS, np.arange(4), np.zeros(3), to=to), "values must be one per point: 4"),
        (lambda to: plot.animate_order(CORNERS, np.arange(4), tail=2, to=to), "tail must be above 0"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path, call, message):
    with pytest.raises(ParameterError, match=message):
        call(tmp_path / "a.gif")
    assert list(tmp_path.iterdir()) == []
