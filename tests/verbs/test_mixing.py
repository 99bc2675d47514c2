"""The table of mixing says what its measures say, for all cells or a sample of them."""

import numpy as np
import pytest
from sklearn.metrics import silhouette_score

import kithkin as kk
from kithkin.metrics import mixing as measures
from kithkin.models import Neighbors


@pytest.fixture
def both(finished):
    """The finished counts in two batches, with components in which the batches lie apart."""
    Z = finished.read("obsm/X_pca")
    codes = np.arange(600) % 2
    finished.write({"obsm/X_apart": Z + 30 * codes[:, None], "obs/batch": np.array(["x", "y"])[codes]})
    return finished


def test_the_table_has_the_measures(both):
    table = kk.mixing(both, "batch", labels="group", before="obsm/X_apart", on="obsm/X_pca")
    assert table.index.tolist() == ["before", "after"]
    Z = both.read("obsm/X_pca")
    batches, kinds = np.arange(600) % 2, both.read("obs/group").astype("category").cat.codes.to_numpy()
    near = Neighbors(91).fit(Z)
    after = table.loc["after"]
    expected = measures.lisi(near.indices_, near.distances_, batches, perplexity=30)
    assert after["ilisi"] == pytest.approx(np.median(expected), abs=1e-3)
    assert after["ilisi_at_random"] == pytest.approx(np.median(measures.lisi_at_random(batches, kinds)))
    assert after["silhouette_labels"] == pytest.approx((silhouette_score(Z, kinds) + 1) / 2, abs=1e-4)
    assert after["graph_connectivity"] == measures.graph_connectivity(Neighbors(15).fit(Z).indices_, kinds)
    assert table.loc["before", "ilisi"] == pytest.approx(1.0)
    assert table.loc["before", "silhouette_batch"] < 0.4 < 0.9 < after["silhouette_batch"]
    stored = both.read("uns/mixing")
    assert stored["table"].equals(table)
    np.testing.assert_allclose(stored["after"]["ilisi"], expected, atol=1e-3)


def test_a_sample_says_nearly_the_same_and_memory_does_not_matter(both):
    settings = {"labels": "group", "before": "obsm/X_apart", "on": "obsm/X_pca", "key": None}
    whole = kk.mixing(both, "batch", **settings)
    some = kk.mixing(both, "batch", n_sample=300, **settings)
    np.testing.assert_allclose(some, whole, atol=0.03)
    monkey = pytest.MonkeyPatch()
    with monkey.context() as patch:
        patch.setattr("kithkin.verbs.mixing.LEAST", 70)
        small = kk.mixing(kk.open(both.path, memory="50MB"), "batch", **settings)
    np.testing.assert_allclose(small, whole, rtol=1e-6)


def test_cells_without_a_kind_are_left_out(both):
    kinds = both.read("obs/group").astype(object)
    kinds[np.arange(600) % 3 == 0] = None
    both["obs/known"] = kinds
    table = kk.mixing(both, "batch", labels="known", before=None, on="obsm/X_pca")
    assert len(both.read("uns/mixing")["rows"]) == 400
    assert table.loc["after", "clisi"] < 1.1


def test_the_last_kind_may_be_missing_from_the_last_batch(both):
    both["obs/kind"] = np.where(np.arange(600) % 60 == 0, "z", both.read("obs/group").astype(str))
    table = kk.mixing(both, "batch", labels="kind", before=None, on="obsm/X_pca")
    assert table.loc["after", "silhouette_batch"] > 0.9  # of the others: "z" has one batch


def test_without_labels_only_batches_are_measured(both):
    table = kk.mixing(both, "batch", before=None, on="obsm/X_pca")
    assert table.columns.tolist() == ["ilisi", "ilisi_at_random", "silhouette_batch"]
    assert table.index.tolist() == ["after"]


def test_what_is_wrong_is_named(both):
    with pytest.raises(kk.MissingResultError, match=r"Run kithkin\.harmonize\(ds, batch\) first"):
        kk.mixing(both, "batch")
    with pytest.raises(kk.ParameterError, match="before must differ from on"):
        kk.mixing(both, "batch", on="obsm/X_pca")
    with pytest.raises(kk.ParameterError, match=r"n_sample must be in 4\.\."):
        kk.mixing(both, "batch", n_sample=0, before=None, on="obsm/X_pca")
    both["obs/none"] = np.full(600, np.nan)
    with pytest.raises(kk.ParameterError, match="labels must name kinds of cells, but none has none: leave it out"):
        kk.mixing(both, "batch", labels="none", before=None, on="obsm/X_pca")
    with pytest.raises(kk.ParameterError, match="must be dense, got a sparse table: reduce it first, by PCA"):
        kk.mixing(both, "batch", before=None, on="X")


@pytest.mark.parametrize("n", [4, 5, 6])
def test_few_rows_are_measured_or_refused_by_their_number(n, made):
    ds = made(batch=list("xyxyxy")[:n])
    ds["obsm/X_pca"] = np.random.default_rng(0).normal(size=(n, 2)).astype(np.float32)
    if n < 5:
        with pytest.raises(kk.ParameterError, match=r"made\.zarr has 4 rows, and the mixing of batches needs 5"):
            kk.mixing(ds, "batch", before=None, on="obsm/X_pca")
        return
    assert 1 <= kk.mixing(ds, "batch", before=None, on="obsm/X_pca").loc["after", "ilisi"] <= 2


def test_a_kind_without_letters_is_missing(both):
    kinds = both.read("obs/group").astype(str).to_numpy().astype(object)
    kinds[::3] = ""
    both["obs/known"] = kinds
    kk.mixing(both, "batch", labels="known", before=None, on="obsm/X_pca")
    assert len(both.read("uns/mixing")["rows"]) == 400
