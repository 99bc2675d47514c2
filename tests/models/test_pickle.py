"""Fitted models are pickled and copied, and predict the same."""

import copy
import pickle

import numpy as np
import pytest
from scipy import sparse

from kithkin import models
from kithkin.core.errors import NotFittedError

RNG = np.random.default_rng(0)
GROUPS = np.repeat(np.arange(3), 40)
COUNTS = sparse.csr_matrix(RNG.poisson(RNG.gamma(0.5, 1.0, (3, 30))[GROUPS] + 0.1))
POINTS = RNG.normal(size=(120, 4)).astype(np.float32) + 5 * np.eye(3, 4)[GROUPS].astype(np.float32)
GRAPH = models.Neighbors(8).fit(POINTS).connectivities_

# name -> how it is fitted, and what is asked of it
MODELS = {
    "CountMixture": (lambda: models.CountMixture(3).fit(COUNTS), lambda m: m.predict_proba(COUNTS)),
    "CountMixture of parameters": (
        lambda: models.CountMixture.from_parameters(np.log(RNG.dirichlet(np.ones(30), 3))),
        lambda m: m.component_log_likelihood(COUNTS),
    ),
    "CountMixture calibrated": (
        lambda: models.CountMixture(3).fit(COUNTS).calibrate(COUNTS, n_splits=1),
        lambda m: m.predict_proba(COUNTS),
    ),
    "Topics": (lambda: models.Topics(3).fit(COUNTS), lambda m: m.transform(COUNTS)),
    "PCA": (lambda: models.PCA(4).fit(COUNTS), lambda m: m.transform(COUNTS)),
    "KMeans": (lambda: models.KMeans(3).fit(POINTS), lambda m: m.predict(POINTS)),
    "Scaler": (lambda: models.Scaler().fit(POINTS), lambda m: m.transform(POINTS)),
    "Neighbors": (lambda: models.Neighbors(8).fit(POINTS), lambda m: m.connectivities_.toarray()),
    "UMAP": (lambda: models.UMAP(n_epochs=5).fit(GRAPH, POINTS), lambda m: m.embedding_),
    "Leiden": (lambda: models.Leiden().fit(GRAPH), lambda m: m.labels_),
    "Paris": (lambda: models.Paris().fit(GRAPH), lambda m: m.dendrogram_.children),
    "VariableGenes": (lambda: models.VariableGenes(10).fit(COUNTS), lambda m: m.mask_),
    "Markers": (lambda: models.Markers().fit(COUNTS, GROUPS), lambda m: m.scores_),
    "Harmony": (lambda: models.Harmony(3).fit(POINTS, np.arange(120) % 2), lambda m: m.embedding_),
    "fit_given_labels": (lambda: models.fit_given_labels(COUNTS, GROUPS), lambda m: m.log_mean),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_fitted_model_pickles_and_copies(name):
    fit, ask = MODELS[name]
    model = fit()
    for again in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert type(again) is type(model)
        assert np.array_equal(ask(again), ask(model))
        assert repr(again) == repr(model)


@pytest.mark.parametrize("components", ["fixed", "free"])
def test_an_encoder_pickles(components):
    pytest.importorskip("torch", reason="torch is not installed: the extra 'deep'")
    mixture = models.CountMixture(3).fit(COUNTS)
    encoder = models.MixtureEncoder(components=components, n_epochs=1).fit(COUNTS, mixture)
    again = pickle.loads(pickle.dumps(encoder))
    assert np.array_equal(again.predict_proba(COUNTS), encoder.predict_proba(COUNTS))


def test_a_model_that_is_not_fitted_stays_so():
    again = pickle.loads(pickle.dumps(models.CountMixture(3)))
    assert again.get_params()["n_clusters"] == 3
    with pytest.raises(NotFittedError, match="CountMixture is not fitted"):
        again.predict(COUNTS)
