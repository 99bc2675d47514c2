"""What holds for every model and every verb: the same answer for every cut and executor, and the house signature."""

import inspect
import shutil
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import is_dataclass
from multiprocessing import get_context

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone

import kithkin as kk
from kithkin import models
from kithkin.cli.docstring import describe
from kithkin.core.blocks import InMemory
from kithkin.core.errors import CallError, NotFittedError
from kithkin.core.execute import Execution

GROUPS = np.repeat(np.arange(4), 75)
SETS = {"a": [0, 3, 5, -1], "b": [1, 3, 50]}


def counts():
    rng = np.random.default_rng(0)
    means = rng.gamma(0.5, 1.0, (4, 60))
    return rng.poisson(means[GROUPS]).astype(np.uint16)


def points():
    return np.random.default_rng(1).normal(0, 1, (300, 6)).astype(np.float32) + 4 * np.eye(4, 6)[GROUPS].astype(
        np.float32
    )


def graph():
    return models.Neighbors(10).fit(points()).connectivities_


def total(X):
    return np.asarray(X.sum(axis=1), float).ravel()


# name of the model -> (its input, how it is fitted on row blocks, what it found)
FITS = {
    "Doublets": (
        counts,
        lambda b, e: models.Doublets(n_sample=200, n_genes=40).fit(b, execution=e),
        "scores_ is_doublet_ parents_ rate_",
    ),
    "Doublets mixture": (
        counts,
        lambda b, e: models.Doublets("mixture", n_genes=40).fit(b, execution=e),
        "scores_ is_doublet_ parents_",
    ),
    "Quality": (
        counts,
        lambda b, e: models.Quality({"m": np.arange(60) < 9}).fit(b, e),
        "n_counts_ n_genes_ mean_counts_",
    ),
    "VariableGenes": (
        counts,
        lambda b, e: models.VariableGenes(20).fit(b, execution=e),
        "mask_ means_ variances_norm_",
    ),
    "VariableGenes dispersion": (
        counts,
        lambda b, e: models.VariableGenes(20, "dispersion").fit(b, execution=e),
        "mask_ means_ dispersions_norm_",
    ),
    "PCA": (counts, lambda b, e: models.PCA(8).fit(b, execution=e), "components_ explained_variance_"),
    "KMeans": (points, lambda b, e: models.KMeans(4).fit(b, e), "labels_ cluster_centers_"),
    "Harmony": (
        points,
        lambda b, e: models.Harmony(5).fit(b, np.arange(300) % 3, e),
        "embedding_ sizes_ sums_ objective_",
    ),
    "Neighbors": (points, lambda b, e: models.Neighbors(10).fit(b, e), "indices_ distances_"),
    "Faces": (
        counts,
        lambda b, e: models.Faces().fit({"X": models.Face(b, "counts")}, GROUPS, e),
        "shares_ calls_ certainty_ effects_",
    ),
    "Faces of values": (points, lambda b, e: models.Faces().fit({"X": b}, GROUPS, e), "shares_ calls_ certainty_"),
    "Pseudobulk": (counts, lambda b, e: models.Pseudobulk().fit(b, GROUPS, e), "sums_ n_cells_"),
    "Markers": (
        counts,
        lambda b, e: models.Markers().fit(b, GROUPS, execution=e),
        "scores_ pvals_ auc_ logfoldchanges_",
    ),
    "Topics": (counts, lambda b, e: models.Topics(4, tolerance=1e-9).fit(b, e), "weights_ factors_ trace_"),
    "Scaler": (points, lambda b, e: models.Scaler("robust").fit(b, e), "center_ scale_ fill_"),
    "SetScores": (
        counts,
        lambda b, e: models.SetScores(SETS, max_rank=40).fit(b, execution=e),
        "scores_ labels_ filled_",
    ),
    "SetScores aucell": (
        counts,
        lambda b, e: models.SetScores(SETS, "aucell", max_rank=20).fit(b, execution=e),
        "scores_ labels_",
    ),
    "SetScores mean": (
        counts,
        lambda b, e: models.SetScores(SETS, "mean", n_bins=5, n_controls=4).fit(b, execution=e),
        "scores_ labels_",
    ),
    "Scorecard": (
        counts,
        lambda b, e: models.Scorecard(4, normalize="log1p").fit(b, GROUPS, execution=e),
        "precision_ recall_ f1_",
    ),
    "Support": (counts, lambda b, e: models.Support().fit(b, GROUPS, execution=e), "pvals_ accuracy_ n_genes_ labels_"),
    "ValueSupport": (
        points,
        lambda b, e: models.ValueSupport().fit(b, GROUPS, execution=e),
        "pvals_ dips_ accuracy_ labels_",
    ),
    "CountMixture": (
        counts,
        lambda b, e: models.CountMixture(4, max_iter=3).fit(b, execution=e),
        "log_mean_ log_dispersion_ weights_ labels_",
    ),
}
ON_GRAPHS = {"Autocorrelation", "DiffusionMap", "Propagation", "Paris", "Leiden", "UMAP"}
NO_ESTIMATOR = {
    "Card",  # rules: tests/models/gates/test_card.py
    "SetEnrichment",  # of tests or gates: tests/models/sets/test_set_enrichment.py
    "Face",  # a modality, with nothing to fit
    "Composition",  # of the sizes of clusters: tests/models/samples/test_composition.py
    "DESeq",  # of the counts of a few samples, which are in memory: tests/models/samples/test_deseq.py
    "Selection",  # a transform with nothing to fit: tests/models/table/test_selection.py
    "diffusion_pseudotime",  # a function of a fitted map: tests/models/test_diffusion.py
    *("CellFeatures", "NeighborhoodEnrichment", "SpatialNeighbors"),  # of thumbnails and places: their own tests
    "DeepConfig",  # settings: tests/models/deep/test_config.py
    "GatedClustering",  # by gradient steps, with torch: tests/models/test_deep.py
    "LabelGates",  # by gradient steps, with torch: tests/models/test_label_gates.py
    *("ImagePCA", "ImageEncoder"),  # of thumbnails: tests/models/test_image_pca.py, test_image_encoder.py
    *("CountVAE", "CountGMVAE"),  # by gradient steps, with torch: tests/models/latent
    "MixtureEncoder",  # of a fitted mixture: tests/models/test_deep_encoder.py
    *("CountDistribution", "CountExpression", "fit_count_distribution", "fit_given_labels"),  # of one gene, of labels
}


