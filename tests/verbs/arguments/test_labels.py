"""A column of obs of any type is read as labels."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import kithkin as kk
from kithkin.verbs.annotate import annotate
from kithkin.verbs.arguments.labels import labels_of

COLUMNS = {
    "texts": (["10", "9", "10"], ["9", "10"], [1, 0, 1]),
    "categories": (pd.Categorical(["x", None, "y"], ["y", "z", "x"]), ["y", "x"], [1, -1, 0]),
    "booleans": ([True, False, None], ["False", "True"], [1, 0, -1]),
    "integers": ([10, -1, 9], ["-1", "9", "10"], [2, 0, 1]),
    "whole numbers": ([2.0, np.nan, 1.0], ["1", "2"], [1, -1, 0]),
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_any_column_can_be_labels(tmp_path, kind):
    values, names, codes = COLUMNS[kind]
    ds = kk.read(np.eye(3), to=tmp_path / "a.zarr")
    annotate(ds, "mine", values)
    labels = labels_of(ds, "mine")
    assert (labels.names, labels.codes.tolist()) == (names, codes)
    assert labels.sizes.sum() == sum(code >= 0 for code in codes)


def test_measurements_are_no_labels(dataset):
    annotate(dataset, "mine", np.linspace(0.25, 1, 600))
    with pytest.raises(
        kk.ParameterError, match=r"^by must name labels such as .*, but obs/mine holds numbers such as 0\.25"
    ):
        labels_of(dataset, "mine")
    with pytest.raises(kk.MissingResultError, match=r"obs/nothing is not in cells\.zarr"):
        labels_of(dataset, "nothing")


def test_whole_numbers_of_most_rows_are_no_labels(dataset):
    annotate(dataset, "few", [k % 300 for k in range(600)])
    annotate(dataset, "many", [k % 301 for k in range(600)])
    assert len(labels_of(dataset, "few").names) == 300
    with pytest.raises(kk.ParameterError) as error:
        labels_of(dataset, "many", "on")
    holds = "obs/many holds 301 different numbers, and 300 are possible"
    assert str(error.value) == f"on must name labels such as obs/leiden, but {holds}"


MEASURED = {
    "markers": lambda ds: kk.markers(ds, "n_counts"),
    "neighborhood_enrichment": lambda ds: kk.neighborhood_enrichment(ds, "n_counts"),
    "relabel": lambda ds: kk.relabel(ds, "group", by="n_counts"),
    "split": lambda ds: kk.split(ds, "n_counts", "1000", method="kmeans", on="X"),
    "explain": lambda ds: kk.explain(ds, "n_counts"),
}


@pytest.mark.parametrize("verb", MEASURED)
def test_every_verb_refuses_measurements_as_clusters(dataset, verb):
    dataset.write({"obsp/spatial_connectivities": sparse.csr_matrix((600, 600), dtype=np.float32)})
    with pytest.raises(
        kk.ParameterError, match=r"^by must name labels such as .*, but obs/n_counts holds \d+ different"
    ):
        MEASURED[verb](dataset)


def test_numbers_in_texts_count(dataset):
    texts = ["3.10", "3.2", "3", "a10", "a9", "", "10"]
    ds = dataset
    annotate(ds, "mine", np.resize(np.array(texts, object), ds.n_obs))
    assert labels_of(ds, "mine").names == ["", "3", "3.2", "3.10", "10", "a9", "a10"]
