"""Slabs that were put aside are those of a pass of their own, and so is everything that comes of them."""

import errno
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
from scipy import sparse

from kithkin.core.blocks import InMemory
from kithkin.core.errors import ParameterError
from kithkin.core.execute import Execution
from kithkin.core.spill import Spill
from kithkin.models.markers.gene_slabs import CellGroups, slabs, stored_counts
from kithkin.models.markers.markers import Markers
from kithkin.models.markers.spilled_slabs import spill_slabs

CONVERT = {"sparse": sparse.csr_matrix, "dense": np.asarray}
RESULTS = ("scores_", "pvals_", "pvals_adj_", "pct_", "pct_rest_", "auc_")


@pytest.fixture
def counts():
    rng = np.random.default_rng(0)
    X = rng.poisson(rng.gamma(0.5, 2.0, 40), (300, 40)).astype(np.uint16)
    X[:, 7] = 0
    X[11] = 0
    X[5, 3] = 700
    return X


@pytest.fixture
def spill(tmp_path):
    return Spill(tmp_path / "spill")


def gene_by_gene(slab):
    """Values and groups of each gene, in the order of the cells."""
    for gene in range(slab.last - slab.first):
        bounds = list(zip(slab.starts[:, gene], slab.starts[:, gene + 1], strict=True))
        yield tuple(np.concatenate([one[a:b] for a, b in bounds]).tolist() for one in (slab.values, slab.members))


@pytest.mark.parametrize("kind", CONVERT)
@pytest.mark.parametrize("normalized", [True, False])
@pytest.mark.parametrize(("rows", "memory", "threads"), [(7, 3000, 1), (100, 3000, 3), (300, 20_000, 2)])
def test_values_are_those_of_slabs_of_their_own(counts, spill, kind, normalized, rows, memory, threads):
    groups = (np.arange(300) % 5 - 1).astype(np.int16)
    divisors = np.maximum(counts.sum(axis=1) / 50, 1).astype(np.float32) if normalized else np.empty(0, np.float32)
    cells, execution = CellGroups(groups, divisors, 4), Execution(memory=memory, threads=threads)
    blocks = InMemory(CONVERT[kind](counts), rows=rows)
    n_cells = stored_counts(blocks, cells, execution)
    found = spill_slabs(blocks, cells, n_cells, spill, execution)
    assert len(found) > 1
    own = list(slabs(blocks, cells, n_cells, execution))
    assert [(one.first, one.last) for one in found] == [(one.first, one.last) for one in own]
    expected = [gene for slab in slabs(blocks, cells, n_cells, execution) for gene in gene_by_gene(slab)]
    assert [gene for slab in found for gene in gene_by_gene(slab.load(execution))] == expected


@pytest.mark.parametrize(
    "settings", [{}, {"method": "t-test"}, {"pairs": [(0, 1), (3, 2)]}, {"kind": "values"}], ids=str
)
@pytest.mark.parametrize("pool", [None, "threads", "blind"])
def test_tests_are_the_same(counts, spill, settings, pool, blind_workers):
    X = counts.astype(np.float32)
    if settings.get("kind") == "values":
        X[::17, 4] = np.nan
    labels, names = np.arange(300) % 4, RESULTS + (("means_", "effects_") if "kind" in settings else ())
    blocks = InMemory(X, rows=40)
    expected = Markers(**settings).fit(blocks, labels, execution=Execution(memory=10**8, threads=2))
    with ThreadPoolExecutor(2) as threads:
        executor = {"threads": threads, "blind": blind_workers(), None: None}[pool]
        execution = Execution(memory=4000, threads=2, executor=executor)
        found = Markers(**settings).fit(blocks, labels, spill=spill, execution=execution)
    for name in names:
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_a_disk_that_becomes_full_costs_passes_only(counts, spill, tmp_path, monkeypatch):
    written = []

    def full(path, parts, flush=False):
        written.append(path)
        if len(written) > 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        path.write_bytes(b"".join(parts))

    monkeypatch.setattr("kithkin.core.spill.write_whole", full)
    labels = np.arange(300) % 4
    execution = Execution(memory=4000, threads=2)
    found = Markers().fit(InMemory(counts, rows=40), labels, spill=spill, execution=execution)
    for name in RESULTS:
        np.testing.assert_array_equal(getattr(found, name), getattr(Markers().fit(counts, labels), name))
    assert len(written) > 2
    assert list(tmp_path.iterdir()) == []


def test_workers_rank_and_send_no_values_back(counts, spill, monkeypatch, sent_workers):
    monkeypatch.setattr("kithkin.models.markers.spilled_slabs.FEW_VALUES", 100)
    labels, returned = np.arange(300) % 4, []

    class Weighed(sent_workers):
        def submit(self, function, /, *given, **options):
            future = super().submit(function, *given, **options)
            returned.append(future)
            return future

    with Weighed(2) as pool:
        blocks = InMemory(sparse.csr_matrix(counts), rows=40)
        found = Markers().fit(blocks, labels, spill=spill, execution=Execution(executor=pool))
    expected = Markers().fit(counts, labels)
    for name in RESULTS:
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    ranked = [one.result() for one in returned if isinstance(one.result(), list)]
    assert len(ranked) > 2
    assert {part.shape[0] for parts in ranked for _, found in parts for part in found.values()} == {4}  # a row a test
    measured = [one.result() for one in returned if isinstance(one.result(), tuple) and len(one.result()) == 2]
    assert {sizes.shape for sizes, _ in measured if isinstance(sizes, np.ndarray)} == {(len(ranked),)}


def test_processes_rank(counts, spill):
    labels = np.arange(300) % 4
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        blocks = InMemory(sparse.csr_matrix(counts), rows=40)
        found = Markers().fit(blocks, labels, spill=spill, execution=Execution(executor=pool))
    assert spill.read(0, 0)  # it was the processes that ranked
    for name in RESULTS:
        np.testing.assert_array_equal(getattr(found, name), getattr(Markers().fit(counts, labels), name))


@pytest.mark.parametrize(("value", "said"), [(-1, "negative"), (np.nan, "NaN"), (np.inf, "NaN or infin")])
def test_what_cannot_be_tested_is_refused_all_the_same(counts, spill, value, said):
    X = counts.astype(np.float64)
    X[200, 30] = value
    with pytest.raises(ParameterError, match=said):
        Markers().fit(InMemory(X, rows=40), np.arange(300) % 4, spill=spill, execution=Execution(memory=4000))


def test_counts_of_another_table_are_refused(counts, spill):
    cells = CellGroups(np.zeros(300, np.int16), np.empty(0, np.float32), 1)
    with pytest.raises(ParameterError, match="n_cells"):
        spill_slabs(InMemory(counts), cells, np.ones(40, int), spill, Execution(memory=40, threads=1))
