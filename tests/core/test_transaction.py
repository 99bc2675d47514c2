"""One writer, whole changes, and repair of what a kill left."""

import contextlib
import multiprocessing
import os

import pytest

from kithkin.core import transaction
from kithkin.core.errors import KithkinError


def test_a_second_writer_is_told_who_writes(tmp_path):
    path = tmp_path / "a.zarr"
    again = pytest.raises(KithkinError, match=rf"a.zarr is being written by another process \(id {os.getpid()}\)")
    with transaction.writing(path), again, transaction.writing(path):
        pass
    assert list(tmp_path.iterdir()) == []


def _hold(path, ready, release):
    with transaction.writing(path):
        ready.set()
        release.wait(10)


def test_the_lock_holds_between_processes_and_falls_with_the_process(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready, release = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(tmp_path / "a.zarr", ready, release))
    other.start()
    assert ready.wait(30)
    with pytest.raises(KithkinError, match="another process"), transaction.writing(tmp_path / "a.zarr"):
        pass
    other.kill()
    other.join()
    with transaction.writing(tmp_path / "a.zarr") as staging:
        assert list(staging.iterdir()) == []


def _element(folder, text):
    folder.mkdir(parents=True)
    (folder / "c").write_text(text)


@pytest.mark.parametrize("done", [0, 1, 2, 3])
def test_a_change_killed_between_two_moves_is_finished_by_the_next(tmp_path, done, monkeypatch):
    path = tmp_path / "a.zarr"
    for name in ("obsm/a", "obsm/b", "uns/c"):
        _element(path / name, "old")
    (path / "obs").mkdir()
    (path / "obs/zarr.json").write_text("the old header")
    place, moved = transaction.place, []

    def killed(staged, final):
        if len(moved) == done:
            raise SystemError("killed")
        moved.append(final)
        place(staged, final)

    monkeypatch.setattr(transaction, "place", killed)
    with (
        contextlib.suppress(SystemError),
        transaction.writing(path) as staging,
    ):  # with as many moves as there are, no kill
        for name in ("obsm/a", "obsm/b", "uns/c"):
            _element(staging / "elements" / name, "new")
        transaction.commit(path, ["obsm/a", "obsm/b", "uns/c"], {"obs": "the new header"})
    monkeypatch.undo()
    transaction.recover(path)
    assert {(path / n / "c").read_text() for n in ("obsm/a", "obsm/b", "uns/c")} == {"new"}
    assert (path / "obs/zarr.json").read_text() == "the new header"
    assert [p.name for p in tmp_path.iterdir()] == ["a.zarr"]


def test_without_an_exchange_of_names_the_move_still_works(tmp_path, monkeypatch):
    monkeypatch.setattr(transaction, "_exchange", lambda a, b: False)
    _element(tmp_path / "new", "new")
    _element(tmp_path / "final", "old")
    transaction.place(tmp_path / "new", tmp_path / "final")
    assert (tmp_path / "final/c").read_text() == "new"
    assert (tmp_path / "new/c").read_text() == "old"


def test_a_missing_folder_is_named(tmp_path):
    with (
        pytest.raises(KithkinError, match="nowhere does not exist"),
        transaction.writing(tmp_path / "nowhere" / "a.zarr"),
    ):
        pass
