"""The demonstration finds the groups that are known, and leaves figures and datasets."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

import kithkin as kk
from kithkin.cli.main import main


def test_the_demonstration_finds_what_is_known_and_names_its_folder(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "demo"
    folder.mkdir()
    kk.read(np.arange(12).reshape(4, 3), to=folder / "counts.zarr")
    assert main(["demo", "--to", "demo", "--n-cells", "600"]) == 0
    assert f"The pages, figures and datasets are in {folder}" in capsys.readouterr().err
    for name, truth, least in (("counts", "group", 0.9), ("digits", "digit", 0.6)):
        ds = kk.open(folder / f"{name}.zarr")
        assert adjusted_rand_score(ds.read(f"obs/{truth}"), ds.read("obs/leiden")) > least
        assert ds.n_obs > 4, "what was left there is replaced"
        drawn = {path.name for path in (folder / f"{name}.figures").iterdir()}
        assert f'"n_obs":{ds.n_obs},' in (folder / f"{name}.html").read_text(encoding="utf-8")
        assert {"umap.png", "truth.png", "dotplot.png", "summary.txt"} <= drawn


def test_too_few_cells_are_refused(tmp_path):
    with pytest.raises(kk.ParameterError, match="n_cells must be at least 300, got 10"):
        kk.demo(tmp_path, n_cells=10)
