"""Agreement of partitions is what scikit-learn says, for any sizes, and missing labels are left out."""

from itertools import permutations

import numpy as np
import pytest
from sklearn import metrics as oracle

from kithkin.metrics import partition
from kithkin.metrics.partition import expected_information

SCORES = {
    "adjusted_rand": oracle.adjusted_rand_score,
    "normalized_mutual_information": oracle.normalized_mutual_info_score,
    "adjusted_mutual_information": oracle.adjusted_mutual_info_score,
    "homogeneity": oracle.homogeneity_score,
    "completeness": oracle.completeness_score,
    "v_measure": oracle.v_measure_score,
}


def drawn(case):
    rng = np.random.default_rng(5)
    truth = rng.integers(0, 12, 3000)
    mixed = np.where(rng.random(3000) < 0.7, truth // 2, rng.integers(0, 6, 3000))
    skewed = np.minimum(rng.geometric(0.2, 3000), 40)
    return {
        "alike": (mixed, truth),
        "unrelated": (rng.integers(0, 5, 3000), truth),
        "skewed": (skewed, truth),
        "many small": (rng.integers(0, 900, 3000), rng.integers(0, 700, 3000)),
        "the same": (truth, truth),
        "one cluster": (np.zeros(50, int), np.arange(50) % 3),
        "one class": (np.arange(50) % 3, np.zeros(50, int)),
        "both one": (np.zeros(9, int), np.zeros(9, int)),
        "each its own": (np.arange(30), np.arange(30) // 10),
        "all their own": (np.arange(30), np.arange(30)),
        "two rows": (np.array([0, 1]), np.array([1, 0])),
        "one row": (np.array([0]), np.array([0])),
        "codes without rows": (mixed * 3 + 2, truth * 2),
    }[case]


CASES = [
    *("alike", "unrelated", "skewed", "many small", "the same", "one cluster", "one class", "both one"),
    *("each its own", "all their own", "two rows", "one row", "codes without rows"),
]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", SCORES)
def test_scores_are_scikit_learns(name, case):
    labels, truth = drawn(case)
    mine = getattr(partition, name)(partition.contingency(labels, truth))
    assert mine == pytest.approx(SCORES[name](truth, labels), abs=1e-9)


@pytest.mark.parametrize("case", CASES)
def test_the_table_and_the_information_are_scikit_learns(case):
    labels, truth = drawn(case)
    table = partition.contingency(labels, truth)
    expected = oracle.cluster.contingency_matrix(labels, truth)
    assert np.array_equal(table[table.any(axis=1)][:, table.any(axis=0)], expected)
    assert partition.mutual_information(table) == pytest.approx(oracle.mutual_info_score(labels, truth), abs=1e-12)


def test_the_expectation_is_that_of_shuffled_labels():
    rng = np.random.default_rng(0)
    labels, truth = rng.integers(0, 4, 60), rng.integers(0, 3, 60)
    shuffled = [
        partition.mutual_information(partition.contingency(rng.permutation(labels), truth)) for _ in range(4000)
    ]
    expected = expected_information(np.bincount(labels), np.bincount(truth))
    assert expected == pytest.approx(np.mean(shuffled), abs=4 * np.std(shuffled) / 60)


@pytest.mark.parametrize("shape", [(3, 3), (4, 2), (2, 5)])
def test_one_to_one_accuracy_is_the_best_of_all_matchings(shape):
    table = np.random.default_rng(sum(shape)).integers(0, 50, shape)
    wide = table if shape[0] <= shape[1] else table.T
    best = max(sum(wide[range(len(wide)), chosen]) for chosen in permutations(range(wide.shape[1]), len(wide)))
    assert partition.accuracy(table) == pytest.approx(best / table.sum())


def test_purity_counts_the_most_common_class():
    table = np.array([[8, 2, 0], [0, 0, 0], [1, 1, 2]])
    assert partition.purity(table).tolist() == pytest.approx([0.8, np.nan, 0.5], nan_ok=True)
    assert partition.majority_accuracy(table) == pytest.approx(10 / 14)
    assert partition.majority_accuracy(table) >= partition.accuracy(table)


def test_rows_without_a_label_are_left_out():
    labels, truth = drawn("alike")
    known = np.random.default_rng(1).random(3000) < 0.8
    hidden = partition.contingency(np.where(known, labels, -1), truth)
    also = partition.contingency(labels, np.where(known, truth, -1))
    assert np.array_equal(hidden, partition.contingency(labels[known], truth[known]))
    assert np.array_equal(hidden, also)


def test_nothing_at_all_is_a_perfect_match():
    table = partition.contingency(np.array([-1, -1]), np.array([0, 1]))
    assert table.sum() == 0
    for name in SCORES:
        assert getattr(partition, name)(table) == 1.0
    assert partition.accuracy(table) == partition.majority_accuracy(table) == 1.0
    assert partition.contingency([], []).shape == (0, 0)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "uint16", "int32", "int64", "bool"])
def test_codes_may_have_any_integer_type(dtype):
    labels, truth = np.arange(200) % 2, np.arange(200) // 100
    table = partition.contingency(labels.astype(dtype), truth.astype(dtype))
    assert table.tolist() == [[50, 50], [50, 50]]


def test_what_is_wrong_is_named():
    with pytest.raises(ValueError, match="labels and truth must have equally many rows, got 2 and 3"):
        partition.contingency([0, 1], [0, 1, 1])
    with pytest.raises(ValueError, match="labels must be one row of integer codes, got float64"):
        partition.contingency([0.5, 1.0], [0, 1])
    with pytest.raises(ValueError, match="too many codes for a table: 100000 and 100000"):
        partition.contingency([0, 99999], [99999, 0])
    with pytest.raises(ValueError, match="table must be clusters x classes of counts"):
        partition.adjusted_rand([1, 2, 3])


def test_a_million_rows_are_beyond_the_products_of_64_bits():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 100, 1_000_000)
    labels = np.where(rng.random(1_000_000) < 0.6, truth, rng.integers(0, 100, 1_000_000))
    table = partition.contingency(labels, truth)
    scores = [getattr(partition, name)(table) for name in SCORES]
    assert scores[0] == pytest.approx(oracle.adjusted_rand_score(truth, labels), abs=1e-9)
