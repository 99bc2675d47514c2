import numpy as np
import pytest

import kithkin as kk


def test_what_is_stored(dataset):
    weights = kk.topics(dataset, 4)
    assert weights.shape == (600, 4)
    assert np.allclose(weights.sum(axis=1), 1, atol=1e-5)
    factors = dataset.read("varm/topics")
    assert np.allclose(factors.sum(axis=0), 1, atol=1e-5)
    main = dataset.read("obs/topics")
    assert np.array_equal(main.astype(int), weights.argmax(axis=1))
    about = dataset.read("uns/topics")
    assert list(about["genes"].columns) == ["0", "1", "2", "3"]
    assert set(about["genes"]["0"]) <= set(dataset.var_labels)
    assert len(about["trace"]) > 1
    assert dataset.read("obs/topics_entropy").between(0, np.log(4)).all()


def test_topics_are_the_known_groups(dataset):
    main = kk.topics(dataset, 4).argmax(axis=1)
    groups = dataset.read("obs/group")
    assert sum(groups[main == k].value_counts().max() for k in range(4)) / 600 > 0.95


def test_another_key_keeps_both(dataset):
    kk.topics(dataset, 3)
    kk.topics(dataset, 5, key="obsm/fine")
    assert dataset.read("obsm/topics").shape[1] == 3
    assert dataset.read("varm/fine").shape[1] == 5
    assert "obs/fine_entropy" in dataset


def test_what_is_wrong_is_named(dataset):
    with pytest.raises(kk.ParameterError, match=r"n_topics must be in 1\.\.500, got 501"):
        kk.topics(dataset, 501)
