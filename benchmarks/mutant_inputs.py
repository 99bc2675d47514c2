"""Small valid inputs of every format, how kithkin reads each, and what another library says that it holds."""

from __future__ import annotations

import gzip
import shutil
import warnings
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import anndata
import h5py
import numpy as np
import pandas as pd
import scipy.io
import zarr
from scipy import ndimage, sparse

import kithkin as kk
from kithkin.models.deep.config import checked_config

MEMORY = "100MB"
N_CELLS, N_GENES = 40, 24
GENES = "Gene Expression"  # the type of feature that X holds
HOW: dict[str, Any] = {"memory": MEMORY, "threads": 1, "progress": False}
YAML = """num_clusters: 4
use_gating: true
gtcr_loss: true
batch_size: 256
ae_non_gated_epochs: 2
ae_pretrain_epochs: 5
start_global_gates_training_on_epoch: 15
encdec: [64, 64, 256, 10, 256, 64, 64]
clustering_head: [10, 2048]
aux_classifier: [2048]
scaler: MinMaxScaler
lr: {pretrain: 1e-3, clustering: 2e-3, aux_classifier: 1e-1}
sched: {pretrain_min_lr: 1e-6, clustering_min_lr: 1e-6}
trainer: {max_epochs: 20, devices: 1, accelerator: cpu, deterministic: true}
tau: 100
seeds: 1
"""


@dataclass(frozen=True)
class Kind:
    """A format: how to make a valid input, how kithkin reads it, and who else reads it.

    Attributes
    ----------
    make
        Writes the input into a folder; gives its path.
    read
        Reads the input, with a path to write to; gives what was found, such as totals of X.
    hold
        Gives the same of another library; None: nobody else reads it.
    sealed
        Whether checksums stand beside the data, so that what is accepted must equal the original.
    """

    make: Callable[[Path], Path]
    read: Callable[[Path, Path], Any]
    hold: Callable[[Path], Any] | None = None
    sealed: bool = False


def totals(X: Any) -> list[float]:
    """Sum of a table, its sum weighted by row and column, as misplaced values change it, and that of missing values."""
    rows = sparse.coo_matrix(X)
    given = rows.data.astype(np.float64)
    absent, weights = np.isnan(given), (rows.row + 1.0) * (rows.col + 1.0)
    values = np.where(absent, 0.0, given)
    return [float(values.sum()), float((values * weights).sum()), float((absent * weights).sum())]


def read_table(path: Path, target: Path) -> list[float]:
    """Import with kithkin; totals of X as it lies on disk afterwards."""
    ds = kk.read(path, to=target, **HOW)
    return totals_of(ds)


def totals_of(ds: kk.Dataset) -> list[float]:
    """Totals of X, block by block."""
    blocks, found = ds.blocks(), np.zeros(3)
    for start, stop in blocks.ranges:
        block = blocks.read(start, stop)
        rows = sparse.coo_matrix(block.to_scipy() if hasattr(block, "indptr") else block)
        found += totals(sparse.coo_matrix((rows.data, (rows.row + start, rows.col)), (stop, blocks.shape[1])))
    return [float(total) for total in found]


def digest(value: Any) -> Any:
    """A number for an array, matrix, column or table, and for each part of a mapping."""
    if isinstance(value, Mapping):
        return {str(key): digest(item) for key, item in value.items()}
    if isinstance(value, pd.DataFrame):
        return [digest(value.index), *(digest(value[name]) for name in value.columns)]
    if sparse.issparse(value):
        return [list(value.shape), *(digest(part) for part in (value.data, value.indices, value.indptr))]
    array = np.asarray(value)
    if array.dtype.kind in "biufV":
        return [str(array.dtype), list(array.shape), zlib.crc32(np.ascontiguousarray(array).tobytes())]
    return zlib.crc32("\0".join(map(str, array.ravel())).encode())


def read_own(path: Path, _: Path) -> dict[str, Any]:
    """Open a dataset of kithkin's own, read everything there is, and check it."""
    ds = kk.open(path, **HOW)
    found = {key: digest(ds.read(key)) for key in list(ds.keys())}
    found |= {"names": digest(ds.obs_names), "var names": digest(ds.var_names), "totals": totals_of(ds)}
    repr(ds)
    ds.history()
    problems = kk.check(ds)
    unlisted = [problem for problem in problems if problem.endswith("is damaged: its zarr.json is missing")]
    if unlisted and unlisted[0].partition(" is damaged")[0] not in found:
        raise kk.KithkinError(unlisted[0])  # what is not listed any more is no value that was read
    return found


