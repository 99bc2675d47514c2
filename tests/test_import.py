"""`import kithkin` costs next to nothing and loads each public name on first use."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

import kithkin as kk

HEAVY = {"numpy", "scipy", "pandas", "zarr", "numba", "anndata", "matplotlib", "sklearn", "h5py", "igraph", "click"}


def run(program: str) -> str:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout


def test_import_takes_less_than_a_tenth_of_a_second_of_cpu():
    program = "import time; t = time.process_time(); import kithkin; print(time.process_time() - t)"
    assert min(float(run(program)) for _ in range(3)) < 0.1


def test_import_loads_no_heavy_module():
    assert not HEAVY & set(run("import kithkin, sys; print(*sys.modules)").split())


def test_the_help_of_the_command_line_loads_no_heavy_module():
    program = "import sys; from kithkin.cli import main; main(['--help']); print(*sys.modules)"
    assert not (HEAVY - {"click"}) & set(run(program).splitlines()[-1].split())


def test_nothing_of_the_process_is_changed_by_an_import():
    program = """
import copy, pkgutil, sys, warnings
import kithkin as kk
import kithkin.core, kithkin.io, kithkin.models, kithkin.verbs, kithkin.kernels, kithkin.metrics

def load():
    for room in (kk.core, kk.io, kk.models, kk.verbs, kk.kernels, kk.metrics):
        for module in pkgutil.walk_packages(room.__path__, room.__name__ + "."):
            try:
                __import__(module.name)
            except ModuleNotFoundError as error:
                if error.name not in ("torch", "safetensors", "yaml"):  # the extra "deep"
                    raise
    for name in kk.__all__:
        getattr(kk, name)

load()  # other packages leave filters of their own as they are loaded, once
for name in [name for name in sys.modules if name.partition(".")[0] == "kithkin"]:
    del sys.modules[name]
warnings.resetwarnings()
import zarr
config = copy.deepcopy(zarr.config.config)
import kithkin as kk
import kithkin.core, kithkin.io, kithkin.models, kithkin.verbs, kithkin.kernels, kithkin.metrics
load()
print(warnings.filters == [], zarr.config.config == config)
"""
    assert run(program).split() == ["True", "True"]


def test_reading_the_figures_name_does_not_load_matplotlib():
    assert "matplotlib" not in run("import kithkin, sys; kithkin.plot; print(*sys.modules)").split()


def test_opening_and_streaming_a_dataset_does_not_load_anndata(tmp_path):
    kk.read(np.eye(3), to=tmp_path / "eye.zarr")
    program = (
        f"import kithkin as kk, sys; ds = kk.open({str(tmp_path / 'eye.zarr')!r}); ds.blocks('X').read(0, 3); ds.obs;"
        "print('anndata' in sys.modules); ds.to_anndata(); print('anndata' in sys.modules)"
    )
    assert run(program).split() == ["False", "True"]


@pytest.mark.parametrize("name", kk.__all__)
def test_every_public_name_can_be_loaded(name):
    assert getattr(kk, name) is not None


def test_all_and_dir_name_the_same():
    assert sorted(kk.__all__) == sorted(dir(kk))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match=r"kithkin has no 'leyden'. Did you mean 'kithkin.leiden'"):
        kk.leyden  # noqa: B018


def test_the_version_is_the_one_of_the_project_file():
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
    assert project["project"]["version"] == kk.__version__
