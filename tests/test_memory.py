"""A budget is kept: under a real limit of the address space the work is done all the same."""

import os
import subprocess
import sys
import textwrap

import pytest

import kithkin as kk

SCRIPT = """
import sys
import numpy as np
from scipy import sparse
import kithkin as kk
from kithkin.models import Quality, PCA, Markers
from kithkin.core.blocks import InMemory
kk.read(kk.datasets.simulate_counts(200, 100, 2), to=sys.argv[1] + "/warm.zarr")  # imports and compiled code first
peak_kb = lambda: int(open("/proc/self/status").read().partition("VmHWM:")[2].split()[0])
base = peak_kb()
ds = kk.read(sys.argv[2], to=sys.argv[1] + "/a.zarr", memory="200MB", threads=2)
part = kk.subset(ds, genes="n_cells >= 3", to=sys.argv[1] + "/b.zarr")
print((peak_kb() - base) / 1024)
"""


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """24 million stored values: 192 MB in memory as scanpy would hold them."""
    import h5py
    import numpy as np

    path = tmp_path_factory.mktemp("large") / "large.h5ad"
    n, p, per_row, rng = 20_000, 3000, 1200, np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        X = file.create_group("X")
        X.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0", "shape": [n, p]})
        indices = X.create_dataset("indices", (n * per_row,), "i4", chunks=(1 << 18,))
        data = X.create_dataset("data", (n * per_row,), "f4", chunks=(1 << 18,))
        X["indptr"] = np.arange(n + 1, dtype=np.int64) * per_row
        step = 1000 * per_row
        for start in range(0, n * per_row, step):
            columns = np.sort(
                rng.permuted(np.tile(np.arange(p, dtype=np.int32), (1000, 1)), axis=1)[:, :per_row], axis=1
            )
            indices[start : start + step] = columns.ravel()
            data[start : start + step] = rng.integers(1, 40, step)
        for frame, length in (("obs", n), ("var", p)):
            group = file.create_group(frame)
            group.attrs.update({"encoding-type": "dataframe", "encoding-version": "0.2.0", "_index": "_index"})
            group.attrs["column-order"] = np.array([], dtype="S1")
            group["_index"] = [f"{frame}{i}" for i in range(length)]
            group["_index"].attrs.update({"encoding-type": "string-array", "encoding-version": "0.2.0"})
    return path


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak is read from /proc")
def test_import_and_subset_stay_within_the_budget(large, tmp_path):
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(SCRIPT), str(tmp_path), str(large)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    assert float(run.stdout.split()[-1]) <= 200


UNDER_A_LIMIT = """
import resource, sys
from kithkin.cli.main import main
resource.setrlimit(resource.RLIMIT_DATA, (950 * 10**6,) * 2)
try:
    main()
finally:
    status = open("/proc/self/status").read()  # getrusage would count the process that started this one
    print(int(status.partition("VmHWM:")[2].split()[0]) * 1024, file=sys.stderr)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="RLIMIT_DATA counts private memory on Linux only")
def test_a_whole_run_stays_within_the_budget_under_a_real_limit(large, tmp_path):
    # the limit counts what is reserved (stacks of threads, compilers, libraries), the peak what is really used
    settings = ["--memory", "200MB", "--threads", "2", "--n-genes", "500", "--n-components", "20"]
    # the first run ever compiles, which takes memory of its own once: what it compiled is kept for the second
    kk.datasets.simulate_counts(1000, 800, 4).write_h5ad(tmp_path / "small.h5ad")
    first = ["-m", "kithkin.cli", "run", str(tmp_path / "small.h5ad"), "--to", str(tmp_path / "a.zarr"), *settings]
    subprocess.run([sys.executable, "-W", "ignore", *first], capture_output=True, timeout=300, check=True)
    second = ["-c", UNDER_A_LIMIT, "run", str(large), "--to", str(tmp_path / "b.zarr"), *settings]
    command = [sys.executable, "-W", "ignore", *second]
    usual = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    run = subprocess.run(command, env=usual, capture_output=True, text=True, timeout=300, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    assert "20,000" in run.stderr
    assert int(run.stderr.split()[-1]) <= (200 + 450) * 10**6
