"""What is in a dataset, what was done to it, and whether it is sound."""

import pandas as pd

import kithkin as kk


def test_info_names_every_place(finished):
    lines = kk.info(finished).splitlines()
    assert lines[0] == "Dataset cells.zarr: 600 observations x 500 variables"
    assert [line.split(":")[0].strip() for line in lines[1:]] == ["X", "obs", "var", "obsm", "varm", "obsp", "uns"]
    assert "X_pca" in lines[4]


def test_history_tells_each_step_with_its_parameters(finished):
    table = kk.history(finished)
    assert table["step"].tolist() == ["read", "quality", "variable_genes", "pca", "neighbors", "leiden", "markers"]
    assert "n_genes=200" in table.set_index("step").loc["variable_genes", "parameters"]
    assert "obsm/X_pca" in table.set_index("step").loc["pca", "results"]
    assert (table["seconds"] >= 0).all()
    assert pd.to_datetime(table["finished"]).is_monotonic_increasing


def test_check_finds_nothing_in_a_finished_dataset(finished):
    assert kk.check(finished) == []
