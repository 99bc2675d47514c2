import numpy as np
import pytest

from kithkin.core.errors import ParameterError
from kithkin.models.propagation.score_history import ScoreHistory, blank
from kithkin.models.propagation.seeds import checked_seeds, probabilities, winners


def test_seeds_are_a_table_with_one_in_each_set():
    assert checked_seeds([True, False], 2).shape == (2, 1)
    with pytest.raises(ParameterError, match="seeds must have at least one seed in each set, but set 0 has none"):
        checked_seeds([0, 0], 2)


def test_winners_have_the_largest_score():
    codes, probability, entropy = winners(np.array([[1.0, 3.0], [0.0, np.nan]]))
    assert codes.tolist() == [1, -1]
    np.testing.assert_allclose(probability, [0.75, np.nan])
    np.testing.assert_allclose(entropy, [-0.25 * np.log(0.25) - 0.75 * np.log(0.75), np.nan], rtol=1e-6)


def test_a_temperature_changes_probabilities_and_no_winner():
    scores = np.random.default_rng(0).random((50, 3)).astype(np.float32)
    scores[7] = 0
    for temperature in (0.05, 0.5, 3.0):
        codes, probability, _ = winners(scores, temperature)
        np.testing.assert_array_equal(codes, winners(scores)[0])
        P = probabilities(scores * np.float32(1e-20), temperature)
        powers = np.delete(scores, 7, 0).astype(float) ** (1 / temperature)
        expected = powers / powers.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(np.delete(P, 7, 0), expected, rtol=2e-4, atol=1e-7)
        np.testing.assert_allclose(np.delete(probability, 7), expected.max(axis=1), rtol=2e-4)
        assert np.isnan(P[7]).all()


@pytest.mark.parametrize("limit", [10, 1000])
def test_a_history_is_the_same_in_memory_and_in_a_file(limit):
    history = ScoreHistory(limit)
    for number in range(3):
        history.add(np.full((2, 1), number))
    found = history.array()
    assert found[:, 0, 0].tolist() == [0.0, 1.0, 2.0]
    assert isinstance(found, np.memmap) == (limit == 10)


def test_blank_rows_are_nan():
    table = np.zeros((2, 2))
    blank(table, [np.array([1]), np.array([], int)])
    assert np.isnan(table).tolist() == [[False, False], [True, False]]
