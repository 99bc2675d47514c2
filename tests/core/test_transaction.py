"""One writer, whole changes, and repair of what a kill left."""

import contextlib
import errno
import fcntl
import json
import multiprocessing
import os
import shutil
import time

import numpy as np
import pytest

import kithkin as kk
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


@pytest.mark.parametrize("exchange", [True, False])
@pytest.mark.parametrize("done", [0, 1, 2, 3, 4])
def test_a_change_killed_between_two_moves_is_finished_by_the_next(tmp_path, done, exchange, monkeypatch):
    if not exchange:
        monkeypatch.setattr(transaction, "_exchange", lambda a, b: False)
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
        transaction.commit(path, staging / "elements", ["obsm/a", "obsm/b", "uns/c"], {"obs": "the new header"})
    monkeypatch.undo()
    transaction.recover(path)
    assert {(path / n / "c").read_text() for n in ("obsm/a", "obsm/b", "uns/c")} == {"new"}
    assert (path / "obs/zarr.json").read_text() == "the new header"
    assert [p.name for p in tmp_path.iterdir()] == ["a.zarr"]


@pytest.mark.parametrize("exchange", [True, False])
@pytest.mark.parametrize("lasting", [True, False])
@pytest.mark.parametrize("k", range(1, 10))
def test_a_full_disk_at_any_rename_leaves_a_whole_value(tmp_path, k, lasting, exchange, monkeypatch):
    path, names = tmp_path / "a.zarr", ("obsm/a", "obsm/b", "uns/c")
    for name in ("obsm/a", "uns/c"):
        _element(path / name, "old")
    calls, rename = [], os.rename

    def full(a, b, **how):
        calls.append(b)
        if len(calls) == k or (lasting and len(calls) > k):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(b))
        rename(a, b, **how)

    def swap(a, b):
        if exchange:
            aside = a.with_name("aside")  # one step here, of which the first rename counts
            full(a, aside)
            rename(b, a)
            rename(aside, b)
        return exchange

    def state():
        return {(path / name / "c").read_text() if (path / name).exists() else "old" for name in names}

    monkeypatch.setattr(transaction, "_exchange", swap)
    monkeypatch.setattr(transaction.os, "rename", full)
    said = ""
    try:
        with transaction.writing(path) as staging:
            for name in names:
                _element(staging / "elements" / name, "new")
            transaction.commit(path, staging / "elements", list(names), {})
    except KithkinError as error:
        said = str(error)
    monkeypatch.undo()
    if "changed in part" in said:
        assert lasting
        assert "free some space" in said
        transaction.recover(path)
        assert state() == {"new"}
    else:
        assert state() == ({"old"} if said else {"new"})
    assert len(calls) < k or said
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


FOREIGN = {
    "above": {"staging": "staging-a", "moves": [["headers", "../../home", 1]]},
    "absolute": {"staging": "staging-a", "moves": [["headers", "/home", 1]]},
    "up": {"staging": "staging-a", "moves": [["elements", "obsm/../../home", 1]]},
    "no place": {"staging": "staging-a", "moves": [["elements", "home", 1]]},
    "elsewhere": {"staging": "../home", "moves": []},
    "old": {"moves": [], "headers": {"../../home": "text"}},
    "no list": {"staging": "staging-a", "moves": 1},
    "list": [],
}


@pytest.mark.parametrize("change", FOREIGN)
def test_a_journal_that_leads_out_of_the_dataset_is_refused(tmp_path, change):
    ds = kk.read(np.eye(3), to=tmp_path / "a.zarr")
    folder = transaction.workspace(ds.path)
    (folder / "staging-a/elements").mkdir(parents=True)
    (folder / "journal.json").write_text(json.dumps(FOREIGN[change]))
    before = sorted(tmp_path.rglob("*"))
    for call in (lambda: kk.open(ds.path), lambda: ds.write({"obs/a": [1, 2, 3]})):
        with pytest.raises(KithkinError, match="is not a journal that kithkin has written"):
            call()
    assert (folder / "journal.json").exists()
    assert {path for path in before if "lock" not in path.name} <= set(tmp_path.rglob("*"))


