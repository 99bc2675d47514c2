"""A published copy holds what the dataset holds, is whole or not there, and stays as it is when the dataset changes."""

import hashlib
import os
import signal
import subprocess
import sys
import time
import urllib.request
import warnings
import zipfile
from pathlib import Path

import anndata
import numpy as np
import pytest
import zarr
from scipy import sparse

import kithkin as kk
from kithkin.core.checksums import read_checksums

HTTPStore = pytest.importorskip("obstore.store", reason="the extra remote is not installed").HTTPStore
SCRIPT = Path(__file__).parents[1] / "killed.py"


def digests(folder):
    """SHA-256 of every file of a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def zarr_store(url):
    return zarr.storage.ObjectStore(HTTPStore.from_url(url, client_options={"allow_http": True}), read_only=True)


@pytest.fixture
def analysed(dataset):
    kk.pca(dataset, 5, genes=None)
    kk.neighbors(dataset, 8)
    kk.leiden(dataset)
    dataset["obs/names"] = [f"é{k % 7}" for k in range(dataset.n_obs)]
    return dataset


def test_a_published_folder_holds_what_the_dataset_holds(analysed, tmp_path):
    path = kk.publish(analysed, tmp_path / "public.zarr")
    public = kk.open(path)
    assert kk.check(public) == []
    assert set(public.keys()) - {"layers/by_gene"} == set(analysed.keys())
    own, theirs = analysed.to_anndata(), public.to_anndata()
    assert list(theirs.layers) == list(own.layers)
    assert (own.X != theirs.X).nnz == 0
    assert own.obs.equals(theirs.obs)
    history = kk.history(public)
    assert set(history["state"]) == {"current"}
    assert history["step"].tolist()[-1] == "publish"
    assert list(tmp_path.glob(".*")) == []


def test_x_by_genes_is_x(analysed, tmp_path):
    path = kk.publish(analysed, tmp_path / "public.zarr")
    X = analysed.to_anndata().X
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        read = anndata.read_zarr(path)
    by_gene = read.layers["by_gene"]
    assert by_gene.format == "csc"
    assert by_gene.has_sorted_indices
    assert (by_gene != X).nnz == 0
    public, names = kk.open(path), [analysed.var_names[k] for k in (7, 3, 499, 7)]
    np.testing.assert_array_equal(public.genes(names), X[:, [7, 3, 499, 7]].toarray())
    assert public.genes(names).dtype == analysed.genes(names).dtype
    assert public.genes([]).shape == analysed.genes([]).shape


@pytest.mark.parametrize("memory", ["64MB", "1GB"])
@pytest.mark.parametrize("threads", [1, 3])
def test_the_copy_by_genes_does_not_depend_on_the_budget(dataset, tmp_path, memory, threads):
    usual = kk.publish(dataset, tmp_path / "usual.zarr")
    other = kk.publish(kk.open(dataset, memory=memory, threads=threads), tmp_path / "other.zarr")
    assert digests(usual / "layers/by_gene") == digests(other / "layers/by_gene")


def test_the_copy_is_read_only_as_long_as_it_is_one(dataset, tmp_path, small_counts):
    public = kk.open(kk.publish(dataset, tmp_path / "public.zarr"))
    more = small_counts[:50].copy()
    kk.append(public, {"more": more})
    gene = dataset.var_names[11]
    assert kk.check(public) == []
    expected = np.r_[dataset.genes(gene), np.asarray(more.X[:, 11].todense())]
    np.testing.assert_array_equal(public.genes(gene), expected)


@pytest.mark.parametrize("absent", [404, 403])
def test_others_open_it_behind_a_host_that_cannot_list(analysed, tmp_path, serve, absent):
    kk.publish(analysed, tmp_path / "public.zarr")
    host = serve(tmp_path, absent=absent)
    store = zarr_store(f"{host.url}/public.zarr")
    # a host that answers 403 to what is not there is not asked for the files of format 2
    source = zarr.open_group(store, mode="r", zarr_format=3) if absent == 403 else store
    own = analysed.to_anndata()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        read, lazy = anndata.read_zarr(source), anndata.experimental.read_lazy(source)
        assert (read.X != own.X).nnz == 0
        assert (lazy.X.compute() != own.X).nnz == 0
        assert read.obs["leiden"].tolist() == own.obs["leiden"].tolist()
        np.testing.assert_array_equal(lazy.obsm["X_pca"].compute(), own.obsm["X_pca"])
    group = zarr.open_group(store, mode="r", zarr_format=3)
    assert sorted(group["obsm"].keys()) == ["X_pca"]
    np.testing.assert_array_equal(group["obsm/X_pca"][...], own.obsm["X_pca"])
    assert host.requests


def test_files_are_links_that_later_writes_leave_alone(analysed, tmp_path, small_counts):
    path = kk.publish(analysed, tmp_path / "public.zarr")
    data = next((path / "X/data/c").iterdir())
    assert os.path.samefile(data, analysed.path / "X/data/c" / data.name)
    headers = [file for file in path.rglob("zarr.json") if os.stat(file).st_nlink > 1]
    assert headers == []
    before = digests(path)
    kk.pca(analysed, 7, genes=None)
    kk.leiden(analysed, resolution=3.0)
    analysed["obs/names"] = ["other"] * analysed.n_obs
    analysed["obsm/X_pca"] = np.zeros((analysed.n_obs, 2))
    analysed.delete("obsp/distances")
    kk.annotate(analysed, "obs/donor", ["x"] * analysed.n_obs)
    kk.quality(analysed)
    kk.append(analysed, {"more": small_counts[:100].copy()})
    kk.read(small_counts, to=analysed.path, overwrite=True)
    assert digests(path) == before
    assert kk.check(kk.open(path)) == []


def test_a_file_system_without_links_gets_copies(dataset, tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    path = kk.publish(dataset, tmp_path / "public.zarr")
    assert {os.stat(file).st_nlink for file in path.rglob("*") if file.is_file()} == {1}
    assert kk.check(kk.open(path)) == []


def test_an_archive_is_opened_by_zarr_anndata_and_kithkin(analysed, tmp_path):
    file = kk.publish(analysed, tmp_path / "public.zarr.zip")
    with zipfile.ZipFile(file) as archive:
        assert archive.namelist()[0] == "zarr.json"
        assert archive.testzip() is None
    own = analysed.to_anndata()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        read = anndata.read_zarr(zarr.storage.ZipStore(file, mode="r"))
    assert (read.X != own.X).nnz == 0
    public = kk.open(file, cache=tmp_path / "cache")
    assert kk.check(public) == []
    names = analysed.var_names[[4, 9]]
    np.testing.assert_array_equal(public.genes(names), analysed.genes(names))
    before = file.read_bytes()
    assert kk.kmeans(public, 3).equals(kk.kmeans(analysed, 3))
    assert file.read_bytes() == before
    assert "obs/kmeans" in kk.open(file, cache=tmp_path / "cache")
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_dense_table_is_published_without_a_copy_by_genes(tmp_path):
    ds = kk.read(np.random.default_rng(0).normal(size=(50, 6)), to=tmp_path / "a.zarr")
    public = kk.open(kk.publish(ds, tmp_path / "public.zarr"))
    assert "layers/by_gene" not in public
    assert kk.check(public) == []
    np.testing.assert_array_equal(public.genes(ds.var_names[:2]), ds.genes(ds.var_names[:2]))


def test_a_table_without_values_is_published(tmp_path):
    ds = kk.read(anndata.AnnData(sparse.csr_matrix((4, 3), dtype=np.float32)), to=tmp_path / "a.zarr", kind="counts")
    public = kk.open(kk.publish(ds, tmp_path / "public.zarr"))
    assert kk.check(public) == []
    assert public.genes(list(ds.var_names)).tolist() == [[0] * 3] * 4


def test_what_anndata_has_written_gets_records(small_counts, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with anndata.settings.override(zarr_write_format=3):
            small_counts.write_zarr(tmp_path / "theirs.zarr")
    ds = kk.open(tmp_path / "theirs.zarr")
    before = digests(ds.path)
    public = kk.open(kk.publish(ds, tmp_path / "public.zarr"))
    assert kk.check(public) == []
    assert "layers/by_gene" in read_checksums(public.path)
    assert digests(ds.path) == before


def test_copies_are_no_part_of_what_is_made_of_a_published_dataset(dataset, tmp_path):
    public = kk.open(kk.publish(dataset, tmp_path / "public.zarr"))
    zipped = kk.publish(dataset, tmp_path / "other.zip")
    part = kk.subset(public, cells="n_genes > 0", to=tmp_path / "part.zarr")
    exported = anndata.read_h5ad(kk.export(public, tmp_path / "public.h5ad"))
    read = [kk.read(path, to=tmp_path / f"{path.stem}-read.zarr") for path in (public.path, zipped)]
    assert list(part.to_anndata().layers) == list(exported.layers) == list(read[0].to_anndata().layers) == []
    assert (read[0].to_anndata().X != read[1].to_anndata().X).nnz == 0
    again = kk.open(kk.publish(public, tmp_path / "again.zarr"))
    assert kk.check(again) == []
    assert [one for one in again.keys() if one.startswith("layers/")] == ["layers/by_gene"]  # noqa: SIM118


def test_a_browser_finds_the_page(analysed, tmp_path, serve):
    public = kk.open(kk.publish(analysed, tmp_path / "public.zarr"))
    page = (public.path / "index.html").read_text(encoding="utf-8")
    assert "<title>public</title>" in page
    assert "kithkin leiden cells.zarr" in page
    assert kk.check(public) == []
    again = kk.publish(public, tmp_path / "again.zarr")
    assert "<title>again</title>" in (again / "index.html").read_text(encoding="utf-8")
    assert (public.path / "index.html").read_text(encoding="utf-8") == page
    with urllib.request.urlopen(f"{serve(tmp_path).url}/again.zarr/index.html", timeout=10) as answer:
        assert answer.read() == (again / "index.html").read_bytes()


def test_a_dataset_that_changes_meanwhile_is_not_published_in_part(dataset, tmp_path, monkeypatch):
    """The page would tell of results that the copy does not have."""

    def change(ds, folder, title):
        ds["obs/late"] = np.zeros(ds.n_obs)

    monkeypatch.setattr("kithkin.verbs.publish.add_page", change)
    with pytest.raises(kk.KithkinError, match=r"cells\.zarr was changed while it was published: publish it again"):
        kk.publish(dataset, tmp_path / "public.zarr")
    assert [path.name for path in tmp_path.iterdir()] == ["cells.zarr"]


def test_what_is_there_is_refused_or_replaced(dataset, tmp_path):
    path = kk.publish(dataset, tmp_path / "public.zarr")
    with pytest.raises(kk.KithkinError, match=r"public\.zarr exists already\. Choose another name, or use overwrite"):
        kk.publish(dataset, path)
    dataset["obs/new"] = np.arange(dataset.n_obs)
    kk.publish(dataset, path, overwrite=True)
    assert "obs/new" in kk.open(path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("all of it")
    (tmp_path / "mine.zip").write_text("no archive")
    for other in ("mine", "mine.zip"):
        with pytest.raises(kk.KithkinError, match=f"{other} is not a dataset, and will not be overwritten"):
            kk.publish(dataset, tmp_path / other, overwrite=True)
    with pytest.raises(kk.ParameterError, match=r"to must be outside cells\.zarr"):
        kk.publish(dataset, dataset.path / "public.zarr")
    with pytest.raises(kk.KithkinError, match=r"the folder .*nowhere does not exist"):
        kk.publish(dataset, tmp_path / "nowhere/public.zarr")


def test_a_damaged_dataset_is_not_published(dataset, tmp_path):
    next((dataset.path / "X/data/c").iterdir()).unlink()
    with pytest.raises(kk.KithkinError, match=r"X/data is damaged: 1 of its 1 files are missing"):
        kk.publish(dataset, tmp_path / "public.zarr")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cells.zarr"]


def test_a_layer_of_the_same_name_is_not_lost(dataset, tmp_path):
    dataset["layers/by_gene"] = sparse.csr_matrix(np.ones(dataset.shape, np.float32))
    with pytest.raises(kk.ParameterError, match=r"layers/by_gene of .* is where the copy of X by genes goes"):
        kk.publish(dataset, tmp_path / "public.zarr")


@pytest.mark.parametrize("name", ["public.zarr", "public.zarr.zip"])
def test_killed_at_any_moment_it_leaves_the_old_copy_or_the_new_one(dataset, tmp_path, name):
    target = tmp_path / name
    rng = np.random.default_rng([os.getpid(), len(name)])
    for _ in range(3):
        command = [sys.executable, "-W", "ignore", str(SCRIPT), "publish", str(dataset.path), str(target)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and not any(tmp_path.glob(f".{name}.kithkin/staging-*/*")):
            time.sleep(0.002)
        time.sleep(float(rng.uniform(0, 0.15)))
        process.send_signal(signal.SIGKILL)
        process.wait()
        if target.exists():
            assert kk.check(kk.open(target, **({"cache": tmp_path / "cache"} if name.endswith("zip") else {}))) == []
    kk.publish(dataset, target, overwrite=True)
    left = {path.name for path in tmp_path.iterdir()} - {"cells.zarr", "cache"}
    assert left == {name}
    assert kk.check(dataset) == []
