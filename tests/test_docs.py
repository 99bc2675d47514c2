"""The documentation is true: its Python blocks and runnable commands are run, in order, in a folder of their own."""

from __future__ import annotations

import re
import shlex
from importlib.util import find_spec
from pathlib import Path

import anndata
import h5py
import numpy as np
import pytest
from scipy import sparse

import kithkin as kk
from kithkin.cli.main import COMMANDS, main

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs").glob("coming-from/*.md"))]
BLOCK = re.compile(r"^```(?P<kind>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
REAL = {
    "digits": "mnist_train.npz",
    "counts": "pbmc_facs.h5ad",
    "blood": "pbmc_facs.h5ad",
    "samples": "samples",
}  # pages that need real data
NEEDED = {"deep": "torch", "idc": "torch", "counts": "torch"}  # pages that need a package which not everybody has


def blocks(page: Path) -> list[tuple[str, str, int]]:
    """Kind, text and first line of every fenced block of a page."""
    text = page.read_text(encoding="utf-8")
    return [(m["kind"].strip(), m["text"], text.count("\n", 0, m.start()) + 1) for m in BLOCK.finditer(text)]


def write_idx(source: Path, folder: Path, n_images: int) -> Path:
    """Write the first images of MNIST as they are served, and return the path of the images."""
    with np.load(source) as data:
        images, labels = data["X"][:n_images].reshape(-1, 28, 28), data["y"][:n_images]
    for name, values in (("images-idx3", images), ("labels-idx1", labels)):
        head = b"\0\0\x08" + bytes([values.ndim]) + np.array(values.shape, ">i4").tobytes()
        (folder / f"train-{name}-ubyte").write_bytes(head + values.astype(np.uint8).tobytes())
    return folder / "train-images-idx3-ubyte"


def write_counts(source: Path, to: Path, page: str) -> None:
    """Write every eighth cell, and the genes that many have or that the page names: it takes a tenth of its time."""
    ds = kk.read(source, to=to.parent / "whole.zarr")
    genes = (ds.var["n_cells"] >= 1000) | ds.var_labels.isin(re.findall(r"[A-Z][A-Z0-9]+", page))
    part = kk.subset(ds, cells=np.arange(ds.n_obs) % 8 == 0, genes=genes, to=to.parent / "part.zarr")
    kk.export(part, to=to)


def write_tenx(source: Path, folder: Path) -> None:
    """Write every third cell as the file that Cell Ranger writes, and a table of what the cells were sorted as."""
    cells = anndata.read_h5ad(source)[::3]
    cells.obs["celltype"].rename_axis("barcode").to_csv(folder / "sorted.csv")
    counts = sparse.csr_matrix(cells.X)
    with h5py.File(folder / "filtered_feature_bc_matrix.h5", "w") as file:
        matrix = file.create_group("matrix")
        matrix["data"], matrix["indices"], matrix["indptr"] = counts.data.astype("i4"), counts.indices, counts.indptr
        matrix["shape"], matrix["barcodes"] = counts.shape[::-1], cells.obs_names.to_numpy().astype("S")
        matrix["features/id"] = cells.var_names.to_numpy().astype("S")
        matrix["features/name"] = cells.var["symbol"].astype(str).to_numpy().astype("S")
        for name, value in (("feature_type", b"Gene Expression"), ("genome", b"hg19")):
            matrix[f"features/{name}"] = np.full(cells.n_vars, value)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_a_page_shows_runs(page, tmp_path, monkeypatch, request):
    monkeypatch.chdir(tmp_path)
    if page.stem in NEEDED:
        pytest.importorskip(NEEDED[page.stem])
    if find_spec("torch"):  # fewer steps than help, on all pages
        monkeypatch.setattr("kithkin.models.gates.label_gates.STEPS", {"gates": 60, "scores": 30})
        for model in ("count_vae", "count_gmvae"):
            monkeypatch.setattr(f"kithkin.models.latent.{model}.STEPS", 50)
    if page.stem in REAL:
        source = request.getfixturevalue("shared_data") / REAL[page.stem]
        if not source.exists():
            pytest.skip(f"{source.name} is not in ../shared/data")
        if page.stem == "samples":
            for name in ("ifnb_four_samples.h5ad", "pbmc_three_technologies.h5ad"):
                (tmp_path / name).symlink_to(source / name)
            for name in ("pbmc_ctrl.h5ad", "pbmc_stim.h5ad"):
                anndata.read_h5ad(source / name)[::2].copy().write_h5ad(name)
        elif page.stem == "blood":
            write_tenx(source, tmp_path)
        elif page.stem == "counts":
            write_counts(source, tmp_path / source.name, page.read_text(encoding="utf-8"))
        else:
            (tmp_path / source.name).symlink_to(source)
        monkeypatch.setattr(kk.datasets, "mnist", lambda: write_idx(source, tmp_path, 6000))  # of 60,000
    names = {"__name__": page.stem}
    for kind, text, line in blocks(page):
        if kind == "python" and (not re.search(r"import torch\n|kk\.latent", text) or find_spec("torch")):
            exec(compile("\n" * line + text, str(page), "exec"), names)
        elif kind == "sh runnable":
            for command in text.replace("\\\n", " ").splitlines():
                program, *arguments = shlex.split(command, comments=True) or ["kithkin", "--version"]
                assert program == "kithkin", f"{page.name}:{line}: only kithkin's own commands are run"
                assert main(arguments) == 0, f"{page.name}:{line}: {command}"


def test_the_reference_names_everything_public():
    text = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    assert [name for name in kk.__all__ if f"kk.{name}" not in text] == []
    assert [name for name in COMMANDS if f"kithkin {name}" not in text] == []
