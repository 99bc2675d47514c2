"""A dataset behind a web server gives what the folder gives, each byte is fetched once, and results stay here."""

import json
import os
import shutil
import socket
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest

import kithkin as kk
from kithkin.core.host import RemoteError, normal_address
from kithkin.core.remote import default_cache

pytest.importorskip("obstore", reason="the extra remote is not installed")


@pytest.fixture(scope="module")
def published(_dataset_path, tmp_path_factory):
    folder = tmp_path_factory.mktemp("published")
    shutil.copytree(_dataset_path, folder / "cells.zarr")
    ds = kk.open(folder / "cells.zarr")
    ds["var/symbol"] = [f"S{k}" for k in range(ds.n_vars)]
    kk.pca(ds, 5, genes=None)
    kk.neighbors(ds, 8)
    kk.leiden(ds)
    kk.publish(ds, folder / "public.zarr")
    return folder


@pytest.fixture
def local(published):
    """The published folder, opened as such."""
    return kk.open(published / "public.zarr")


@pytest.fixture
def host(published, serve):
    """The server of the published folder."""
    return serve(published)


@pytest.fixture
def remote(host, tmp_path):
    """The same dataset, read over HTTP, with an empty cache."""
    return kk.open(f"{host.url}/public.zarr", cache=tmp_path / "cache")


def test_it_holds_what_the_folder_holds(host, remote, local):
    assert remote.keys() == local.keys()
    assert remote.obs.equals(local.obs)
    assert remote.var.equals(local.var)
    assert remote.kind_and_reason == local.kind_and_reason
    np.testing.assert_array_equal(remote.genes(["S3", "S499"]), local.genes(["S3", "S499"]))
    np.testing.assert_array_equal(remote.rows([5, 2, 599]).to_dense(), local.rows([5, 2, 599]).to_dense())
    blocks = [one.blocks(rows=70) for one in (remote, local)]
    for start, stop in blocks[0].ranges:
        np.testing.assert_array_equal(blocks[0].read(start, stop).to_dense(), blocks[1].read(start, stop).to_dense())
    assert (remote.to_anndata().obsp["connectivities"] != local.to_anndata().obsp["connectivities"]).nnz == 0
    assert kk.history(remote).equals(kk.history(local))
    assert kk.check(remote) == []
    assert host.twice() == 0
    assert f"read from {host.url}/public.zarr; results go to {remote.path}" in repr(remote)


def test_one_gene_takes_six_requests(host, remote, local):
    assert len(host.requests) == 3  # the headers and the records
    host.requests.clear()
    gene = local.var_names[7]
    np.testing.assert_array_equal(remote.genes(gene), local.genes(gene))
    assert len(host.requests) <= 6
    assert not any("/X/" in path for path, _, _ in host.requests)
    host.requests.clear()
    remote.genes(gene)
    assert host.requests == []


def test_each_byte_is_fetched_once_by_threads_and_processes(host, tmp_path, local):
    url = f"{host.url}/public.zarr"
    expected = kk.markers(local, by="obs/leiden", key=None)
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as processes:
        for number, settings in enumerate(({"threads": 1}, {"threads": 3}, {"executor": processes})):
            host.requests.clear()
            ds = kk.open(url, cache=tmp_path / str(number), memory="64MB", **settings)
            found = kk.markers(ds, by="obs/leiden", key=None)
            assert found.equals(expected)
            assert host.twice() == 0
            assert not any("by_gene" in path for path, _, _ in host.requests)


def test_results_are_those_of_the_folder_and_lie_here(host, remote, local, tmp_path, copy_of):
    mine = copy_of(local.path)
    for ds in (remote, mine):
        kk.pca(ds, 4, genes=None)
        kk.neighbors(ds, 6)
        kk.leiden(ds, resolution=2.0)
        kk.markers(ds, by="obs/leiden")
        ds["obs/mine"] = np.arange(ds.n_obs)
        ds.delete("obs/group")
    host.requests.clear()
    again = kk.open(f"{host.url}/public.zarr", cache=tmp_path / "cache")
    assert again.keys() == mine.keys()
    for key in ("obsm/X_pca", "obs/leiden", "obs/mine"):
        np.testing.assert_array_equal(np.asarray(again.read(key)), np.asarray(mine.read(key)))
    assert kk.history(again)[["step", "state"]].equals(kk.history(mine)[["step", "state"]])
    assert kk.check(again) == []
    assert "obs/mine" not in local
    assert "obs/group" in local
    assert kk.check(local) == []


