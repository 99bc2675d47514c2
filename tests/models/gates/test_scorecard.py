"""Rules find what was put in, agree with their words applied by hand, and hold for other depths."""

import anndata
import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

from kithkin.core.blocks import InMemory
from kithkin.core.errors import ParameterError
from kithkin.core.execute import Execution
from kithkin.datasets import simulate_counts
from kithkin.models import Scorecard
from kithkin.models.gates.points import Training, softmax
from kithkin.models.gates.scorecard import label_rows
from kithkin.models.support.halves import quarters_of


def cells(n=1500, k=5, seed=0):
    source = simulate_counts(n, 300, k, seed=seed)
    return source.X.tocsr(), source.obs["group"].astype(int).to_numpy()


def by_hand(card, X, columns, totals=None):
    """Apply a card as its JSON says, one row and condition at a time."""
    X = X.toarray() if sparse.issparse(X) else X
    found = []
    for i, row in enumerate(X):
        values = {name: row[j] for name, j in columns.items()}
        if totals is not None:
            values = {name: np.log1p(1e4 * value / totals[i]) for name, value in values.items()}
        margins = []
        for rule in card.rules:
            points = sum(one.points for one in rule.conditions if (values[one.feature] > one.threshold) == one.above)
            margins.append(points - rule.need)
        found.append(int(np.argmax(margins)) if max(margins) >= 0 else -1)
    return np.array(found)


def test_labels_are_those_of_the_rules_by_hand():
    X, codes = cells(400)
    model = Scorecard(4, normalize="log1p").fit(X, codes)
    totals = np.asarray(X.sum(1)).ravel()
    expected = by_hand(model.card_, X, {str(j): j for j in range(X.shape[1])}, totals)
    assert np.array_equal(model.predict(X), expected)
    assert (expected >= 0).any()
    held = quarters_of(400, 0) == 0
    for k in range(5):
        rule = model.card_.rules[k]
        assert rule.recall == round((expected[held & (codes == k)] == k).mean(), 2)
        assert rule.precision == round((codes[held & (expected == k)] == k).mean(), 2)
    f1 = f1_score(codes[held], expected[held], labels=range(5), average="macro", zero_division=0)
    assert model.f1_ == pytest.approx(f1)


def test_at_most_so_many_features_and_a_card_that_is_short():
    X, codes = cells(k=5)
    for n_features in (1, 3, 8):
        model = Scorecard(n_features, normalize="log1p").fit(X, codes)
        assert max(len(rule.conditions) for rule in model.card_.rules) <= n_features
        assert len(model.card_.json.encode()) < 2000
    names = [f"a_gene_with_quite_a_long_name_{j}" for j in range(300)]
    model = Scorecard(normalize="log1p", size=900).fit(X, codes, names=names)
    assert len(model.card_.json.encode()) < 900
    assert min(len(rule.conditions) for rule in model.card_.rules) >= 1


def test_it_comes_close_to_a_full_linear_model():
    X, codes = cells(2000)
    held = quarters_of(2000, 0) == 0
    scaled = X.multiply(1e4 / X.sum(1)).tocsr().log1p()
    full = LogisticRegression(max_iter=200).fit(scaled[~held], codes[~held]).predict(scaled[held])
    model = Scorecard(normalize="log1p").fit(X, codes)
    assert model.f1_ > 0.9 * f1_score(codes[held], full, average="macro")


@pytest.mark.parametrize("share", [0.5, 2.0])
def test_rules_hold_for_cells_of_another_depth(share):
    X, codes = cells(2000)
    model = Scorecard(normalize="log1p").fit(X, codes)
    rng = np.random.default_rng(1)
    other = X.astype(float)
    other.data = rng.binomial(X.data.astype(int), share) if share < 1 else X.data + rng.poisson(X.data * (share - 1))
    found = model.predict(other)
    assert (found == codes).mean() > 0.85 * (model.predict(X) == codes).mean()


def test_a_table_with_missing_values():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 6))
    codes = np.repeat([0, 1, 2], 200)
    X[codes == 1, 2] += 6
    X[codes == 2, 4] -= 6
    X[rng.random(X.shape) < 0.05] = np.nan
    model = Scorecard(2).fit(X, codes)
    used = {int(one.feature) for rule in model.card_.rules for one in rule.conditions}
    assert {2, 4} <= used
    assert model.f1_ > 0.9


