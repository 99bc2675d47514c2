from functools import partial

import numpy as np
import pytest
from scipy import sparse

from kithkin.core.blocks import InMemory
from kithkin.core.errors import ParameterError
from kithkin.core.execute import Execution
from kithkin.models.variable_genes import VariableGenes, local_trend, tied_trend


def counts(seed=0):
    rng = np.random.default_rng(seed)
    rates = rng.gamma(2.0, rng.gamma(0.5, 2.0, 120), (300, 120))
    return sparse.csr_matrix(rng.poisson(rates).astype(np.uint16))


def scanpy_choice(adata, flavor, batch, n_genes):
    scanpy = pytest.importorskip("scanpy")
    if flavor == "vst":
        found = scanpy.pp.highly_variable_genes(
            adata, n_top_genes=n_genes, flavor="seurat_v3", batch_key=batch, inplace=False
        )
        return found["highly_variable"].to_numpy(), found["variances_norm"].to_numpy()
    adata.X = adata.X.astype(np.float64)
    scanpy.pp.normalize_total(adata, target_sum=1e4)
    scanpy.pp.log1p(adata)
    found = scanpy.pp.highly_variable_genes(adata, n_top_genes=n_genes, batch_key=batch, inplace=False)
    return found["highly_variable"].to_numpy(), found["dispersions_norm"].to_numpy()


@pytest.mark.parametrize("flavor", ["dispersion", "vst"])
@pytest.mark.parametrize("with_batch", [False, True])
@pytest.mark.filterwarnings("ignore")  # scanpy's own
def test_selection_equals_scanpy(pbmc, flavor, with_batch, monkeypatch):
    # scanpy leaves the order of genes that tie to a sort whose answer is the processor's: here the first go before
    monkeypatch.setattr(np, "argsort", partial(np.argsort, kind="stable"))
    pbmc.obs["batch"] = np.random.default_rng(0).choice(["a", "b", "c"], pbmc.n_obs)
    X = pbmc.X.copy()
    mask, norm = scanpy_choice(pbmc, flavor, "batch" if with_batch else None, 2000)
    model = VariableGenes(2000, flavor, batch=pbmc.obs["batch"] if with_batch else None).fit(InMemory(X, rows=500))
    assert np.array_equal(model.mask_, mask)
    own = model.variances_norm_ if flavor == "vst" else model.dispersions_norm_
    assert np.allclose(own, norm, atol=1e-7, equal_nan=True)


@pytest.mark.parametrize("flavor", ["dispersion", "vst"])
def test_blocks_and_threads_do_not_matter(flavor):
    X, batch = counts(), np.arange(300) % 2
    first = VariableGenes(20, flavor, batch=batch).fit(X)
    for rows, threads in ((7, 1), (7, 3), (300, 2)):
        other = VariableGenes(20, flavor, batch=batch).fit(InMemory(X, rows=rows), execution=Execution(threads=threads))
        assert np.array_equal(first.mask_, other.mask_)
        assert np.allclose(first.means_, other.means_, rtol=1e-13)
    dense = VariableGenes(20, flavor, batch=batch).fit(X.toarray())
    assert np.array_equal(first.mask_, dense.mask_)
    assert first.mask_.sum() == 20


def test_moments_equal_numpy():
    X = counts()
    dense = X.toarray().astype(np.float64)
    vst = VariableGenes(20, "vst", batch=np.arange(300) % 3).fit(X)
    assert np.allclose(vst.means_, dense.mean(axis=0))
    assert np.allclose(vst.variances_, dense.var(axis=0, ddof=1))
    values = dense * (1e4 / dense.sum(axis=1))[:, None]
    model = VariableGenes(20, "dispersion").fit(X)
    assert np.allclose(model.means_, np.log1p(values.mean(axis=0)))
    seen = values.any(axis=0)
    ratio = values[:, seen].var(axis=0, ddof=1) / values[:, seen].mean(axis=0)
    assert np.allclose(model.dispersions_[seen], np.log(ratio))
    assert np.all(np.isnan(model.dispersions_[~seen]))


