"""Files that are changed, lost or swapped are noticed by whoever reads them, and a foreign change is no damage."""

import json
import shutil

import anndata
import numpy as np
import pytest
import zarr

import kithkin as kk
from kithkin.core.checksums import PLACE
from kithkin.core.errors import KithkinError


@pytest.fixture(scope="module")
def _whole(tmp_path_factory):
    counts = kk.datasets.simulate_counts(n_cells=800, n_genes=300, n_groups=3, seed=0)
    ds = kk.read(counts, to=tmp_path_factory.mktemp("whole") / "a.zarr", threads=1, progress=False)
    kk.pca(ds, 5, genes=None)
    kk.neighbors(ds, 8)
    kk.leiden(ds)
    return ds.path


@pytest.fixture
def ds(_whole, copy_of):
    return copy_of(_whole, threads=1, progress=False)


def again(ds):
    return kk.open(ds.path, threads=1, progress=False)


def read_all(ds):
    for key in list(ds.keys()):
        ds.read(key)
    blocks = ds.blocks()
    for start, stop in blocks.ranges:
        blocks.read(start, stop)
    return ds.history(), ds.obs, ds.var, ds.obs_names, ds.var_names


@pytest.mark.parametrize("fraction", [0.1, 0.4, 0.9])
def test_a_flipped_bit_is_noticed_by_a_block_that_needs_a_part_of_the_chunk(ds, fraction):
    file = next(path for path in (ds.path / "X/data/c").rglob("*") if path.is_file())
    content = bytearray(file.read_bytes())
    content[int(len(content) * fraction)] ^= 64
    file.write_bytes(content)
    blocks = again(ds).blocks()
    with pytest.raises(KithkinError, match=r"X/data .*checksum"):
        [blocks.read(start, start + 10) for start in range(0, 800, 10)]
    with pytest.raises(KithkinError, match="X/data"):
        kk.subset(again(ds), cells="n_genes >= 1", to=ds.path.with_name("b.zarr"))
    assert not ds.path.with_name("b.zarr").exists()
    assert any("X/data" in problem for problem in kk.check(again(ds)))


def is_noticed(ds):
    """Whether opening, checking or reading a dataset says that something is wrong."""
    try:
        opened = again(ds)
        if kk.check(opened):
            return True
        read_all(opened)
    except KithkinError:
        return True
    return False


def test_each_file_that_is_lost_is_noticed(ds, tmp_path):
    silent = []
    for file in sorted(path for path in ds.path.rglob("*") if path.is_file()):
        file.rename(tmp_path / "lost")
        silent += [] if is_noticed(ds) else [file]
        (tmp_path / "lost").rename(file)
    assert silent == []
    assert not is_noticed(ds)


@pytest.mark.parametrize("key", ["uns", "uns/kithkin", PLACE, "obsm/X_pca", "obsp/distances/indices", "obs/leiden"])
def test_an_element_that_is_lost_is_noticed(ds, key):
    shutil.rmtree(ds.path / key)
    try:
        problems = kk.check(again(ds))
    except KithkinError as error:
        problems = [str(error)]
    assert problems


CHANGES = {
    "shorter": lambda header: header | {"shape": [header["shape"][0] - 1]},
    "longer": lambda header: header | {"shape": [header["shape"][0] + 1]},
    "huge": lambda header: header | {"shape": [2**60]},
    "beyond": lambda header: header | {"shape": [10**30]},
    "signed": lambda header: json.loads(json.dumps(header).replace("|u1", "|i1").replace('"u1"', '"i1"')),
    "no shape": lambda header: {name: value for name, value in header.items() if name != "shape"},
    "no codec": lambda header: header | {"codecs": []},
    "another codec": lambda header: header | {"codecs": [{"name": "unheard_of"}]},
    "a list": lambda header: [header],
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_header_is_noticed_at_once(ds, change):
    path = ds.path / "X/data/zarr.json"
    header = json.loads(path.read_text())
    changed = CHANGES[change](header)
    if changed == header:
        pytest.skip("this header has no such type")
    path.write_text(json.dumps(changed))
    with pytest.raises(KithkinError, match="X/data"):
        again(ds).blocks()
    assert any("X/data" in problem for problem in kk.check(again(ds)))


def test_a_column_that_is_dropped_from_the_header_is_noticed(ds):
    path = ds.path / "obs/zarr.json"
    header = json.loads(path.read_text())
    header["attributes"]["column-order"].remove("leiden")
    path.write_text(json.dumps(header))
    assert any(problem.startswith("obs ") for problem in kk.check(again(ds)))


@pytest.mark.filterwarnings("ignore:Consolidated metadata is currently not part")
def test_consolidated_metadata_is_no_damage_and_goes_with_the_next_change(ds):
    zarr.consolidate_metadata(str(ds.path))
    assert kk.check(again(ds)) == []
    read_all(again(ds))
    again(ds).write({"obs/mine": np.arange(800)})
    assert "mine" in anndata.read_zarr(ds.path).obs
    assert kk.check(again(ds)) == []


def test_results_of_a_column_that_another_program_changed_are_computed_anew(ds):
    old = kk.markers(ds, "leiden")
    codes = zarr.open_group(ds.path, mode="r+")["obs/leiden/codes"]
    codes[...] = np.random.default_rng(0).permutation(codes[...])
    opened = again(ds)
    states = dict(zip(opened.history()["step"], opened.history()["state"], strict=True))
    assert (states["pca"], states["leiden"], states["markers"]) == ("current", "stale", "stale")
    new = kk.markers(opened, "leiden")
    assert not new.equals(old)
    assert new.equals(kk.markers(opened, "leiden", key=None))
    assert any("obs/leiden" in problem for problem in kk.check(opened))


def test_a_column_that_another_program_adds_or_replaces_is_read(ds):
    group = zarr.open_group(ds.path, mode="r+")["obs"]
    anndata.io.write_elem(group, "leiden", np.arange(800.0))
    anndata.io.write_elem(group, "theirs", np.arange(800))
    group.attrs["column-order"] = [*group.attrs["column-order"], "theirs"]
    opened = again(ds)
    assert opened.read("obs/leiden").tolist() == list(range(800))
    assert opened.obs["theirs"].tolist() == list(range(800))


@pytest.mark.filterwarnings("ignore:Consolidated metadata is currently not part")
def test_a_copy_that_anndata_writes_is_opened(ds, tmp_path):
    with anndata.settings.override(zarr_write_format=3, auto_shard_zarr_v3=False):
        anndata.read_zarr(ds.path).write_zarr(tmp_path / "theirs.zarr")
    theirs = kk.open(tmp_path / "theirs.zarr", threads=1, progress=False)
    assert kk.check(theirs) == []
    assert set(ds.keys()) - {"uns/kithkin"} <= set(theirs.keys())
    read_all(theirs)
    kk.pca(theirs, 3, genes=None, key="mine")
    assert kk.check(again(theirs)) == []


def test_a_table_that_is_written_anew_while_it_is_streamed_is_never_a_mixture(ds):
    blocks = ds.blocks(rows=400)
    blocks.read(0, 400)
    kk.read(np.eye(800, 300), to=ds.path, overwrite=True)
    with pytest.raises(KithkinError, match="X was changed while it was read"):
        blocks.read(400, 800)


def test_names_are_renewed_when_a_dataset_is_written_elsewhere(ds):
    assert len(ds.obs_names) == 800
    kk.read(np.eye(5), to=ds.path, overwrite=True)
    assert (len(ds.obs_names), ds.shape) == (5, (5, 5))
