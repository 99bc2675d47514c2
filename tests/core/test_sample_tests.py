"""What is known of samples is told where it is there and current, and not otherwise."""

import numpy as np
import pytest

import kithkin as kk
from kithkin.core.sample_tests import current_results, sample_lines


@pytest.fixture
def cells(tmp_path):
    """480 cells of eight samples; the drug raises three genes of kind a, and doubles its share."""
    rng = np.random.default_rng(0)
    sample = np.arange(480) % 8
    drug = sample % 2 == 1
    kind = rng.random(480) < np.where(drug, 0.7, 0.35)
    means = np.exp(rng.normal(0, 0.7, 60))[None].repeat(480, axis=0)
    means[drug & kind, :3] *= 6
    ds = kk.read(rng.poisson(means), to=tmp_path / "cells.zarr", kind="counts")
    ds["obs/sample"], ds["obs/kind"] = [f"s{k}" for k in sample], np.where(kind, "a", "b")
    ds["obs/drug"] = np.where(drug, "yes", "no")
    return ds


def told(ds):
    return sample_lines(ds, {"0": "FIRST"}, 2)


def test_samples_alone_are_counted(cells):
    lines = told(cells)
    assert lines[0].split() == ["sample", "cells"]
    assert lines[1].split() == ["s0", "60"]
    assert len(lines) == 9


def test_tests_are_told_with_what_they_compared(cells):
    first = kk.composition(cells, "drug", sample="sample", on="kind").set_index("group").loc["a"]
    kk.contrast(cells, "drug", sample="sample", within="kind", min_cells=12)
    lines = told(cells)
    assert lines[2].split() == ["s1", "60", "drug=yes"]
    shares = next(line for line in lines if line.startswith("clusters of kind"))
    assert shares == "clusters of kind that change their share, yes against no (~ drug, 4 against 4 samples):"
    change = f"  a: {100 * first['share_reference']:.0f} % to {100 * first['share']:.0f} % (adjusted p "
    assert any(line.startswith(change) for line in lines)
    genes = next(number for number, line in enumerate(lines) if line.startswith("genes that differ, yes against no"))
    assert lines[genes + 1].startswith("  a: 3 up, 0 down: ")
    assert len(lines[genes + 1].split(": ")[-1].split(", ")) == 2


def test_what_is_stale_is_not_told(cells):
    kk.contrast(cells, "drug", sample="sample", within="kind")
    kk.contrast(cells, "drug", sample="sample", key="all")
    assert current_results(cells, "contrast") == ["uns/contrast", "uns/all"]
    cells["obs/kind"] = cells["obs/kind"].to_numpy()[::-1].copy()
    assert current_results(cells, "contrast") == ["uns/all"]
    assert sum(line.startswith("genes that differ") for line in told(cells)) == 1


def test_a_cluster_that_was_not_tested_is_named(cells):
    kind = cells["obs/kind"].to_numpy(object).copy()
    kind[cells["obs/sample"].isin(["s0", "s2", "s4"]).to_numpy()] = "b"
    cells["obs/kind"] = kind.astype(str)
    kk.contrast(cells, "drug", sample="sample", within="kind")
    assert "  a: not tested, 1 sample of no, and 4 of yes, where two of each are needed" in told(cells)


def test_a_dataset_without_samples_has_no_lines(dataset):
    assert told(dataset) == []


def test_of_many_samples_the_first_are_listed(tmp_path):
    ds = kk.read(np.eye(30), to=tmp_path / "a.zarr", kind="counts")
    ds["obs/sample"] = [f"s{k}" for k in range(30)]
    lines = told(ds)
    assert len(lines) == 14
    assert lines[-1] == "and 18 more samples"
