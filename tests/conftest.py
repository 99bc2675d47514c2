"""Fixtures for every test: small simulated counts, a dataset made of them, and real data where it is present."""

from __future__ import annotations

import pickle
import shutil
import sys
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import brentq
from scipy.special import ndtr

import kithkin as kk

collect_ignore = ["bucket_server.py", "faults.py", "injected.py", "web_server.py"]  # programs that tests start
SHARED = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data():
    """Folder of real data beside the repository."""
    if not SHARED.is_dir():
        pytest.skip("the folder ../shared/data with real data is not here")
    return SHARED


@pytest.fixture(scope="session")
def _pbmc(shared_data):
    path = shared_data / "pbmc_facs.h5ad"
    if not path.is_file():
        pytest.skip("pbmc_facs.h5ad is not in ../shared/data")
    anndata = pytest.importorskip("anndata")
    return anndata.read_h5ad(path)


@pytest.fixture
def pbmc(_pbmc):
    """3,774 blood cells with counts and obs["celltype"], a copy for each test."""
    return _pbmc.copy()


@pytest.fixture(scope="session")
def _small_counts():
    return kk.datasets.simulate_counts(n_cells=600, n_genes=500, n_groups=4, seed=0)


@pytest.fixture
def small_counts(_small_counts):
    """600 cells x 500 genes in 4 known groups (obs["group"]), a copy for each test."""
    return _small_counts.copy()


@pytest.fixture(scope="session")
def _dataset_path(_small_counts, tmp_path_factory):
    path = tmp_path_factory.mktemp("dataset") / "cells.zarr"
    kk.read(_small_counts.copy(), to=path)
    return path


class _Sent(ThreadPoolExecutor):
    """Threads that are sent everything as processes are, and keep what was sent and how large it was."""

    def __init__(self, workers=3):
        super().__init__(workers)
        self.functions, self.sizes = [], []

    @property
    def largest(self):
        return max(self.sizes, default=0)

    def submit(self, function, /, *given, **options):
        task = pickle.dumps((function, given, options))
        self.functions.append(function)
        self.sizes.append(len(task))
        function, given, options = pickle.loads(task)
        return super().submit(function, *given, **options)


@pytest.fixture(scope="session")
def sent_workers():
    """Class of an executor whose tasks are pickled: `functions`, `sizes` and `largest` tell what was sent."""
    return _Sent


class _Blind(Executor):
    """Workers that do not find a path of this machine, by its end."""

    def __init__(self, path=""):
        self.path, self.functions = path, []

    def submit(self, function, /, *given, **options):
        self.functions.append(function)
        future = Future()
        asked = function.__name__ in ("isdir", "exists") and str(given[0]).endswith(self.path)
        future.set_result(False if asked else function(*given, **options))
        return future


@pytest.fixture(scope="session")
def blind_workers():
    """Class of an executor whose workers do not find a path of this machine, or none."""
    return _Blind


def _program(file):
    """Import a program of this folder."""
    name = f"kithkin_{file}"
    if name not in sys.modules:
        spec = spec_from_file_location(name, Path(__file__).with_name(f"{file}.py"))
        sys.modules[name] = module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@pytest.fixture
def serve():
    """Serve a folder on this machine until the end of the test, as `web_server.serving` does."""
    with ExitStack() as stack:
        yield lambda folder, **settings: stack.enter_context(_program("web_server").serving(folder, **settings))


@pytest.fixture(scope="module")
def bucket_stores():
    """Start stores of buckets on this machine until the end of the module, as `bucket_server.store_of_buckets` does."""
    for needed in ("moto", "flask", "flask_cors"):
        pytest.importorskip(needed, reason="moto, flask and flask-cors are not installed: there is no store of buckets")
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(_program("bucket_server").store_of_buckets(**settings))


