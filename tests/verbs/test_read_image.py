"""Images as datasets against plain NumPy, and what cells look like through the other verbs."""

import signal
import subprocess
import sys
import time
import warnings

import numpy as np
import pandas as pd
import pytest

import kithkin as kk
from kithkin import images
from kithkin.core.errors import FormatError, KithkinError, ParameterError
from kithkin.io.cutting import cutter
from kithkin.io.cutting.cutter import Cutter
from kithkin.io.images.tiff import TiffArray
from kithkin.io.thumbnails import layout
from kithkin.verbs.read_image import read_image

tifffile = pytest.importorskip("tifffile")
pytest.importorskip("imagecodecs")

HEIGHT, WIDTH = 230, 260


def make(seed=0, n_cells=70):
    """An image of two kinds of cells, round and long, its labels with gaps, and a shuffled table."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((HEIGHT, WIDTH), np.uint32)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    kinds = {}
    for label in rng.choice(np.arange(1, 300), n_cells, replace=False):
        cy, cx, long = rng.uniform(0, HEIGHT), rng.uniform(0, WIDTH), rng.random() < 0.5
        a, b = (12, 4) if long else (7, 7)
        labels[(((y - cy) / a) ** 2 + ((x - cx) / b) ** 2 < 1) & (labels == 0)] = label
        kinds[label] = int(long)
    ids = np.unique(labels[labels > 0])
    kind = np.array([kinds[k] for k in ids])
    pixels = rng.integers(90, 110, (3, HEIGHT, WIDTH)).astype(np.uint16)
    bright = np.zeros(labels.max() + 1, int)
    bright[ids] = 400 + 800 * kind
    pixels[1] += bright[labels].astype(np.uint16)
    where = [np.nonzero(labels == k) for k in ids]
    table = pd.DataFrame({"CellID": ids, "X_centroid": [c.mean() for _, c in where]})
    table["Y_centroid"], table["kind"] = [r.mean() for r, _ in where], kind
    return pixels, labels, table.sample(frac=0.9, random_state=seed)


PIXELS, LABELS, TABLE = make()
MEANS = np.array([PIXELS[:, k == LABELS].mean(axis=1) for k in TABLE["CellID"]])


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tissue")
    said = {"axes": "CYX", "Channel": {"Name": ["DNA", "CD3", "CD8"]}, "PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "µm"}
    said |= {"PhysicalSizeY": 0.5, "PhysicalSizeYUnit": "µm"}
    settings = {"photometric": "minisblack", "tile": (64, 48), "compression": "deflate"}
    tifffile.imwrite(folder / "image.ome.tif", PIXELS, metadata=said, **settings)
    tifffile.imwrite(folder / "mask.tif", LABELS, compression="deflate")
    TABLE.to_csv(folder / "cells.csv", index=False)
    return [folder / name for name in ("image.ome.tif", "mask.tif", "cells.csv")]


@pytest.fixture(scope="module")
def tissue(files, tmp_path_factory):
    ds = read_image(*files, to=tmp_path_factory.mktemp("made") / "tissue.zarr", threads=2)
    return ds


def test_a_dataset_holds_means_places_and_shapes(tissue):
    anndata = tissue.to_anndata()
    np.testing.assert_allclose(anndata.X, MEANS, rtol=1e-6)
    assert anndata.X.dtype == np.float32
    assert anndata.var_names.tolist() == ["DNA", "CD3", "CD8"]
    assert anndata.obs_names.tolist() == TABLE["CellID"].astype(str).tolist()
    np.testing.assert_array_equal(anndata.obsm["spatial"], TABLE[["X_centroid", "Y_centroid"]])
    assert anndata.obs["area"].tolist() == [float((k == LABELS).sum()) for k in TABLE["CellID"]]
    assert anndata.obs["region"].cat.categories.tolist() == ["image"]
    assert kk.check(tissue) == []
    assert tissue.history()["state"].tolist() == ["current"]


def test_shapes_are_those_of_regionprops(tissue):
    measure = pytest.importorskip("skimage.measure")
    table = measure.regionprops_table(
        LABELS.astype(np.int32), properties=["label", "eccentricity", "perimeter", "solidity", "axis_major_length"]
    )
    expected = pd.DataFrame(table).set_index("label").loc[TABLE["CellID"]]
    for name in expected:
        np.testing.assert_allclose(tissue.read(f"obs/{name}"), expected[name], atol=1e-9)


def test_thumbnails_are_those_that_cut_gives(tissue, files, tmp_path):
    size = tissue.read("uns/thumbnails")["window_size"]
    cut = images.cut(*files, to=tmp_path / "cells.zarr", window_size=int(size), masks=True)
    stored = tissue.read("obsm/thumbnails")
    assert stored.dtype == PIXELS.dtype
    assert np.array_equal(stored, np.stack([cut[k] for k in range(len(TABLE))]).reshape(stored.shape))
    areas = tissue.read("obsm/masks").sum(axis=(1, 2))
    assert areas.tolist() == tissue.read("obs/area").tolist()  # every cell is whole


def test_what_squidpy_looks_for(tissue):
    spatial = tissue.read("uns/spatial")["image"]
    assert spatial["images"]["hires"].shape == (HEIGHT, WIDTH, 3)
    assert spatial["scalefactors"]["tissue_hires_scalef"] == 1.0
    assert spatial["metadata"]["pixel_size"] == 0.5
    about = tissue.read("uns/spatialdata_attrs")
    assert (about["region"], about["region_key"], about["instance_key"]) == ("image", "region", "cell_id")


@pytest.mark.parametrize(
    "settings",
    [
        {"window_size": 3},
        {"window_size": "8um"},
        {"threads": 1},
        {"memory": "50MB", "threads": 3},
        {"mask_cells": True},
    ],
)
def test_means_and_shapes_do_not_depend_on_the_windows_or_the_machine(tissue, files, tmp_path, settings):
    other = read_image(*files, to=tmp_path / "other.zarr", **settings)
    pd.testing.assert_frame_equal(other.obs, tissue.obs)
    assert np.array_equal(other.read("X"), tissue.read("X"))
    side = {3: 3, "8um": 16}.get(settings.get("window_size"), tissue.read("obsm/masks").shape[1])
    assert other.read("obsm/thumbnails").shape == (len(TABLE), 3, side, side)


def test_each_piece_of_the_image_is_decoded_once(files, tmp_path, monkeypatch):
    seen, original = [], Cutter._cut_field

    def counted(self, task):
        seen.append(task[:2])
        return original(self, task)

    monkeypatch.setattr(Cutter, "_cut_field", counted)
    read_image(*files, to=tmp_path / "tissue.zarr")
    assert len(seen) == len(set(seen)) > 0


def test_chosen_channels_an_array_and_no_table(tmp_path):
    ds = read_image(PIXELS, LABELS, to=tmp_path / "tissue.zarr", channels=[3, 2])
    ids = np.unique(LABELS[LABELS > 0])
    expected = [PIXELS[[2, 1]][:, k == LABELS].mean(axis=1) for k in ids]
    np.testing.assert_allclose(ds.read("X"), expected, rtol=1e-6)
    assert ds.var["channel"].tolist() == [3, 2]
    assert ds.var_names.tolist() == ["channel 3", "channel 2"]
    assert ds.obs["cell_id"].tolist() == ids.tolist()


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32", "float16", "float64"])
def test_pixels_of_any_type(tmp_path, dtype):
    pixels = (PIXELS // 100 > 5 if dtype == "bool" else PIXELS // 10).astype(dtype)
    ds = read_image(pixels, LABELS.astype(np.int64), TABLE, to=tmp_path / "tissue.zarr")
    expected = [pixels[:, k == LABELS].mean(axis=1, dtype=float) for k in TABLE["CellID"]]
    np.testing.assert_allclose(ds.read("X"), expected, rtol=1e-6)
    assert ds.read("obsm/thumbnails").dtype == dtype
    assert ds.read("obs/region").cat.categories.tolist() == ["image"]


def test_several_images_in_one_dataset(files, tmp_path):
    ds = read_image({"a": files, "b": (PIXELS, LABELS, None)}, to=tmp_path / "tissue.zarr")
    n = len(np.unique(LABELS)) - 1
    assert ds.n_obs == len(TABLE) + n
    assert ds.read("obs/region").value_counts().to_dict() == {"a": len(TABLE), "b": n}
    assert ds.obs_names[-1] == f"b_{LABELS.max()}"
    assert sorted(ds.read("uns/spatial")) == ["a", "b"]
    np.testing.assert_allclose(ds.read("X")[: len(TABLE)], MEANS, rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"mask": None}, ParameterError, "a mask must be given"),
        ({"mask": LABELS[:-1]}, FormatError, "the mask has 229 x 260 pixels, but image.ome.tif has 230 x 260"),
        ({"cells": pd.DataFrame({"CellID": [9999], "X_centroid": [1], "Y_centroid": [1]})}, FormatError, "9999"),
        ({"channels": [4]}, ParameterError, r"channels must be in 1..3"),
        ({"channels": [1, 1]}, ParameterError, "each channel once"),
        ({"channels": ["CD9"]}, ParameterError, "has no channel 'CD9': there are 'DNA', 'CD3', 'CD8'"),
        ({"channels": [1.5]}, ParameterError, r"channels must be in 1..3 for image.ome.tif, got 1.5"),
        ({"window_size": 0}, ParameterError, "window_size must be at least 1"),
        ({"window_size": 10**5}, ParameterError, "for thumbnails of 1 x 3 x 100000 x 100000 pixels"),
        ({"pixel_size": 0}, ParameterError, "pixel_size must be above 0 micrometres, got 0"),
        ({"image": PIXELS.astype(complex)}, FormatError, "the image holds complex128: pixels must be real"),
        ({"image": {"a": ("a.tif", "b.tif")}, "mask": None, "cells": None}, ParameterError, "a must be given as"),
        ({"mask": -LABELS.astype(int), "cells": None}, FormatError, "the mask has labels that cannot be of cells: -"),
        ({"z": 2}, ParameterError, r"z must be in 1..1 for image.ome.tif, got 2"),
    ],
)
def test_what_cannot_be_read_is_refused_and_leaves_nothing(files, tmp_path, change, error, message):
    given = dict(zip(("image", "mask", "cells"), files, strict=True)) | {"to": tmp_path / "tissue.zarr"} | change
    with pytest.raises(error, match=message):
        read_image(**given)
    assert list(tmp_path.iterdir()) == []


def test_a_dataset_that_is_there_is_not_written_over(files, tmp_path):
    read_image(*files, to=tmp_path / "tissue.zarr", window_size=4)
    with pytest.raises(KithkinError, match="exists already"):
        read_image(*files, to=tmp_path / "tissue.zarr")
    again = read_image(*files, to=tmp_path / "tissue.zarr", window_size=5, overwrite=True)
    assert again.read("obsm/masks").shape[1] == 5
    assert [path.name for path in tmp_path.iterdir()] == ["tissue.zarr"]


def test_the_command_makes_the_same_dataset(files, tissue, tmp_path, capsys):
    from kithkin.cli import main

    target = str(tmp_path / "tissue.zarr")
    assert main(["read-image", *map(str, files), "--to", target, "--threads", "1", "--channels", "CD3"]) == 0
    assert f"{len(TABLE)} observations x 1 variables" in capsys.readouterr().out
    assert np.array_equal(kk.open(target).read("X"), tissue.read("X")[:, 1:2])
    assert main(["read-image", *map(str, files), "--to", target]) == 1
    assert "use --overwrite to replace it" in capsys.readouterr().err
    options = ["--overwrite", "--window-size", "8um", "--channels", "3", "--channels", "DNA"]
    assert main(["read-image", *map(str, files[:2]), "--to", target, *options]) == 0
    assert kk.open(target).var_names.tolist() == ["CD8", "DNA"]
    assert kk.open(target).read("uns/thumbnails")["window_size"] == 16
    assert main(["read-image", str(files[0]), "--to", f"{target}2"]) == 1
    assert "a mask must be given" in capsys.readouterr().err
    assert main(["read-image", "--to", target]) == 2


SLOW = {"threads": 2, "memory": "50MB"}
KILLED = """
import sys, time
from kithkin.io.cutting import cutter
from kithkin.io.thumbnails import layout, writer
from kithkin.verbs.read_image import read_image
write = writer.ThumbnailWriter.write
def slowly(self, packed):
    write(self, packed); time.sleep(0.05)
