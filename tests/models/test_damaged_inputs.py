"""Every model on damaged arrays: refused in a sentence, or answered as for the clean equivalent."""

import warnings
from functools import cache

import numpy as np
import pytest
from scipy import sparse

import kithkin as kk
from kithkin import models

N, P, K = 48, 12, 3
GROUPS = np.repeat(np.arange(K), N // K)
RNG = np.random.default_rng


@cache
def counts():
    means = RNG(0).gamma(0.7, 3.0, (K, P)) + 0.2
    return RNG(1).poisson(means[GROUPS]).astype(np.float64)


@cache
def points():
    return np.round(RNG(2).normal(0, 1, (N, 2)) + 5 * np.eye(K, 2)[GROUPS], 2)


@cache
def graph():
    return np.asarray(models.Neighbors(6).fit(points()).connectivities_.toarray(), np.float64)


@cache
def pixels():
    return RNG(3).integers(0, 200, (N // 4, 2, 6, 6)).astype(np.float64)


@cache
def seeds():
    return (np.arange(N) % 16 < 2).astype(np.float64)


@cache
def mixture():
    return models.CountMixture(K, max_iter=2, n_starts=1).fit(counts())


def torch_model(name, **parameters):
    pytest.importorskip("torch")
    return getattr(models, name)(**parameters)


def pseudotime(embedding, eigenvalues):
    return models.diffusion_pseudotime(embedding, eigenvalues, 0)


@cache
def samples():
    return RNG(4).poisson(RNG(5).gamma(2.0, 40.0, P), (6, P)).astype(np.float64)


DESIGN = np.column_stack([np.ones(6), np.arange(6) >= 3])

DEEP = {
    "encdec": [4, 2, 4],
    "tolerance": 0.5,
    "ae_non_gated_epochs": 1,
    "ae_pretrain_epochs": 1,
    "start_global_gates_training_on_epoch": 1,
    "max_epochs": 2,
}
# name -> (the arrays that it takes, the fit, the attributes to compare; none: what the call gives)
CASES = {
    "Autocorrelation": (
        {"graph": graph, "X": points},
        lambda graph, X: models.Autocorrelation(5).fit(graph, X),
        "morans_i_ gearys_c_",
    ),
    "CellFeatures": (
        {"pixels": pixels},
        lambda pixels: models.CellFeatures(["intensity", "correlation"]).fit(pixels),
        "features_",
    ),
    "Composition": (
        {"X": samples, "design": lambda: DESIGN},
        lambda X, design: models.Composition().fit(X, design),
        "coefficients_ variances_",
    ),
    "CountGMVAE": (
        {"X": counts},
        lambda X: torch_model("CountGMVAE", n_clusters=K, n_latent=2, n_hidden=4, n_epochs=2, batch_size=16).fit(X),
        "embedding_ probabilities_",
    ),
    "CountMixture": (
        {"X": counts},
        lambda X: models.CountMixture(K, max_iter=2, n_starts=1).fit(X),
        "log_mean_ weights_ labels_",
    ),
    "CountVAE": (
        {"X": counts},
        lambda X: torch_model("CountVAE", n_latent=2, n_hidden=4, n_epochs=1, batch_size=16).fit(X),
        "embedding_",
    ),
    "DESeq": (
        {"X": samples, "design": lambda: DESIGN},
        lambda X, design: models.DESeq().fit(X, design),
        "size_factors_ base_mean_",
    ),
    "DiffusionMap": ({"graph": graph}, lambda graph: models.DiffusionMap(3).fit(graph), "eigenvalues_"),
    "Doublets": (
        {"X": counts},
        lambda X: models.Doublets(n_sample=100, n_genes=P).fit(X),
        "scores_",
    ),
    "Faces": (
        {"X": counts, "codes": lambda: GROUPS},
        lambda X, codes: models.Faces().fit({"X": models.Face(X, "counts")}, codes),
        "shares_ certainty_",
    ),
    "GatedClustering": (
        {"X": points},
        lambda X: torch_model("GatedClustering", n_clusters=K, config=DEEP).fit(X),
        "labels_",
    ),
    "Harmony": (
        {"X": points, "codes": lambda: np.arange(N) % 2},
        lambda X, codes: models.Harmony(2).fit(X, codes),
        "embedding_",
    ),
    "ImageEncoder": (
        {"pixels": pixels},
        lambda pixels: torch_model("ImageEncoder", n_components=2, n_epochs=1, size=8).fit(pixels).transform(pixels),
        "",
    ),
    "ImagePCA": ({"pixels": pixels}, lambda pixels: models.ImagePCA(2).fit(pixels), "explained_variance_"),
    "KMeans": ({"X": points}, lambda X: models.KMeans(K).fit(X), "labels_ cluster_centers_"),
    "LabelGates": (
        {"X": counts, "codes": lambda: GROUPS},
        lambda X, codes: torch_model("LabelGates", n_features=1, scale="log1p").fit(X, codes),
        "global_gates_",
    ),
    "Leiden": ({"graph": graph}, lambda graph: models.Leiden().fit(graph), "labels_"),
    "Markers": (
        {"X": counts, "labels": lambda: GROUPS},
        lambda X, labels: models.Markers().fit(X, labels),
        "scores_ pvals_ auc_",
    ),
    "MixtureEncoder": (
        {"X": counts},
        lambda X: torch_model("MixtureEncoder", n_hidden=4, n_epochs=1).fit(X, mixture()),
        "weights_ log_mean_",
    ),
    "NeighborhoodEnrichment": (
        {"graph": graph, "labels": lambda: GROUPS},
        lambda graph, labels: models.NeighborhoodEnrichment(20).fit(graph, labels),
        "counts_",
    ),
    "Neighbors": ({"X": points}, lambda X: models.Neighbors(6).fit(X), "indices_ distances_"),
    "PCA": ({"X": counts}, lambda X: models.PCA(3).fit(X), "explained_variance_"),
    "Paris": ({"graph": graph}, lambda graph: models.Paris(K).fit(graph), "labels_ heights_"),
    "Propagation": (
        {"graph": graph, "seeds": seeds},
        lambda graph, seeds: models.Propagation().fit(graph, seeds),
        "scores_",
    ),
    "Pseudobulk": (
        {"X": counts, "groups": lambda: GROUPS},
        lambda X, groups: models.Pseudobulk().fit(X, groups),
        "sums_ n_cells_",
    ),
    "Quality": (
        {"X": counts},
        lambda X: models.Quality({"m": np.arange(P) < 3}).fit(X),
        "n_counts_ n_genes_ mean_counts_",
    ),
    "Scorecard": (
        {"X": counts, "codes": lambda: GROUPS},
        lambda X, codes: models.Scorecard(3).fit(X, codes),
        "precision_ recall_",
    ),
    "SetEnrichment": (
        {"X": lambda: counts()[:4]},
        lambda X: models.SetEnrichment({"a": [0, 1, 2], "b": [3, 4]}, "rank").fit(X),
        "pvals_",
    ),
    "SetScores": (
        {"X": counts},
        lambda X: models.SetScores({"a": [0, 1, 2], "b": [3, 4]}, max_rank=5).fit(X),
        "scores_ labels_",
    ),
    "Scaler": ({"X": counts}, lambda X: models.Scaler("robust").fit(X), "center_ scale_"),
    "SpatialNeighbors": ({"X": points}, lambda X: models.SpatialNeighbors().fit(X), "connectivities_"),
    "Support": (
        {"X": counts, "groups": lambda: GROUPS, "graph": graph},
        lambda X, groups, graph: models.Support().fit(X, groups, graph),
        "pvals_ labels_",
    ),
    "Topics": ({"X": counts}, lambda X: models.Topics(2, max_iter=3).fit(X), "weights_ factors_"),
    "UMAP": ({"graph": graph, "X": points}, lambda graph, X: models.UMAP(n_epochs=3).fit(graph, X), "embedding_"),
    "ValueSupport": (
        {"X": points, "groups": lambda: GROUPS, "graph": graph},
        lambda X, groups, graph: models.ValueSupport().fit(X, groups, graph),
        "pvals_ labels_",
    ),
    "VariableGenes": ({"X": counts}, lambda X: models.VariableGenes(4, span=1.0).fit(X), "mask_ means_"),
    "diffusion_pseudotime": ({"embedding": points, "eigenvalues": lambda: np.array([1.0, 0.5])}, pseudotime, ""),
    "fit_count_distribution": ({"x": lambda: counts()[:, 0]}, models.fit_count_distribution, "log_mean log_likelihood"),
    "fit_given_labels": ({"X": counts, "labels": lambda: GROUPS}, models.fit_given_labels, "log_mean log_likelihood"),
}
# settings, and tables of what was fitted, and of what is to be
RESULTS = {"Card", "CountDistribution", "CountExpression", "DeepConfig", "Face"}
CALLS = {"Selection"}  # a transform of blocks that other models read


def spread(a):
    wide = np.zeros((*a.shape[:-1], 2 * a.shape[-1]), a.dtype)
    wide[..., ::2] = a
    return wide[..., ::2]


def read_only(a):
    a = a.copy()
    a.flags.writeable = False
    return a


def unsorted(a):
    m = sparse.csr_matrix(a)
    for start, stop in zip(m.indptr[:-1], m.indptr[1:], strict=True):
        m.indices[start:stop] = m.indices[start:stop][::-1].copy()
        m.data[start:stop] = m.data[start:stop][::-1].copy()
    m.has_sorted_indices = m.has_canonical_format = False
    return m


def repeated(a):
    """Store each value as two halves, of which SciPy's sum is the value."""
    m = sparse.csr_matrix(a)
    return sparse.csr_matrix((np.repeat(m.data / 2, 2), np.repeat(m.indices, 2), 2 * m.indptr), shape=m.shape)


def with_zeros(a):
    m = sparse.csr_matrix(np.ones_like(a))
    m.data = np.ascontiguousarray(a).ravel().copy()
    return m


def frozen(a):
    """Return a matrix that cannot be written to, with wide indices: each type of array is compiled for anew."""
    m = sparse.csr_matrix(a)
    m.indices, m.indptr = m.indices.astype(np.int64), m.indptr.astype(np.int64)
    for part in (m.data, m.indices, m.indptr):
        part.flags.writeable = False
    return m


def big_endian_csr(a):
    m = sparse.csr_matrix(a)
    m.data = m.data.astype(m.data.dtype.newbyteorder(">"))
    return m


EQUIVALENT = {
    "Fortran order": np.asfortranarray,
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "read-only": read_only,
    "every other value of a wider array": spread,
    "a list": lambda a: a.tolist(),
}
EQUIVALENT_TABLES = {
    "CSR": sparse.csr_matrix,
    "CSR array": sparse.csr_array,
    "CSC": sparse.csc_matrix,
    "COO": sparse.coo_matrix,
    "unsorted CSR": unsorted,
    "unsorted CSC": lambda a: unsorted(a.T).T,
    "CSR with values in two parts": repeated,
    "CSR with stored zeros": with_zeros,
    "read-only CSR with int64 indices": frozen,
    "big-endian CSR": big_endian_csr,
}


def poke(value):
    def damaged(a):
        a = np.array(a, dtype=np.float64)
        a.flat[a.shape[-1] + 1 if a.ndim > 1 else 1] = value
        return a

    return damaged


DAMAGED = {
    "NaN": poke(np.nan),
    "inf": poke(np.inf),
    "-inf": poke(-np.inf),
    "a negative value": poke(-3),
    "a huge value": poke(1e300),
    "no rows": lambda a: a[:0],
    "no columns": lambda a: a[:, :0] if a.ndim > 1 else a[:0],
    "one row": lambda a: a[:1],
    "two rows": lambda a: a[:2],
    "one column": lambda a: a[:, :1] if a.ndim > 1 else a,
    "constant columns": lambda a: np.broadcast_to(a[:1], a.shape),
    "zeros": np.zeros_like,
    "text": lambda a: a.astype(str),
    "objects": lambda a: a.astype(object),
    "objects with None": lambda a: np.where(np.arange(a.size).reshape(a.shape) == 1, None, a.astype(object)),
    "complex numbers": lambda a: a + 1j,
    "dates": lambda a: a.astype("M8[s]"),
    "records": lambda a: np.zeros(a.shape, [("x", float)]),
    "booleans": lambda a: a > 0,
    "float16": lambda a: a.astype(np.float16),
    "one dimension less": lambda a: a[0],
    "one dimension more": lambda a: a[None],
    "a number": lambda a: 3.0,
    "None": lambda a: None,
    "a word": lambda a: "X",
    "ragged lists": lambda a: [[1, 2], [3]],
    "masked": lambda a: np.ma.masked_greater(a, 1),
}
DAMAGED_TABLES = {
    "CSR with NaN": lambda a: sparse.csr_matrix(poke(np.nan)(a)),
    "CSR with a negative value": lambda a: sparse.csr_matrix(poke(-3)(a)),
    "empty CSR": lambda a: sparse.csr_matrix(a.shape),
    "CSR of no rows": lambda a: sparse.csr_matrix((0, a.shape[1])),
    "CSR of no columns": lambda a: sparse.csr_matrix((a.shape[0], 0)),
    "CSR of complex numbers": lambda a: sparse.csr_matrix(a + 1j),
}
# values that are not finite by definition: a statistic of a constant column, the join of parts without a link, a set
# without a seed in a part of the graph, the logarithm of the mean of a group without counts
UNDEFINED = {"Autocorrelation", "Paris", "Propagation", "fit_given_labels"}
# trained, so that few damages are tried
NETWORKS = {"CountGMVAE", "CountVAE", "GatedClustering", "ImageEncoder", "LabelGates", "MixtureEncoder"}
OF_NETWORKS = {"NaN", "inf", "no rows", "no columns", "text", "objects", "complex numbers", "one dimension less"}
EDGES = {"NeighborhoodEnrichment": "CSR with stored zeros"}  # each stored value is an edge there
ARGUMENTS = [(name, argument) for name, (inputs, _, _) in CASES.items() for argument in inputs]


def arguments(name, argument=None, damage=None):
    given = {key: make() for key, make in CASES[name][0].items()}
    if damage is not None:
        given[argument] = damage(np.asarray(given[argument]))
    return given


def plain(value):
    value = value.toarray() if sparse.issparse(value) else value
    return np.asarray(value, float)


def found(name, given):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = CASES[name][1](**given)
    return [plain(getattr(result, one)) for one in CASES[name][2].split()] or [plain(result)]


@cache
def clean(name):
    return found(name, arguments(name))


def fault(name, given, wanted=None):
    """Return the fault of an answer: nothing if it is right, "refused" if it is refused in a sentence."""
    try:
        answer = found(name, given)
    except kk.KithkinError as error:
        return "refused" if len(str(error)) > 15 and "\n" not in str(error) else f"no sentence: {error}"
    except Exception as error:  # which class is raised is what is tested
        return f"{type(error).__name__}: {error}"
    if wanted is None:
        fine = name in UNDEFINED or all(np.isfinite(one).all() for one in answer)
        return "" if fine else "values that are not finite"
    same = (np.allclose(a, b, rtol=1e-4, atol=1e-5, equal_nan=True) for a, b in zip(answer, wanted, strict=True))
    shapes = [one.shape for one in answer] == [one.shape for one in wanted]
    return "" if shapes and all(same) else "another answer"


def test_every_model_is_tried():
    assert set(models.__all__) == {*CASES} | RESULTS | CALLS


@pytest.mark.parametrize(("name", "argument"), ARGUMENTS)
def test_the_layout_of_an_array_does_not_change_the_answer(name, argument):
    wanted = clean(name)
    layouts = {"big-endian": EQUIVALENT["big-endian"]} if name in NETWORKS else dict(EQUIVALENT)
    if name == "Autocorrelation" and argument == "X":
        layouts.pop("a list")  # of tables
    faults = {layout: fault(name, arguments(name, argument, make), wanted) for layout, make in layouts.items()}
    assert not {layout: text for layout, text in faults.items() if text}


@pytest.mark.parametrize(("name", "argument"), ARGUMENTS)
def test_the_form_of_a_sparse_matrix_does_not_change_the_answer(name, argument):
    if clean(name) and np.ndim(arguments(name)[argument]) != 2:
        pytest.skip("not a table")
    layouts = {key: make for key, make in EQUIVALENT_TABLES.items() if key != EDGES.get(name)}
    if name in NETWORKS:
        layouts = {"unsorted CSC": layouts["unsorted CSC"]}
    faults = {key: fault(name, arguments(name, argument, make), clean(name)) for key, make in layouts.items()}
    assert len({*faults.values()}) == 1, faults
    assert {*faults.values()} <= {"", "refused"}


@pytest.mark.parametrize(("name", "argument"), ARGUMENTS)
def test_damage_is_refused_in_a_sentence_or_answered_in_finite_numbers(name, argument):
    given = np.asarray(arguments(name)[argument])
    damages = {**DAMAGED, **(DAMAGED_TABLES if given.ndim == 2 else {})}
    if name in NETWORKS:
        damages = {key: damages[key] for key in OF_NETWORKS}
    faults = {damage: fault(name, arguments(name, argument, make)) for damage, make in damages.items()}
    assert not {damage: text for damage, text in faults.items() if text not in ("", "refused")}


def test_indices_outside_of_a_sparse_matrix_are_refused():
    X = sparse.csr_matrix(counts())
    X.indices[5] = 10**6
    for name in ("PCA", "KMeans", "Quality", "Topics", "CountMixture"):
        with pytest.raises(kk.ParameterError, match="not a valid sparse matrix"):
            CASES[name][1](X=X)
    links = sparse.csr_matrix(graph())
    links.indices[5] = 10**6
    for name in ("Leiden", "Paris", "DiffusionMap"):
        with pytest.raises(kk.ParameterError, match="not a valid sparse matrix"):
            CASES[name][1](graph=links)
