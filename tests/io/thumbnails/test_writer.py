"""Where thumbnails go, how they are cut into chunks, and what is left when writing them fails."""

import os

import numpy as np
import pandas as pd
import pytest
import zarr

from kithkin.core.errors import KithkinError, ParameterError
from kithkin.io.thumbnails.layout import Layout, destination, mask_path, plan_layout
from kithkin.io.thumbnails.writer import ThumbnailWriter

DTYPE = np.dtype("uint16")


@pytest.mark.parametrize(
    ("shape", "settings", "expected"),
    [
        ((12, 20_000, 58), {}, (1, 415)),  # floor(32 * 2^20 / (12 * 58 * 58 * 2))
        ((12, 20_000, 58), {"zarr_format": 2}, (415, 415)),
        ((12, 20_000, 58), {"chunk_size": 1}, (1, 12)),
        ((1, 20_000, 28), {}, (16, 21392)),
        ((1, 100, 28), {}, (16, 96)),
        ((1, 100, 28), {"cells_per_chunk": 30}, (2, 30)),
        ((1, 100, 28), {"cells_per_chunk": 7, "zarr_format": 2}, (7, 7)),
        ((50, 10, 1000), {}, (1, 1)),
    ],
)
def test_cells_in_a_chunk_and_in_a_file(shape, settings, expected):
    if expected == (16, 21392):
        shape = (1, 30_000, 28)
    assert plan_layout(shape, DTYPE, **settings) == expected


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"chunk_size": 1, "cells_per_chunk": 2}, "either chunk_size or cells_per_chunk"),
        ({"cells_per_chunk": 0}, "cells_per_chunk must be at least 1, got 0"),
        ({"chunk_size": 0}, "chunk_size must be more than 0, got 0"),
        ({"chunk_size": 10}, "chunk_size must be at least 95.37 for a thumbnail of 50 x 1000 x 1000 pixels, got 10"),
        ({"zarr_format": 4}, "zarr_format must be one of 2, 3, got 4"),
    ],
)
def test_chunks_that_are_not_possible(settings, says):
    with pytest.raises(ParameterError, match=says):
        plan_layout((50, 10, 1000), DTYPE, **settings)


def test_a_destination_that_exists(tmp_path):
    plain = {"zipped": False, "masks": False, "overwrite": False}
    zarr.create_array(tmp_path / "a.zarr", shape=(1,), dtype="u1")
    with pytest.raises(ParameterError, match=r"a.zarr already exists: choose another destination"):
        destination(tmp_path / "a.zarr", **plain)
    assert destination(tmp_path / "a.zarr", **(plain | {"overwrite": True})) == tmp_path / "a.zarr"
    (tmp_path / "b_mask.zarr").mkdir()
    with pytest.raises(ParameterError, match=r"b_mask.zarr already exists"):
        destination(tmp_path / "b.zarr", zipped=False, masks=True, overwrite=False)
    (tmp_path / "home").mkdir()
    with pytest.raises(ParameterError, match=r"home is not a Zarr array, and will not be replaced"):
        destination(tmp_path / "home", **(plain | {"overwrite": True}))
    zarr.create_group(tmp_path / "dataset.zarr")
    with pytest.raises(ParameterError, match=r"dataset.zarr is not a Zarr array, and will not be replaced"):
        destination(tmp_path / "dataset.zarr", **(plain | {"overwrite": True}))
    with pytest.raises(ParameterError, match=r"the folder .*nowhere does not exist"):
        destination(tmp_path / "nowhere" / "a.zarr", **plain)
    with pytest.raises(ParameterError, match=r"names a zip file"):
        destination(tmp_path / "a.zip", **plain)
    assert destination(tmp_path / "a.zip", **(plain | {"zipped": True})).name == "a.zip"


@pytest.mark.parametrize(
    ("name", "mask"),
    [("a.zarr", "a_mask.zarr"), ("a.b.zarr", "a.b_mask.zarr"), ("a", "a_mask.zarr"), ("a.zip", "a_mask.zip")],
)
def test_the_name_of_the_masks(tmp_path, name, mask):
    assert mask_path(tmp_path / name) == tmp_path / mask


def write(target, identity=None, fail=None, layout=None):
    layout = layout or Layout(1, 5, 4, DTYPE, 2, 4, masks=True)
    with ThumbnailWriter(target, layout, {}, identity) as writer:
        done = writer.written.copy()
        for k in np.flatnonzero(~done).tolist():
            writer.write([writer.pack(k, np.full((1, 2, 4, 4), k, DTYPE), np.ones((2, 4, 4), bool))])
            if fail is not None and k == 1:
                raise fail
        writer.finish(pd.DataFrame({"CellID": range(5)}))
    return done


def test_an_error_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="odd"):
        write(tmp_path / "a.zarr", "same", fail=ValueError("odd"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), KithkinError("the disk is full: No space left on device")])
