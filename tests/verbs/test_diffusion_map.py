"""The diffusion map has the eigenvectors of the walk."""

import numpy as np
import pytest

import kithkin as kk
from kithkin.verbs.diffusion_map import diffusion_map


def test_the_map_is_stored_as_scanpy_stores_it(curve):
    found = diffusion_map(curve, 6)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(curve.read("obsm/X_diffmap"), found)
    values = curve.read("uns/diffmap_evals")
    assert values.shape == (6,)
    W = curve.read("obsp/connectivities").toarray().astype(float)
    K = W / np.outer(W.sum(0), W.sum(0))
    T = K / np.sqrt(np.outer(K.sum(0), K.sum(0)))
    assert np.linalg.norm(T @ found - found * values, axis=0).max() < 1e-4
    other = diffusion_map(curve, 4, key="X_small")
    assert curve.read("uns/small_evals").shape == (4,)
    assert other.shape == (300, 4)


def test_what_cannot_be_is_said_in_one_sentence(curve):
    with pytest.raises(kk.ParameterError, match="n_components must be in"):
        diffusion_map(curve, 1)
