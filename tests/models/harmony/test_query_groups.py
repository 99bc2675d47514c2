"""Groups of rows are held against labels as by definition, without the shift that their batch has."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.metrics import roc_auc_score

from kithkin.core.blocks import InMemory
from kithkin.core.execute import Execution
from kithkin.models.harmony import query_groups
from kithkin.models.harmony.label_profiles import LabelProfiles, Moments
from kithkin.models.harmony.query_groups import Held, Query, compare_groups
from kithkin.models.table.normalize import Normalized

ONE = Execution(threads=1)
P, LABELS = 60, 5


def drawn(n=900, shift=0.0, missing=-1, seed=0):
    """Values of kinds, of which the last is like the one before but for six columns."""
    rng = np.random.default_rng(seed)
    profiles = np.random.default_rng(99).gamma(1.0, 1.0, (LABELS, P))
    profiles[4] = profiles[3]
    profiles[4, :6] += 1.2
    codes = rng.integers(0, LABELS, n)
    values = profiles[codes] + shift + rng.normal(0, 0.7, (n, P))
    kept = codes != missing
    return values[kept], codes[kept]


def source(values, layout=np.asarray, rows=200):
    return Normalized(InMemory(layout(values), rows=rows))


def knowledge(missing=-1):
    """What is known of drawn rows: components of the labels that are there, and log-odds by their centers."""
    values, codes = drawn(missing=missing, seed=1)
    names = [label for label in range(LABELS) if label != missing]
    profiles = Moments.of(source(values), np.searchsorted(names, codes), len(names), ONE).profiles()
    center = values.mean(axis=0)
    loadings = np.linalg.svd(values - center, full_matrices=False)[2][:8].T
    places = (profiles.mean - center) @ loadings
    return Held(profiles, loadings, center, 2 * places, -np.square(places).sum(axis=1)), names


def query(values, held, batches=None, **how):
    rows = ((values - held.center) @ held.loadings).astype(np.float32)
    return Query(rows, np.zeros(len(rows), np.int64) if batches is None else batches, source(values, **how))


def by_definition(values, rows, held, grouped):
    """Scores of one batch from its groups, with all distances at once."""
    near = grouped.near
    means = np.stack([values[near[:, 0] == group].mean(axis=0) for group in range(near.max() + 1)])
    sizes = np.bincount(near[:, 0])
    variance = (1 / held.profiles.weight.astype(float) - 1).mean(axis=0)
    weight = 1 / (variance + query_groups.FLOOR) / held.profiles.floor
    profiles, shift = held.profiles.mean.astype(float), np.zeros(values.shape[1])

    def apart(a, b):
        return (np.square(a[:, None] - b[None]) * weight).sum(axis=2)

    for _ in range(query_groups.ROUNDS):
        nearest = apart(means - shift, profiles).argmin(axis=1)
        by_label = [
            np.average(means[nearest == k] - shift - profiles[k], axis=0, weights=sizes[nearest == k])
            for k in np.unique(nearest) if sizes[nearest == k].sum() >= query_groups.OF_LABEL
        ]  # fmt: skip
        shift += np.median(by_label, axis=0)
    rows = rows - shift @ held.loadings
    weakness = -(rows @ held.coef.T + held.intercept).max(axis=1)
    places = (profiles - held.center) @ held.loadings
    labels = np.argsort(np.square(rows[:, None] - places).sum(axis=2), axis=1)[:, :3]
    known = np.take_along_axis(apart(values, profiles + shift), labels, axis=1).min(axis=1)
    groups = np.take_along_axis(apart(values, means), near, axis=1)
    groups[:, 0] *= (sizes / (sizes - 1))[near[:, 0]] ** 2
    noise = (variance / (variance + query_groups.FLOOR)).sum() * len(sizes) / len(values)
    return weakness, np.arcsinh((known - groups.min(axis=1) + noise) / (0.1 * values.shape[1])), shift


@pytest.mark.parametrize("layout", [np.asarray, sparse.csr_matrix])
@pytest.mark.parametrize("threads", [1, 3])
def test_scores_are_those_of_the_definition(layout, threads):
    held, _ = knowledge(missing=2)
    values, _ = drawn(shift=0.3)
    values *= np.random.default_rng(3).random(values.shape) < 0.8  # zeros that are not stored
    asked = query(values, held, layout=layout)
    found = compare_groups(asked, [held], Execution(threads=threads))
    weakness, excess, _ = by_definition(values, asked.rows, held, found)
    np.testing.assert_allclose(found.weakness, weakness, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(found.excess, excess, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(found.shares.sum(axis=1), 1, rtol=1e-5)
    assert np.bincount(found.near[:, 0]).min() >= query_groups.SMALLEST


def test_a_kind_with_kin_is_told_though_all_rows_are_shifted():
    shift = np.random.default_rng(5).normal(0, 0.6, P)
    values, codes = drawn(shift=shift)
    held, _ = knowledge(missing=4)
    asked = query(values, held)
    found = compare_groups(asked, [held], ONE)
    told = by_definition(values, asked.rows, held, found)[2]
    assert np.abs(told - shift)[6:].max() < 0.25  # the kind that is missing has no say
    scores = found.smooth(found.excess)
    assert roc_auc_score(codes == 4, scores) > 0.97
    weight = held.weight
    alone = (np.square(values[:, None] - held.profiles.mean) * weight).sum(axis=2).min(axis=1)
    assert roc_auc_score(codes == 4, alone) < 0.75  # by each row, without groups


def test_rows_are_mixed_with_their_groups():
    held, _ = knowledge()
    values, _ = drawn(300)
    found = compare_groups(query(values, held), [held], ONE)
    scores = np.random.default_rng(0).normal(size=300)
    full = np.zeros((300, found.near.max() + 1))
    np.put_along_axis(full, found.near.astype(int), found.shares, axis=1)
    means = (full.T @ scores) / full.sum(axis=0)
    np.testing.assert_allclose(found.smooth(scores), 0.3 * scores + 0.7 * full @ means, rtol=1e-5, atol=1e-6)


def test_small_batches_and_batches_of_few_labels_form_no_groups():
    held, _ = knowledge()
    values, codes = drawn(700)
    batches = np.where(np.arange(len(codes)) < 60, 0, 1)
    found = compare_groups(query(values, held, batches), [held, held], ONE)
    assert np.isnan(found.excess[:60]).all()
    assert np.isnan(found.weakness[:60]).all()
    assert not found.told[:60].any()
    alone = compare_groups(query(values[60:], held), [held], ONE)
    np.testing.assert_allclose(found.excess[60:], alone.excess, atol=1e-4)
    np.testing.assert_allclose(found.smooth(found.excess)[60:], alone.smooth(alone.excess), atol=1e-4)
    assert np.isnan(found.smooth(found.excess)[:60]).all()
    two = codes < 2
    assert not compare_groups(query(values[two], held), [held], ONE).told.any()
    none = compare_groups(query(values[:50], held), [held], ONE)
    assert np.isnan(none.excess).all()


def test_neither_order_nor_rows_in_between_matter():
    held, _ = knowledge(missing=4)
    values, _ = drawn(500)
    straight = compare_groups(query(values, held), [held], ONE)
    order = np.random.default_rng(0).permutation(500)
    turned = compare_groups(query(values[order], held), [held], ONE)
    np.testing.assert_allclose(turned.excess, straight.excess[order], atol=1e-4)
    others = np.random.default_rng(1).normal(size=(1000, P))
    at = np.sort(np.random.default_rng(2).choice(1000, 500, replace=False))
    others[at] = values
    asked = query(values, held)
    apart = compare_groups(Query(asked.rows, asked.batches, source(others), at), [held], ONE)
    np.testing.assert_allclose(apart.excess, straight.excess, atol=1e-4)


def test_large_batches_are_grouped_by_a_part_of_their_rows(monkeypatch):
    held, _ = knowledge(missing=4)
    values, codes = drawn(3000)
    monkeypatch.setattr(query_groups, "FIT_ROWS", 600)
    found = compare_groups(query(values, held), [held], ONE, most=20)
    assert found.near.max() + 1 <= 20
    assert found.groups_of(np.zeros(3000, int)) == len(np.unique(found.near[:, 0]))
    assert roc_auc_score(codes == 4, found.smooth(found.excess)) > 0.97


def test_labels_that_are_not_there_are_no_candidates():
    held, _ = knowledge()
    values, _ = drawn(500)
    gone = held.intercept.copy()
    gone[1] = -np.inf
    part = Held(held.profiles, held.loadings, held.center, held.coef, gone)
    rest = [0, 2, 3, 4]
    profiles = LabelProfiles(held.profiles.mean[rest], held.profiles.weight[rest], held.profiles.floor)
    four = Held(profiles, held.loadings, held.center, held.coef[rest], held.intercept[rest])
    found, expected = (compare_groups(query(values, one), [one], ONE) for one in (part, four))
    np.testing.assert_allclose(found.excess, expected.excess, atol=1e-4)
    np.testing.assert_allclose(found.weakness, expected.weakness, atol=1e-4)
