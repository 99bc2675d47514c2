"""Animations of a dataset: each story is written and read again."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import kithkin as kk
from kithkin.core.errors import KithkinError, MissingResultError, ParameterError
from kithkin.verbs.animate import Epochs, animate

SMALL = {"size": (160, 120)}


@pytest.fixture
def mapped(finished):
    """The finished dataset with a map."""
    kk.umap(finished, n_epochs=10)
    return finished


def frames_of(film):
    with Image.open(film.path) as image:
        return image.n_frames, image.size


@pytest.mark.parametrize(
    ("what", "settings", "n_frames"),
    [
        ("propagation", {"from_": "group == 'group 0'", "n_frames": 5}, 5),
        ("umap", {"by": "leiden", "n_frames": 6}, 6),
        ("umap", {"by": "n_counts", "n_frames": 4}, 4),
        ("leiden", {"n_frames": 3}, 11),
        ("paris", {"n_frames": 4}, 16),
        ("order", {"order": "n_counts", "n_frames": 7}, 7),
        ("order", {"order": "obs/n_counts", "by": "leiden", "dark": True, "n_frames": 3}, 3),
    ],
)
def test_every_story_is_written(mapped, tmp_path, what, settings, n_frames):
    if "from_" in settings:
        settings = settings | {"from_": f"group == {str(mapped.obs['group'].iloc[0])!r}"}
    before = mapped.keys()
    film = animate(mapped, what, to=tmp_path / "film.gif", **settings, **SMALL)
    assert frames_of(film) == (n_frames, (160, 120)) == (film.n_frames, film.size)
    assert mapped.keys() == before  # nothing is stored


def test_cells_to_begin_with_are_a_condition_or_booleans(mapped, tmp_path):
    first = str(mapped.obs["leiden"].iloc[0])
    files = [
        animate(mapped, from_=from_, to=tmp_path / f"{k}.gif", n_frames=3, **SMALL)
        for k, from_ in enumerate((f"leiden == {first!r}", np.asarray(mapped.obs["leiden"] == first)))
    ]
    assert [frames_of(film)[0] for film in files] == [3, 3]


def test_the_stored_tree_is_used(mapped, tmp_path, monkeypatch):
    fresh = animate(mapped, "paris", to=tmp_path / "fresh.gif", n_frames=3, **SMALL).path.read_bytes()
    kk.paris(mapped)

    def never(*_):
        raise AssertionError("the tree was grown again")

    monkeypatch.setitem(animate.__globals__, "grow", never)
    assert animate(mapped, "paris", to=tmp_path / "kept.gif", n_frames=3, **SMALL).path.read_bytes() == fresh


@pytest.mark.parametrize("n_epochs", [1, 2, 3, 7, 8, 9, 100, 501])
def test_epochs_are_thinned_out_evenly(n_epochs):
    with Epochs(4, 1) as epochs:
        for epoch in range(n_epochs):
            epochs(epoch, np.full((1, 2), epoch))
        numbers, layouts = epochs.choose()
        assert [layout[0, 1] for layout in layouts] == numbers
    assert len(numbers) == min(4, n_epochs)
    assert (numbers[0], numbers[-1]) == (0, n_epochs - 1)
    if n_epochs > 8:
        assert np.diff(numbers).max() <= 2 * np.diff(numbers).min()


@pytest.mark.parametrize(
    ("what", "settings", "message"),
    [
        ("dance", {}, "what must be one of 'propagation', 'umap', 'leiden', 'paris', 'order', 'training', got 'dance'"),
        ("propagation", {}, "from_ must name the cells to begin with"),
        ("propagation", {"from_": "n_counts < 0"}, r"from_: no observation of .* meets 'n_counts < 0'"),
        ("propagation", {"from_": [True]}, "from_ must have 600 rows, one for each vertex, got 1"),
        ("propagation", {"from_": "n_counts > 0", "by": "leiden"}, "by has no effect on 'propagation'"),
        ("umap", {"from_": "n_counts > 0"}, "from_ has no effect on 'umap'"),
        ("umap", {"by": "nonsense"}, "by must be a key, an obs column, a gene"),
        ("leiden", {"n_frames": 1}, "n_frames must be in"),
        ("paris", {"n_frames": 700}, "n_frames must be below the number of cells, 600, got 700"),
    ],
)
def test_what_cannot_be_is_refused(mapped, tmp_path, what, settings, message):
    with pytest.raises(ParameterError, match=message):
        animate(mapped, what, to=tmp_path / "film.gif", **settings, **SMALL)
    assert not (tmp_path / "film.gif").exists()


def test_the_file_is_checked_before_the_work(finished, tmp_path):
    with pytest.raises(ParameterError, match="to must end in"):
        animate(finished, "leiden", to=tmp_path / "film.mov")
    with pytest.raises(KithkinError, match="does not exist"):
        animate(finished, "leiden", to=tmp_path / "none" / "film.gif")
    with pytest.raises(MissingResultError, match="obsm/X_umap"):
        animate(finished, "order", order="n_counts", to=tmp_path / "film.gif")


def test_a_training_is_shown_from_its_snapshots(finished, tmp_path):
    with pytest.raises(MissingResultError, match="uns/deep"):
        animate(finished, "training", to=tmp_path / "film.gif")
    finished.write({"uns/deep": {"history": np.arange(3)}})
    with pytest.raises(MissingResultError, match=r"uns/deep of .* holds no snapshots of a training: run"):
        animate(finished, "training", to=tmp_path / "film.gif")
    rng = np.random.default_rng(0)
    frames = {"rows": np.arange(0, 600, 4), "coords": rng.normal(size=(3, 150, 2)).astype(np.float32)}
    frames |= {"labels": rng.integers(0, 3, (3, 150)), "epoch": np.arange(3)}
    frames["phase"] = np.array(["autoencoder", "gates", "end"], dtype=object)
    finished.write({"uns/deep": {"frames": frames}})
    for k, settings in enumerate(({}, {"by": "leiden"}, {"by": "n_counts", "n_frames": 2}, {"on": "uns/deep"})):
        film = animate(finished, "training", to=tmp_path / f"{k}.gif", **settings, **SMALL)
        assert film.n_frames == (6 if "n_frames" in settings else 11)
        assert frames_of(film)[0] > 1
    frames["rows"] = np.arange(600, 750)
    finished.write({"uns/deep": {"frames": frames}})
    with pytest.raises(ParameterError, match="are of another dataset"):
        animate(finished, "training", to=tmp_path / "film.gif")


def test_it_begins_with_all_that_propagate_takes(mapped, tmp_path):
    names = mapped.obs_names[[3, 40]].tolist()
    mapped["obs/some"] = mapped.obs["group"].where(np.arange(600) % 20 == 0)
    mapped["obsm/weights"] = np.random.default_rng(0).random((600, 3))
    same = [
        animate(mapped, from_=from_, to=tmp_path / f"{k}.gif", n_frames=3, **SMALL).path.read_bytes()
        for k, from_ in enumerate((names, [3, 40], np.isin(np.arange(600), [3, 40])))
    ]
    assert same[0] == same[1] == same[2]
    for k, from_ in enumerate(("some", mapped.obs["some"], "obsm/weights", "obs/n_counts")):
        assert animate(mapped, from_=from_, to=tmp_path / f"set{k}.gif", n_frames=3, **SMALL).n_frames == 3
    with pytest.raises(ParameterError, match="names of from_ are not in obs"):
        animate(mapped, from_=["nobody"], to=tmp_path / "no.gif", **SMALL)
