"""NumPy's and SciPy's files of every type, layout and format against what was saved."""

from itertools import product

import numpy as np
import pytest
from scipy import sparse

from kithkin.core.blocks import SparseRows
from kithkin.core.errors import FormatError
from kithkin.core.execute import Execution
from kithkin.io.formats.npz import open_npz, sniff
from kithkin.io.formats.npz_member import Member

EXECUTION = Execution(memory=50 * 10**6, threads=1)
TYPES = ["uint8", "uint16", "int8", "int64", "float32", "float64", "bool", ">i4"]


def read(source):
    blocks = list(source.tables["X"](EXECUTION))
    dense = [block.to_scipy().astype(float).toarray() if isinstance(block, SparseRows) else block for block in blocks]
    return np.concatenate(dense)


def refusal(path):
    with pytest.raises(FormatError) as caught:
        read(open_npz(path))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def table(shape=(30, 7), dtype="uint16", seed=0):
    values = np.random.default_rng(seed).integers(0, 120, shape)
    return (values * (values > 60)).astype(dtype)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_dense(tmp_path, dtype, save):
    for order, shape in product("CF", [(30, 7), (9, 9), (1, 4), (4, 1)]):
        X = np.asarray(table(shape, dtype), order=order)
        save(tmp_path / "a.npz", X=X)
        np.save(tmp_path / "a.npy", X)
        for name in ("a.npz", "a.npy"):
            assert sniff(tmp_path / name)
            source = open_npz(tmp_path / name)
            assert np.array_equal(read(source), X), (order, shape)
            assert source.n_columns == shape[1]
            assert len(source.obs) == shape[0]


def test_other_arrays_go_to_obs_and_obsm(tmp_path):
    X = table()
    y, names, where = np.arange(30), np.array([f"c{k}" for k in range(30)]), np.random.default_rng(0).random((30, 2))
    np.savez(tmp_path / "a.npz", X=X, y=y, label=names, where=where, classes=np.arange(3))
    source = open_npz(tmp_path / "a.npz")
    assert np.array_equal(read(source), X)
    assert source.obs["y"].tolist() == y.tolist()
    assert source.obs["label"].tolist() == names.tolist()
    assert np.array_equal(source.elements["obsm/where"].read(), where)
    assert source.notes == ["left out, because they do not have 30 rows: classes"]


def test_images_become_rows(tmp_path):
    images = table((10, 4, 5))
    np.savez(tmp_path / "a.npz", images=images)
    source = open_npz(tmp_path / "a.npz")
    assert np.array_equal(read(source), images.reshape(10, 20))
    assert source.notes == ["images is 10 x 4 x 5: each row is 20 numbers"]


def test_mnist(shared_data):
    path = shared_data / "mnist_train.npz"
    if not path.is_file():
        pytest.skip("mnist_train.npz is not in ../shared/data")
    source = open_npz(path)
    blocks = list(source.tables["X"](EXECUTION))
    assert len(blocks) > 1
    with np.load(path) as expected:
        assert np.array_equal(np.concatenate(blocks), expected["X"])
        assert np.array_equal(source.obs["y"], expected["y"])


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32", "float64"])
@pytest.mark.parametrize("form", ["csr", "csc", "coo"])
def test_sparse(tmp_path, dtype, form):
    for shape, kind in product([(30, 7), (7, 30), (9, 9), (1, 4)], [sparse.csr_matrix, sparse.csr_array]):
        X = table(shape, dtype)
        sparse.save_npz(tmp_path / "a.npz", kind(X).asformat(form))
        assert sniff(tmp_path / "a.npz")
        assert np.array_equal(read(open_npz(tmp_path / "a.npz")), X), (shape, kind)


def test_members_are_read_in_any_order(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", X=np.arange(20).reshape(10, 2))
    member = Member(tmp_path / "a.npz", "X")
    for start, stop in ((3, 5), (7, 8), (0, 10), (2, 2)):
        assert np.array_equal(member[start:stop], np.arange(20).reshape(10, 2)[start:stop])


def test_bad_files_are_named(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, X=np.random.default_rng(0).integers(0, 9, (500, 40)))
    whole = path.read_bytes()
    path.write_bytes(whole[:2000])
    assert sniff(path)
    assert "a.npz is truncated or damaged" in refusal(path)
    path.write_bytes(whole[:3000] + bytes(100) + whole[3100:])
    assert "a.npz" in refusal(path)
    np.savez(path, a=np.eye(2), b=np.eye(3))
    assert refusal(path) == "a.npz must hold an array X, or one table only. Tables: a, b"
    np.savez(path, X=np.array([["a", "b"]]))
    assert "X must hold numbers, it holds <U1" in refusal(path)
    np.savez(path, X=np.array([[1, None]], dtype=object))
    assert "X holds Python objects" in refusal(path)
    np.savez(path, X=np.array([[1, np.inf]]))
    assert "a.npz: X, row 0, column 1 is not a finite number" in refusal(path)
    np.savez(path, X=np.zeros((0, 3)))
    assert "no rows" in refusal(path)
    np.savez(path, X=np.zeros((3, 0)))
    assert "no columns" in refusal(path)
    np.savez(path, X=np.zeros(3))
    assert "two dimensions" in refusal(path)


def test_bad_sparse_files_are_named(tmp_path):
    path = tmp_path / "a.npz"
    X = sparse.csr_matrix(table())
    for broken, message in (
        ({"indices": X.indices + 7}, "but columns are 0 to 6"),
        ({"indptr": X.indptr[:-1]}, "indptr"),
        ({"data": X.data[:-1]}, "indices"),
    ):
        parts = {"format": b"csr", "shape": X.shape, "data": X.data, "indices": X.indices, "indptr": X.indptr, **broken}
        np.savez(path, **parts)
        assert message in refusal(path)
    row, col, data = np.array([0, 9]), np.array([0, 0]), np.array([1, 2])
    np.savez(path, format=b"coo", shape=(3, 3), row=row, col=col, data=data)
    assert refusal(path) == "a.npz: entry 1 names row 9, but rows are 0 to 2"
    np.savez(path, format=b"coo", shape=(3, 3), row=col, col=col, data=data)
    assert "stored twice" in refusal(path)
    np.savez(path, format=b"dia", shape=(3, 3), data=data, offsets=col)
    assert "format 'dia'" in refusal(path)


def test_truncated_npy(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, table())
    path.write_bytes(path.read_bytes()[:200])
    assert "a.npy cannot be read" in refusal(path)
