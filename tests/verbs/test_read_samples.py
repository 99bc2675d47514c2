"""An import of several samples that was interrupted goes on at the sample at which it was."""

import logging

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import kithkin as kk
from kithkin.core.transaction import workspace
from kithkin.io.formats.mtx import OutOfOrder
from kithkin.io.streams import join
from kithkin.io.streams.hdf5 import open_hdf5


def part(k, dense):
    rng = np.random.default_rng(k)
    X = rng.poisson(0.5, (40, 30)) * 10 ** (3 * k)  # each needs a wider type
    names = [f"s{k} c{i}" for i in range(40)]
    table = pd.DataFrame(X, names, [f"GENE{i}" for i in range(30)])
    return table if dense else ad.AnnData(sparse.csr_matrix(X.astype(np.float32)), table[[]], table.T[[]])


@pytest.fixture(params=[False, True], ids=["sparse", "dense"])
def samples(request):
    return {f"s{k}": part(k, request.param) for k in range(3)}


class Interrupted:
    """Stops the import after some samples, and counts the samples that are streamed."""

    def __init__(self, monkeypatch, after):
        self.streamed, self.after, self.blocks = [], after, join.Sample.blocks
        monkeypatch.setattr(join.Sample, "blocks", lambda *given: self.stream(*given))  # noqa: PLW0108  (binds the sample)

    def stream(self, one, *given):
        if len(self.streamed) == self.after:
            raise KeyboardInterrupt
        self.streamed.append(one.name)
        yield from self.blocks(one, *given)


def interrupt(samples, target, monkeypatch, after):
    with monkeypatch.context() as patch:
        Interrupted(patch, after)
        with pytest.raises(KeyboardInterrupt):
            kk.read(samples, to=target, kind="counts")


def equal(got, want):
    a, b = ad.read_zarr(got.path), ad.read_zarr(want.path)
    assert kk.check(got) == []
    for one, other in ((a.X, b.X), (a.obs, b.obs), (a.var, b.var), (a.uns["samples"], b.uns["samples"])):
        if isinstance(one, pd.DataFrame):
            pd.testing.assert_frame_equal(one, other)
        elif sparse.issparse(one):
            assert (one != other).nnz == 0
            assert one.dtype == other.dtype
        else:
            assert np.array_equal(one, other)


@pytest.mark.parametrize("after", [1, 2])
def test_goes_on_where_it_was(tmp_path, samples, monkeypatch, after):
    want = kk.read(samples, to=tmp_path / "whole.zarr", kind="counts")
    interrupt(samples, tmp_path / "a.zarr", monkeypatch, after)
    assert not (tmp_path / "a.zarr").exists()
    counted = Interrupted(monkeypatch, None)
    got = kk.read(samples, to=tmp_path / "a.zarr", kind="counts")
    assert counted.streamed == ["s0", "s1", "s2"][after:]
    equal(got, want)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zarr", "whole.zarr"]


def test_is_interrupted_twice(tmp_path, samples, monkeypatch):
    want = kk.read(samples, to=tmp_path / "whole.zarr", kind="counts")
    interrupt(samples, tmp_path / "a.zarr", monkeypatch, 1)
    interrupt(samples, tmp_path / "a.zarr", monkeypatch, 1)
    counted = Interrupted(monkeypatch, None)
    equal(kk.read(samples, to=tmp_path / "a.zarr", kind="counts"), want)
    assert counted.streamed == ["s2"]


@pytest.mark.parametrize("damage", ["checkpoint.json", "0-data.npy", "samples/0/obs/zarr.json"])
def test_begins_again_where_the_checkpoint_is_damaged(tmp_path, samples, monkeypatch, caplog, damage):
    want = kk.read(samples, to=tmp_path / "whole.zarr", kind="counts")
    interrupt(samples, tmp_path / "a.zarr", monkeypatch, 1)
    (file,) = workspace(tmp_path / "a.zarr").glob(f"staging-kept-*/{damage}")
    file.write_bytes(file.read_bytes()[:20])
    with caplog.at_level(logging.WARNING):
        equal(kk.read(samples, to=tmp_path / "a.zarr", kind="counts"), want)
    assert "the import begins again" in caplog.text