@pytest.fixture(scope="session")
def fuzzy_union():
    """Weights of a graph of neighbours by the definition of McInnes et al., as umap-learn and scanpy have them."""

    def union(indices, distances):
        n, k = indices.shape
        weights = np.zeros((n, n))
        for row, (near, reach) in enumerate(zip(indices, np.asarray(distances, float), strict=True)):
            beyond = reach - reach.min()
            # each row of exp(-(d - rho) / sigma) sums to log2 of its size
            sigma = brentq(lambda s, b=beyond: np.exp(-b / s).sum() - np.log2(k + 1), 1e-6, 1e6, xtol=1e-12)
            weights[row, near] = np.exp(-beyond / sigma)
        return weights + weights.T - weights * weights.T

    return union


@pytest.fixture
def copy_of(tmp_path):
    """Copy a dataset into the folder of the test, under its own name, and open the copy."""

    def copied(path, **settings):
        shutil.copytree(path, tmp_path / path.name)
        return kk.open(tmp_path / path.name, **settings)

    return copied


@pytest.fixture
def dataset(_dataset_path, copy_of):
    """The small counts as a dataset of its own for each test, at tmp_path / "cells.zarr"."""
    return copy_of(_dataset_path)


def _upper_tail(z, skewness):
    """Tail of a shifted gamma distribution by Wilson and Hilferty; its thin side no thinner than the normal one."""
    if abs(skewness) < 1e-4:
        return ndtr(-z)
    shape = 4 / skewness**2
    x = 1 + np.sign(skewness) * z / np.sqrt(shape)
    u = (max(x, 0) ** (1 / 3) - 1 + 1 / (9 * shape)) * 3 * np.sqrt(shape)
    if skewness > 0:
        return 1.0 if x <= 0 else ndtr(-u)
    return max(ndtr(-z), ndtr(u) if x > 0 else 0)


def _tails_of_a_draw(total, k, values):
    """P(sum >= total) and P(sum <= total) of k values drawn without replacement, by three moments."""
    N, mean, deviation = len(values), values.mean(), values - values.mean()
    spread = k * (N - k) / (N - 1) * (deviation**2).mean() if N > 1 else 0
    if spread <= 1e-20 * mean**2:
        return float(k * mean >= total - 1e-9 * abs(total)), float(k * mean <= total + 1e-9 * abs(total))
    skewness = k * (N - k) * (N - 2 * k) / (N - 1) / (N - 2) * (deviation**3).mean() / spread**1.5 if N > 2 else 0
    z = (total - k * mean) / np.sqrt(spread)
    return _upper_tail(z, skewness), _upper_tail(-z, -skewness)


@pytest.fixture(scope="session")
def permuted_p():
    """p of the sum of a column over a group under permuted labels, by the formulas written out; or of its ranks."""

    def compute(group, rest, *, ranks):
        both = np.concatenate([group, rest]).astype(float)
        zero, n, N = both == 0, len(group), len(both)
        counts = stats.rankdata(both) if ranks else both
        if zero.any():
            counts = counts - (counts[zero][0] if ranks else 0.0)
        total, values = counts[:n].sum(), counts[~zero]
        if n > N - n:
            total, n = counts.sum() - total, N - n
        M = len(values)
        if M == 0:
            return 1.0
        if min(n * M / N, n * (N - M) / N) > 30:
            return min(1.0, 2 * min(_tails_of_a_draw(total, n, np.append(values, np.zeros(N - M)))))
        tails = np.zeros(2)
        for k in range(max(0, n - (N - M)), min(n, M) + 1):
            tails += stats.hypergeom.pmf(k, N, M, n) * np.array(_tails_of_a_draw(total, k, values))
        return min(1.0, 2 * tails.min())

    return compute


@pytest.fixture(scope="session")
def raised(permuted_p):
    """Asymptotic p of each column of two groups, raised to that of permuting the labels where it is below 0.1."""

    def compute(pvals, group, rest, *, ranks=True):
        out = np.nan_to_num(np.asarray(pvals, float), nan=1.0)
        for column in np.flatnonzero(out < 0.1):
            x, y = (side[~np.isnan(side[:, column]), column] for side in (group, rest))
            out[column] = max(out[column], permuted_p(x, y, ranks=ranks))
        return out

    return compute