@pytest.mark.parametrize("text", ["", "\0", "{", "[1"])
def test_a_journal_that_cannot_be_read_is_named(tmp_path, text):
    ds = kk.read(np.eye(3), to=tmp_path / "a.zarr")
    transaction.workspace(ds.path).mkdir()
    (transaction.workspace(ds.path) / "journal.json").write_text(text)
    with pytest.raises(KithkinError, match=r"journal\.json is not a journal"):
        kk.open(ds.path)


def test_links_in_the_hidden_folder_are_not_followed(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    (tmp_path / "project/staging-a").mkdir(parents=True)
    (tmp_path / ".a.zarr.kithkin").mkdir()
    (tmp_path / ".a.zarr.kithkin/lock").symlink_to(tmp_path / "thesis.txt")
    (tmp_path / ".b.zarr.kithkin").symlink_to(tmp_path / "project")
    for name in ("a.zarr", "b.zarr"):
        with pytest.raises(KithkinError, match="is a link"):
            kk.read(np.eye(3), to=tmp_path / name)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
    assert (tmp_path / "project/staging-a").exists()


def test_a_link_within_a_dataset_is_not_written_through(tmp_path):
    ds = kk.read(np.eye(3), to=tmp_path / "a.zarr")
    (ds.path / "obsm").rename(tmp_path / "elsewhere")
    (ds.path / "obsm").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(KithkinError, match="obsm is a link"):
        ds.write({"obsm/a": np.eye(3)})
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == ["zarr.json"]
    assert "obsm/a" not in kk.open(ds.path)


def test_links_to_a_dataset_are_the_dataset(tmp_path):
    ds = kk.read(np.eye(3), to=tmp_path / "a.zarr")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/b.zarr").symlink_to(ds.path)
    link = kk.open(tmp_path / "folder/b.zarr")
    with transaction.writing(ds.path), pytest.raises(KithkinError, match="being written by"):
        link.write({"obs/a": [1, 2, 3]})
    kk.read(np.eye(6), to=tmp_path / "folder/b.zarr", overwrite=True)
    assert (tmp_path / "folder/b.zarr").is_symlink()
    assert kk.open(ds.path).shape == (6, 6)


def _fork_and_wait(path, ready):
    with transaction.writing(path):
        if os.fork() == 0:
            ready.set()
            time.sleep(60)
            os._exit(0)
        time.sleep(60)


def test_a_forked_child_does_not_keep_the_lock_of_a_killed_writer(tmp_path):
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    writer = context.Process(target=_fork_and_wait, args=(tmp_path / "a.zarr", ready))
    writer.start()
    assert ready.wait(30)
    writer.kill()
    writer.join()
    with transaction.writing(tmp_path / "a.zarr"):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [errno.ENOLCK, errno.EACCES, errno.ENOTSUP, errno.ENOSPC])
def test_a_lock_that_cannot_be_had_is_a_sentence_and_leaves_nothing(tmp_path, error, monkeypatch):
    def refuse(*_):
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(fcntl, "flock", refuse)
    said = "the disk is full" if error == errno.ENOSPC else "file system that gives no locks"
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(KithkinError, match=said), transaction.writing(tmp_path / "a.zarr"):
        pass
    assert list(tmp_path.iterdir()) == []
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="there is no /proc")
def test_a_folder_that_takes_no_folders_is_a_sentence():
    with pytest.raises(KithkinError, match="/proc cannot be written to"):
        kk.read(np.eye(3), to="/proc/x")


