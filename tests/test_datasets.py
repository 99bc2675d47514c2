"""Simulated counts follow the distribution that they promise; the digits are the real ones, from disk or served."""

from __future__ import annotations

import gzip
import hashlib
import struct
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import numpy as np
import pytest

import kithkin as kk

IMAGES, LABELS = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"
NOBODY = "http://127.0.0.1:9/"  # the port that discards: nothing answers


def test_the_same_seed_gives_the_same_counts():
    first, again, other = (kk.datasets.simulate_counts(200, 300, 3, seed=seed) for seed in (5, 5, 6))
    assert (first.X != again.X).nnz == 0
    assert first.obs.equals(again.obs)
    assert (first.X != other.X).nnz > 0


def test_counts_are_whole_numbers_with_more_variance_than_poisson():
    cells = kk.datasets.simulate_counts(3000, 100, 1, seed=1)
    X = cells.X.toarray().astype(float)
    assert X.min() == 0
    assert np.array_equal(X, X.round())
    frequent = X.mean(0) > 1
    assert np.mean(X.var(0)[frequent] > 1.2 * X.mean(0)[frequent]) > 0.9


def test_markers_are_higher_in_their_group():
    cells = kk.datasets.simulate_counts(1500, 800, 4, seed=2)
    X = cells.X.toarray() / np.asarray(cells.X.sum(1))
    for group in cells.obs["group"].cat.categories:
        mine = (cells.obs["group"] == group).to_numpy()
        genes = (cells.var["marker_of"] == group).to_numpy()
        assert genes.sum() == 40
        assert X[mine][:, genes].sum() / mine.sum() > 2 * X[~mine][:, genes].sum() / (~mine).sum()


def test_every_group_has_cells_and_gene_names_are_unique():
    cells = kk.datasets.simulate_counts(20, 200, 8)
    assert cells.obs["group"].nunique() == 8
    assert cells.var_names.is_unique
    assert cells.var_names.str.startswith("MT-").sum() == 13
    assert cells.var_names.str.match("RP[LS]").sum() == 40


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_cells": 0}, "n_cells must be in 10"),
        ({"n_genes": 10}, "n_genes must be in 60"),
        ({"n_genes": 60, "n_groups": 9}, r"n_groups must be in 1\.\.3, got 9"),
    ],
)
def test_impossible_numbers_are_refused(settings, message):
    with pytest.raises(kk.ParameterError, match=message):
        kk.datasets.simulate_counts(**settings)


def test_digits_are_images_with_labels():
    images = kk.datasets.digits()
    assert images.shape == (1797, 64)
    assert images.obs["digit"].value_counts().min() >= 170
    assert images.X.max() == 16
    zeros = images.X[(images.obs["digit"] == "0").to_numpy()].mean(0).reshape(8, 8)
    assert zeros[3:5, 3:5].mean() < 2  # the hole of a zero


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """Three small images and their labels, served by this machine as if they were MNIST."""
    pytest.importorskip("pooch")
    monkeypatch.setenv("no_proxy", "*")
    folder = tmp_path / "served"
    folder.mkdir()
    images = struct.pack(">4I", 0x803, 3, 2, 2) + bytes(range(12))
    labels = struct.pack(">2I", 0x801, 3) + bytes([7, 2, 1])
    for name, data in ((IMAGES, images), (LABELS, labels)):
        (folder / name).write_bytes(gzip.compress(data))
    expected = tuple((name, hashlib.sha256((folder / name).read_bytes()).hexdigest()) for name in (IMAGES, LABELS))
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=folder))
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    monkeypatch.setattr(kk.datasets, "MNIST", {"train": expected})
    monkeypatch.setattr(kk.datasets, "MIRRORS", (f"http://127.0.0.1:{server.server_port}/",))
    yield folder
    server.shutdown()
    thread.join()
    server.server_close()


def refusal(cache):
    with pytest.raises(kk.KithkinError) as caught:
        kk.datasets.mnist(cache=cache)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_mnist_is_downloaded_and_read(mirror, tmp_path, capfd):
    path = kk.datasets.mnist(cache=tmp_path / "cache")
    assert (path.parent, path.name) == (tmp_path / "cache", IMAGES)
    ds = kk.read(path, to=tmp_path / "mnist.zarr")
    assert ds.read("X").ravel().tolist() == list(range(12))
    assert ds.read("obs/label").tolist() == ["7", "2", "1"]
    assert ds.read("var/column").tolist() == [0, 1, 0, 1]
    assert capfd.readouterr() == ("", "")


def test_what_is_in_the_cache_needs_no_network(mirror, tmp_path, monkeypatch):
    path = kk.datasets.mnist(cache=tmp_path / "cache")
    monkeypatch.setattr(kk.datasets, "MIRRORS", (NOBODY,))
    assert kk.datasets.mnist(cache=str(tmp_path / "cache")) == path
    path.write_bytes(b"damaged")
    assert refusal(tmp_path / "cache") == f"{IMAGES} could not be downloaded from {NOBODY} (ConnectionError)"


def test_a_damaged_file_in_the_cache_is_fetched_again(mirror, tmp_path):
    path = kk.datasets.mnist(cache=tmp_path / "cache")
    path.write_bytes(b"damaged")
    assert kk.datasets.mnist(cache=tmp_path / "cache").read_bytes() == (mirror / IMAGES).read_bytes()


def test_the_cache_is_where_the_system_keeps_its_caches(mirror, tmp_path, monkeypatch):
    monkeypatch.setattr("pooch.os_cache", lambda project: tmp_path / "caches" / project)
    assert kk.datasets.mnist() == tmp_path / "caches" / "kithkin" / "mnist" / IMAGES


def test_another_mirror_is_tried(mirror, tmp_path, monkeypatch):
    monkeypatch.setattr(kk.datasets, "MIRRORS", (NOBODY, *kk.datasets.MIRRORS))
    assert kk.datasets.mnist(cache=tmp_path / "cache").is_file()


def test_another_file_than_mnist_is_refused(mirror, tmp_path):
    (mirror / LABELS).write_bytes(b"<html>no</html>")
    with pytest.raises(kk.FormatError, match=f"^{LABELS} could not be downloaded from .*another file is there"):
        kk.datasets.mnist(cache=tmp_path / "cache")
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [IMAGES]


def test_a_download_that_fails_is_one_sentence(mirror, tmp_path):
    (mirror / IMAGES).unlink()
    assert refusal(tmp_path / "cache").endswith("/ (HTTP 404)")
    (tmp_path / "file").touch()
    assert refusal(tmp_path / "file").startswith(f"{tmp_path / 'file'} cannot keep MNIST: ")


def test_the_level_of_another_packages_messages_is_put_back(mirror, tmp_path):
    logger = pytest.importorskip("pooch").get_logger()
    before = logger.level
    kk.datasets.mnist(cache=tmp_path / "cache")
    assert logger.level == before


def test_mnist_without_pooch(monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(kk.KithkinError, match=r"mnist needs pooch: pip install 'kithkin\[download\]'$"):
        kk.datasets.mnist()


def test_checksums_and_addresses_are_of_the_right_form():
    for part in kk.datasets.MNIST.values():
        assert ["images" in part[0][0], "labels" in part[1][0]] == [True, True]
        assert all(len(bytes.fromhex(checksum)) == 32 for _, checksum in part)
    assert all(mirror.startswith("https://") and mirror.endswith("/") for mirror in kk.datasets.MIRRORS)
