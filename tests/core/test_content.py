import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import kithkin as kk
from kithkin.core.content import content_of

VALUES = {
    "obs/labels": pd.Categorical(["a", "b", "a"] * 20),
    "obs/texts": [f"t{i}" for i in range(60)],
    "obsm/X_a": np.arange(120.0).reshape(60, 2),
    "obsp/g": sparse.random(60, 60, 0.1, format="csr", random_state=0),
    "uns/about": {"n": 5, "name": "x", "inner": {"v": np.arange(4)}},
}


def made(folder, values):
    ds = kk.read(np.arange(300.0).reshape(60, 5), to=folder)
    ds.write({key: pd.Series(one, index=ds.obs_names) if "obs/" in key else one for key, one in values.items()})
    return ds.path


@pytest.mark.parametrize("key", VALUES)
def test_equal_values_have_one_hash_and_a_changed_one_another(key, tmp_path):
    first, again = (made(tmp_path / name, VALUES) for name in ("a.zarr", "b.zarr"))
    assert content_of(first, key) == content_of(again, key)
    changed = {
        "obs/labels": pd.Categorical(["b", "b", "a"] + ["a", "b", "a"] * 19),
        "obs/texts": ["u"] + [f"t{i}" for i in range(1, 60)],
        "obsm/X_a": np.nextafter(VALUES["obsm/X_a"], 200),
        "obsp/g": VALUES["obsp/g"] * 2,
        "uns/about": {"n": 5, "name": "x", "inner": {"v": np.arange(4) + 1}},
    }
    assert content_of(first, key) != content_of(made(tmp_path / "c.zarr", VALUES | {key: changed[key]}), key)


def test_steps_of_the_hash_do_not_matter(tmp_path, monkeypatch):
    path = made(tmp_path / "a.zarr", VALUES)
    whole = {key: content_of(path, key) for key in (*VALUES, "X")}
    monkeypatch.setattr("kithkin.core.content.STEP", 7)
    assert {key: content_of(path, key) for key in whole} == whole
    assert len(set(whole.values())) == len(whole)
