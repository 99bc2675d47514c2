"""Place of compiled functions: a temporary folder where neither the package's nor the user's can be written."""

import logging
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from kithkin import kernels


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr(kernels.tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_folder_that_can_be_written_is_left_to_numba(temporary, caplog):
    assert kernels.choose_cache([temporary / "no" / "such", temporary]) is None
    assert caplog.text == ""


def test_a_temporary_folder_is_taken_and_said_once(temporary, caplog):
    blocked = temporary / "file"
    blocked.write_text("")
    with caplog.at_level(logging.WARNING, "kithkin"):
        folder = kernels.choose_cache([blocked / "a", blocked / "b"])
    assert folder.parent == temporary
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert len(caplog.records) == 1
    assert str(folder) in caplog.text
    assert kernels.choose_cache([blocked / "a"]) == folder  # the next process finds what was compiled


@pytest.mark.parametrize("prepare", ["link", "open", "file"])
def test_a_folder_that_somebody_else_prepared_is_not_taken(temporary, prepare):
    own = temporary / f"kithkin-kernels-{os.geteuid()}"
    if prepare == "link":
        (temporary / "elsewhere").mkdir()
        own.symlink_to(temporary / "elsewhere")
    elif prepare == "open":
        own.mkdir()
        own.chmod(0o777)
    else:
        own.write_text("")
    folder = kernels.temporary_cache()
    assert folder != own
    assert folder.is_dir()
    assert not list((temporary / "elsewhere").iterdir()) if prepare == "link" else True


def test_kernels_compile_where_nothing_can_be_written(tmp_path):
    """Block both places with files, as root may write anywhere."""
    source, package = Path(kernels.__file__).parents[1], tmp_path / "kithkin"
    (package / "kernels").mkdir(parents=True)
    for name in ("kernels/__init__.py", "kernels/shared_neighbors.py"):
        (package / name).write_text((source / name).read_text())
    (package / "__init__.py").write_text("")
    (package / "kernels" / "__pycache__").write_text("a file is in the way")
    (tmp_path / "home").write_text("")
    program = "import kithkin.kernels.shared_neighbors as k, numba; print(numba.config.CACHE_DIR)"
    places = {"HOME": str(tmp_path / "home"), "XDG_CACHE_HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path)}
    environment = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"} | places
    environment["PYTHONPATH"] = str(tmp_path)
    command = [sys.executable, "-B", "-c", program]
    run = subprocess.run(
        command,
        env=environment | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    assert run.stdout.strip() == str(tmp_path / f"kithkin-kernels-{os.geteuid()}")
    assert run.stderr.count("compiled functions are kept in") == 1
