"""Damaged inputs of every format; `python benchmarks/mutants.py` tries many more."""

import subprocess
import sys
from pathlib import Path

import pytest

FORMATS = ["h5ad", "10x-v3", "loom", "mtx-gz", "csv", "parquet", "npz", "idx", "zarr", "zarr-v2", "zarr-zip"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc")
def test_damaged_files_are_refused_in_a_sentence_or_read_as_they_are():
    program = Path(__file__).parents[1] / "benchmarks" / "mutants.py"
    command = [sys.executable, "-W", "ignore", str(program), "--n", "3", "--format", *FORMATS]
    run = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-2000:]
