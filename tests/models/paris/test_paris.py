import numpy as np
import pytest
from scipy import sparse
from sklearn.metrics import adjusted_rand_score

from kithkin.core.errors import ParameterError
from kithkin.core.execute import Execution
from kithkin.models import Neighbors, Paris
from kithkin.models.paris.paris import shared_weights


@pytest.fixture(scope="module")
def blobs():
    rng = np.random.default_rng(0)
    truth = np.repeat(np.arange(5), [300, 200, 100, 60, 40])
    points = rng.normal(0, 1, (700, 8)) + 2 * rng.normal(0, 1, (5, 8))[truth]
    return truth, Neighbors(15).fit(points.astype(np.float32)).connectivities_


def test_the_tree_and_its_labels(blobs):
    truth, graph = blobs
    model = Paris().fit(graph)
    assert adjusted_rand_score(truth, model.labels_) > 0.95
    assert model.n_clusters_ == len(np.unique(model.labels_))
    assert model.linkage_.shape == (699, 4)
    assert np.array_equal(model.linkage_[:, 2], model.heights_)
    assert model.sizes_[-1] == 700
    assert model.children_.max() == 2 * 700 - 3


@pytest.mark.parametrize("k", [1, 2, 7, 700])
def test_a_number_of_clusters_is_kept(blobs, k):
    assert Paris(k).fit(blobs[1]).n_clusters_ == k


def test_a_balanced_cut_is_bounded(blobs):
    assert np.bincount(Paris(balanced=120).fit(blobs[1]).labels_).max() <= 120


def test_shared_neighbours_sharpen_what_is_between_groups(blobs):
    truth, graph = blobs
    other = truth[np.repeat(np.arange(700), np.diff(graph.indptr))] != truth[graph.indices]
    factor = shared_weights(graph).data / graph.data
    assert factor.max() <= 1
    assert other.sum() > 50
    assert factor[other].mean() < 0.5 * factor[~other].mean()
    assert abs(shared_weights(graph) - shared_weights(graph).T).max() < 1e-6
    assert adjusted_rand_score(truth, Paris(weights="shared").fit(graph).labels_) > 0.95


def test_threads_change_nothing(blobs, monkeypatch):
    _, graph = blobs
    whole = Paris(weights="shared").fit(graph, Execution(threads=1))
    monkeypatch.setattr("kithkin.models.paris.paris.ROWS", 33)
    parts = Paris(weights="shared").fit(graph, Execution(threads=3))
    assert np.array_equal(whole.heights_, parts.heights_)
    assert np.array_equal(whole.labels_, parts.labels_)


def test_one_node():
    model = Paris().fit(np.zeros((1, 1)))
    assert model.labels_.tolist() == [0]
    assert len(model.children_) == 0


@pytest.mark.parametrize(
    ("settings", "graph", "message"),
    [
        ({"n_clusters": "all"}, np.eye(3), "n_clusters must be a number or 'auto', got 'all'"),
        ({"n_clusters": 4}, np.eye(3), r"n_clusters must be in 1\.\.3, got 4"),
        ({"n_clusters": 2, "balanced": 2}, np.eye(3), "balanced and n_clusters cannot both be given"),
        ({"n_clusters": 2, "min_size": 2}, np.eye(3), "min_size has no effect with a number of clusters"),
        ({"balanced": 4}, np.eye(3), r"balanced must be in 1\.\.3, got 4"),
        ({"min_size": 0}, np.eye(3), r"min_size must be in 1\.\.3, got 0"),
        ({"weights": "jaccard"}, np.eye(3), "weights must be one of 'graph', 'shared', got 'jaccard'"),
        ({}, np.ones((2, 3)), "graph must be square, got 2 x 3"),
        ({}, np.triu(np.ones((3, 3))), "graph must be symmetric"),
        ({}, -np.ones((2, 2)), "graph must have weights that are finite and not negative"),
        ({}, sparse.csr_matrix((0, 0)), "graph must have a node"),
    ],
)
def test_wrong_input_is_one_sentence(settings, graph, message):
    with pytest.raises(ParameterError, match=f"^{message}"):
        Paris(**settings).fit(graph)


def test_digits(shared_data):
    path = shared_data / "mnist_train.npz"
    if not path.is_file():
        pytest.skip("mnist_train.npz is not in ../shared/data")
    data = np.load(path)
    pixels, digits = data["X"][:4000].reshape(4000, -1).astype(np.float32), data["y"][:4000]
    centered = pixels - pixels.mean(axis=0)
    _, _, axes = np.linalg.svd(centered[:1500], full_matrices=False)
    graph = Neighbors(15).fit(centered @ axes[:25].T).connectivities_
    model = Paris(weights="shared").fit(graph)
    assert 7 <= model.n_clusters_ <= 16  # some pairs of digits share too many links in 4,000 images
    assert adjusted_rand_score(digits, model.labels_) > 0.55
