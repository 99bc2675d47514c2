"""A dataset in a bucket is read as one behind a web server is, and no key is shown to anyone."""

import os
import pickle
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest

import kithkin as kk
from kithkin.core.bucket import Access, access
from kithkin.core.host import RemoteError, normal_address
from kithkin.core.remote import default_cache

pytest.importorskip("obstore", reason="the extra s3 is not installed")


@pytest.fixture
def plain_environment(monkeypatch, tmp_path):
    """No setting of AWS of whoever runs the tests."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    return monkeypatch


@pytest.fixture(scope="module")
def published(_dataset_path, tmp_path_factory):
    """A folder with a published dataset at lung/public.zarr."""
    folder = tmp_path_factory.mktemp("cells-of-all")
    (folder / "lung").mkdir()
    ds = kk.open(kk.publish(kk.open(_dataset_path), folder / "first.zarr"))
    kk.pca(ds, 5, genes=None)
    kk.publish(ds, folder / "lung/public.zarr")
    return folder


@pytest.fixture
def local(published):
    return kk.open(published / "lung/public.zarr")


@pytest.fixture(scope="module")
def store(bucket_stores, published):
    """A store with the dataset in two buckets, "private" and "public"."""
    store = bucket_stores()
    store.make("private", published / "lung")
    store.make("public", published / "lung", public=True)
    return store


@pytest.fixture
def signed(store, plain_environment):
    """The environment of who owns the buckets."""
    plain_environment.setenv("AWS_ENDPOINT_URL", store.url)
    plain_environment.setenv("AWS_ACCESS_KEY_ID", store.key)
    plain_environment.setenv("AWS_SECRET_ACCESS_KEY", store.secret)
    return plain_environment


# ---- a real store


def test_it_holds_what_the_folder_holds(signed, local, tmp_path):
    ds = kk.open("s3://private/public.zarr/", cache=tmp_path / "cache")
    assert ds.keys() == local.keys()
    assert ds.obs.equals(local.obs)
    np.testing.assert_array_equal(ds.genes(ds.var_names[:3]), local.genes(ds.var_names[:3]))
    np.testing.assert_array_equal(ds.rows([5, 2, 599]).to_dense(), local.rows([5, 2, 599]).to_dense())
    assert (ds.to_anndata().X != local.to_anndata().X).nnz == 0
    assert kk.check(ds) == []
    assert f"read from s3://private/public.zarr; results go to {ds.path}" in repr(ds)


def test_results_lie_here_and_no_key_among_them(signed, local, store, tmp_path, copy_of):
    mine = copy_of(local.path)
    ds = kk.open("s3://private/public.zarr", cache=tmp_path / "cache")
    for one in (ds, mine):
        kk.neighbors(one, 6)
        kk.leiden(one)
    again = kk.open("s3://private/public.zarr", cache=tmp_path / "cache")
    np.testing.assert_array_equal(np.asarray(again.read("obs/leiden")), np.asarray(mine.read("obs/leiden")))
    assert "obs/leiden" not in local
    kk.report(again, tmp_path / "page.html")
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    content = b"".join(path.read_bytes() for path in written) + pickle.dumps(again) + repr(again).encode()
    assert len(written) > 20
    assert not any(key.encode() in content for key in (store.key, store.secret))
    assert store.secret not in repr(access())


def test_other_processes_read_it_with_the_same_environment(signed, local, tmp_path):
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as processes:
        ds = kk.open("s3://private/public.zarr", cache=tmp_path / "cache", memory="64MB", executor=processes)
        assert kk.markers(ds, by="obs/group", key=None).equals(kk.markers(local, by="obs/group", key=None))


def test_a_public_bucket_needs_no_credentials(store, local, plain_environment, tmp_path):
    plain_environment.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")  # that of one service counts more
    plain_environment.setenv("AWS_ENDPOINT_URL_S3", store.url)
    ds = kk.open("s3://public/public.zarr", cache=tmp_path / "cache")
    assert access().source == ""
    np.testing.assert_array_equal(ds.read("obsm/X_pca"), local.read("obsm/X_pca"))


@pytest.mark.parametrize(
    ("name", "value", "url", "message"),
    [
        ("AWS_REGION", "eu-west-1", "none/a.zarr", r"^s3://none/a\.zarr cannot be read: 127\S+ has no bucket none$"),
        (
            "AWS_REGION",
            "eu-west-1",
            "private/none.zarr",
            r"^there is no dataset at s3://private/none\.zarr: it has",
        ),
        (
            "AWS_SKIP_SIGNATURE",
            "true",
            "private/public.zarr",
            r"^s3://private/public\.zarr/zarr\.json cannot be read: there is no such file, or it is not "
            r"public and no credentials are given \(set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE\)$",
        ),
        (
            "AWS_ACCESS_KEY_ID",
            "",
            "private/public.zarr",
            r"^AWS_ACCESS_KEY_ID must come with a secret key: set ",
        ),
        ("AWS_PROFILE", "nobody", "private/public.zarr", r"^AWS_PROFILE must name a profile of .*, got 'nobody'$"),
        ("AWS_ENDPOINT_URL", "ftp://a", "private/public.zarr", r"^AWS_ENDPOINT_URL must be an address that begins"),
        ("AWS_ENDPOINT_URL", "http://me:hush@a", "private/public.zarr", r"^AWS_ENDPOINT_URL must .*, without a user$"),
    ],
)
def test_what_stands_in_the_way_is_said_in_one_sentence(signed, store, tmp_path, name, value, url, message):
    signed.setenv(name, value)
    with pytest.raises(kk.KithkinError, match=message) as refused:
        kk.open(f"s3://{url}", cache=tmp_path / "cache")
    assert store.secret not in str(refused.value)
    assert not (tmp_path / "cache").exists()


def test_wrong_keys_are_told_apart_and_not_shown(bucket_stores, published, plain_environment, tmp_path):
    store = bucket_stores(strict=True)
    store.make("private", published / "lung")
    plain_environment.setenv("AWS_ENDPOINT_URL", store.url)
    (tmp_path / "config").write_text(f"[profile lab]\nregion = eu-west-1\nendpoint_url = {store.url}\n")
    for number, (key, secret, message) in enumerate(
        (
            (
                store.key,
                "wrong-secret",
                r"the secret key of the profile 'lab' is not that of the access key$",
            ),
            (
                "AKIAOFSOMEBODYELSE00",
                "wrong-secret",
                r"127\S+ does not know the access key of the profile 'lab'$",
            ),
            (store.key, store.secret, ""),
        ),
        start=1,
    ):
        (tmp_path / "credentials").write_text(
            f"[default]\naws_access_key_id = X\n[lab]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n"
        )
        os.utime(tmp_path / "credentials", ns=(0, number))
        plain_environment.setenv("AWS_PROFILE", "lab")
        if not message:
            assert kk.open("s3://private/public.zarr", cache=tmp_path / "cache").n_obs == 600
            assert access().region == "eu-west-1"
            continue
        with pytest.raises(RemoteError, match=message) as refused:
            kk.open("s3://private/public.zarr", cache=tmp_path / "cache")
        seen, shown = refused.value, ""
        while seen is not None:
            seen, shown = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__), shown + str(seen)
        assert key not in shown
        assert secret not in shown


def test_a_file_is_imported_from_a_bucket(signed, store, small_counts, tmp_path):
    (tmp_path / "files").mkdir()
    small_counts.write_h5ad(tmp_path / "files/cells 100%.h5ad")
    store.make("inputs", tmp_path / "files")
    ds = kk.read("s3://inputs/cells 100%.h5ad", to=tmp_path / "mine.zarr")
    assert (ds.to_anndata().X != small_counts.X).nnz == 0
    assert store.secret not in str(kk.history(ds).to_dict())
    signed.setenv("AWS_SKIP_SIGNATURE", "true")
    with pytest.raises(
        kk.FormatError, match=r"cells 100%\.h5ad cannot be read: there is no such file, or it is not public"
    ):
        kk.read("s3://inputs/cells 100%.h5ad", to=tmp_path / "other.zarr")
    with pytest.raises(RemoteError, match=r"^s3://nowhere cannot be read: 127\S+ has no bucket nowhere$"):
        kk.read("s3://nowhere/cells.h5ad", to=tmp_path / "other.zarr")


# ---- ranges and faults: unsigned, a bucket is a folder of a web server


@pytest.fixture
def host(published, serve, plain_environment):
    """A web server whose folder is the bucket."""
    host = serve(published.parent)
    plain_environment.setenv("AWS_ENDPOINT_URL", host.url)
    return host


@pytest.fixture
def url(published):
    return f"s3://{published.name}/lung/public.zarr"


def test_each_byte_is_fetched_once(host, url, local, tmp_path):
    ds = kk.open(url, cache=tmp_path / "cache", threads=2)
    assert len(host.requests) == 3
    host.requests.clear()
    np.testing.assert_array_equal(ds.genes(ds.var_names[7]), local.genes(ds.var_names[7]))
    assert len(host.requests) <= 6
    assert kk.check(ds) == []
    assert host.twice() == 0


def test_it_is_taken_up_again_and_given_up(host, url, local, tmp_path):
    ds = kk.open(url, cache=tmp_path / "cache")
    host.cut, host.refused = 1, 2
    np.testing.assert_array_equal(ds.read("obsm/X_pca"), local.read("obsm/X_pca"))
    assert host.cut == host.refused == 0
    host.cut = 10**6
    with pytest.raises(RemoteError, match=r"^127\.0\.0\.1:\d+ does not answer: X/.* could not be read \(.*\)$"):
        ds.blocks().read(0, 600)


def test_a_damaged_byte_is_noticed(host, url, tmp_path):
    ds = kk.open(url, cache=tmp_path / "cache")
    ds.read("obsm/X_pca")
    kept = next(path for path in (tmp_path / "cache/bytes").rglob("obsm/X_pca/c/*/*") if path.suffix != ".ranges")
    content = bytearray(kept.read_bytes())
    content[len(content) // 2] ^= 1
    kept.write_bytes(content)
    with pytest.raises(kk.KithkinError, match="obsm/X_pca is damaged on disk: a chunk does not match its checksum"):
        ds.read("obsm/X_pca")


def test_the_same_name_in_another_store_has_another_cache(plain_environment):
    plain_environment.setenv("AWS_ENDPOINT_URL", "https://one.example.org")
    first = default_cache("s3://cells/a.zarr")
    plain_environment.setenv("AWS_ENDPOINT_URL", "https://two.example.org")
    assert default_cache("s3://cells/a.zarr") != first
    assert first.name.startswith("a.zarr-")


# ---- addresses and settings


@pytest.mark.parametrize(
    "url",
    [
        "s3://",
        "s3:///a.zarr",
        "s3://a",
        "s3://cells:9000/a.zarr",
        "s3://cells/../a.zarr",
        "s3://cells//a.zarr",
        "s3://cells/./a.zarr",
        "s3://cells/a\n.zarr",
        "s3://cells/a.zarr?X-Amz-Signature=hush",
        "s3://cells/a.zarr#hush",
        "s3://me:hush@cells/a.zarr",
    ],
)
def test_addresses_that_are_none_are_refused_before_anything_is_asked(url, plain_environment, tmp_path):
    with pytest.raises(kk.ParameterError, match=r"^path must") as refused:
        kk.open(url, cache=tmp_path / "cache")
    assert "hush" not in str(refused.value)
    assert not (tmp_path / "cache").exists()


def test_keys_of_files_are_taken_as_they_are():
    assert normal_address("s3://Cells.of-all/100% of b/a.zarr/") == "s3://Cells.of-all/100% of b/a.zarr"


def test_the_machine_is_asked_for_credentials_only_where_the_environment_says_so(plain_environment):
    assert access() == Access("", "us-east-1", "")
    assert access().place == "s3.us-east-1.amazonaws.com"
    plain_environment.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "/token")
    assert access().source == "this machine"
    plain_environment.setenv("AWS_SKIP_SIGNATURE", "1")
    assert access().source == ""


def test_the_environment_counts_more_than_the_files(plain_environment, tmp_path):
    (tmp_path / "credentials").write_text("[default]\naws_access_key_id = A\naws_secret_access_key = B\n")
    (tmp_path / "config").write_text("[default]\nregion = eu-west-1\naws_session_token = T\n")
    assert access() == Access("", "eu-west-1", "the profile 'default'", ("A", "B", "T"))
    plain_environment.setenv("AWS_ACCESS_KEY_ID", "C")
    plain_environment.setenv("AWS_SECRET_ACCESS_KEY", "D")
    plain_environment.setenv("AWS_DEFAULT_REGION", "eu-west-2")
    assert access() == Access("", "eu-west-2", "AWS_ACCESS_KEY_ID", ("C", "D", ""))
    (tmp_path / "credentials").write_text("aws_secret_access_key = hush\n")
    os.utime(tmp_path / "credentials", ns=(0, 1))
    with pytest.raises(kk.ParameterError, match="credentials cannot be read as profiles") as refused:
        access()
    assert "hush" not in str(refused.value)
    assert refused.value.__suppress_context__


OTHER_REGION = "the bucket lies in another region than eu-west-1: set AWS_REGION"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("<Error><Code>ExpiredToken</Code></Error>", "the credentials of this machine have expired"),
        (
            "<Code>AuthorizationHeaderMalformed</Code>",
            "the bucket lies in another region than eu-west-1: set AWS_REGION",
        ),
        (
            "Received redirect without LOCATION, this",
            "the bucket lies in another region than eu-west-1: set AWS_REGION",
        ),
        ("<Code>RequestTimeTooSkewed</Code>", "the clock of this machine is wrong"),
        ("<Code>SlowDown</Code>", ""),
        ("<Code>AccessDenied</Code>", ""),
        ("connection reset", ""),
    ],
)
def test_answers_of_stores_have_a_meaning(answer, said):
    asked = Access("https://store.example.org", "eu-west-1", "this machine")
    assert asked.refusal("s3://cells/a.zarr", OSError(answer)) == said
    assert "may not read it" in asked.denial()


def test_a_package_that_is_not_installed_is_named(plain_environment, tmp_path):
    plain_environment.setitem(sys.modules, "obstore.store", None)
    with pytest.raises(kk.KithkinError, match=r"a bucket needs obstore: pip install 'kithkin\[s3\]'"):
        kk.open("s3://never-asked/a.zarr", cache=tmp_path)
