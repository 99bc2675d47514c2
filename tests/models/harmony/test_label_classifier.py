"""Labels are told with probabilities that hold for batches that were left out."""

import numpy as np
import pytest

from kithkin.core.errors import ParameterError
from kithkin.core.execute import Execution
from kithkin.models.harmony.harmony import Harmony
from kithkin.models.harmony.label_classifier import (
    LabelClassifier,
    Landmarks,
    draw_landmarks,
    folds_of,
    probabilities,
)

ONE = Execution(threads=1)


def landmarks(n=900, noise=1.6, n_batches=3, seed=0):
    rng = np.random.default_rng(seed)
    codes, batches = rng.integers(0, 4, n), rng.integers(0, n_batches, n)
    given = 4 * np.eye(4, 6)[codes] + rng.normal(size=(n_batches, 6))[batches] + noise * rng.normal(size=(n, 6))
    given = given.astype(np.float32)
    placed = Harmony().fit(given, batches, ONE).embedding_ if n_batches > 1 else given
    return Landmarks(given, placed, codes, np.ones(n), batches)


def test_held_out_probabilities_are_calibrated():
    marks = landmarks(3000)
    model = LabelClassifier(4).fit(marks, folds_of(marks.batches, 0), ONE)
    told, p = model.held_out_.argmax(axis=1), probabilities(model.held_out_, model.temperature_).max(axis=1)
    right = told == marks.codes
    assert right.mean() > 0.85
    for low, high in ((0.4, 0.7), (0.7, 0.9), (0.9, 0.97), (0.97, 1.0)):
        own = (p > low) & (p <= high)
        error = 3 * np.sqrt(0.25 / own.sum())
        assert abs(right[own].mean() - p[own].mean()) < error + 0.02, (low, high, own.sum())


def test_the_labels_of_clear_rows_are_right_and_scale_does_not_matter():
    marks = landmarks(noise=0.5)
    model = LabelClassifier(4).fit(marks, folds_of(marks.batches, 0), ONE)
    logits = marks.placed @ model.coef_.T + model.intercept_
    assert (logits.argmax(axis=1) == marks.codes).mean() > 0.995
    assert abs(model.coef_.sum(axis=0)).max() < 1e-3
    tiny = Landmarks(marks.given / 1000, marks.placed / 1000, marks.codes, marks.weights, marks.batches)
    again = LabelClassifier(4).fit(tiny, folds_of(marks.batches, 0), ONE)
    np.testing.assert_allclose(tiny.placed @ again.coef_.T + again.intercept_, logits, rtol=2e-2, atol=0.05)


def test_two_labels_and_labels_of_one_batch():
    marks = landmarks(300, n_batches=1)
    two = marks.take(np.flatnonzero(marks.codes < 2))
    model = LabelClassifier(2).fit(two, folds_of(two.batches, 0), ONE)
    assert ((two.placed @ model.coef_.T + model.intercept_).argmax(axis=1) == two.codes).mean() > 0.9
    assert np.isfinite(model.held_out_).all()
    marks = landmarks(600)
    marks.codes[(marks.codes == 3) & (marks.batches != 0)] = 2  # a label of one batch alone
    model = LabelClassifier(4).fit(marks, folds_of(marks.batches, 0), ONE)
    alone = folds_of(marks.batches, 0) == folds_of(marks.batches, 0)[marks.batches == 0][0]
    assert np.isneginf(model.held_out_[alone, 3]).all()
    assert np.isfinite(model.coef_).all()
    assert np.isfinite(model.temperature_)


def test_one_label_is_refused():
    marks = landmarks(60)
    marks.codes[:] = 1
    with pytest.raises(ParameterError, match="labels must be two or more"):
        LabelClassifier(2).fit(marks, folds_of(marks.batches, 0), ONE)


def test_folds_are_whole_batches_of_like_size():
    batches = np.repeat(np.arange(9), [50, 10, 10, 10, 10, 10, 5, 5, 40])
    folds = folds_of(batches, 0)
    assert max(len(np.unique(folds[batches == batch])) for batch in range(9)) == 1
    assert np.bincount(folds).tolist() == [50, 40, 20, 20, 20]


def test_landmarks_are_alike_for_all_labels_and_stand_for_all_rows():
    codes = np.repeat([0, 1, 2, -1], [1000, 100, 7, 300])
    rows, weights = draw_landmarks(codes, 107, 0)
    assert np.bincount(codes[rows]).tolist() == [50, 50, 7]
    assert np.bincount(codes[rows], weights).tolist() == pytest.approx([1000, 100, 7])
    assert np.all(np.diff(rows) > 0)
    everyone, one = draw_landmarks(codes, 5000, 0)
    assert len(everyone) == 1107
    assert np.all(one == 1)