def test_the_second_opening_fetches_the_header_only(host, remote, tmp_path):
    assert remote.obs.shape[0] == 600
    host.requests.clear()
    again = kk.open(f"{host.url}/public.zarr/", cache=tmp_path / "cache")
    assert again.path == remote.path
    assert len(again.obs) == 600
    assert [path for path, _, _ in host.requests] == ["public.zarr/zarr.json"]


def test_several_who_open_it_at_once_share_it(host, tmp_path, local):
    url, n = f"{host.url}/public.zarr", 6
    with ThreadPoolExecutor(n) as threads:
        opened = list(threads.map(lambda _: kk.open(url, cache=tmp_path / "cache"), range(n)))
        genes = list(threads.map(lambda ds: ds.genes(local.var_names[5]), opened))
    assert len({ds.path for ds in opened}) == 1
    assert all((one == local.genes(local.var_names[5])).all() for one in genes)
    again = [
        one for one in host.requests if not one[0].endswith(("zarr.json", "uns/kithkin/checksums/c/0", "history/c/0"))
    ]
    assert len(again) == len(set(again))


def test_the_cache_of_the_user_is_named_after_the_address(host, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    ds = kk.open(f"{host.url}/public.zarr")
    assert ds.path.name == "public.zarr"
    assert ds.path.parent.parent == tmp_path / "xdg/kithkin"
    assert ds.path.parent.name.startswith("public.zarr-")
    assert default_cache("https://example.org/a.zarr") != default_cache("https://example.com/a.zarr")


def test_an_append_is_refused(remote, small_counts):
    with pytest.raises(kk.KithkinError, match=r"public\.zarr is only read: make a dataset of your own"):
        kk.append(remote, {"more": small_counts[:20].copy()})
    with pytest.raises(kk.KithkinError, match=r"is read from http.*: publish the dataset of which that was made"):
        kk.publish(remote, remote.path.parent / "other.zarr")


def test_a_part_of_it_is_a_dataset_of_its_own(remote, local, tmp_path):
    part = kk.subset(remote, cells="n_genes > 0", to=tmp_path / "part.zarr")
    assert list(part.path.rglob(".remote*")) == []
    assert (part.to_anndata().X != local.to_anndata().X).nnz == 0
    assert kk.check(part) == []


# ---- servers that change, break off, or know no ranges


def test_another_version_is_noticed(published, serve, tmp_path, monkeypatch):
    folder = tmp_path / "served"
    folder.mkdir()
    ds = kk.open(published / "cells.zarr")
    kk.publish(ds, folder / "a.zarr")
    url = f"{serve(folder).url}/a.zarr"
    first, second = (kk.open(url, cache=tmp_path / name) for name in ("first", "second"))
    second["obs/mine"] = np.zeros(600)
    assert len(first.obs_names) == 600
    kept = list((tmp_path / "first/bytes").iterdir())
    copy = kk.open(kk.publish(ds, tmp_path / "copy.zarr"))
    copy["obs/more"] = np.ones(600)
    kk.publish(copy, folder / "a.zarr", overwrite=True)
    monkeypatch.setattr("kithkin.core.host.FRESH", 0.0)
    with pytest.raises(RemoteError, match=r"a\.zarr was changed while it was read: open it again"):
        first.read("obsm/X_pca")
    assert "obs/more" in kk.open(url, cache=tmp_path / "first")
    assert len(kept) == 1
    assert not kept[0].exists()
    with pytest.raises(kk.KithkinError, match=r"a\.zarr has changed since results were written to .*second/a\.zarr"):
        kk.open(url, cache=tmp_path / "second")
    assert len(kk.open(tmp_path / "second/a.zarr").read("obs/mine")) == 600


def test_a_connection_that_breaks_off_is_taken_up_again(host, remote, local):
    host.cut = 2
    gene = local.var_names[3]
    np.testing.assert_array_equal(remote.genes(gene), local.genes(gene))
    assert host.cut == 0
    host.refused = 2
    np.testing.assert_array_equal(remote.read("obsm/X_pca"), local.read("obsm/X_pca"))


def test_a_server_that_is_gone_is_named_in_one_sentence(host, remote, local, monkeypatch):
    gene = local.var_names[3]
    remote.genes(gene)
    host.cut = 10**6
    with pytest.raises(RemoteError, match=r"^127\.0\.0\.1:\d+ does not answer: X/.* could not be read \(.*\)$"):
        remote.blocks().read(0, 600)
    with pytest.raises(RemoteError, match="does not answer"):
        kk.check(remote)
    np.testing.assert_array_equal(remote.genes(gene), local.genes(gene))  # it is here
    host.cut = 0
    assert kk.check(remote) == []


def test_a_server_without_ranges_works(host, tmp_path, local):
    host.ranges = False
    remote = kk.open(f"{host.url}/public.zarr", cache=tmp_path / "cache")
    gene = local.var_names[3]
    np.testing.assert_array_equal(remote.genes(gene), local.genes(gene))
    assert kk.check(remote) == []


@pytest.mark.parametrize("absent", [403, 404])
def test_what_is_not_there_is_said(published, serve, tmp_path, absent):
    host = serve(published, absent=absent)
    with pytest.raises(kk.KithkinError, match=r"there is no dataset at .*/none\.zarr: it has no zarr\.json"):
        kk.open(f"{host.url}/none.zarr", cache=tmp_path / "cache")
    with pytest.raises(kk.KithkinError, match=r"cells\.zarr has no consolidated metadata: publish it with kithkin\."):
        kk.open(f"{host.url}/cells.zarr", cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
    remote = kk.open(f"{host.url}/public.zarr", cache=tmp_path / "cache")
    served = published / "public.zarr/obsm/X_pca/c"
    served.rename(served.with_name("away"))
    try:
        with pytest.raises(kk.KithkinError, match=r"obsm/X_pca is damaged on disk: its file .* is missing"):
            remote.read("obsm/X_pca")
        problems = kk.check(remote)
        assert [problem.partition(" ")[0] for problem in problems] == ["obsm/X_pca"]
    finally:
        served.with_name("away").rename(served)


def test_no_such_host_and_no_answer(tmp_path):
    with pytest.raises(RemoteError, match=r"^no-such-host\.invalid does not answer: .*"):
        kk.open("https://no-such-host.invalid/a.zarr", cache=tmp_path)
    with socket.socket() as held:  # bound and not listening: the connection is refused
        held.bind(("127.0.0.1", 0))
        with pytest.raises(RemoteError, match=r"does not answer: .*the connection was refused"):
            kk.open(f"http://127.0.0.1:{held.getsockname()[1]}/a.zarr", cache=tmp_path)


def test_bytes_that_changed_on_the_way_are_damage(remote, host, tmp_path):
    remote.read("obsm/X_pca")
    kept = next(path for path in (tmp_path / "cache/bytes").rglob("obsm/X_pca/c/*/*") if path.suffix != ".ranges")
    content = bytearray(kept.read_bytes())
    content[len(content) // 2] ^= 1
    kept.write_bytes(content)
    with pytest.raises(kk.KithkinError, match="obsm/X_pca is damaged on disk: a chunk does not match its checksum"):
        remote.read("obsm/X_pca")
    assert [problem.partition(" ")[0] for problem in kk.check(remote)] == ["obsm/X_pca"]


# ---- hostile addresses and metadata


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.org/a.zarr",
        "file:///etc/passwd",
        "http://",
        "http:///a.zarr",
        "https://example.org/../a.zarr",
        "https://example.org/%2e%2e/a.zarr",
        "https://example.org/a%2f..%2fb",
        "https://example.org/a b",
        "https://example.org/a\n.zarr",
        "https://example.org/a.zarr?token=1",
        "https://example.org/a.zarr#part",
        "http://[::1/a.zarr",
        "http://example.org:99999/a.zarr",
    ],
)
def test_addresses_that_are_none_are_refused_before_anything_is_asked(url, tmp_path):
    with pytest.raises(kk.ParameterError, match=r"^path must"):
        kk.open(url, cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_a_password_is_not_shown():
    with pytest.raises(kk.ParameterError, match=r"got one at example\.org$") as refused:
        normal_address("https://me:secret@example.org/a.zarr")
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "key",
    ["../../outside", "/tmp/outside", "obs/../../outside", "obs/.remote", ".remote.json", "other", "obs//a", "obs/\0"],
)
def test_metadata_that_leads_out_of_the_cache_is_refused(local, serve, tmp_path, key):
    served = tmp_path / "served/a.zarr"
    shutil.copytree(local.path, served)
    root = json.loads((served / "zarr.json").read_text())
    root["consolidated_metadata"]["metadata"][key] = root["consolidated_metadata"]["metadata"]["obs"]
    (served / "zarr.json").write_text(json.dumps(root))
    host = serve(tmp_path / "served")
    with pytest.raises(kk.KithkinError, match=r"a\.zarr is damaged: its metadata names"):
        kk.open(f"{host.url}/a.zarr", cache=tmp_path / "cache/deep")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["served"]


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"attributes": 3}', '{"attributes": {}}', "[" * 10**5])
def test_what_is_no_header_is_refused(serve, tmp_path, text):
    (tmp_path / "a.zarr").mkdir()
    (tmp_path / "a.zarr/zarr.json").write_text(text)
    host = serve(tmp_path)
    with pytest.raises(kk.KithkinError, match=r"a\.zarr is not an AnnData dataset in Zarr format 3"):
        kk.open(f"{host.url}/a.zarr", cache=tmp_path / "cache")


