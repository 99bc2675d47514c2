"""Faults of the system at a few calls of every operation; `python tests/injected.py --all` tries every call."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="paths of descriptors are read from /proc")
def test_a_call_that_fails_leaves_the_old_value_or_the_new_one_and_nothing_else():
    command = [sys.executable, "-W", "ignore", str(Path(__file__).with_name("injected.py"))]
    run = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-2000:]
