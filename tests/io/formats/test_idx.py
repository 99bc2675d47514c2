"""IDX files of every type and number of dimensions, their labels wherever they lie, and files that are damaged."""

import gzip
import struct

import numpy as np
import pytest

import kithkin as kk
from kithkin.core.errors import FormatError
from kithkin.core.execute import Execution
from kithkin.io.formats.idx import open_idx, sniff

EXECUTION = Execution(memory=50 * 10**6, threads=1)
CODES = {"uint8": 8, "int8": 9, "int16": 11, "int32": 12, "float32": 13, "float64": 14}


def packed(values):
    header = struct.pack(f">HBB{values.ndim}I", 0, CODES[values.dtype.name], values.ndim, *values.shape)
    return header + values.astype(values.dtype.newbyteorder(">")).tobytes()


def write(path, values, cut=None):
    data = packed(values)[:cut]
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def pictures(n=20, shape=(4, 5), dtype="uint8"):
    return np.random.default_rng(0).integers(0, 120, (n, *shape)).astype(dtype)


def digits_of(n=20):
    return (np.arange(n) * 7 % 11).astype(np.uint8)


def values_of(source):
    return np.concatenate(list(source.tables["X"](EXECUTION)))


def refusal(path):
    with pytest.raises(FormatError) as caught:
        values_of(open_idx(path))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture(params=["", ".gz"])
def pair(tmp_path, request):
    write(tmp_path / f"train-labels-idx1-ubyte{request.param}", digits_of())
    return write(tmp_path / f"train-images-idx3-ubyte{request.param}", pictures())


@pytest.mark.parametrize("dtype", CODES)
@pytest.mark.parametrize("shape", [(7,), (4, 5), (3, 4, 2), (2, 3, 2, 2)])
@pytest.mark.parametrize("ending", ["", ".gz"])
def test_every_type_and_number_of_dimensions(tmp_path, dtype, shape, ending):
    images = pictures(9, shape, dtype)
    images.ravel()[:3] = 0, 1, 119
    if dtype.startswith(("int", "float")):
        images.ravel()[3] = -3
    if dtype.startswith("float"):
        images.ravel()[4] = 0.25
    path = write(tmp_path / f"a{ending}", images)
    assert sniff(path)
    source = open_idx(path)
    assert np.array_equal(values_of(source), images.reshape(9, -1))
    assert (source.n_columns, len(source.obs), len(source.var)) == (int(np.prod(shape)), 9, int(np.prod(shape)))
    assert source.notes == []


def test_pixels_and_images_are_named(pair):
    source = open_idx(pair)
    assert source.obs.index[[0, 19]].tolist() == ["image0", "image19"]
    assert source.var.index[[0, 6, 19]].tolist() == ["pixel_0_0", "pixel_1_1", "pixel_3_4"]
    assert np.array_equal(source.var["row"] * 5 + source.var["column"], np.arange(20))


def test_colours_have_channels_and_tables_are_numbered(tmp_path):
    colours = open_idx(write(tmp_path / "a", pictures(3, (4, 5, 3)))).var
    assert colours.index[16] == "pixel_1_0_1"
    assert colours.columns.tolist() == ["row", "column", "channel"]
    vectors = open_idx(write(tmp_path / "b", pictures(3, (4,))))
    assert (vectors.obs.index.tolist(), vectors.var.index.tolist()) == (["0", "1", "2"], ["0", "1", "2", "3"])
    volumes = open_idx(write(tmp_path / "c", pictures(3, (2, 3, 5))))
    assert (volumes.var.index[-1], volumes.var.columns.tolist()) == ("29", [])


def test_labels_beside_the_images(pair):
    for given in (pair, pair.parent):
        labels = open_idx(given).obs["label"]
        assert labels.astype(int).tolist() == digits_of().tolist()
        assert labels.cat.categories.tolist() == [str(k) for k in range(11)]  # by number: 10 comes last


def test_memory_decides_nothing_but_the_blocks(tmp_path):
    path = write(tmp_path / "a.gz", pictures(3000, (40, 40)))
    source = open_idx(path)
    assert len(list(source.tables["X"](EXECUTION))) > 1
    assert np.array_equal(values_of(source), pictures(3000, (40, 40)).reshape(3000, 1600))


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        ("t10k-images.idx3-ubyte", "t10k-labels.idx1-ubyte"),
        ("emnist-letters-train-images-idx3-ubyte", "emnist-letters-train-labels-idx1-ubyte.gz"),
        ("Images.idx", "Labels.idx"),
    ],
)
def test_names_of_other_pairs(tmp_path, images, labels):
    write(tmp_path / labels, digits_of())
    write(tmp_path / "other-labels", digits_of(3))
    assert "label" in open_idx(write(tmp_path / images, pictures())).obs


def test_only_labels_of_a_folder_belong_to_its_only_images(tmp_path):
    images, _ = write(tmp_path / "a", pictures()), write(tmp_path / "b", digits_of())
    assert "label" in open_idx(tmp_path).obs
    assert "label" not in open_idx(images).obs


def test_a_folder_with_plain_and_packed_files_is_one_pair(pair):
    folder = pair.parent
    for path in list(folder.iterdir()):
        data = path.read_bytes()
        if path.suffix == ".gz":
            path.with_suffix("").write_bytes(gzip.decompress(data))
        else:
            path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(data))
    source = open_idx(folder)
    assert source.name == "train-images-idx3-ubyte"
    assert source.obs["label"].astype(int).tolist() == digits_of().tolist()


def test_a_folder_with_several_images_or_none(tmp_path):
    write(tmp_path / "train-labels", digits_of())
    assert refusal(tmp_path).endswith("holds labels but no images: train-labels")
    write(tmp_path / "train-images", pictures())
    write(tmp_path / "test-images", pictures())
    assert refusal(tmp_path).endswith("holds 2 files of images, name one of them: test-images, train-images")