def read_cells(path: Path, target: Path) -> list[float]:
    """Import an image and its mask; totals of the mean intensities."""
    return totals_of(kk.read_image(_image_of(path), path / "mask.tif", to=target, **HOW))


def read_settings(path: Path, _: Path) -> None:
    """Read a configuration of gated clustering."""
    checked_config(path)


# ---- valid inputs


def example(n_genes: int = N_GENES) -> anndata.AnnData:
    """Counts with a layer, coordinates, a graph, categories and unstructured values."""
    rng = np.random.default_rng(0)
    X = sparse.csr_matrix(rng.poisson(0.8, (N_CELLS, n_genes)).astype(np.float32))
    obs = pd.DataFrame({"kind": pd.Categorical(rng.choice(["T", "B"], N_CELLS)), "depth": rng.random(N_CELLS)})
    adata = anndata.AnnData(X, obs.set_index(pd.Index([f"cell{k}" for k in range(N_CELLS)])))
    adata.var_names = pd.Index([f"gene{k}" for k in range(n_genes)])
    adata.var["symbol"] = [f"G{k}" for k in range(n_genes)]
    adata.layers["twice"] = X * 2
    adata.obsm["X_pca"] = rng.random((N_CELLS, 3))
    adata.obsp["connectivities"] = sparse.eye(N_CELLS, format="csr")
    adata.uns["about"] = {"title": "an example", "numbers": np.arange(4)}
    adata.raw = adata.copy()
    return adata


def _h5ad(folder: Path, form: str) -> Path:
    adata = example()
    adata.X = {"csr": adata.X, "csc": adata.X.tocsc(), "dense": adata.X.toarray()}[form]
    adata.write_h5ad(folder / "a.h5ad")
    return folder / "a.h5ad"


def _old_h5ad(folder: Path) -> Path:
    """AnnData of 2018: tables as records, categories in uns."""
    adata, path = example(), folder / "a.h5ad"
    with h5py.File(path, "w") as file:
        group = file.create_group("X")
        group.attrs.update({"h5sparse_format": "csr", "h5sparse_shape": adata.shape})
        for name in ("data", "indices", "indptr"):
            group[name] = getattr(adata.X, name)
        codes = adata.obs["kind"].cat.codes.to_numpy()
        names = [adata.obs_names.to_numpy().astype("S8"), codes]
        file["obs"] = np.rec.fromarrays(names, names=["index", "kind"])
        file["var"] = np.rec.fromarrays([adata.var_names.to_numpy().astype("S8")], names=["index"])
        file["uns/kind_categories"] = np.array([b"B", b"T"])
        file["obsm"] = np.rec.fromarrays([adata.obsm["X_pca"]], dtype=[("X_pca", "f8", (3,))])
    return path


def _tenx(folder: Path, version: int) -> Path:
    adata, path = example(), folder / "a.h5"
    X = adata.X.T.tocsc()
    with h5py.File(path, "w") as file:
        group = file.create_group("matrix" if version == 3 else "GRCh38")
        for name in ("data", "indices", "indptr"):
            values = getattr(X, name)
            group[name] = values.astype(np.int32) if name == "data" else values
        group["shape"], group["barcodes"] = np.array(X.shape), adata.obs_names.to_numpy().astype("S")
        ids, symbols = adata.var_names.to_numpy().astype("S"), adata.var["symbol"].to_numpy().astype("S")
        if version == 3:
            group["features/id"], group["features/name"] = ids, symbols
            group["features/feature_type"] = np.array([GENES.encode()] * len(ids))
            group["features/genome"] = np.array([b"GRCh38"] * len(ids))
        else:
            group["genes"], group["gene_names"] = ids, symbols
    return path


def _loom(folder: Path) -> Path:
    adata, path = example(), folder / "a.loom"
    with h5py.File(path, "w") as file:
        file.create_dataset("matrix", data=adata.X.toarray().T, chunks=(8, 8), compression="gzip")
        file["row_attrs/Gene"], file["col_attrs/CellID"] = (
            names.to_numpy().astype("S") for names in (adata.var_names, adata.obs_names)
        )
        file["col_attrs/depth"], file["layers/twice"] = adata.obs["depth"], adata.layers["twice"].toarray().T
        file["col_graphs/knn/a"], file["col_graphs/knn/b"], file["col_graphs/knn/w"] = [0, 1], [1, 2], [0.5, 1.0]
        file.create_group("row_graphs")
        file["attrs/LOOM_SPEC_VERSION"] = "3.0.0"
    return path