def test_an_array_of_absurdly_many_files_is_damage(local, serve, tmp_path):
    served = tmp_path / "served/a.zarr"
    shutil.copytree(local.path, served)
    root = json.loads((served / "zarr.json").read_text())
    root["consolidated_metadata"]["metadata"]["obsm/X_pca"]["shape"] = [10**15, 5]
    (served / "zarr.json").write_text(json.dumps(root))
    ds = kk.open(f"{serve(tmp_path / 'served').url}/a.zarr", cache=tmp_path / "cache")
    with pytest.raises(kk.KithkinError, match=r"obsm/X_pca is damaged"):
        ds.read("obsm/X_pca")
    assert any(problem.startswith("obsm/X_pca is damaged") for problem in kk.check(ds))


def test_a_folder_from_elsewhere_does_not_say_whom_to_ask(host, remote, published, tmp_path, monkeypatch):
    """A dataset that somebody has sent, made to be read from an address, and to keep what is fetched anywhere."""
    sent = tmp_path / "sent/public.zarr"
    shutil.copytree(remote.path, sent)
    assert kk.open(sent).read("obsm/X_pca").shape == (600, 5)  # a copy of what this user has opened
    record = json.loads((sent / ".remote.json").read_text())
    for change in (
        {"bytes": str(tmp_path / "anywhere")},
        {"url": f"{host.url}/./public.zarr"},
        {"seal": "", "tag": ""},
    ):
        (sent / ".remote.json").write_text(json.dumps(record | change))
        host.requests.clear()
        ds = kk.open(sent)
        with pytest.raises(RemoteError, match=r"reads its files from 'http.*', which this user has not opened: if"):
            ds.read("obsm/X_pca")
        with pytest.raises(RemoteError, match="which this user has not opened"):
            ds.blocks().read(0, 10)
        with pytest.raises(kk.KithkinError, match="which this user has not opened"):
            kk.read(sent, to=tmp_path / "mine.zarr")
        assert host.requests == []
        assert not (tmp_path / "anywhere").exists()
    (sent / ".remote.json").write_text(json.dumps(record | {"bytes": str(tmp_path / "anywhere")}))
    with pytest.raises(kk.KithkinError, match=r"public\.zarr is in the way: give another folder with cache="):
        kk.open(record["url"], cache=sent.parent)


