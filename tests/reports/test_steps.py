"""The command lines of a history, typed in an empty folder, make the dataset again."""

import re
import shlex

import numpy as np
import pytest

import kithkin as kk
from kithkin.cli.main import main
from kithkin.core.history import Entry
from kithkin.door import signature_of
from kithkin.reports.commands import command_of
from kithkin.reports.steps import steps_of


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
    assert line == "kithkin score a.zarr  # to be given in Python or in a file: sets (2 sets)"


def test_what_is_part_of_another_step_or_of_no_verb_has_no_command():
    for verb in ("paris_tree", "", "of_another_version"):
        assert command_of(Entry(verb, 1, {}, {}, ["uns/a"], "", 0.0), "a.zarr", "", signature_of) == ""


def test_a_dataset_that_was_filtered_and_is_gone_is_no_error(source, tmp_path):
    raw = kk.read(source, to=tmp_path / "raw.zarr")
    part = kk.subset(raw, cells="n_genes > 120", to=tmp_path / "part.zarr")
    (tmp_path / "raw.zarr").rename(tmp_path / "elsewhere.zarr")
    assert steps_of(part, signature_of)[0]["command"].startswith("kithkin subset SOURCE --cells 'n_genes > 120'")


def test_a_part_of_a_part_by_clusters_is_made_again(source, tmp_path, monkeypatch, capsys):
    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()
    raw = kk.read(source, to=tmp_path / "first" / "raw.zarr")
    kk.variable_genes(raw, 60)
    kk.pca(raw, 5)
    kk.kmeans(raw, 3)
    part = kk.subset(raw, cells="kmeans == '0'", to=tmp_path / "first" / "b.zarr")
    last = kk.subset(part, cells="n_genes > 100", to=tmp_path / "first" / "c.zarr")
    kk.variable_genes(last, 40)
    steps = steps_of(last, signature_of)
    verbs = [step["verb"] for step in steps]
    assert verbs.count("subset") == 2
    retype([step["command"] for step in steps if step["command"]], monkeypatch, tmp_path / "second")
    assert identities(kk.open(tmp_path / "second" / "c.zarr")) == identities(last)


def test_steps_stand_after_those_that_they_read(source, tmp_path):
    ds = kk.read(source, to=tmp_path / "a.zarr")
    kk.pca(ds, 5, genes=None)
    kk.neighbors(ds)
    kk.pca(ds, 6, genes=None)
    kk.pca(ds, 5, genes=None)  # again: the neighbours are of this one
    steps = steps_of(ds, signature_of)
    assert [step["verb"] for step in steps if step["verb"] in ("pca", "neighbors")] == ["pca", "neighbors"]
    assert all(step["current"] for step in steps)


def test_samples_that_were_appended_are_named(source, tmp_path):
    ds = kk.read(source, to=tmp_path / "a.zarr")
    kk.append(ds, {"more": source})
    kk.append(ds, source)
    lines = [step["command"] for step in steps_of(ds, signature_of) if step["verb"] == "append"]
    assert f"a.zarr {shlex.quote(str(source))}" in lines[-1]


def test_records_of_others_run_nothing():
    entry = Entry("read", 1, {}, {}, ["X"], "", 0.0, source="a.h5ad; touch pwned #")
    assert shlex.split(command_of(entry, "a.zarr", "", signature_of), comments=False)[2:6] == [
        "a.h5ad;",
        "touch",
        "pwned",
        "#",
    ]
    assert ";" not in re.sub(r"'[^']*'", "", command_of(entry, "a.zarr", "", signature_of))
    broken = Entry("read", 1, {}, {}, ["X"], "", 0.0, source="a'")
    assert command_of(broken, "a.zarr", "SOURCE", signature_of).startswith("kithkin convert SOURCE")
    sly = Entry("score", 1, {"sets": "2 sets\nrm -rf ~\n 0123456789abcdef0123"}, {}, ["obsm/scores"], "", 0.0)
    assert "\n" not in command_of(sly, "a.zarr", "", signature_of)


def test_names_that_the_command_line_would_take_apart_are_named_only():
    groups = {"L": ["T, naive", "B"]}
    entry = Entry("merge_labels", 1, {"on": "obs/leiden", "groups": groups}, {}, ["obs/merged"], "", 0.0)
    line = command_of(entry, "a.zarr", "", signature_of)
    assert "--groups" not in line
    assert line.endswith("# to be given in Python or in a file: groups")
    assert command_of(entry, "-a.zarr", "", signature_of).startswith("kithkin merge-labels ./-a.zarr")


def test_values_of_an_annotation_are_named_only(source, tmp_path):
    ds = kk.read(source, to=tmp_path / "a.zarr")
    kk.annotate(ds, "obs/mine", ["x"] * ds.n_obs)
    line = steps_of(ds, signature_of)[-1]["command"]
    assert line.endswith("# to be given in Python or in a file: values")
    assert "--values" not in line