def test_labels_of_other_kinds(tmp_path):
    write(tmp_path / "a-labels", np.linspace(0, 1, 20))
    path = write(tmp_path / "a-images", pictures())
    assert open_idx(path).obs["label"].tolist() == np.linspace(0, 1, 20).tolist()
    write(tmp_path / "a-labels", pictures(20, (8,), "int32"))
    source = open_idx(path)
    assert source.obs.columns.tolist() == []
    assert source.notes == ["a-labels was left out: it holds 20 x 8 numbers, not one for each image"]


def test_labels_that_do_not_fit(pair):
    labels = pair.with_name(pair.name.replace("images-idx3", "labels-idx1"))
    write(labels, digits_of(19))
    assert refusal(pair) == f"{labels.name} holds 19 labels, but {pair.name} 20 images"
    write(labels, digits_of(), cut=-2)
    assert refusal(pair).startswith(f"{labels.name} is truncated: ")
    labels.write_bytes(b"<html>")
    assert refusal(pair) == f"{labels.name} is not an IDX file: it begins with 3c 68 74 6d"


def test_labels_are_not_images(pair):
    labels = pair.with_name(pair.name.replace("images-idx3", "labels-idx1"))
    assert (
        refusal(labels) == f"{labels.name} holds one number for each row, such as labels: name the file of the images"
    )


def test_truncated(tmp_path):
    says = "its header promises 20 x 4 x 5 numbers"
    assert (
        refusal(write(tmp_path / "a", pictures(), cut=-30))
        == f"a is truncated: {says}, 416 bytes in all, but it has 386"
    )
    assert refusal(write(tmp_path / "b", pictures(), cut=10)) == "b is truncated: its header of 16 bytes breaks off"
    path = write(tmp_path / "c.gz", pictures(), cut=-30)
    assert refusal(path) == "c.gz is truncated: it ends in row 18 of the 20 that its header promises"
    path = write(tmp_path / "d.gz", pictures())
    path.write_bytes(path.read_bytes()[:-100])
    assert refusal(path).startswith("d.gz is truncated: its compressed stream breaks off at row ")
    path.write_bytes(path.read_bytes()[:20])
    assert refusal(path).startswith("d.gz is ")


def test_longer_than_promised(tmp_path):
    data = packed(pictures()) + b"\0"
    (tmp_path / "a").write_bytes(data)
    assert refusal(tmp_path / "a").endswith("416 bytes in all, but it has 417")
    (tmp_path / "a.gz").write_bytes(gzip.compress(data))
    assert refusal(tmp_path / "a.gz") == "a.gz goes on after the 20 that its header promises"


def test_damaged(tmp_path):
    path = write(tmp_path / "a.gz", pictures())
    data = bytearray(path.read_bytes())
    data[-8] ^= 1  # the checksum
    path.write_bytes(data)
    assert refusal(path).startswith("a.gz: the compressed stream is damaged (CRC check failed")
    (tmp_path / "b.gz").write_bytes(gzip.compress(b"\0\0\x08\x03" + b"\xff" * 12))
    assert refusal(tmp_path / "b.gz").endswith(" packed bytes can hold")
    assert refusal(write(tmp_path / "c", pictures(20, (0, 5)))) == "c: X has no columns: its shape is 20 x 0"
    values = pictures(5, (2, 2), "float32")
    values[3, 0, 1] = np.nan
    assert refusal(write(tmp_path / "d", values)) == "d: X, row 3, column 1 is not a finite number (nan)"


@pytest.mark.parametrize("magic", [b"\0\0\x08\0", b"\0\0\x0a\x03", b"\0\x01\x08\x03", b"\x03\x08\0\0", b"\0\0"])
def test_wrong_magic_is_not_claimed(tmp_path, magic):
    (tmp_path / "a").write_bytes(magic + b"\0\0\0\x01" * (3 if len(magic) == 4 else 0))
    assert not sniff(tmp_path / "a")
    with pytest.raises(FormatError, match=r"^a is not a file that can be read. Readable are: .* IDX"):
        kk.read(tmp_path / "a", to=tmp_path / "out.zarr")


def test_the_whole_way(pair, tmp_path):
    ds = kk.read(pair, to=tmp_path / "out.zarr", memory="50MB")
    assert np.array_equal(ds.read("X"), pictures().reshape(20, 20))
    assert (ds.read("X").dtype, ds.blocks().dtype) == (np.float32, np.uint8)
    assert ds.read("obs/label").astype(int).tolist() == digits_of().tolist()
    assert ds.read("var/row").tolist() == [k // 5 for k in range(20)]
    kk.read(pair.parent, to=tmp_path / "out.zarr", overwrite=True)
    with pytest.raises(kk.ParameterError, match=f"^transpose has no effect on an IDX file or folder: {pair.name}$"):
        kk.read(pair, to=tmp_path / "other.zarr", transpose=True)


def test_mnist_is_the_same_by_every_way(shared_data, tmp_path):
    path = shared_data / "mnist_train.npz"
    if not path.is_file():
        pytest.skip("mnist_train.npz is not in ../shared/data")
    with np.load(path) as archive:
        X, y = archive["X"][:2000], archive["y"][:2000]
    write(tmp_path / "train-images-idx3-ubyte.gz", X.reshape(-1, 28, 28))
    write(tmp_path / "train-labels-idx1-ubyte.gz", y)
    source = open_idx(tmp_path)
    assert np.array_equal(values_of(source), X)
    assert source.obs["label"].astype(int).tolist() == y.tolist()