def _mtx(folder: Path, packed: bool) -> Path:
    adata, target = example(), folder / "mtx"
    target.mkdir()
    entries = adata.X.tocoo()
    lines = [f"{gene + 1} {cell + 1} {int(n)}\n" for cell, gene, n in zip(*entries.coords, entries.data, strict=True)]
    text = f"%%MatrixMarket matrix coordinate integer general\n%\n{N_GENES} {N_CELLS} {entries.nnz}\n{''.join(lines)}"
    genes = "".join(f"{i}\t{s}\t{GENES}\n" for i, s in adata.var["symbol"].items())
    for name, content in (("matrix.mtx", text), ("features.tsv", genes), ("barcodes.tsv", "\n".join(adata.obs_names))):
        data = content.encode()
        (target / f"{name}{'.gz' * packed}").write_bytes(gzip.compress(data, mtime=0) if packed else data)
    return target


def _table(folder: Path, form: str) -> Path:
    adata, path = example(), folder / f"a.{form}"
    frame = adata.to_df().astype(int).assign(kind=adata.obs["kind"].astype(str))
    if form == "parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, sep="," if form == "csv" else "\t", index_label="cell")
    return path


def _numpy(folder: Path, form: str) -> Path:
    X, path = example().X, folder / f"a.{'npy' if form == 'npy' else 'npz'}"
    if form == "sparse":
        sparse.save_npz(path, X)
    elif form == "npy":
        np.save(path, X.toarray())
    else:
        np.savez(path, X=X.toarray())
    return path


def _idx(folder: Path) -> Path:
    target, rng = folder / "idx", np.random.default_rng(0)
    target.mkdir()
    images = rng.integers(0, 255, (20, 5, 5), dtype=np.uint8)
    sizes = b"".join(size.to_bytes(4, "big") for size in images.shape)
    (target / "train-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03" + sizes + images.tobytes())
    labels = (np.arange(20) % 10).astype(np.uint8).tobytes()
    (target / "train-labels-idx1-ubyte").write_bytes(b"\0\0\x08\x01" + (20).to_bytes(4, "big") + labels)
    return target


def _zarr(folder: Path, version: int, packed: bool = False) -> Path:
    adata, path = example(), folder / "a.zarr"
    del adata.raw
    with anndata.settings.override(zarr_write_format=version):
        adata.write_zarr(path)
    if not packed:
        return path
    with zipfile.ZipFile(folder / "a.zarr.zip", "w") as archive:
        for file in sorted(file for file in path.rglob("*") if file.is_file()):
            info = zipfile.ZipInfo(file.relative_to(path).as_posix(), (1980, 1, 1, 0, 0, 0))
            archive.writestr(info, file.read_bytes())
    shutil.rmtree(path)
    return folder / "a.zarr.zip"


def _own(folder: Path) -> Path:
    ds = kk.read(example(), to=folder / "a.zarr", **HOW)
    kk.pca(ds, 3, genes=None)
    return ds.path


def _image(folder: Path, ome: bool) -> Path:
    import tifffile

    target, rng = folder / "image", np.random.default_rng(0)
    target.mkdir()
    mask = np.zeros((40, 48), np.uint16)
    for k, (y, x) in enumerate((y, x) for y in range(4, 32, 9) for x in range(4, 40, 9)):
        mask[y : y + 6, x : x + 5] = k + 1
    said: dict[str, Any] = {"axes": "CYX"} | ({"Channel": {"Name": ["DNA", "CD3"]}} if ome else {})
    pixels = rng.integers(0, 999, (2, 40, 48), dtype=np.uint16)
    name = "image.ome.tif" if ome else "image.tif"
    tifffile.imwrite(target / name, pixels, photometric="minisblack", tile=(16, 16), compression="zlib", metadata=said)
    tifffile.imwrite(target / "mask.tif", mask)
    return target


def _yaml(folder: Path) -> Path:
    (folder / "a.yaml").write_text(YAML)
    return folder / "a.yaml"


# ---- what others say


def _held_h5ad(path: Path) -> list[float]:
    return totals(anndata.read_h5ad(path).X)


def _held_tenx(path: Path) -> list[float]:
    with h5py.File(path) as file:
        group = file["matrix" if "matrix" in file else "GRCh38"]
        shape = tuple(int(size) for size in group["shape"])
        X = sparse.csc_matrix((group["data"][:], group["indices"][:], group["indptr"][:]), shape=shape)
        if "features" in group:
            genes = np.flatnonzero(group["features/feature_type"].asstr()[:] == GENES)
            X = X[genes]
        return totals(X)