def found(name, blocks, execution):
    _, fit, attributes = FITS[name]
    model = fit(blocks, execution)
    return [np.asarray(getattr(model, attribute)) for attribute in attributes.split()]


def test_every_model_is_listed():
    assert set(models.__all__) == {name.split()[0] for name in FITS} | ON_GRAPHS | NO_ESTIMATOR


ESTIMATORS = [name for name in models.__all__ if hasattr(getattr(models, name), "get_params")]
NEEDED = {"Selection": {"rows": np.ones(3, bool), "columns": np.array([True, False])}}  # parameters without a default


@pytest.mark.parametrize("name", ESTIMATORS)
def test_scikit_learn_clones_a_model(name):
    model = getattr(models, name)(**NEEDED.get(name, {}))
    copy = clone(model)
    assert type(copy) is type(model)
    assert repr(copy) == repr(model)
    assert list(model.get_params()) == list(inspect.signature(type(model)).parameters)
    for key, value in model.get_params().items():
        np.testing.assert_array_equal(copy.get_params()[key], value)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_wrong_call_of_a_model_is_answered_in_one_sentence(name):
    kind, needed = getattr(models, name), NEEDED.get(name, {})
    with pytest.raises(CallError, match=rf"^{name}\(\) has no parameter 'colour'"):
        kind(**needed, colour=1)
    model = kind(**needed)
    for method in ("fit", "predict", "transform"):
        if hasattr(kind, method):
            with pytest.raises(CallError, match=rf"^{method}\(\) has no parameter 'colour'"):
                getattr(model, method)(colour=1)


@pytest.mark.parametrize("name", ["PCA", "KMeans", "Topics", "CountMixture", "Scaler", "UMAP"])
def test_a_model_that_is_not_fitted_says_so(name):
    model, X = getattr(models, name)(), np.eye(30, 5)
    asked = getattr(model, "predict", None) or getattr(model, "transform", None)
    with pytest.raises(NotFittedError, match=f"^{name} is not fitted: call its fit first"):
        asked(X) if asked else model.embedding_


