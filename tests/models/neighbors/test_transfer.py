from __future__ import annotations

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from kithkin.core.errors import ParameterError
from kithkin.core.execute import Execution
from kithkin.models.neighbors import transfer
from kithkin.models.neighbors.transfer import Votes


def tables(n=900, m=300, seed=0):
    rng = np.random.default_rng(seed)
    centers = rng.normal(0, 5, (4, 6))
    codes = rng.integers(0, 4, n)
    truth = rng.integers(0, 4, m)
    return centers[codes] + rng.normal(size=(n, 6)) + 100, codes, centers[truth] + rng.normal(size=(m, 6)) + 100, truth


@pytest.mark.parametrize("cells", [False, True])
def test_the_nearest_rows_vote(cells, monkeypatch):
    reference, codes, rows, truth = tables()
    if cells:
        monkeypatch.setattr(transfer, "EXACT_BELOW", 1)
        monkeypatch.setattr(transfer, "PARTITION_ROWS", 60)
        monkeypatch.setattr(transfer, "PROBED", 450)
    model = Votes(9).fit(reference, codes, rows)
    distances, indices = NearestNeighbors(n_neighbors=9).fit(reference).kneighbors(rows)
    assert (model.indices_ == indices).mean() > (0.99 if cells else 0.999)
    if not cells:
        np.testing.assert_allclose(model.distances_, distances, rtol=1e-4)
        weights = np.exp(-((distances / distances[:, -1:]) ** 2))
        expected = np.stack([(weights * (codes[indices] == c)).sum(axis=1) for c in range(4)], axis=1)
        np.testing.assert_allclose(model.votes_, expected / weights.sum(axis=1, keepdims=True), atol=1e-3)
    np.testing.assert_allclose(model.votes_.sum(axis=1), 1, rtol=1e-5)
    assert (model.votes_.argmax(axis=1) == truth).mean() > 0.97


def test_rows_without_a_label_do_not_vote():
    reference, codes, rows, _ = tables()
    known = np.where(np.arange(900) % 3 == 0, codes, -1)
    model = Votes(5).fit(reference, known, rows)
    assert (known[model.indices_] >= 0).all()
    alone = Votes(5).fit(reference[::3], codes[::3], rows)
    np.testing.assert_array_equal(model.indices_, 3 * alone.indices_)


def test_equal_rows_and_threads():
    model = Votes(3).fit(np.ones((5, 2)), np.array([0, 0, 1, 1, 1]), np.ones((2, 2)))
    assert np.isfinite(model.votes_).all()
    reference, codes, rows, _ = tables()
    one, three = (Votes().fit(reference, codes, rows, Execution(threads=t)).votes_ for t in (1, 3))
    np.testing.assert_array_equal(one, three)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"codes": np.full(900, -1)}, "n_neighbors must be in"),
        ({"codes": np.zeros(5, int)}, "900 numbers"),
        ({"rows": np.ones((3, 2))}, "columns of reference"),
        ({"rows": np.full((3, 6), np.nan)}, "finite"),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence(change, message):
    reference, codes, rows, _ = tables()
    given = {"reference": reference, "codes": codes, "rows": rows} | change
    with pytest.raises(ParameterError, match=message):
        Votes().fit(**given)
