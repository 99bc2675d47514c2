"""A dataset is uploaded whole or not at all, goes on where it stopped, and never becomes a mixture of two."""

import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from dataclasses import replace
from pathlib import Path

import anndata
import numpy as np
import pytest
import zarr

import kithkin as kk
from kithkin.cli.main import main
from kithkin.core.bucket_writer import BucketWriter, ConditionError
from kithkin.core.host import RemoteError
from kithkin.core.upload import JOURNAL, Upload

obstore = pytest.importorskip("obstore", reason="the extra s3 is not installed")
S3Store = obstore.store.S3Store
URL = "s3://lab/lung/public.zarr"


@pytest.fixture(scope="module")
def _store(bucket_stores):
    return bucket_stores()


@pytest.fixture
def store(_store, monkeypatch, tmp_path):
    """A store with the empty bucket "lab", and the environment of its owner."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name in ("SHARED_CREDENTIALS_FILE", "CONFIG_FILE"):
        monkeypatch.setenv(f"AWS_{name}", str(tmp_path / name))
    _own(monkeypatch, _store)
    client = _store.client()
    buckets = {one["Name"] for one in client.list_buckets()["Buckets"]}
    if "lab" in buckets:
        for name in _names(_store, ""):
            client.delete_object(Bucket="lab", Key=name)
    else:
        client.create_bucket(Bucket="lab")
    return _store


def _own(monkeypatch, store):
    monkeypatch.setenv("AWS_ENDPOINT_URL", store.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", store.key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", store.secret)


def _objects(store, prefix="lung/public.zarr/"):
    pages = store.client().get_paginator("list_objects_v2").paginate(Bucket="lab", Prefix=prefix)
    return {one["Key"].removeprefix(prefix): one["ETag"] for page in pages for one in page.get("Contents", [])}


def _names(store, prefix="lung/public.zarr/"):
    return set(_objects(store, prefix))


@pytest.fixture
def puts(monkeypatch):
    """The names of what is written, in order; `puts.fail_after` of them the connection is lost for good."""

    class Puts(list):
        fail_after = 10**9
        error = ConnectionError("connection reset")

    done, put = Puts(), obstore.put

    def counted(store, name, *args, **settings):
        if len([one for one in done if one != JOURNAL]) >= done.fail_after:
            raise done.error
        result = put(store, name, *args, **settings)
        done.append(name)
        return result

    monkeypatch.setattr(obstore, "put", counted)
    return done


def _opened(tmp_path, name="cache"):
    return kk.open(URL, cache=tmp_path / name)


# ---- what is there in the end


def test_what_is_published_is_read_by_kithkin_zarr_and_anndata(dataset, store, puts, tmp_path):
    kk.pca(dataset, 5, genes=None)
    assert kk.publish(dataset, f"{URL}/") == URL
    local = kk.publish(dataset, tmp_path / "public.zarr")
    files = {path.relative_to(local).as_posix() for path in local.rglob("*") if path.is_file()}
    assert _names(store) == files
    assert [name for name in puts if name != JOURNAL][-1] == "zarr.json"
    assert len([name for name in puts if name != JOURNAL]) == len(files)
    ds, own = _opened(tmp_path), dataset.to_anndata()
    assert kk.check(ds) == []
    assert (ds.to_anndata().X != own.X).nnz == 0
    np.testing.assert_array_equal(ds.genes(ds.var_names[:3]), dataset.genes(ds.var_names[:3]))
    there = S3Store(
        "lab",
        prefix="lung/public.zarr",
        endpoint=store.url,
        region="us-east-1",
        access_key_id=store.key,
        secret_access_key=store.secret,
        client_options={"allow_http": True},
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        read = anndata.read_zarr(zarr.storage.ObjectStore(there, read_only=True))
    assert (read.X != own.X).nnz == 0
    assert (read.layers["by_gene"] != own.X).nnz == 0
    np.testing.assert_array_equal(read.obsm["X_pca"], own.obsm["X_pca"])
    assert store.client().head_object(Bucket="lab", Key="lung/public.zarr/index.html")["ContentType"].startswith("text")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "cells.zarr", "public.zarr"]


def test_what_is_there_is_refused_or_replaced(dataset, store, tmp_path):
    kk.publish(dataset, URL)
    before = _objects(store)
    with pytest.raises(kk.KithkinError, match=r"public\.zarr exists already\. Choose another name, or use overwrite"):
        kk.publish(dataset, URL)
    assert _objects(store) == before
    dataset["obs/new"] = np.arange(dataset.n_obs)
    dataset.delete("obs/pct_mito")
    kk.publish(dataset, URL, overwrite=True)
    ds = _opened(tmp_path)
    assert kk.check(ds) == []
    assert "obs/new" in ds
    assert not any(name.startswith(("obs/pct_mito", ".kithkin")) for name in _names(store))


def test_nothing_but_a_dataset_is_written_over(dataset, store):
    client = store.client()
    client.put_object(Bucket="lab", Key="lung/public.zarr/thesis.txt", Body=b"all of it")
    for overwrite in (False, True):
        with pytest.raises(kk.KithkinError, match=r"holds thesis\.txt, which is no part of a dataset"):
            kk.publish(dataset, URL, overwrite=overwrite)
    client.delete_object(Bucket="lab", Key="lung/public.zarr/thesis.txt")
    for name in ("X/data/zarr.json", "X/data/c/77"):  # of another content, and of none
        client.put_object(Bucket="lab", Key=f"lung/public.zarr/{name}", Body=b"{}")
        with pytest.raises(kk.KithkinError, match=f"holds {name} with other content: choose another name, or use"):
            kk.publish(dataset, URL)
        with pytest.raises(kk.KithkinError, match=r"is not a dataset, and will not be overwritten"):
            kk.publish(dataset, URL, overwrite=True)
        assert _names(store) == {name}
        client.delete_object(Bucket="lab", Key=f"lung/public.zarr/{name}")


# ---- interruptions


@pytest.mark.parametrize("error", [ConnectionError("connection reset"), KeyboardInterrupt()])
def test_it_goes_on_where_it_stopped(dataset, store, puts, tmp_path, error):
    dataset = kk.open(dataset, memory="64MB", threads=1)
    puts.fail_after, puts.error = 20, error
    with pytest.raises((RemoteError, KeyboardInterrupt)) as stopped:
        kk.publish(dataset, URL)
    if isinstance(error, ConnectionError):
        assert "files are there, from which the same call goes on" in str(stopped.value)
    first = [name for name in puts if name != JOURNAL]
    assert 20 <= len(first) < 28  # several are under way when the connection is lost
    assert _names(store) == {*first, JOURNAL}
    with pytest.raises(kk.KithkinError, match="there is no dataset at"):
        _opened(tmp_path)
    puts.clear()
    puts.fail_after = 10**9
    time.sleep(1.1)  # the record of the step would tell another second
    kk.publish(dataset, URL)
    second = [name for name in puts if name != JOURNAL]
    assert set(first) & set(second) <= {"index.html"}
    assert {*first, *second} == _names(store)
    assert second[-1] == "zarr.json"
    assert kk.check(_opened(tmp_path)) == []


def test_a_killed_upload_goes_on(dataset, store, puts, tmp_path):
    script = Path(__file__).parents[1] / "killed.py"
    command = [sys.executable, "-W", "ignore", str(script), "publish", str(dataset.path), URL]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and len(_names(store)) < 5:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    there = _names(store)
    assert JOURNAL in there
    assert "zarr.json" not in there
    kk.publish(dataset, URL)
    assert there & set(puts) <= {"index.html", JOURNAL}
    assert kk.check(_opened(tmp_path)) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "cells.zarr"]


def test_a_page_of_another_minute_takes_the_place_of_the_first(dataset, store, puts, monkeypatch, tmp_path):
    dataset = kk.open(dataset, memory="64MB")
    puts.fail_after = 30
    with pytest.raises(RemoteError):
        kk.publish(dataset, URL)
    assert "index.html" in puts
    puts.fail_after = 10**9
    monkeypatch.setattr("kithkin.verbs.publish.add_page", lambda _, folder, __: (folder / "index.html").write_text("b"))
    kk.publish(dataset, URL)
    assert store.client().get_object(Bucket="lab", Key="lung/public.zarr/index.html")["Body"].read() == b"b"
    assert kk.check(_opened(tmp_path)) == []


def test_it_ends_what_was_done_but_for_the_journal(dataset, store, monkeypatch, tmp_path):
    remove = BucketWriter.remove
    with monkeypatch.context() as broken:
        broken.setattr(BucketWriter, "remove", lambda *_: (_ for _ in ()).throw(RemoteError("gone")))
        with pytest.raises(RemoteError, match="gone; "):
            kk.publish(dataset, URL)
    assert BucketWriter.remove is remove
    assert {"zarr.json", JOURNAL} <= _names(store)
    kk.publish(dataset, URL)
    assert JOURNAL not in _names(store)
    assert kk.check(_opened(tmp_path)) == []


def test_the_tag_of_an_encrypted_file_is_not_needed(dataset, store, puts, monkeypatch, tmp_path):
    """It is no hash of the content."""
    dataset = kk.open(dataset, memory="64MB")
    puts.fail_after = 20
    with pytest.raises(RemoteError):
        kk.publish(dataset, URL)
    first = set(puts)
    puts.clear()
    puts.fail_after = 10**9
    files, find = BucketWriter.files, BucketWriter.find

    def encrypted(name, found):
        return found if found is None or name in (JOURNAL, "index.html") else replace(found, tag='"kms"')

    monkeypatch.setattr(BucketWriter, "files", lambda self: {k: encrypted(k, one) for k, one in files(self).items()})
    monkeypatch.setattr(BucketWriter, "find", lambda self, name: encrypted(name, find(self, name)))
    kk.publish(dataset, URL)
    assert len(first) > 20
    assert first & set(puts) <= {"index.html", JOURNAL}
    assert kk.check(_opened(tmp_path)) == []


def test_what_fails_before_anything_is_there_leaves_nothing(dataset, store, tmp_path):
    next((dataset.path / "X/data/c").iterdir()).unlink()
    with pytest.raises(kk.KithkinError, match=r"X/data is damaged: 1 of its 1 files are missing"):
        kk.publish(dataset, URL)
    assert _names(store) == set()
    assert [path.name for path in tmp_path.iterdir()] == ["cells.zarr"]


# ---- two writers


def test_of_two_writers_the_second_is_refused(dataset, store, puts, tmp_path):
    other = kk.read(np.eye(9), to=tmp_path / "other.zarr")
    puts.fail_after = 20
    with pytest.raises(RemoteError):
        kk.publish(dataset, URL)
    puts.fail_after = 10**9
    there = _objects(store)
    message = r"another upload to s3://lab/lung/public\.zarr is not finished \(cells\.zarr, begun .*\): choose another"
    with pytest.raises(kk.KithkinError, match=message):
        kk.publish(other, URL)
    dataset["obs/late"] = np.zeros(dataset.n_obs)  # it is not what it was either
    with pytest.raises(kk.KithkinError, match=message):
        kk.publish(dataset, URL)
    assert _objects(store) == there
    kk.publish(other, URL, overwrite=True)
    ds = _opened(tmp_path)
    assert kk.check(ds) == []
    assert ds.shape == (9, 9)
    local = kk.publish(other, tmp_path / "public.zarr")
    assert _names(store) == {path.relative_to(local).as_posix() for path in local.rglob("*") if path.is_file()}


@pytest.mark.parametrize("method", ["record", "finish"])
def test_who_has_lost_the_address_does_not_finish(dataset, store, tmp_path, monkeypatch, method):
    """The second takes the place of the first while that is at work."""
    other = kk.read(np.eye(9), to=tmp_path / "other.zarr")
    own, taken = getattr(Upload, method), []

    def late(self, *args):
        if not taken:
            taken.append(True)
            kk.publish(other, URL, overwrite=True)
        own(self, *args)

    monkeypatch.setattr(Upload, method, late)
    with pytest.raises(kk.KithkinError, match=r"somebody else writes to s3://lab/lung/public\.zarr at the same time"):
        kk.publish(dataset, URL)
    ds = _opened(tmp_path)
    assert ds.shape == (9, 9)
    assert kk.check(ds) == []


def test_who_has_lost_the_address_leaves_the_journal_of_the_other(store):
    first = Upload(URL, "a", "a.zarr", overwrite=False)
    Upload(URL, "b", "b.zarr", overwrite=True)
    there = _objects(store)
    first.release()
    assert _objects(store) == there
    assert set(there) == {JOURNAL}


def test_two_at_once_make_one_dataset(dataset, store, tmp_path):
    other = kk.read(np.eye(9), to=tmp_path / "other.zarr")
    ends, start = {}, threading.Barrier(2)

    def publish(ds):
        start.wait()
        try:
            ends[ds.name] = kk.publish(ds, URL)
        except kk.KithkinError as error:
            ends[ds.name] = str(error)

    threads = [threading.Thread(target=publish, args=(ds,)) for ds in (dataset, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(end == URL for end in ends.values()) == [False, True]
    ds = _opened(tmp_path)
    assert kk.check(ds) == []
    assert ds.shape == (dataset if ends["cells.zarr"] == URL else other).shape
    assert JOURNAL not in _names(store)


def test_a_file_is_written_only_where_none_is(store):
    writer = BucketWriter(URL)
    assert writer.find("a") is None
    tag = writer.write("a", b"one")
    with pytest.raises(ConditionError):
        writer.write("a", b"two")
    assert writer.find("a").holds(b"one")
    found = writer.files()["a"]
    assert found.tag == tag
    writer.write("a", b"two", found)
    with pytest.raises(ConditionError):
        writer.write("a", b"six", found)
    assert writer.get("a").content == b"two"
    writer.remove("a")
    writer.remove("a")
    assert writer.files() == {}


def test_a_store_that_ignores_conditions_is_refused(dataset, store, monkeypatch):
    put = obstore.put
    monkeypatch.setattr(obstore, "put", lambda *args, **settings: put(*args, **{**settings, "mode": "overwrite"}))
    with pytest.raises(
        RemoteError, match=r"127\S+ ignores conditions \(If-None-Match\), so that two writers would mix"
    ):
        kk.publish(dataset, URL)
    assert _names(store) == set()


# ---- refusals


@pytest.mark.parametrize(
    ("name", "value", "url", "message"),
    [
        ("AWS_REGION", "eu-west-1", "s3://none/a.zarr", r"^s3://none/a\.zarr cannot be written: 127\S+ has no bu"),
        ("AWS_SKIP_SIGNATURE", "true", URL, r"cannot be written: no credentials are given \(set AWS_ACCESS_KEY_ID"),
        ("AWS_ACCESS_KEY_ID", "", URL, r"^AWS_ACCESS_KEY_ID must come with a secret key"),
        ("AWS_REGION", "", "https://me:hush@a.org/b", r"^to must be .* what lies behind https:// cannot be written$"),
        ("AWS_REGION", "", "gs://lab/a.zarr", r"^to must be .*, got one that begins with gs://$"),
        ("AWS_REGION", "", "s3://lab", r"^to must name a dataset in the bucket"),
        ("AWS_REGION", "", "s3://lab/a.zarr.zip", r"^to must name a folder in the bucket"),
        ("AWS_REGION", "", "s3://lab/lung/a.zip", r"^to must name a folder in the bucket"),
        ("AWS_REGION", "", "s3://lab/../a.zarr", r"^to must be an address without steps such as \.\."),
    ],
)
def test_what_stands_in_the_way_is_said_before_any_work(dataset, store, monkeypatch, name, value, url, message):
    monkeypatch.setenv(name, value)
    monkeypatch.setattr("kithkin.verbs.publish._link", None)
    with pytest.raises(kk.KithkinError, match=message) as refused:
        kk.publish(dataset, url)
    assert not any(word in str(refused.value) for word in (store.secret, "hush"))
    assert _names(store, "") == set()


def test_who_may_only_read_is_refused_before_any_work(dataset, bucket_stores, store, monkeypatch, tmp_path):
    strict = bucket_stores(strict=True)
    (tmp_path / "empty").mkdir()
    strict.make("lab", tmp_path / "empty")
    monkeypatch.setenv("AWS_ENDPOINT_URL", strict.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", strict.reader[0])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", strict.reader[1])
    monkeypatch.setattr("kithkin.verbs.publish._link", None)
    message = r"^s3://\S+ cannot be written: whoever has the credentials of AWS_ACCESS_KEY_ID may not write \.kithkin"
    with pytest.raises(RemoteError, match=message) as refused:
        kk.publish(dataset, URL)
    assert strict.reader[1] not in str(refused.value)


def test_credentials_that_expire_on_the_way_are_named(dataset, store, puts, monkeypatch, tmp_path):
    puts.fail_after, puts.error = 20, OSError("<Error><Code>ExpiredToken</Code></Error>")
    message = (
        r"cannot be written: the credentials of AWS_ACCESS_KEY_ID have expired; at least \d+ files are there, from"
    )
    with pytest.raises(RemoteError, match=message):
        kk.publish(dataset, URL)
    puts.fail_after = 10**9
    kk.publish(dataset, URL)
    assert kk.check(_opened(tmp_path)) == []


def test_datasets_are_made_here_and_published_then(dataset, small_counts):
    message = r"^to must be a folder on this disk, such as 'pbmc\.zarr': a dataset is made there, and then put into a"
    for call in (
        lambda: kk.read(small_counts, to=URL),
        lambda: kk.run(small_counts, to=URL),
        lambda: kk.subset(dataset, cells="n_genes > 0", to=URL),
    ):
        with pytest.raises(kk.ParameterError, match=message):
            call()


def test_the_command_says_where_it_is_and_draws_nothing_in_a_pipe(dataset, store, capsys, monkeypatch):
    words = ["publish", str(dataset.path), "--to", URL]
    assert main(words) == 0
    assert capsys.readouterr() == (f"{URL}\n", "")
    assert main(words) == 1
    assert "Choose another name, or use --overwrite to replace it" in capsys.readouterr().err
    assert main([*words, "--overwrite"]) == 0
    monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
    capsys.readouterr()
    assert main(words) == 1
    assert capsys.readouterr().err.startswith(f"kithkin: {URL} cannot be written: no credentials are given (set AWS_")


def test_the_progress_of_an_upload_is_drawn_where_it_is_wanted(dataset, store, capsys):
    kk.publish(kk.open(dataset, progress=True), URL)
    assert "upload" in capsys.readouterr().err
