"""Genes of samples that name them in different ways: with a genome, an identifier behind the symbol, or a version."""

import numpy as np
import pandas as pd
import pytest

from kithkin.io.source import Source
from kithkin.io.streams.columns import GeneNames, joined_axis, matched_names

SYMBOLS, IDS = ["CD3D", "LYZ", "NKG7"], [f"ENSG0000016{k:04}" for k in range(3)]
FORMS = {
    "symbols": pd.DataFrame(index=SYMBOLS),
    "genome": pd.DataFrame(index=[f"hg19_{one}" for one in SYMBOLS]),
    "two underscores": pd.DataFrame(index=[f"GRCh38__{one}" for one in SYMBOLS]),
    "symbol and id": pd.DataFrame(index=[f"{a}_{b}" for a, b in zip(SYMBOLS, IDS, strict=True)]),
    "id and symbol": pd.DataFrame(index=[f"{b}.3_{a}" for a, b in zip(SYMBOLS, IDS, strict=True)]),
    "ids": pd.DataFrame(index=IDS),
    "ids with versions": pd.DataFrame(index=[f"{one}.12" for one in IDS]),
    "column": pd.DataFrame({"gene_ids": IDS}, index=SYMBOLS),
    "column with a genome": pd.DataFrame({"gene_ids": [f"hg19_{one}" for one in IDS]}, index=SYMBOLS),
}
WITHOUT_IDS, WITHOUT_SYMBOLS = {"symbols", "genome", "two underscores"}, {"ids", "ids with versions"}


def source(name, var):
    return Source(name, len(var), {}, pd.DataFrame(), var)


@pytest.mark.parametrize("first", FORMS)
@pytest.mark.parametrize("second", FORMS)
def test_the_same_genes_are_found(first, second):
    both = {"a": source("a", FORMS[first]), "b": source("b", FORMS[second].iloc[[2, 0]])}
    frames, by_names = matched_names(both, "auto")
    places = frames["a"].index.get_indexer(frames["b"].index)
    if {first, second} & WITHOUT_IDS and {first, second} & WITHOUT_SYMBOLS:
        assert by_names or frames["a"].columns.empty
        assert (places < 0).all(), "nothing tells them"
    else:
        assert places.tolist() == [2, 0]
        assert len(joined_axis(frames, "outer")) == 3


def test_two_genomes_stay_apart():
    names = ["hg19_CD3D", "mm10_Cd3d", "hg19_LYZ"]
    assert GeneNames.of(pd.DataFrame(index=names)).names.tolist() == names


def test_what_no_gene_is_called_stays():
    names = ["hg19_", "hg19_A", "x_ENSG1"]
    assert GeneNames.of(pd.DataFrame(index=names)).names.tolist() == names
    assert GeneNames.of(pd.DataFrame(index=names)).ids is None


def test_annotation_comes_from_the_first_sample_that_has_the_gene():
    a = pd.DataFrame({"symbol": ["A", "B"], "n": [1, 2]}, index=["g1", "g2"])
    b = pd.DataFrame({"symbol": ["other", "C"], "kind": pd.Categorical(["x", "y"])}, index=["g2", "g3"])
    joined = joined_axis({"a": a, "b": b}, "outer")
    assert joined["symbol"].to_dict() == {"g1": "A", "g2": "B", "g3": "C"}
    assert joined["n"].to_dict() == pytest.approx({"g1": 1, "g2": 2, "g3": np.nan}, nan_ok=True)
    assert joined["kind"].tolist()[1:] == ["x", "y"]
    assert joined_axis({"b": b, "a": a}, "outer", first_stays=True).index.tolist() == ["g2", "g3", "g1"]
