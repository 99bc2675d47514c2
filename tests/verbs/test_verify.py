"""Results are made again from the source, and what a page says is neither run nor opened."""

import json

import numpy as np
import pytest

import kithkin as kk
from kithkin.cli.main import main
from kithkin.core.records import BEGIN
from kithkin.verbs.verify import AGAIN


@pytest.fixture(scope="module")
def source(tmp_path_factory, _small_counts):
    path = tmp_path_factory.mktemp("source") / "cells.h5ad"
    _small_counts.copy().write_h5ad(path)
    return path


@pytest.fixture(scope="module")
def finished(source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    raw = kk.read(source, to=folder / "raw.zarr")
    ds = kk.subset(raw, cells="n_genes > 120", genes="n_cells >= 3", to=folder / "a.zarr")
    kk.variable_genes(ds, 100)
    kk.pca(ds, 5)
    kk.neighbors(ds, 10)
    kk.umap(ds, n_epochs=20)
    kk.leiden(ds, 0.8, key="obs/coarse")
    kk.paris(ds, 3)
    kk.merge_labels(ds, "obs/paris", groups={"both": ["0", "1"]}, key="obs/merged")
    kk.annotate(ds, "mine", ["x", "y"] * (ds.n_obs // 2) + ["x"] * (ds.n_obs % 2))
    kk.diffusion_map(ds, 4)
    kk.pseudotime(ds, root=0)
    return ds, kk.report(ds, folder / "page.html")


def states(table):
    return {state: set(part["result"]) for state, part in table.groupby("state")}


def test_a_dataset_and_its_page_are_made_again(finished, source):
    ds, page = finished
    for target in (ds, str(page)):
        table = kk.verify(target, against=source)
        found = states(table)
        assert set(found) == {"equal", "not re-run"}
        assert found["not re-run"] == {"obs/mine"}
        assert {"obsm/X_umap", "obs/coarse", "obs/paris", "obs/merged", "uns/paris_tree", "obs/n_counts"} <= found[
            "equal"
        ]
        assert ("X" in found["equal"]) == (target is ds)
        assert table.set_index("result").loc["obs/mine", "how"] == "its values were given by hand or in a file"
        assert table.attrs["versions"] == []
        assert list(table.attrs["text"].values())[-1] == f"{len(table) - 1} equal, 0 different, 1 not re-run"


def test_a_result_of_other_counts_differs_and_it_is_said_how(finished, small_counts):
    ds, page = finished
    small_counts.X = small_counts.X.copy()
    small_counts.X.data[:2000] += 3
    table = kk.verify(ds, against=small_counts).set_index("result")
    assert table.loc["X", "state"] == "different"
    assert table.loc["obsm/X_umap", "how"].startswith("by ")
    assert table.loc["obs/coarse", "how"].startswith("ARI ")
    assert table.loc["obsp/connectivities", "how"]
    there = kk.verify(page, against=small_counts).set_index("result")
    assert there["state"].to_dict() == table["state"].drop("X").to_dict()
    assert set(there.loc[there["state"] == "different", "how"]) == {""}


def test_a_part_whose_whole_is_gone_and_a_zip_file_are_made_again(finished, source, tmp_path):
    packed = kk.publish(finished[0], tmp_path / "a.zarr.zip")
    found = states(kk.verify(packed, against=source))
    assert "different" not in found
    assert {"obs/coarse", "obsm/X_umap"} <= found["equal"]


def test_what_is_stale_is_not_compared(source, tmp_path):
    ds = kk.read(source, to=tmp_path / "a.zarr")
    kk.pca(ds, 5, genes=None)
    kk.kmeans(ds, 3)
    kk.pca(ds, 6, genes=None)
    found = kk.verify(ds, against=source).set_index("result")
    assert found.loc["obs/kmeans", "how"] == "what it was made from has changed since"
    assert found.loc["obsm/X_pca", "state"] == "equal"


def test_the_command_says_it_in_lines_and_fails_where_something_differs(
    finished, source, small_counts, tmp_path, capsys
):
    ds, page = finished
    assert main(["verify", str(page), "--against", str(source), "--say"]) == 0
    out, err = capsys.readouterr()
    assert "equal       obs/coarse\n" in out
    assert "not re-run  obs/mine: its values" in out
    assert "umap" in err
    small_counts.X = small_counts.X[::-1].copy()
    small_counts.write_h5ad(tmp_path / "other.h5ad")
    assert main(["verify", str(ds.path), "--against", str(tmp_path / "other.h5ad")]) == 1
    assert "different   obsm/X_pca: by" in capsys.readouterr().out
    assert main(["verify", str(ds.path), "--against", str(tmp_path / "none.h5ad")]) == 1
    assert "none.h5ad" in capsys.readouterr().err


def forged(page, path, *steps):
    """A page with further steps."""
    begin, mark, rest = page.read_bytes().partition(BEGIN)
    text, end, last = rest.partition(b"</script>")
    contents = json.loads(text)
    for verb, parameters, output in steps:
        record = contents["history"][-1]["record"] | {"parameters": parameters}
        contents["history"].append(
            {"verb": verb, "outputs": [output], "record": record, "current": True, "command": "rm"}
        )
        contents["results"][output] = "0" * 32
    path.write_bytes(begin + mark + json.dumps(contents).encode() + end + last)
    return path


def test_what_a_page_says_is_not_run(finished, source, tmp_path):
    secret, written = tmp_path / "sets.gmt", tmp_path / "written"
    secret.write_text("set\tabout\tGENE1\tGENE2\n")
    steps = [
        ("export", {"to": str(written)}, "uns/a"),
        ("os.system", {"command": f"touch {written}"}, "uns/b"),
        ("__import__", {"name": "os"}, "uns/c"),
        ("score", {"sets": str(secret)}, "obsm/scores"),
        ("deep_clusters", {"n_clusters": 2, "checkpoint": str(written)}, "obs/deep"),
        ("umap", {"callback": "print"}, "obsm/X_other"),
        ("leiden", {"resolution": "__import__('os')"}, "obs/sly"),
        ("leiden", {"resolution": [1]}, "obs/sly2"),
        ("pca", {"n_components": {"a": 1}}, "obsm/X_sly"),
        ("map_to", {"reference": str(secret)}, "obs/map"),
        ("subset", {"cells": "n_genes > 1", "to": str(written)}, "uns/d"),
        ("read", {"kind": "counts", "to": str(written)}, "uns/e"),
    ]
    page = forged(finished[1], tmp_path / "page.html", *steps)
    found = kk.verify(page, against=source).set_index("result")
    made_up = found.loc[[output for *_, output in steps]]
    assert set(made_up["state"]) == {"not re-run"}
    assert (made_up["how"] != "").all()
    assert made_up.loc["obsm/scores", "how"] == "sets was given in a file"
    assert made_up.loc["obs/deep", "how"] == "checkpoint was given in a file"
    assert not written.exists()
    assert (found.drop(made_up.index)["state"] != "different").all()


def test_other_versions_are_said(finished, source, tmp_path):
    begin, mark, rest = finished[1].read_bytes().partition(BEGIN)
    text, end, last = rest.partition(b"</script>")
    contents = json.loads(text)
    contents["history"][-1]["record"]["versions"]["numpy"] = "1.0"
    (tmp_path / "a.html").write_bytes(begin + mark + json.dumps(contents).encode() + end + last)
    table = kk.verify(tmp_path / "a.html", against=source)
    assert table.attrs["versions"] == [f"numpy 1.0, now {np.__version__}"]
    assert f"version     numpy 1.0, now {np.__version__}" in table.attrs["text"].values()


def test_impossible_targets_are_refused(tmp_path, source):
    with pytest.raises(kk.KithkinError, match="does not exist"):
        kk.verify(tmp_path / "none.zarr", against=source)
    with pytest.raises(kk.ParameterError, match="target must be a dataset"):
        kk.verify(7, against=source)


def test_every_step_that_is_taken_again_is_a_verb_that_stores_or_measures():
    assert set(AGAIN) <= set(kk.__all__)
    assert not set(AGAIN) & {"export", "report", "publish", "reference", "pseudobulk", "animate", "run", "open", "card"}