def test_begins_again_where_values_were_lost(tmp_path, samples, monkeypatch):
    """Zeros in place of values, as after a loss of power, are no reason to trust a checkpoint."""
    want = kk.read(samples, to=tmp_path / "whole.zarr", kind="counts")
    interrupt(samples, tmp_path / "a.zarr", monkeypatch, 1)
    (file,) = workspace(tmp_path / "a.zarr").glob("staging-kept-*/0-data.npy")
    np.save(file, np.zeros_like(np.load(file)))
    equal(kk.read(samples, to=tmp_path / "a.zarr", kind="counts"), want)


def test_another_import_begins_anew(tmp_path, samples, monkeypatch):
    interrupt(samples, tmp_path / "a.zarr", monkeypatch, 2)
    counted = Interrupted(monkeypatch, None)
    got = kk.read({"s0": samples["s0"], "s2": samples["s2"]}, to=tmp_path / "a.zarr", kind="counts")
    assert counted.streamed == ["s0", "s2"]
    assert got.n_obs == 80
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"]


def test_an_error_leaves_nothing(tmp_path, samples):
    damaged = samples["s0"].copy()
    if isinstance(damaged, ad.AnnData):
        damaged.X.data[0] = np.inf
    else:
        damaged = damaged.astype(float)
        damaged.iloc[0, 0] = np.inf
    with pytest.raises(kk.KithkinError):
        kk.read({**samples, "s3": damaged}, to=tmp_path / "a.zarr", kind="counts")
    assert list(tmp_path.iterdir()) == []


def test_the_order_of_samples_counts(tmp_path, samples):
    kk.read(samples, to=tmp_path / "a.zarr", kind="counts")
    turned = dict(reversed(samples.items()))
    with pytest.raises(kk.KithkinError, match="exists already"):
        kk.read(turned, to=tmp_path / "a.zarr", kind="counts")


def test_a_pattern_does_not_read_its_own_result(tmp_path, samples):
    for name, one in samples.items():
        kk.read(one, to=tmp_path / f"{name}.zarr", kind="counts")
    pattern = str(tmp_path / "*.zarr")
    assert kk.read(pattern, to=tmp_path / "all.zarr").n_obs == 120
    with pytest.raises(kk.ParameterError, match="to must be another path"):
        kk.read(pattern, to=tmp_path / "all.zarr", overwrite=True)


def test_files_are_open_one_at_a_time(tmp_path, monkeypatch):
    files = []
    for k in range(3):
        one = part(k, dense=False)
        one.obsm["place"] = np.full((40, 2), k)
        one.write_h5ad(tmp_path / f"{k}.h5ad")

    def recorded(path):
        assert not any(files), "another is open"
        files.append(open_hdf5(path))
        return files[-1]

    monkeypatch.setattr("kithkin.io.read.open_hdf5", recorded)
    ds = kk.read(str(tmp_path / "*.h5ad"), to=tmp_path / "a.zarr")
    assert ds["obsm/place"].tolist() == [[k, k] for k in range(3) for _ in range(40)]
    assert not any(files)


def test_every_file_may_be_out_of_order(tmp_path, samples, monkeypatch):
    """Each is found to be so only while it is streamed, after others were."""
    late, stream = set(), join.Sample.blocks

    def blocks(one, *given):
        for block in stream(one, *given):
            yield block
            if one.name not in late:
                late.add(one.name)
                raise OutOfOrder("sort it")

    monkeypatch.setattr(join.Sample, "blocks", blocks)
    assert kk.read(samples, to=tmp_path / "a.zarr", kind="counts").n_obs == 120
    assert late == set(samples)