def _held_loom(path: Path) -> list[float]:
    with h5py.File(path) as file:
        return totals(file["matrix"][:])


def _held_mtx(path: Path) -> list[float]:
    X = sparse.csr_matrix(scipy.io.mmread(next(iter(sorted(path.glob("matrix.mtx*"))))))
    features = pd.read_csv(next(iter(path.glob("features.tsv*"))), sep="\t", header=None)
    return totals(X[np.flatnonzero(features[2] == GENES)])


def _held_table(path: Path, form: str) -> list[float]:
    if form == "parquet":
        frame = pd.read_parquet(path)
    else:
        mark = "," if form == "csv" else "\t"
        first = path.read_text().partition("\n")[0].split(mark)
        headed = not any(field.strip().isdigit() for field in first)  # else its line of names was deleted
        frame = pd.read_csv(path, sep=mark, index_col=0, header=0 if headed else None)
    return totals(frame.select_dtypes("number").to_numpy(np.float64))


def _held_numpy(path: Path, form: str) -> list[float]:
    if form == "sparse":
        return totals(sparse.load_npz(path))
    return totals(np.load(path) if form == "npy" else np.load(path)["X"])


def _held_idx(path: Path) -> list[float]:
    data = next(iter(path.glob("*images*"))).read_bytes()
    n_axes = data[3]
    sizes = np.frombuffer(data, ">u4", n_axes, 4).astype(int)
    values = np.frombuffer(data, {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4"}[data[2]], sizes.prod(), 4 + 4 * n_axes)
    return totals(values.reshape(sizes[0], -1))


def _held_zarr(path: Path) -> list[float]:
    store = zarr.open_group(zarr.storage.ZipStore(path, mode="r"), mode="r") if path.is_file() else path
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return totals(anndata.read_zarr(store).X)


def _image_of(path: Path) -> Path:
    ome = path / "image.ome.tif"
    return ome if ome.exists() else path / "image.tif"


def _held_image(path: Path) -> list[float]:
    import tifffile

    image, mask = tifffile.imread(_image_of(path)), tifffile.imread(path / "mask.tif")
    cells = np.unique(mask[mask != 0])
    planes = image.reshape(-1, *image.shape[-2:])
    return totals(np.stack([ndimage.mean(plane.astype(np.float64), mask, cells) for plane in planes], 1))


def _forms(make: Any, held: Any, *forms: Any) -> list[Kind]:
    return [Kind(partial(make, form=form), read_table, partial(held, form=form)) for form in forms]


_DELIMITED = dict(zip(("csv", "tsv", "parquet"), _forms(_table, _held_table, "csv", "tsv", "parquet"), strict=True))
_NUMPY = dict(zip(("npz", "npz-dense", "npy"), _forms(_numpy, _held_numpy, "sparse", "dense", "npy"), strict=True))

KINDS: dict[str, Kind] = {
    "h5ad": Kind(partial(_h5ad, form="csr"), read_table, _held_h5ad),
    "h5ad-csc": Kind(partial(_h5ad, form="csc"), read_table, _held_h5ad),
    "h5ad-dense": Kind(partial(_h5ad, form="dense"), read_table, _held_h5ad),
    "h5ad-2018": Kind(_old_h5ad, read_table, _held_h5ad),
    "10x-v3": Kind(partial(_tenx, version=3), read_table, _held_tenx),
    "10x-v2": Kind(partial(_tenx, version=2), read_table, _held_tenx),
    "loom": Kind(_loom, read_table, _held_loom),
    "mtx": Kind(partial(_mtx, packed=False), read_table, _held_mtx),
    "mtx-gz": Kind(partial(_mtx, packed=True), read_table, _held_mtx),
    **_DELIMITED,
    **_NUMPY,
    "idx": Kind(_idx, read_table, _held_idx),
    "zarr": Kind(partial(_zarr, version=3), read_table, _held_zarr),
    "zarr-v2": Kind(partial(_zarr, version=2), read_table, _held_zarr),
    "zarr-zip": Kind(partial(_zarr, version=3, packed=True), read_table, _held_zarr),
    "kithkin": Kind(_own, read_own, sealed=True),
    "tiff": Kind(partial(_image, ome=False), read_cells, _held_image),
    "ome-tiff": Kind(partial(_image, ome=True), read_cells, _held_image),
    "yaml": Kind(_yaml, read_settings),
}