def test_a_folder_that_is_read_only_is_refused_before_anything_is_moved(tmp_path, monkeypatch):
    ds = kk.read(np.eye(3), to=tmp_path / "a.zarr")
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: "obsm" not in str(path) and real(path, mode))
    with pytest.raises(KithkinError, match="is read-only"):
        ds.write({"uns/a": 1, "obsm/a": np.eye(3)})
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"]
    assert "uns/a" not in kk.open(ds.path)


def test_a_dataset_killed_between_the_renames_of_an_overwrite_comes_back(tmp_path, monkeypatch):
    kk.read(np.eye(5), to=tmp_path / "a.zarr")
    real, calls = os.rename, []

    def rename(a, b, **how):
        calls.append(b)
        real(a, b, **how)
        if str(b).endswith(".old"):
            raise SystemError("killed")

    monkeypatch.setattr(transaction, "_exchange", lambda a, b: False)
    monkeypatch.setattr(transaction.os, "rename", rename)
    with pytest.raises(SystemError):
        kk.read(np.eye(6), to=tmp_path / "a.zarr", overwrite=True)
    monkeypatch.undo()
    assert not (tmp_path / "a.zarr").exists()
    assert kk.open(tmp_path / "a.zarr").shape == (6, 6)
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"]


def test_what_is_listed_in_the_journal_was_flushed_to_the_disk(tmp_path, monkeypatch):
    ds = kk.read(np.eye(3), to=tmp_path / "a.zarr")
    flushed, listed, real = set(), [], os.fsync

    def fsync(handle):
        flushed.add(os.readlink(f"/proc/self/fd/{handle}"))
        real(handle)

    def forward(path):
        journal = transaction.workspace(path) / "journal.json"
        listed.extend(str(p) for p in transaction.workspace(path).rglob("*") if p.name not in ("lock", "journal.json"))
        assert str(journal.parent) in flushed
        roll_forward(path)

    roll_forward = transaction.roll_forward
    monkeypatch.setattr(os, "fsync", fsync)
    with transaction.writing(ds.path) as staging:
        _element(staging / "elements/uns/a", "new")
        monkeypatch.setattr(transaction, "roll_forward", forward)
        transaction.commit(ds.path, staging / "elements", ["uns/a"], {})
    assert listed
    assert set(listed) <= flushed
    assert {str(ds.path), str(ds.path / "uns")} <= flushed


def test_a_single_file_is_flushed_too(tmp_path, monkeypatch):
    flushed, real = [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda h: (flushed.append(os.readlink(f"/proc/self/fd/{h}")), real(h)))
    (tmp_path / "a.h5ad").write_text("all of it")
    transaction.flush_tree(tmp_path / "a.h5ad")
    assert flushed == [str(tmp_path / "a.h5ad")]


@pytest.mark.parametrize("before", [None, "old"])
def test_a_text_whose_folder_cannot_be_flushed_is_not_there_unless_one_was(tmp_path, before, monkeypatch):
    path = tmp_path / "journal.json"
    if before is not None:
        path.write_text(before)

    def flush(_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(transaction, "flush", flush)
    with pytest.raises(OSError, match="Input/output"):
        transaction.write_text(path, "new")
    assert [file.name for file in tmp_path.iterdir()] == ([] if before is None else [path.name])


@pytest.mark.parametrize("number", [errno.ENOENT, errno.ENOTEMPTY])
def test_files_that_come_and_go_while_a_failed_step_is_cleaned_up_leave_nothing(number, tmp_path, monkeypatch):
    remove, failed = shutil.rmtree, []

    def race(folder, **settings):
        if len(failed) < 3:
            failed.append(folder)
            raise OSError(number, os.strerror(number))
        remove(folder, **settings)

    with pytest.raises(ValueError, match="step"), transaction.writing(tmp_path / "a.zarr") as staging:  # noqa: PT012
        (staging / "a").write_text("a")
        monkeypatch.setattr(transaction.shutil, "rmtree", race)
        raise ValueError("step")
    assert len(failed) == 3
    assert list(tmp_path.iterdir()) == []
