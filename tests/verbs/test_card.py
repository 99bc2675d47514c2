"""Cards are written and applied: to the same rows, to other data, and where features are missing."""

import json
import logging

import numpy as np
import pandas as pd
import pytest

import kithkin as kk
from kithkin.models import Card


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Counts of four groups, half to make a card of, and half to apply it to; and a plain table."""
    path, source = tmp_path_factory.mktemp("card"), kk.datasets.simulate_counts(1200, 200, 4, seed=0)
    source.var["symbol"] = [f"S{j}" for j in range(200)]
    kk.read(source[:700].copy(), to=path / "old.zarr")
    kk.read(source[700:].copy(), to=path / "new.zarr")
    rng = np.random.default_rng(0)
    shoppers = pd.DataFrame(
        {"height": rng.normal(168, 6, 300), "purchases": rng.poisson(4, 300), "returns": rng.poisson(2.0, 300)}
    )
    shoppers.loc[:99, "height"] += 25
    shoppers.loc[:99, "purchases"] += 15
    shoppers.loc[:99, "returns"] = 0
    shoppers.loc[5::17, "height"] = np.nan
    ds = kk.read(shoppers, to=path / "table.zarr", kind="values")
    kk.annotate(ds, "kind", ["tall"] * 100 + ["other"] * 200)
    kk.card(kk.open(path / "old.zarr"), "group", to=path / "card.json")
    return path


@pytest.fixture
def old(folder, copy_of):
    return copy_of(folder / "old.zarr")


@pytest.fixture
def new(folder, copy_of):
    return copy_of(folder / "new.zarr")


def test_a_card_is_stored_written_and_looked_up(old, folder, tmp_path):
    found = kk.card(old, "group", to=tmp_path / "c.json")
    assert isinstance(found, Card)
    stored = old.read("uns/group_card")
    assert Card.from_json(str(stored["json"])) == found
    assert stored["panel"]["feature"].tolist() == found.panel["feature"].tolist()
    assert (tmp_path / "c.json").read_text(encoding="utf-8") == (folder / "card.json").read_text(encoding="utf-8")
    assert json.loads(found.json)["by"] == "obs/group"
    assert found.unit == "log1p of counts per 10,000"
    assert set(found.features) <= {f"S{j}" for j in range(200)}
    before = old.history()
    assert kk.card(old, "group") == found
    assert len(old.history()) == len(before)
    with pytest.raises(kk.KithkinError, match=r"c\.json exists already"):
        kk.card(old, "group", to=tmp_path / "c.json")
    assert kk.card(old, "group", key=None, n_features=2, to=tmp_path / "c.json", overwrite=True) != found
    assert Card.from_json(str(old.read("uns/group_card")["json"])) == found


def test_a_card_does_not_depend_on_threads_or_budget(old):
    first = kk.card(old, "group", key=None)
    for threads, memory in ((1, "50MB"), (3, "2GB")):
        assert kk.card(kk.open(old.path, threads=threads, memory=memory), "group", key=None) == first


def test_other_rows_are_labelled(new, folder):
    found = kk.apply(new, folder / "card.json")
    truth = new.read("obs/group").astype(str)
    assert (found["label"].astype(str) == truth).mean() > 0.9
    assert new.read("obs/card").equals(found["label"].rename("card"))
    assert np.array_equal(new.read("obs/card_margin"), found["margin"])
    assert ((found["label"] == "none") == (found["margin"] < 0)).all()
    sizes = new.read("uns/card")["labels"]
    assert sizes["n"].to_dict() == found["label"].value_counts().to_dict()
    again = kk.apply(kk.open(new.path, threads=3, memory="50MB"), folder / "card.json", key=None)
    assert again.equals(found)


def test_a_card_is_applied_in_any_form(new, folder):
    text = (folder / "card.json").read_text(encoding="utf-8")
    held = Card.from_json(text)
    first = kk.apply(new, folder / "card.json", key=None)
    for form in (held, text, str(folder / "card.json")):
        assert kk.apply(new, form, key=None).equals(first)


def test_missing_features_are_named_and_rules_weakened_or_not_used(new, folder, caplog, tmp_path):
    held = Card.from_json((folder / "card.json").read_text(encoding="utf-8"))
    rule = held.rules[0]
    symbols = new.var["symbol"].to_numpy()
    one = kk.subset(new, genes=symbols != rule.conditions[-1].feature, to=tmp_path / "one.zarr")
    with caplog.at_level(logging.WARNING, "kithkin"):
        found = kk.apply(one, held)
    assert (
        f"1 of the {len(held.features)} features of the card are not in one.zarr: {rule.conditions[-1].feature}"
        in caplog.text
    )
    assert f"weaker for it: the rules of {rule.name}" in caplog.text
    assert (found["label"].astype(str) == one.read("obs/group").astype(str)).mean() > 0.85
    assert one.read("uns/card")["missing"].tolist() == [rule.conditions[-1].feature]
    caplog.clear()
    without = kk.subset(
        new, genes=~np.isin(symbols, [one.feature for one in rule.conditions]), to=tmp_path / "without.zarr"
    )
    with caplog.at_level(logging.WARNING, "kithkin"):
        found = kk.apply(without, held)
    assert "not used, with less than half of their points left:" in caplog.text
    assert rule.name not in set(found["label"])
    with pytest.raises(kk.ParameterError, match=r"no rule of the card can be used, as none\.zarr lacks \d+ of its"):
        kk.apply(kk.subset(new, genes=~np.isin(symbols, held.features), to=tmp_path / "none.zarr"), held)


def test_genes_go_by_identifier_and_by_a_genome_before_their_name(new, folder, tmp_path):
    adata = new.to_anndata()
    expected = kk.apply(new, folder / "card.json", key=None)
    adata.var_names = [f"hg19_{name}" for name in adata.var["symbol"]]
    adata.var = adata.var[[]]
    other = kk.read(adata, to=tmp_path / "hg19.zarr")
    assert kk.apply(other, folder / "card.json")["label"].tolist() == expected["label"].tolist()


def test_a_plain_table_in_the_same_words(folder, copy_of):
    ds = copy_of(folder / "table.zarr")
    found = kk.card(ds, "kind")
    assert found.unit == "as they are"
    tall = found.rules[found.labels.index("tall")]
    assert "no returns" in tall.text(found.unit)
    assert "purchases above" in tall.text(found.unit) or "height above" in tall.text(found.unit)
    labels = kk.apply(ds, found)["label"].astype(str)
    assert (labels == ds.read("obs/kind").astype(str)).mean() > 0.95


def test_columns_of_a_table_in_obsm(old):
    features = pd.DataFrame(
        {"area": np.where(old.read("obs/group") == "1", 30.0, 10.0) + np.arange(700) % 5, "noise": np.arange(700.0)},
        index=old.obs_names,
    )
    old.write({"obsm/features": features})
    old["obs/big"] = np.where(old.read("obs/group") == "1", "big", "small")
    found = kk.card(old, "big", on="obsm/features")
    assert found.text.splitlines()[0].startswith("big: area above ")
    assert (kk.apply(old, found, on="obsm/features")["label"] == old.read("obs/big")).all()


def test_logarithms_and_counts_are_not_mixed_up(new, folder, tmp_path, caplog):
    adata = new.to_anndata()
    totals = np.asarray(adata.X.sum(axis=1))
    adata.X = adata.X.astype(np.float64).multiply(1e4 / totals).tocsr().log1p()
    logs = kk.read(adata, to=tmp_path / "logs.zarr")
    with caplog.at_level(logging.WARNING, "kithkin"):
        found = kk.apply(logs, folder / "card.json")
    assert "is log-normalised: its values are taken as log1p of counts per 10,000" in caplog.text
    assert found["label"].tolist() == kk.apply(new, folder / "card.json", key=None)["label"].tolist()
    made = kk.card(logs, "group")
    assert made.unit == "logarithms of counts"
    with pytest.raises(kk.ParameterError, match=r"is of logarithms of counts, and X of new.* does not hold such"):
        kk.apply(new, made)
    table = kk.open(folder / "table.zarr")
    with pytest.raises(kk.ParameterError, match=r"is of counts, and X of table\.zarr holds other values"):
        kk.apply(table, folder / "card.json", key=None)


def test_a_choice_of_features(old):
    old["var/surface"] = np.arange(200) % 2 == 0
    found = kk.card(old, "group", features="surface")
    assert {int(name[1:]) % 2 for name in found.features} == {0}


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda old, _: kk.card(old), r"Run kithkin\.leiden\(ds\) first"),
        (lambda old, _: kk.card(old, "groop"), r"Did you mean 'obs/group'"),
        (lambda old, f: kk.apply(f / "card.json", old), r"card\.json is a file, not a dataset"),
        (lambda old, _: kk.card(old, "group", n_features=0), r"n_features must be in 1\.\.64, got 0"),
        (lambda old, _: kk.card(old, "group", features="n_cells"), r"var/n_cells must be a column of booleans"),
        (lambda old, _: kk.card(old, "group", on="obsm/X_pca"), r"Run kithkin\.pca\(ds\) first"),
        (lambda old, _: kk.card(old, "group", normalize="log"), r"normalize must be one of .* got 'log'"),
        (lambda old, _: kk.card(old, "group", groups=3), r"card\(\) has no parameter 'groups'"),
        (lambda old, _: kk.apply(old, "no_such.json"), r"no_such\.json is not there: write a card with kithkin\.card"),
        (kk.apply, r"card must be a card that kithkin\.card\(ds, by\) returned, .* is a folder"),
        (lambda old, f: kk.apply(old, f / "old.zarr" / "zarr.json"), r"must have the format 'kithkin card 1'"),
        (lambda old, _: kk.apply(old, 3), r"card must be a card .* got 3"),
        (lambda old, _: kk.apply(old), r"apply\(\) needs 'card'"),
        (lambda _, f: kk.apply("a.zarr", f / "card.json"), r"a\.zarr does not exist"),
        (lambda old, f: kk.apply(old, f / "card.json", on="obs/group"), r"on must be X or a layer or a table in obsm"),
        (lambda old, _: kk.apply(old, "{}"), r"must have the format 'kithkin card 1', got None"),
    ],
)
def test_mistakes_are_answered_in_one_sentence(old, folder, call, said):
    with pytest.raises((kk.KithkinError, TypeError), match=said) as caught:
        call(old, folder)
    assert "\n" not in str(caught.value)