def test_what_an_interrupt_left_is_taken_up(tmp_path, stop):
    with pytest.raises(type(stop)):
        write(tmp_path / "a.zarr", "same", fail=stop)
    assert [path.name for path in tmp_path.iterdir()] == [".a.zarr.cut"]
    assert write(tmp_path / "a.zarr", "same").tolist() == [True, True, False]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zarr", "a_mask.zarr"]
    assert zarr.open_array(tmp_path / "a.zarr", mode="r")[0, :, 0, 0].tolist() == [0, 0, 1, 1, 2]


@pytest.mark.parametrize("zipped", [False, True])
def test_thumbnails_are_on_the_disk_before_they_are_moved(tmp_path, zipped, monkeypatch):
    """After a loss of power the array is whole, or not there."""
    flushed, real, before = set(), os.fsync, []

    def fsync(handle):
        flushed.add(os.path.relpath(os.readlink(f"/proc/self/fd/{handle}"), tmp_path))
        real(handle)

    def move(staged, final):
        files = list(staged.rglob("*")) if staged.is_dir() else []
        before.extend(os.path.relpath(path, tmp_path) for path in (staged, *files) if path.exists())
        missing.extend(name for name in before if name not in flushed)
        os.rename(staged, final)

    missing = []
    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr("kithkin.io.thumbnails.writer.place", move)
    name = "a.zip" if zipped else "a.zarr"
    write(tmp_path / name, layout=Layout(1, 5, 4, DTYPE, 2, 4, zipped=zipped, masks=True))
    assert missing == []
    assert len(before) > (1 if zipped else 6)
    assert {f".{name}.cut", "."} <= flushed


def test_a_list_of_moves_that_cannot_be_flushed_is_no_list(tmp_path, monkeypatch):
    write(tmp_path / "a.zarr")
    old, real = os.stat(tmp_path / "a.zarr").st_ino, os.fsync

    def fsync(handle):
        if os.readlink(f"/proc/self/fd/{handle}").endswith(".cut") and (tmp_path / ".a.zarr.cut/moves.json").exists():
            raise OSError(5, "Input/output error")
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="Input/output error"):
        write(tmp_path / "a.zarr")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zarr", "a_mask.zarr"]
    assert os.stat(tmp_path / "a.zarr").st_ino == old


def test_what_is_left_of_other_inputs_is_not(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "a.zarr", "one", fail=KeyboardInterrupt())
    assert not write(tmp_path / "a.zarr", "other").any()


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_folder_that_was_half_removed_is_not_taken_up(tmp_path, zarr_format):
    layout = Layout(1, 5, 4, DTYPE, 2, 2, zarr_format, masks=True)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "a.zarr", "same", fail=KeyboardInterrupt(), layout=layout)
    (tmp_path / ".a.zarr.cut" / "pixels" / layout.pixels().header).unlink()
    assert not write(tmp_path / "a.zarr", "same", layout=layout).any()
    assert zarr.open_array(tmp_path / "a.zarr", mode="r").shape == (1, 5, 4, 4)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_kill_between_pixels_and_masks(tmp_path, zarr_format):
    layout = Layout(1, 5, 4, DTYPE, 2, 2, zarr_format, masks=True)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "a.zarr", "same", fail=KeyboardInterrupt(), layout=layout)
    (tmp_path / ".a.zarr.cut" / "mask.log").unlink()
    assert not write(tmp_path / "a.zarr", "same", layout=layout).any()
    assert zarr.open_array(tmp_path / "a.zarr", mode="r")[0, :, 0, 0].tolist() == [0, 0, 1, 1, 2]
    assert zarr.open_array(tmp_path / "a_mask.zarr", mode="r")[:].all()


def test_an_incomplete_array_is_not_put_in_place(tmp_path):
    with (
        pytest.raises(KithkinError, match="not complete"),
        ThumbnailWriter(tmp_path / "a.zarr", Layout(1, 5, 4, DTYPE, 1, 4), {}, None) as writer,
    ):
        writer.finish(pd.DataFrame())
    assert list(tmp_path.iterdir()) == []


def test_moves_are_finished_by_who_comes_next(tmp_path, monkeypatch):
    from kithkin.io.thumbnails import writer

    write(tmp_path / "a.zarr")
    old = (tmp_path / "a.zarr").stat().st_ino
    moved = []

    def killed(staged, final):
        if moved:
            raise KeyboardInterrupt
        moved.append(final)
        place(staged, final)

    place = writer.place
    monkeypatch.setattr(writer, "place", killed)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "a.zarr", "new")
    monkeypatch.setattr(writer, "place", place)
    assert (tmp_path / "a.zarr").stat().st_ino == old
    writer.finish_moves(tmp_path / "a.zarr")
    assert (tmp_path / "a.zarr").stat().st_ino != old
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zarr", "a_mask.zarr"]