def test_the_secret_of_the_user_is_for_the_user(host, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    kk.open(f"{host.url}/public.zarr", cache=tmp_path / "cache")
    secret = tmp_path / "xdg/kithkin/.seals"
    assert secret.stat().st_mode & 0o077 == 0
    assert len(secret.read_bytes()) == 32
    assert [path.name for path in secret.parent.iterdir()] == [".seals"]
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null/nowhere")
    ds = kk.open(f"{host.url}/public.zarr", cache=tmp_path / "other")
    assert ds.read("obsm/X_pca").shape == (600, 5)


def test_a_cache_of_something_else_is_left_alone(host, tmp_path):
    url = f"{host.url}/public.zarr"
    (tmp_path / "cache/public.zarr").mkdir(parents=True)
    with pytest.raises(kk.KithkinError, match=r"public\.zarr is in the way: give another folder with cache="):
        kk.open(url, cache=tmp_path / "cache")
    kk.open(url, cache=tmp_path / "other")
    with pytest.raises(kk.KithkinError, match=r"other is the cache of .*: give another folder with cache="):
        kk.open(url.replace("127.0.0.1", "localhost"), cache=tmp_path / "other")
    with pytest.raises(kk.ParameterError, match="cache is for a dataset at an address"):
        kk.open(tmp_path, cache=tmp_path / "cache")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_cache_that_cannot_be_written_is_said(host, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(kk.KithkinError, match="cannot be written to"):
        kk.open(f"{host.url}/public.zarr", cache=tmp_path / "locked/cache")


def test_a_package_that_is_not_installed_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    with pytest.raises(kk.KithkinError, match=r"reading over HTTP needs obstore: pip install 'kithkin\[remote\]'"):
        kk.open("https://example.org/never-asked.zarr", cache=tmp_path)
