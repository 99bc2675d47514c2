"""The examples in the help of the commands: every one can be read, and they run, one after the other."""

import shlex

import click
import numpy as np
import pandas as pd
import pytest

import kithkin as kk
from kithkin.cli.commands import FIRST_EXAMPLES, GROUPS, LISTED
from kithkin.cli.main import group, main

# have tests of their own; only the lines are read here
SLOW = {"demo", "animate", "deep-clusters", "explain", "latent", "latent-clusters"}
EARLIER = ["run", "convert", "quality", "subset", "variable-genes", "pca", "neighbors", "umap", "leiden"]


def words_of(example):
    """Words of an example as a shell gives them to the command."""
    return shlex.split(example.partition(" > ")[0])


@pytest.mark.parametrize("example", [*FIRST_EXAMPLES, *(one for listed in LISTED.values() for one in listed.examples)])
def test_an_example_is_a_line_of_its_command(example):
    name, *words = words_of(example)
    command = group.get_command(click.Context(group), name)
    assert command.make_context(name, words).params


def test_a_command_stands_in_one_group():
    assert len(LISTED) == sum(map(len, GROUPS.values()))
    assert [name for name, listed in LISTED.items() if listed.examples[0].split()[0] != name] == []
    assert max(len(listed.line) for listed in LISTED.values()) <= 80 - len("neighborhood-enrichment") - 4


def test_the_examples_run(tmp_path, monkeypatch, capsys):
    tifffile = pytest.importorskip("tifffile")
    monkeypatch.chdir(tmp_path)
    counts = kk.datasets.simulate_counts(n_cells=300, n_genes=300, n_groups=4, seed=0)
    number = np.arange(300)  # eight samples in two batches, with a condition that half of each batch has
    counts.obs["sample"] = [f"s{k % 8}" for k in number]
    counts.obs["batch"], counts.obs["condition"] = (np.array(["a", "b"])[number // k % 2] for k in (2, 1))
    for name in ("cells", "first", "second", "third"):
        counts.write_h5ad(f"{name}.h5ad")
    rng = np.random.default_rng(0)
    values = rng.normal(size=(200, 6)) + 5 * np.eye(2, 6)[np.arange(200) % 2]
    pd.DataFrame(values, columns=list("abcdef")).to_csv("table.csv")
    pd.DataFrame({"name": counts.obs_names, "donor": ["x", "y"] * 150}).to_csv("donors.csv", index=False)
    (tmp_path / "sets.gmt").write_text("first\tof GENE\tGENE1\tGENE2\nsecond\t\tGENE3\tGENE4\tGENE5\n")
    labels = np.arange(1, 61).reshape(6, 10).repeat(12, 0).repeat(12, 1).astype(np.uint16)
    tifffile.imwrite("mask.tif", labels)
    tifffile.imwrite("image.tif", rng.integers(0, 900, (3, *labels.shape)).astype(np.uint16), photometric="minisblack")
    names = [*EARLIER, *(name for name in LISTED if name not in EARLIER and name not in SLOW)]
    for name in names:
        if name == "describe":
            kk.annotate(kk.open("table.zarr"), "kind", ["u", "v"] * 100)
        if name == "neighborhood-enrichment":
            kk.kmeans(kk.open("tissue.zarr"), 2, on="X")
        for example in LISTED[name].examples:
            assert main(words_of(example)) == 0, f"{example}: {capsys.readouterr().err}"
    capsys.readouterr()
    assert kk.open("clean.zarr").shape[0] > 200
    assert (tmp_path / "clean.h5ad").is_file()
