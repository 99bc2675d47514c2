import numpy as np
import pytest
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score, davies_bouldin_score, silhouette_score

pytest.importorskip("torch")
pytest.importorskip("safetensors")

from kithkin.models.deep.watch import indices, rough_clusters


def test_indices_are_those_of_scikit_learn():
    H, labels = make_blobs(200, 6, centers=4, cluster_std=3.0, random_state=0)
    labels[0] = 9  # a cluster of one row
    found = indices(H.astype(np.float32), labels)
    assert found["silhouette"] == pytest.approx(silhouette_score(H, labels), abs=1e-5)
    assert found["davies_bouldin"] == pytest.approx(davies_bouldin_score(H, labels), abs=1e-5)


def test_clear_clusters_are_seen_and_equal_rows_are_no_fault():
    H, truth = make_blobs(300, 5, centers=3, cluster_std=0.5, random_state=1)
    assert adjusted_rand_score(truth, rough_clusters(H, 3)) == 1.0
    assert len(rough_clusters(np.zeros((10, 2), np.float32), 3)) == 10