def test_rows_of_no_cluster_and_small_clusters_are_left_out():
    X, codes = cells(600, 3)
    codes = codes.copy()
    codes[codes == 1] = -1
    codes[np.flatnonzero(codes == 0)[:2]] = 3  # too few for a rule
    model = Scorecard(normalize="log1p").fit(X, codes, labels=["a", "b", "c", "d"])
    assert model.card_.labels == ["a", "c"]
    assert set(model.predict(X)) <= {-1, 0, 2}
    assert np.isnan(model.precision_[[1, 3]]).all()


def test_order_of_the_columns_and_storage_do_not_matter():
    X, codes = cells(500, 3)
    a = Scorecard(4, normalize="log1p").fit(X, codes).card_
    for other in (X.toarray(), X.astype(np.float32), InMemory(X, rows=37)):
        assert Scorecard(4, normalize="log1p").fit(other, codes, execution=Execution(threads=2)).card_ == a
    columns = np.sort(np.random.default_rng(0).permutation(300)[:80])
    chosen = Scorecard(4, normalize="log1p").fit(X, codes, columns=columns).card_
    assert {int(name) for name in chosen.features} <= set(columns)


def test_coefficients_minimise_the_penalised_cross_entropy():
    rng = np.random.default_rng(0)
    met, codes, weights = (rng.random((200, 6)) < 0.4).astype(np.float32), rng.integers(0, 3, 200), rng.random(200)
    training = Training(met, codes, weights, 3)
    scores, p = training.fit([[0, 1], [2], [3, 5]])
    z = np.stack([met[:, own] @ w for own, w in zip(scores.chosen, scores.weights, strict=True)], 1) + scores.constants
    np.testing.assert_allclose(p, softmax(z)[0], atol=1e-6)
    slopes = (p - training.truth) * weights[:, None]
    for k, (own, w) in enumerate(zip(scores.chosen, scores.weights, strict=True)):
        np.testing.assert_allclose(met[:, own].T @ slopes[:, k] + w, 0, atol=0.05)
    np.testing.assert_allclose(slopes.sum(0), 0, atol=0.05)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"codes": np.zeros(100, int)}, "at least two clusters must have rows enough"),
        ({"codes": np.zeros(99, int)}, "codes must be 100 integers"),
        ({"codes": np.full(100, 0.5)}, "codes must be 100 integers"),
        ({"labels": ["a", "none"]}, "no cluster may be named 'none'"),
        ({"labels": ["a", "a"]}, "labels must be 2 different names"),
        ({"names": ["a"]}, "names must be 4 different texts"),
        ({"X": np.ones((100, 4))}, "no column tells the clusters apart"),
        ({"columns": np.zeros(4, bool)}, "columns must choose at least one column"),
    ],
)
def test_what_cannot_be_fitted_is_refused(change, said):
    given = {"X": np.random.default_rng(0).random((100, 4)), "codes": np.arange(100) % 2} | change
    given["X"][:, 0] += 0 if "X" in change else given["codes"][: len(given["X"])].mean()
    with pytest.raises(ParameterError, match=said):
        Scorecard().fit(**given)


def test_sorted_cells_of_the_blood_name_other_blood(pbmc, shared_data):
    kinds, symbols = pbmc.obs["celltype"].astype("category"), pbmc.var["symbol"].astype(str)
    names = symbols.where(~symbols.duplicated(keep=False), pbmc.var_names)
    codes = kinds.cat.codes.to_numpy().astype(int)
    model = Scorecard(normalize="log1p").fit(pbmc.X, codes, list(names), list(kinds.cat.categories))
    assert model.f1_ > 0.72
    assert len(model.card_.json.encode()) < 2000
    rules = {rule.name: rule for rule in model.card_.rules}
    assert min(rules["CD19+ B"].precision, rules["CD56+ NK"].precision, rules["CD34+"].precision) > 0.9
    path = shared_data / "samples" / "citeseq_hto.h5ad"
    if not path.is_file():
        pytest.skip("samples/citeseq_hto.h5ad is not in ../shared/data")
    other = anndata.read_h5ad(path)
    places = {name.removeprefix("hg19_"): place for place, name in enumerate(other.var_names)}
    found = [places.get(feature, -1) for feature in model.card_.features]
    labels = label_rows(model.card_, other.X, found, np.asarray(other.X.sum(axis=1)).ravel())[0]
    antibodies, b_cell = other.obsm["ADT"], model.card_.labels.index("CD19+ B")
    b_cells = ((antibodies["CD19"] > 50) & (antibodies["CD8"] < 40) & (antibodies["CD4"] < 40)).to_numpy()
    assert (labels[b_cells] == b_cell).mean() > 0.5
    assert (labels[~b_cells] == b_cell).mean() < 0.05