@pytest.mark.parametrize("name", [one for one in ESTIMATORS if inspect.signature(getattr(models, one)).parameters])
def test_parameters_of_a_model_are_set_by_name(name):
    model = getattr(models, name)(**NEEDED.get(name, {}))
    key = list(model.get_params())[-1]
    value = [True, True] if name == "Selection" else 7
    assert model.set_params(**{key: value}) is model
    assert model.get_params()[key] == value
    assert f"{key}={value}" in repr(model)
    with pytest.raises(kk.ParameterError, match=f"{name} has no parameter 'no_such_name'"):
        model.set_params(**{key: 8, "no_such_name": 1})
    assert model.get_params()[key] == value


def test_a_model_is_shown_as_the_call_that_makes_it():
    assert repr(models.PCA()) == "PCA()"
    assert repr(models.PCA(10, seed=3)) == "PCA(n_components=10, seed=3)"
    assert len(repr(models.UMAP(init=np.zeros((1000, 2))))) < 150


@pytest.mark.parametrize("layout", [np.asarray, sparse.csr_matrix])
@pytest.mark.parametrize("name", FITS)
def test_a_model_does_not_depend_on_block_size(name, layout):
    if layout is sparse.csr_matrix and FITS[name][0] is points:
        pytest.skip("coordinates are dense")
    X = layout(FITS[name][0]())
    whole = found(name, InMemory(X, rows=300), Execution(threads=1))
    for rows in (1, 7, 64, 299):
        for a, b in zip(whole, found(name, InMemory(X, rows=rows), Execution(threads=1)), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.fixture(scope="module")
def processes():
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        yield pool


@pytest.mark.parametrize("name", FITS)
def test_a_model_is_identical_for_every_executor(name, processes):
    X = FITS[name][0]()
    blocks = InMemory(X, rows=23)
    one = found(name, blocks, Execution(threads=1))
    for other in (Execution(threads=3), "threads", "processes"):
        if other == "threads":
            with ThreadPoolExecutor(3) as pool:
                again = found(name, blocks, Execution(threads=2, executor=pool))
        elif other == "processes":
            again = found(name, blocks, Execution(threads=2, executor=processes))
        else:
            again = found(name, blocks, other)
        for a, b in zip(one, again, strict=True):
            assert np.array_equal(a, b, equal_nan=a.dtype.kind == "f"), other


@pytest.mark.parametrize("name", FITS)
def test_a_model_does_not_depend_on_the_storage_type(name):
    X = FITS[name][0]()
    types = ("uint8", "uint16", "int64", "float32", "float64") if X.dtype.kind == "u" else ("float32", "float64")
    answers = [found(name, InMemory(X.astype(dtype), rows=50), Execution(threads=2)) for dtype in types]
    for other in answers[1:]:
        for a, b in zip(answers[0], other, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", FITS)
def test_a_model_does_not_depend_on_the_memory_budget(name):
    X = FITS[name][0]()
    small, large = (found(name, InMemory(X, rows=50), Execution(memory=m, threads=2)) for m in (5 * 10**7, 10**10))
    for a, b in zip(small, large, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)


def test_graph_models_do_not_depend_on_threads_and_follow_the_seed():
    weights = graph()
    maps = [
        models.UMAP(n_epochs=30, seed=s).fit(weights, points(), Execution(threads=t)).embedding_
        for s, t in ((0, 1), (0, 3), (1, 1))
    ]
    assert np.array_equal(maps[0], maps[1])
    assert not np.array_equal(maps[0], maps[2])
    assert np.array_equal(models.Leiden(seed=3).fit(weights).labels_, models.Leiden(seed=3).fit(weights).labels_)


VERBS = {
    "quality": {},
    "doublets": {},
    "variable_genes": {"n_genes": 50},
    "pca": {"n_components": 10},
    "scale": {},
    "neighbors": {},
    "umap": {"n_epochs": 20},
    "leiden": {},
    "kmeans": {"n_clusters": 4},
    "markers": {"by": "obs/kmeans"},
    "support": {"by": "obs/kmeans"},
    "topics": {"n_topics": 3},
    "paris": {},
    "annotate": {"column": "mine", "values": ["a", "b"] * 300},
    "contrast": {"by": "obs/mine", "sample": "obs/sample", "within": "obs/kmeans"},
    "composition": {"by": "obs/mine", "sample": "obs/sample", "on": "obs/kmeans"},
    "merge_labels": {"on": "obs/group", "groups": ["both=0,1"]},
    "relabel": {"on": "obs/kmeans", "by": "obs/group"},
    "count_mixture": {"n_clusters": 3, "max_iter": 4},
    "propagate": {"seeds": "group == '2'"},
    "smooth": {"values": "obs/n_counts"},
    "diffusion_map": {"n_components": 5},
    "pseudotime": {"root": 0, "n_components": 4},
    "graph_score": {"values": "obs/n_counts", "n_permutations": 20},
    "score": {"sets": {"one": ["GENE1", "GENE2"], "two": ["GENE3", "GENE400", "GENE7"]}},
    "enrich": {"by": "obs/kmeans", "sets": {"one": ["GENE1", "GENE2"], "two": ["GENE3", "GENE4", "GENE7"]}},
    "cell_cycle": {"sets": {"S": ["GENE1", "GENE2"], "G2M": ["GENE3", "GENE4"]}},
    "harmonize": {"batch": "obs/mine"},
    "mixing": {"batch": "obs/mine", "labels": "obs/group"},
}
IN_PLACE = {"split"}  # takes the place of what another verb wrote: tests/verbs/test_split.py
NO_RESULT = {
    "image_embedding",
    "explain",
    "deep_clusters",
    *("latent", "latent_clusters"),  # with torch: tests/verbs/test_latent.py, test_latent_clusters.py
    "pseudobulk",
    "neighborhood_enrichment",
    "spatial_neighbors",
    "features",
    "read_image",
    "animate",
    "append",
    "compare",
    "means",
    "open",
    "read",
    "subset",
    "run",
    "demo",
    "check",
    "verify",
    "history",
    "info",
    "summary",
    "describe",
    "figures",
    "report",
    "export",
    "publish",
    "reference",
    *("card", "apply"),  # rules, which are no table: tests/verbs/test_card.py
    "map_to",  # needs the file of the one before: tests/verbs/test_map_to.py
}
# parameters that mean the same in every verb and model
DICTIONARY = """
    ds on key by batch seed n_clusters n_neighbors n_components n_epochs max_iter tolerance resolution color
"""
# and those that only some have, each with one meaning too; a word that is not listed is not used
ALSO_LISTED = {
    "data of a model": "X graph execution totals labels groups codes columns rows pixels masks mixture start",
    "files and what is taken of them": "path cache source target to layer raw genome transpose overwrite",
    "columns of a table": "ignore id missing",
    "doublets": "rate",
    "several samples": "sample join match within design min_cells fdr",
    "execution": "memory threads executor progress callback say device checkpoint torch_threads",
    "cells and genes": "cells genes names values column n_genes n_cells mito ribo size flavor n_bins span",
    "sets of genes": "sets against max_rank n_controls correlation background",
    "scaling of values": "normalize target_sum scale clip threshold missing categories",
    "algorithm and its start": "method objective metric init n_starts n_sample criterion config",
    "integration": "condition theta before layout",
    "clusters": "cluster min_size balanced weights n_features features gates",
    "mixture and topics": "n_topics dispersion shrinkage mean_shape weight_prior calibrate",
    "walks and graphs": "seeds alpha clamp history reference root radius region n_permutations",
    "maps": "min_dist spread n_centers learning_rate negative_sample_rate",
    "networks": "batch_size n_hidden invariance",
    "latent variables": "n_latent likelihood size_factors label_weight precision",
    "tests": "held_out pairs markers n_markers spill",
    "cards": "card",
    "images": "image mask channels window_size mask_cells mask_plane axes z t position pixel_size"
    " id_column x_column y_column image_column skip_absent",
    "features of cells": "measures n_levels n_rings n_scales components",
    "animation": "what from_ n_frames fps dark order",
    "treatment of a table": "kind",
    "pages": "title",
}
WORDS = {word for text in (DICTIONARY, *ALSO_LISTED.values()) for word in text.split()}
FUNCTIONS = {name: getattr(kk, name) for name in kk.__all__ if inspect.isfunction(getattr(kk, name))}
STORING = [name for name, function in FUNCTIONS.items() if "key" in inspect.signature(function).parameters]


def test_every_public_function_is_a_verb_or_listed():
    assert set(FUNCTIONS) == set(VERBS) | IN_PLACE | NO_RESULT


def test_parameters_come_from_one_dictionary():
    classes = [value for name in models.__all__ if inspect.isclass(value := getattr(models, name))]
    settings = [model for model in classes if not is_dataclass(model)]  # the others are results
    fits = [model.fit for model in settings if hasattr(model, "fit")]
    used = {word for one in (*FUNCTIONS.values(), *settings, *fits) for word in inspect.signature(one).parameters}
    assert used - WORDS - {"self"} == set(), "not in the dictionary"
    assert WORDS - used == {"color"}, "in the dictionary and not used"  # color: of figures


@pytest.mark.parametrize("name", STORING)
def test_a_verb_has_the_house_signature(name):
    parameters = inspect.signature(FUNCTIONS[name]).parameters
    assert next(iter(parameters)) == "ds"
    assert parameters["key"].kind is inspect.Parameter.KEYWORD_ONLY
    assert "on" in parameters
    for parameter in parameters.values():
        assert parameter.default is None or isinstance(
            parameter.default, (str, int, float, bool, type(parameter.empty))
        )
        assert parameter.annotation is not parameter.empty


@pytest.mark.parametrize("name", STORING)
def test_a_key_means_the_same_in_every_verb(name):
    _, described = describe(FUNCTIONS[name].__doc__)
    assert described["key"].startswith("Key under which the result is stored; without one it is only returned.")
    usual = inspect.signature(FUNCTIONS[name]).parameters["key"].default
    assert "/" in usual or f'"{usual}"' in described["key"] or f"{usual}_" in described["history"]


@pytest.mark.parametrize(
    "name", [name for name in FUNCTIONS if "seed" in inspect.signature(FUNCTIONS[name]).parameters]
)
def test_a_seed_is_a_seed(name):
    assert describe(FUNCTIONS[name].__doc__)[1]["seed"].startswith("Seed of ")


@pytest.fixture(scope="module")
def _finished_path(_dataset_path, tmp_path_factory):
    path = tmp_path_factory.mktemp("every_verb") / "cells.zarr"
    shutil.copytree(_dataset_path, path)
    ds = kk.open(path)
    ds["obs/sample"] = [f"s{k % 6}" for k in range(600)]
    for name, settings in VERBS.items():
        getattr(kk, name)(ds, **settings)
    return path


@pytest.fixture
def finished(_finished_path, copy_of):
    """The small counts after every verb, for each test anew."""
    return copy_of(_finished_path)


def listing(ds):
    return {path: path.stat().st_mtime_ns for path in sorted(ds.path.rglob("*"))}


@pytest.mark.parametrize("name", VERBS)
def test_key_none_returns_the_same_and_writes_nothing(finished, name):
    before = listing(finished)
    stored = getattr(kk, name)(finished, **VERBS[name])
    returned = getattr(kk, name)(finished, **VERBS[name], key=None)
    assert listing(finished) == before, "a look-up, or key=None, wrote something"
    if sparse.issparse(stored):
        assert abs(stored - returned).max() == 0
    else:
        assert np.array_equal(np.asarray(stored, str), np.asarray(returned, str))


@pytest.mark.parametrize(("threads", "memory"), [(1, "50MB"), (3, "2GB")])
def test_verbs_do_not_depend_on_threads_or_budget(finished, threads, memory):
    other = kk.open(finished.path, threads=threads, memory=memory)
    for name, settings in VERBS.items():
        first, again = (getattr(kk, name)(ds, **settings, key=None) for ds in (finished, other))
        if sparse.issparse(first):
            assert abs(first - again).max() < 1e-5
        elif hasattr(first, "columns") or getattr(first, "dtype", None) == "category":
            assert np.array_equal(np.asarray(first, str), np.asarray(again, str))
        else:
            np.testing.assert_allclose(first, again, rtol=1e-4, atol=1e-4)


def test_another_key_keeps_the_first_result(finished):
    kk.leiden(finished, 3.0, key="fine")
    kk.pca(finished, 5, key="X_small")
    kk.neighbors(finished, on="obsm/X_small", key="small")
    kk.umap(finished, on="obsp/small_connectivities", n_epochs=10, key="X_umap_small")
    assert finished.read("obs/fine").nunique() >= finished.read("obs/leiden").nunique()
    assert finished.read("obsm/X_pca").shape[1] == 10
    assert finished.read("obsp/small_connectivities").shape == (600, 600)
    assert set(finished.history()["state"]) == {"current"}
