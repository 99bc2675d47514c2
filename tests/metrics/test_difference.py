import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from kithkin.metrics.difference import difference


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (np.array([1.0, np.nan]), np.array([1.0, np.nan]), ""),
        (np.array([1.0, np.inf]), np.array([1.0, np.inf]), ""),
        (np.array([1.0, np.nan]), np.array([1.5, 2.0]), "by 0.5 at most, of values up to 1, 1 missing in one of both"),
        (np.zeros((2, 3)), np.zeros((2, 4)), "shape (2, 4), (2, 3) before"),
        (np.array(["a", "b"]), np.array(["a", "c"]), "1 of 2 texts"),
        (np.array(["a", "a", "b", "b"]), np.array(["y", "y", "x", "x"]), "ARI 1.000"),
        (
            {"a": np.zeros(2), "b": np.ones(2)},
            {"a": np.zeros(2), "b": np.full(2, 3.0)},
            "b (by 2 at most, of values up to 1)",
        ),
        ({"a": np.zeros(2), "b": np.ones(2)}, {"a": np.zeros(2)}, "b is not there"),
        (pd.DataFrame({"a": [1, 2]}), pd.DataFrame({"a": [1, 2]}), ""),
        (sparse.eye(3, format="csr"), 2 * sparse.eye(3, format="csr"), "by 1 at most, of values up to 1"),
        (sparse.eye(3, format="csr"), sparse.csr_matrix((3, 3)), "0 values at other places, 3 before"),
    ],
)
def test_it_is_said_in_what_results_differ(before, after, said):
    assert difference(before, after) == said
