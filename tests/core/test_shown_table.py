"""The tables of a dataset read like any DataFrame, and refuse to be written to."""

from __future__ import annotations

import copy
import io
import pickle

import anndata
import numpy as np
import pandas as pd
import pytest

import kithkin as kk
from kithkin.core.errors import ParameterError
from kithkin.core.shown_table import ShownTable

PLAIN = pd.DataFrame(
    {"a": [3.0, 1.0, 2.0], "kind": pd.Categorical(["x", "y", "x"]), "text": ["p", None, "q"]}, index=["r", "s", "t"]
)
READS = {
    "copy": lambda t: t.copy(),
    "columns": lambda t: t[["a", "kind"]],
    "mask": lambda t: t[t["a"] > 1],
    "loc": lambda t: t.loc[["t", "r"], ["a"]],
    "loc axis": lambda t: t.loc(axis=0)["r":"s"],
    "iloc": lambda t: t.iloc[1:],
    "query": lambda t: t.query("a > 1 and kind == 'x'"),
    "assign": lambda t: t.assign(b=1),
    "drop": lambda t: t.drop(columns="a"),
    "rename": lambda t: t.rename(columns={"a": "b"}),
    "sort": lambda t: t.sort_values("a"),
    "reset": lambda t: t.reset_index(),
    "set index": lambda t: t.set_index("kind"),
    "astype": lambda t: t.astype({"a": int}),
    "fill": lambda t: t.fillna({"text": "none"}),
    "merge": lambda t: t.merge(pd.DataFrame({"kind": ["x"], "n": [1]}), on="kind"),
    "join": lambda t: t.join(pd.DataFrame({"n": [1, 2]}, index=["r", "s"])),
    "concat": lambda t: pd.concat([t, t]),
    "aligned": lambda t: t.reindex(["t", "u"]),
    "transposed": lambda t: t.T,
    "numbers": lambda t: t.select_dtypes("number") * 2,
    "described": lambda t: t.describe(),
    "grouped": lambda t: t.groupby("kind", observed=True)[["a"]].mean(),
    "counted": lambda t: pd.crosstab(t["kind"], t["text"]),
    "apply": lambda t: t[["a"]].apply(lambda column: column + 1),
    "copied": copy.deepcopy,
    "csv": lambda t: pd.read_csv(io.StringIO(t.to_csv()), index_col=0),
}


@pytest.mark.parametrize("name", READS)
@pytest.mark.filterwarnings("error")
def test_what_is_made_of_a_shown_table_is_plain(name):
    expected, found = READS[name](PLAIN), READS[name](ShownTable.of(PLAIN.copy(), "obs"))
    assert type(found) is pd.DataFrame
    pd.testing.assert_frame_equal(found, expected)
    found["new"] = 1  # it may be edited


@pytest.mark.filterwarnings("error")
def test_values_are_read_by_every_way():
    shown = ShownTable.of(PLAIN.copy(), "obs")
    assert (shown.at["s", "a"], shown.iat[2, 0]) == (1.0, 2.0)  # noqa: PD008, PD009
    assert (shown.loc["r", "a"], shown.a.tolist()) == (3.0, [3, 1, 2])
    assert shown.equals(PLAIN)
    assert isinstance(shown, pd.DataFrame)
    pd.testing.assert_frame_equal(pd.DataFrame(pickle.loads(pickle.dumps(shown))), PLAIN)
    assert repr(shown) == repr(PLAIN)


def change_columns(t):
    t.columns = list("abc")


def change_attribute(t):
    t.a = 1


def change_loc(t):
    t.loc["r", "a"] = 5


def change_at(t):
    t.at["r", "a"] = 5  # noqa: PD008


def add(t):
    t["b"] = 1


def delete(t):
    del t["a"]


WRITES = {
    "a new column": (add, r"ds\.var is a copy: write ds\['var/b'\] = values, or edit ds\.var\.copy\(\)"),
    "names of columns": (change_columns, "is a copy"),
    "an attribute": (change_attribute, r"write ds\['var/a'\]"),
    "loc": (change_loc, r"write ds\['var/a'\]"),
    "at": (change_at, "is a copy"),
    "a column less": (delete, r"del ds\['var/a'\]"),
    "insert": (lambda t: t.insert(0, "b", 1), r"write ds\['var/b'\]"),
    "pop": (lambda t: t.pop("a"), "is a copy"),
    "in place": (lambda t: t.drop(columns="a", inplace=True), "is a copy"),  # noqa: PD002
    "update": (lambda t: t.update(pd.DataFrame({"a": [7.0]}, index=["r"])), "is a copy"),
}


@pytest.mark.parametrize("name", WRITES)
def test_writing_is_refused_with_what_to_do(name):
    change, said = WRITES[name]
    shown = ShownTable.of(PLAIN.copy(), "var")
    with pytest.raises(ParameterError, match=said):
        change(shown)
    pd.testing.assert_frame_equal(pd.DataFrame(shown), PLAIN)


def test_a_dataset_shows_its_tables(tmp_path):
    ds = kk.read(np.eye(3), to=tmp_path / "a.zarr")
    with pytest.raises(ParameterError, match=r"ds\['obs/donor'\] = values"):
        ds.obs["donor"] = "x"
    ds["obs/donor"] = ["x", "y", "x"]
    assert ds.obs["donor"].tolist() == ["x", "y", "x"]
    made = anndata.AnnData(np.eye(3), obs=ds.obs, var=ds.var)
    made.obs["more"] = 1
    assert "more" not in ds.obs
