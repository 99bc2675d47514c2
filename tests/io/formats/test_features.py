"""Splitting features by type."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from kithkin.core.blocks import InMemory
from kithkin.io.formats import features
from kithkin.io.formats.features import FeatureSplit, select_columns


@pytest.mark.parametrize("columns", [[], [0], [2, 5], list(range(7))])
def test_selected_columns(columns):
    X = sparse.random(20, 7, 0.4, format="csr", random_state=0)
    picked = select_columns(InMemory(X).read(0, 20), np.array(columns, int))
    assert np.array_equal(picked.to_dense(), X.toarray()[:, columns])


def test_types_are_told_apart_over_blocks(monkeypatch):
    monkeypatch.setattr(features, "WIDE", 3)
    X = np.arange(60).reshape(10, 6)
    types = pd.Series(["Gene Expression", "A/B", "Gene Expression", "Peaks", "Peaks", "Peaks"])
    split = FeatureSplit(["g", "p", "g", "q", "r", "s"], types)
    for _ in range(2):  # a stream may begin anew
        split.clear()
        blocks = InMemory(sparse.csr_matrix(X), rows=3)
        got = np.concatenate([split.take(blocks.read(*r)).to_dense() for r in blocks.ranges])
        assert np.array_equal(got, X[:, [0, 2]])
    elements = split.elements([f"c{k}" for k in range(10)])
    assert np.array_equal(elements["obsm/A-B"], X[:, [1]])
    assert np.array_equal(elements["obsm/Peaks"].toarray(), X[:, 3:])
    assert elements["uns/Peaks_names"].tolist() == ["q", "r", "s"]


def test_without_genes_the_most_frequent_type_is_x():
    split = FeatureSplit(["p", "a", "q"], ["Peaks", "Antibody Capture", "Peaks"])
    assert split.mask.tolist() == [True, False, True]
    assert "2 Peaks" in split.notes[0]
    assert FeatureSplit(["a", "b"]).mask.all()