@pytest.mark.parametrize("flavor", ["dispersion", "vst"])
def test_ranks_order_the_selected(flavor):
    model = VariableGenes(30, flavor).fit(counts())
    norm = model.variances_norm_ if flavor == "vst" else model.dispersions_norm_
    assert np.array_equal(np.isfinite(model.rank_), model.mask_)
    order = np.argsort(model.rank_)[:30]
    assert np.all(np.diff(norm[order]) <= 0)
    assert model.n_batches_.tolist() == model.mask_.astype(int).tolist()


def test_totals_of_all_genes_are_taken_when_given():
    X = counts()
    totals = np.asarray(X.sum(axis=1)).ravel()
    some = VariableGenes(20, "dispersion").fit(X[:, :100], totals)
    assert np.allclose(some.means_, VariableGenes(20, "dispersion").fit(X).means_[:100])


def test_vst_refuses_what_are_not_counts():
    X = counts().toarray().astype(np.float32)
    X[5, 5] = 0.5
    with pytest.raises(ParameterError, match="holds values that are not integers"):
        VariableGenes(5, "vst").fit(X)
    X[5, 5] = -1
    with pytest.raises(ParameterError, match="holds negative values"):
        VariableGenes(5, "vst").fit(X)
    with pytest.raises(ParameterError, match="X must hold genes that vary, but none does"):
        VariableGenes(5, "vst").fit(np.ones((20, 12), np.uint8))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_genes": 0}, "n_genes must be in 1..120, got 0"),
        ({"n_genes": 121}, "n_genes must be in 1..120, got 121"),
        ({"n_genes": 5, "flavor": "seurat"}, "flavor must be one of"),
        ({"n_genes": 5, "batch": ["a"]}, "batch must hold 300 labels"),
        ({"n_genes": 5, "batch": [np.nan] * 300}, "some are missing"),
        ({"n_genes": 5, "flavor": "dispersion", "target_sum": 0}, "target_sum must be above 0"),
    ],
)
def test_refuses_impossible_parameters(parameters, message):
    with pytest.raises(ParameterError, match=message):
        VariableGenes(**parameters).fit(counts())


@pytest.mark.parametrize("n", [20, 50, 200])
def test_a_trend_is_found_in_few_real_cells(pbmc, n):
    """Most genes then have one of a few means, in which loess finds no parabola."""
    known = VariableGenes(1000).fit(pbmc.X).mask_
    shares = []
    for seed in range(10):
        rows = np.random.default_rng(seed).choice(pbmc.n_obs, n, replace=False)
        model = VariableGenes(1000).fit(pbmc.X[rows])
        assert model.mask_.sum() == 1000
        assert np.isfinite(model.variances_norm_).all()
        shares.append((model.mask_ & known).sum() / 1000)
    by_chance = 1000 / pbmc.n_vars
    assert np.mean(shares) > 2.5 * by_chance


def test_batches_of_few_cells_are_ranked_each(pbmc):
    few = pbmc[:60]
    batch = np.repeat(["a", "b", "c"], 20)
    model = VariableGenes(500, batch=batch).fit(few.X)
    assert model.mask_.sum() == 500
    assert model.n_batches_.max() == 3


def test_few_genes_have_a_trend_too():
    X = np.random.default_rng(0).poisson(np.linspace(1, 9, 4), (30, 4))
    model = VariableGenes(2).fit(X)
    assert model.mask_.sum() == 2
    assert np.isfinite(model.variances_norm_).all()


def test_the_trend_of_ties_is_that_of_loess_where_means_differ():
    rng = np.random.default_rng(0)
    x = np.sort(rng.uniform(-2, 2, 400))
    y = 0.3 * x**2 + x + rng.normal(0, 0.1, 400)
    assert np.abs(tied_trend(x, y, 0.3) - local_trend(x, y, 0.3)).max() < 0.03
    true = 0.3 * x**2 + x
    assert np.abs(tied_trend(np.round(x, 1), 0.3 * np.round(x, 1) ** 2 + np.round(x, 1), 0.3) - true).max() < 0.15
