"""The commands: the argument line of cellcutter in any order, and every fault in one sentence."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import zarr

from kithkin.cli.cut_cells import as_typed, main, main_tiles, split_channels

tifffile = pytest.importorskip("tifffile")

LABELS = np.arange(1, 41).reshape(5, 8).repeat(12, 0).repeat(12, 1).astype(np.uint16)
PIXELS = np.random.default_rng(0).integers(0, 900, (3, *LABELS.shape)).astype(np.uint16)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tifffile.imwrite("image.tif", PIXELS, photometric="minisblack")
    tifffile.imwrite("mask.tif", LABELS)
    y, x = (axis.ravel() * 12 + 5.5 for axis in np.mgrid[0:5, 0:8])
    table = pd.DataFrame({"CellID": range(1, 41), "X_centroid": x, "Y_centroid": y}).sample(frac=1, random_state=0)
    table.to_csv("cells.csv", index=False)
    return tmp_path


GOOD = ["image.tif", "mask.tif", "cells.csv", "out.zarr"]


def opened(name="out.zarr"):
    return zarr.open_array(name, mode="r")


def test_the_argument_line_of_cellcutter():
    line = "-p 2 --window-size 8 --mask-cells --chunk-size 1 --cache-size 64 --channels 1 3 3"
    assert main([*line.split(), *GOOD]) == 0
    assert opened().shape == (3, 40, 8, 8)
    assert opened("out_mask.zarr").shape == (40, 8, 8)


@pytest.mark.parametrize("place", range(5))
def test_options_stand_anywhere(place):
    arguments = [*GOOD[:place], "--channels", "3", "1", "--window-size", "9", "-f", *GOOD[place:]]
    assert main(arguments) == 0
    assert opened().shape == (2, 40, 9, 9)


def test_channels_in_every_way():
    assert split_channels(["--channels=1,3", "a"]) == (["a"], [1, 3])
    assert split_channels(["--channels", "DNA,CD3", "a"]) == (["a"], ["DNA", "CD3"])
    assert split_channels(["a", "--channels", "2", "--channels", "1"]) == (["a"], [2, 1])
    assert split_channels(["a"]) == (["a"], None)


def test_without_mask_and_without_table():
    assert main(["image.tif", "-", "cells.csv", "a.zarr", "--window-size", "12"]) == 0
    assert main(["image.tif", "mask.tif", "-", "b.zarr"]) == 0
    order = pd.read_csv("cells.csv")["CellID"].to_numpy() - 1
    assert np.array_equal(opened("a.zarr")[:], opened("b.zarr")[:][:, order])


def test_zip_format_2_and_more_images():
    assert main([*GOOD, "-z", "--zarr-format", "2", "--also", *GOOD[:3]]) == 0
    with zarr.storage.ZipStore("out.zarr.zip", mode="r") as store:
        array = zarr.open_array(store, mode="r")
        assert array.shape == (3, 80, 12, 12)
        assert array.metadata.zarr_format == 2


# arguments -> what is said
FAULTS = {
    ("nowhere.tif", *GOOD[1:]): "nowhere.tif does not exist",
    (*GOOD[:2], "nowhere.csv", "out.zarr"): "nowhere.csv does not exist",
    (*GOOD, "--window-size", "0"): "--window-size must be at least 1 pixel, got 0",
    (*GOOD, "--window-size", "500", "--chunk-size", "1"): "--chunk-size must be at least 1.43 for a thumbnail",
    (*GOOD, "--chunk-size", "1", "--cells-per-chunk", "2"): "not allowed with argument",
    (*GOOD, "--channels", "4"): "--channels must be in 1..3 for image.tif, got 4",
    (*GOOD, "--channels"): "--channels must name at least one channel",
    (*GOOD, "-p", "0"): "-p must be at least 1, got 0",
    (*GOOD, "--cache-size", "0.5"): "--cache-size must be at least 1 MiB, got 0.50 MiB",
    ("image.tif", "-", *GOOD[2:]): "--window-size must be given where there is no mask",
    ("image.tif", "-", *GOOD[2:], "--window-size", "9", "--mask-cells"): "--mask-cells needs a mask",
    ("image.tif", "small.tif", *GOOD[2:]): "small.tif has 60 x 90 pixels, but image.tif has 60 x 96",
    (*GOOD[:2], "absent.csv", "out.zarr"): "2 ids of absent.csv are not in mask.tif: 77, 99",
    (*GOOD[:2], "twice.csv", "out.zarr"): "twice.csv names 1 id more than once: 5",
    (*GOOD[:2], "columns.csv", "out.zarr"): "columns.csv has no column X_centroid",
    (*GOOD[:2], "outside.csv", "out.zarr"): "1 centroid of outside.csv lies outside image.tif (96 wide, 60 high): 3",
    ("image.tif", "float.tif", *GOOD[2:]): "float.tif holds float32: a mask has one whole number for each cell",
    ("short.tif", *GOOD[1:]): "short.tif ",
    ("planes.tif", *GOOD[1:]): "planes.tif has 2 planes along Z: choose one with --z=1..2",
    (*GOOD[:3], "there.zarr"): "there.zarr already exists: choose another destination, or use --force",
    (*GOOD[:3], "a.zip"): "a.zip names a zip file: use -z to write one",
}


@pytest.mark.parametrize("arguments", FAULTS, ids=FAULTS.values())
def test_faults_in_one_sentence(folder, arguments, capsys):
    table = pd.read_csv("cells.csv")
    tifffile.imwrite("small.tif", LABELS[:, :90])
    tifffile.imwrite("float.tif", LABELS.astype(np.float32) / 2)
    tifffile.imwrite("planes.tif", PIXELS[:2], imagej=True, metadata={"axes": "ZYX"})
    (folder / "short.tif").write_bytes((folder / "image.tif").read_bytes()[:-3000])
    pd.concat([table, table[:2].assign(CellID=[77, 99])]).to_csv("absent.csv", index=False)
    pd.concat([table, table[table["CellID"] == 5]]).to_csv("twice.csv", index=False)
    table.drop(columns="X_centroid").to_csv("columns.csv", index=False)
    table.assign(X_centroid=table["X_centroid"].where(table["CellID"] != 3, 97)).to_csv("outside.csv", index=False)
    zarr.create_array("there.zarr", shape=(1,), dtype="u1")
    before = sorted(folder.iterdir())
    code = main(list(arguments))
    said = capsys.readouterr().err.strip()
    assert code == (2 if "argument" in FAULTS[arguments] else 1)
    assert FAULTS[arguments] in said
    assert code == 2 or (said.startswith("cut_cells: ") and "\n" not in said)
    assert sorted(folder.iterdir()) == before


def test_force_replaces_after_success():
    assert main([*GOOD, "--window-size", "8"]) == 0
    assert main([*GOOD, "-f", "--channels", "9"]) == 1
    assert opened().shape == (3, 40, 8, 8)
    assert main([*GOOD, "-f", "--window-size", "9"]) == 0
    assert opened().shape == (3, 40, 9, 9)


def test_wrong_usage_and_help(capsys):
    assert main(["image.tif"]) == 2
    assert main([*GOOD, "--no-such"]) == 2
    assert main(["--help"]) == 0
    assert "SEGMENTATION_MASK" in capsys.readouterr().out


def test_tiles(capsys):
    assert main_tiles(["image.tif", "20", "out.zarr", "--step-size", "15", "--save-metadata", "t.csv", "-p", "1"]) == 0
    assert opened().shape == (3, 4 * 7, 20, 20)
    assert list(pd.read_csv("t.csv")) == ["TileID", "X_start", "X_stop", "Y_start", "Y_stop", "OutOfBounds"]
    assert main_tiles(["image.tif", "20", "b.zarr", "--step-size", "0"]) == 1
    assert capsys.readouterr().err == "cut_tiles: --step-size must be at least 1, got 0\n"


def test_a_note_is_a_line(capsys):
    assert main([*GOOD, "--channels", "1", "1"]) == 0
    assert capsys.readouterr().err == "note: --channels are repeated: 1, 1\n"


def test_messages_say_flags():
    assert as_typed("memory must be at least 5 MiB") == "--cache-size must be at least 5 MiB"
    assert as_typed("the memory of a.tif channels") == "the memory of a.tif channels"


def test_as_a_module():
    done = subprocess.run(
        [sys.executable, "-m", "kithkin.cli.cut_cells", *GOOD], check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "Thumbnails of 40 cells, 3 channels, 12 x 12 uint16: out.zarr\n"