writer.ThumbnailWriter.write = slowly
writer.FLUSH, cutter.FIELD_BYTES, layout.MOST_CELLS = 1, 2**15, 1
read_image(*sys.argv[1:4], to=sys.argv[4], threads=2, memory="50MB")
"""


def tree(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT])
def test_an_interrupted_import_is_taken_up(files, tmp_path, caplog, monkeypatch, sent):
    target, log = tmp_path / "a.zarr", tmp_path / ".a.zarr.cut" / "thumbnails.log"
    for _ in range(2 if sent == signal.SIGKILL else 1):
        before = log.stat().st_size if log.exists() else 0
        code = f"import signal; signal.signal(signal.SIGINT, signal.default_int_handler){KILLED}"
        process = subprocess.Popen([sys.executable, "-W", "ignore", "-c", code, *map(str, [*files, target])], stderr=-1)
        while process.poll() is None and not (log.exists() and log.stat().st_size > before + 20 * 32):
            time.sleep(0.01)
        process.send_signal(sent)
        process.communicate()
        assert log.stat().st_size > before
    assert not target.exists()
    monkeypatch.setattr(cutter, "FIELD_BYTES", 2**15)
    monkeypatch.setattr(layout, "MOST_CELLS", 1)
    tiles, decode = [], TiffArray._decode
    monkeypatch.setattr(TiffArray, "_decode", lambda self, *place: tiles.append(place) or decode(self, *place))
    ds = read_image(*files, to=target, **SLOW)
    assert f"of {len(TABLE)} cells are cut already, and kept" in caplog.text
    resumed = len(tiles)
    whole = read_image(*files, to=tmp_path / "b.zarr", **SLOW)
    assert resumed < len(tiles) - resumed
    assert np.array_equal(ds.read("X"), whole.read("X"))
    assert np.array_equal(ds.read("obsm/thumbnails"), whole.read("obsm/thumbnails"))
    assert np.array_equal(ds.read("obsm/masks"), whole.read("obsm/masks"))
    pictures = [one.read("uns/spatial")["image"]["images"]["hires"] for one in (ds, whole)]
    assert np.array_equal(*pictures)
    pd.testing.assert_frame_equal(ds.obs, whole.obs)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zarr", "b.zarr"]


def test_what_was_cut_with_other_settings_is_not_taken_up(files, tmp_path, caplog, monkeypatch):
    def stop(self):
        run(self)
        raise KeyboardInterrupt

    run = Cutter.run
    with monkeypatch.context() as patch:
        patch.setattr(Cutter, "run", stop)
        with pytest.raises(KeyboardInterrupt):
            read_image(*files, to=tmp_path / "a.zarr", **SLOW)
    assert [path.name for path in tmp_path.iterdir()] == [".a.zarr.cut"]
    ds = read_image(*files, to=tmp_path / "a.zarr", mask_cells=True, **SLOW)
    assert "cut already" not in caplog.text
    pixels, masks = ds.read("obsm/thumbnails"), ds.read("obsm/masks")
    assert not pixels[~np.broadcast_to(masks[:, None], pixels.shape)].any()
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"]


def test_an_interrupted_import_of_arrays_leaves_nothing(tmp_path, monkeypatch):
    def stop(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(Cutter, "run", stop)
    with pytest.raises(KeyboardInterrupt):
        read_image(PIXELS, LABELS, to=tmp_path / "a.zarr")
    assert list(tmp_path.iterdir()) == []


def test_cells_whose_pixels_are_not_numbers_are_named(tmp_path, caplog):
    pixels = PIXELS.astype(np.float32)
    pixels[1, TABLE["CellID"].iloc[3] == LABELS] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ds = read_image(pixels, LABELS, TABLE, to=tmp_path / "a.zarr")
    assert f"1 cell with pixels that are not finite numbers: {TABLE['CellID'].iloc[3]}" in caplog.text
    assert np.isnan(ds.read("X")).sum() == 1


def test_real_tissue(shared_data, tmp_path):
    folder = shared_data / "imc"
    if not folder.is_dir():
        pytest.skip("imc is not in ../shared/data")
    parts = {name: (folder / f"{name}_imc.tiff", folder / f"{name}_mask.tiff", None) for name in ("E34", "J02")}
    ds = read_image(parts, to=tmp_path / "tissue.zarr")
    pixels, labels = (tifffile.imread(parts["J02"][k]) for k in (0, 1))
    rows = (ds.read("obs/region") == "J02").to_numpy()
    expected = [pixels[:, k == labels].mean(axis=1, dtype=float) for k in ds.obs["cell_id"][rows]]
    np.testing.assert_allclose(ds.read("X")[rows], expected, rtol=1e-5)
    assert np.isfinite(kk.features(ds).to_numpy()).all()
