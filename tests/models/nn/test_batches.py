import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import load_digits

from kithkin.core.blocks import InMemory
from kithkin.core.errors import ParameterError
from kithkin.models.nn import batches
from kithkin.models.nn.batches import Batches, Scale, stack, take


@pytest.fixture
def counts():
    return np.random.default_rng(0).poisson(0.5, (50, 7))


def test_log1p_takes_totals_over_all_columns(counts):
    columns = np.array([1, 4])
    expected = np.log1p(counts * (1e4 / np.maximum(counts.sum(1, keepdims=True), 1)))[:, columns]
    for X in (counts, sparse.csr_matrix(counts)):
        scale = Scale.of(X, "log1p", columns)
        assert np.allclose(scale.dense(InMemory(X).read(0, 50)), expected, atol=1e-5)


@pytest.mark.parametrize("name", ["minmax", "standard", "none"])
def test_sparse_and_dense_are_scaled_alike(counts, name):
    counts[:, 3] = 2
    dense = Scale.of(counts, name).dense(counts)
    rows = Scale.of(InMemory(sparse.csr_matrix(counts), rows=9), name).dense(
        InMemory(sparse.csr_matrix(counts)).read(0, 50)
    )
    assert np.allclose(dense, rows, atol=1e-6)
    if name == "minmax":
        assert dense[:, 3].tolist() == [0.0] * 50
        assert dense.min() == 0
        assert dense.max() == 1
    if name == "standard":
        assert np.allclose(np.delete(dense, 3, axis=1).std(0), 1, atol=1e-5)


DIGITS = load_digits().data
OTHERS = {
    "digits": DIGITS,
    "pixels": np.kron(DIGITS[:, :16], np.ones((1, 20))) * 15,
    "fractions": np.random.default_rng(0).poisson(0.5, (50, 7)) / 3,
    "negative": np.random.default_rng(0).poisson(0.5, (50, 7)) - 1,
    "ratings": np.random.default_rng(0).choice([1, 2, 3, 4, 5], (50, 7), p=[0.4, 0.3, 0.1, 0.1, 0.1]),
    "genotypes": np.random.default_rng(0).choice([0, 1, 2], (50, 7), p=[0.5, 0.3, 0.2]),
    "indicators": np.random.default_rng(0).integers(0, 2, (50, 7)),
    "nothing": np.zeros((50, 7)),
}


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32"])
def test_auto_takes_log1p_for_counts_however_they_are_stored(counts, form, dtype):
    deep = np.random.default_rng(1).negative_binomial(0.3, 0.03, (200, 50))
    for table in (counts, np.minimum(deep, 255)):
        assert Scale.of(InMemory(form(table.astype(dtype)), rows=7), "auto").name == "log1p"


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
@pytest.mark.parametrize("name", OTHERS)
def test_auto_takes_no_log1p_for_other_numbers_however_they_are_stored(name, form):
    assert Scale.of(InMemory(form(OTHERS[name]), rows=7), "auto").name == "minmax"


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
def test_auto_on_real_tables(shared_data, form):
    anndata = pytest.importorskip("anndata")
    found = {}
    for name in ("cite_cbmc", "dropseq_3cl", "osmfish", "starmap", "zeisel3", "pendigits", "umist"):
        X = anndata.read_h5ad(shared_data / "panel" / f"{name}.h5ad").X[:500]
        found[name] = Scale.of(form(X.toarray() if sparse.issparse(X) else X), "auto").name
    with np.load(shared_data / "mnist_train.npz") as data:
        found["mnist"] = Scale.of(form(data["X"][:500].reshape(500, -1)), "auto").name
    others = ("pendigits", "umist", "mnist")
    assert found == {name: "minmax" if name in others else "log1p" for name in found}


def test_what_cannot_be_scaled_is_refused():
    with pytest.raises(ParameterError, match="NaN"):
        Scale.of(np.array([[np.nan]]), "none")
    with pytest.raises(ParameterError, match="negative"):
        Scale.of(np.array([[-1.0]]), "log1p")


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
def test_pools_give_each_row_once_and_shuffled(monkeypatch, form):
    X = form(np.arange(1.0, 1001)[:, None])
    monkeypatch.setattr(batches, "POOL", 300 if sparse.issparse(X) else 8 * 300)
    table = Batches(InMemory(X), Scale.of(X, "none"), 10, seed=1)
    assert table.pool == 300
    drawn = [(rows, values.copy()) for rows, values in table.epoch(0)]
    rows, values = (np.concatenate(parts) for parts in zip(*drawn, strict=True))
    assert np.array_equal(values[:, 0], rows + 1)
    assert len(np.unique(rows)) == len(rows) > 950
    assert not np.array_equal(np.sort(rows[:100]), rows[:100])
    again = np.concatenate([rows for rows, _ in table.epoch(0)])
    assert np.array_equal(rows, again)
    other = np.concatenate([rows for rows, _ in table.epoch(1)])
    assert not np.array_equal(rows[:50], other[:50])


def test_the_order_does_not_depend_on_the_blocks(monkeypatch):
    X = np.arange(1000.0)[:, None]
    monkeypatch.setattr(batches, "POOL", 8 * 300)
    orders = [
        np.concatenate([rows for rows, _ in Batches(InMemory(X, rows=size), Scale.of(X, "none"), 10).epoch(3)])
        for size in (7, 1000)
    ]
    assert np.array_equal(*orders)


def test_ordered_is_all_rows(counts):
    batches = Batches(InMemory(counts, rows=20), Scale.of(counts, "none"), 8)
    starts, parts = zip(*batches.ordered(), strict=True)
    assert np.array_equal(np.concatenate(parts), counts)
    assert starts[:4] == (0, 8, 16, 20)


def test_taking_and_stacking_rows(counts):
    whole = InMemory(sparse.csr_matrix(counts)).read(0, 50)
    rows = np.array([3, 3, 49, 0])
    assert np.array_equal(take(whole, rows).to_dense(), counts[rows])
    assert np.array_equal(stack([take(whole, rows), take(whole, slice(1, 3))]).to_dense(), counts[[*rows, 1, 2]])


def test_batches_of_a_sparse_table_are_laid_out_on_one_page(counts):
    scale = Scale.of(counts, "log1p")
    dense, rows = (Batches(InMemory(X), scale, 8) for X in (counts, sparse.csr_matrix(counts)))
    places = set()
    for (first, a), (second, b) in zip(dense.epoch(0), rows.epoch(0), strict=True):
        assert np.array_equal(first, second)
        assert np.allclose(a, b, atol=1e-6)
        places.add(b.ctypes.data)
    assert len(places) == 1
