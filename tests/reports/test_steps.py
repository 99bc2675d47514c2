"""The command lines of a history, typed in an empty folder, make the dataset again."""

import shlex

import numpy as np
import pytest

import kithkin as kk
from kithkin.cli.main import main
from kithkin.core.history import Entry
from kithkin.door import signature_of
from kithkin.reports.steps import command_of, steps_of


def identities(ds):
    return {key: entry.identity for entry in ds.lineage.entries for key in entry.outputs}


def retype(commands, monkeypatch, folder):
    monkeypatch.chdir(folder)
    for line in commands:
        program, *words = shlex.split(line)
        assert program == "kithkin"
        assert main(words) == 0, line


@pytest.fixture(scope="module")
def source(tmp_path_factory, _small_counts):
    path = tmp_path_factory.mktemp("source") / "my cells.h5ad"
    _small_counts.copy().write_h5ad(path)
    return path


def test_a_run_and_steps_with_other_settings_are_made_again(source, tmp_path, monkeypatch, capsys):
    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()
    cells = "n_genes > 120 and pct_mito < 6"
    ds = kk.run(source, to=tmp_path / "first" / "a.zarr", cells=cells, n_components=10, resolution=0.5, seed=3)
    kk.leiden(ds, 2.0, key="obs/fine")
    kk.paris(ds, n_clusters=4)
    kk.kmeans(ds, 3, seed=1)
    kk.neighbors(ds, 8, metric="cosine", key="near")
    kk.umap(ds, on="obsp/near_connectivities", min_dist=0.1, key="obsm/X_near_map")
    kk.markers(ds, "obs/fine", method="t-test", key="uns/fine_tests")
    kk.merge_labels(ds, "obs/kmeans", groups={"both": ["0", "1"]}, key="obs/merged")
    kk.relabel(ds, "obs/paris", by="obs/leiden", key="obs/named")
    kk.diffusion_map(ds, 4)
    kk.pseudotime(ds, root=0)
    kk.propagate(ds, seeds="leiden == '0'")
    kk.support(ds)
    steps = steps_of(ds, signature_of)
    assert {step["verb"] for step in steps} >= {"read", "subset", "leiden", "umap", "propagate"}
    retype([step["command"] for step in steps if step["command"]], monkeypatch, tmp_path / "second")
    again = kk.open(tmp_path / "second" / "a.zarr")
    assert identities(again) == identities(ds)
    assert again.read("obs/fine").equals(ds.read("obs/fine"))


def test_a_table_of_values_is_made_again(tmp_path, monkeypatch, capsys):
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(size=(60, 5)), rng.normal(4, 1, size=(60, 5))])
    np.savetxt(tmp_path / "table.csv", values, delimiter=",", header="a,b,c,d,e", comments="", fmt="%.4f")
    (tmp_path / "second").mkdir()
    ds = kk.run(tmp_path / "table.csv", to=tmp_path / "t.zarr", kind="values", scale="robust", ignore="e")
    retype([one["command"] for one in steps_of(ds, signature_of) if one["command"]], monkeypatch, tmp_path / "second")
    assert identities(kk.open(tmp_path / "second" / "t.zarr")) == identities(ds)


def test_steps_tell_seconds_and_peak_memory(source, tmp_path):
    ds = kk.read(source, to=tmp_path / "a.zarr")
    kk.variable_genes(ds, 50)
    first, *_, last = steps_of(ds, signature_of)
    assert first["command"] == f"kithkin convert {shlex.quote(str(source))} --to a.zarr"
    assert first["seconds"] > 0
    assert last["peak"] > 50e6
    assert last["current"]


def test_a_step_whose_input_changed_is_not_current(source, tmp_path):
    ds = kk.read(source, to=tmp_path / "a.zarr")
    kk.variable_genes(ds, 50)
    kk.pca(ds, 5)
    kk.variable_genes(ds, 60)
    assert [step["verb"] for step in steps_of(ds, signature_of) if not step["current"]] == ["pca"]


def test_what_was_given_in_python_is_named_in_a_comment(source, tmp_path):
    ds = kk.read(source, to=tmp_path / "a.zarr")
    kk.score(ds, sets={"first": list(ds.var_names[:6]), "second": list(ds.var_names[6:12])})
    line = steps_of(ds, signature_of)[-1]["command"]
    assert line == "kithkin score a.zarr  # not recorded, as it was given in Python or in a file: sets (2 sets)"


def test_what_is_part_of_another_step_or_of_no_verb_has_no_command():
    for verb in ("paris_tree", "", "of_another_version"):
        assert command_of(Entry(verb, 1, {}, {}, ["uns/a"], "", 0.0), "a.zarr", "", signature_of) == ""


def test_a_dataset_that_was_filtered_and_is_gone_is_no_error(source, tmp_path):
    raw = kk.read(source, to=tmp_path / "raw.zarr")
    part = kk.subset(raw, cells="n_genes > 120", to=tmp_path / "part.zarr")
    (tmp_path / "raw.zarr").rename(tmp_path / "elsewhere.zarr")
    assert steps_of(part, signature_of)[0]["command"].startswith("kithkin subset SOURCE --cells 'n_genes > 120'")
