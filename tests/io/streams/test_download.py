"""A file at an address is imported as it is from this disk, fetched once, and nothing of it is left behind."""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

import kithkin as kk
from kithkin.core.execute import Execution
from kithkin.core.host import RemoteError
from kithkin.io.streams.download import downloaded

pytest.importorskip("obstore", reason="the extra remote is not installed")


@pytest.fixture
def folder(tmp_path, small_counts):
    """A folder with the cells as a file and as two, to be served."""
    folder = tmp_path / "all-cells"
    for name, cells in (("cells", small_counts), ("a/cells", small_counts[:350]), ("b/cells", small_counts[350:])):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        cells.write_h5ad(folder / f"{name}.h5ad")
    return folder


@pytest.fixture(params=["http", "s3"])
def host(request, folder, serve, monkeypatch):
    """The server of the folder; of a bucket, too, which is asked without a signature."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(folder / "none"))
    served = serve(folder.parent)
    monkeypatch.setenv("AWS_ENDPOINT_URL", served.url)
    served.base = f"{served.url}/{folder.name}" if request.param == "http" else f"s3://{folder.name}"
    return served


def left_behind(to):
    return [path.name for path in to.parent.iterdir() if path.name.startswith(".")]


def test_it_is_imported_as_from_this_disk(host, folder, tmp_path):
    url, to = f"{host.base}/cells.h5ad", tmp_path / "mine.zarr"
    ds, expected = kk.read(url, to=to), kk.read(folder / "cells.h5ad", to=tmp_path / "local.zarr")
    assert (ds.to_anndata().X != expected.to_anndata().X).nnz == 0
    assert ds.obs.equals(expected.obs)
    assert ds.keys() == expected.keys()
    assert kk.check(ds) == []
    assert ds.lineage.entries[0].source == url
    assert left_behind(to) == []
    fetched = [one for one in host.requests if one[2] - one[1] > 1]
    assert sum(stop - start for _, start, stop in fetched) == (folder / "cells.h5ad").stat().st_size - 1


def test_what_was_imported_is_not_fetched_again(host, folder, tmp_path):
    url, to = f"{host.base}/cells.h5ad", tmp_path / "mine.zarr"
    kk.read(url, to=to)
    host.requests.clear()
    assert kk.read(url, to=to).n_obs == 600
    assert host.n_bytes <= 4
    with pytest.raises(kk.KithkinError, match=r"mine\.zarr exists already\. Choose another name"):
        kk.read(url, to=to, kind="values")
    shutil.copy(folder / "a/cells.h5ad", folder / "cells.h5ad")
    with pytest.raises(kk.KithkinError, match=r"mine\.zarr exists already\. Choose another name"):
        kk.read(url, to=to)
    assert kk.read(url, to=to, overwrite=True).n_obs == 350


def test_an_interrupted_download_goes_on(host, folder, tmp_path, monkeypatch):
    monkeypatch.setattr("kithkin.io.streams.download.PIECE", 4096)
    url, to = f"{host.base}/cells.h5ad", tmp_path / "mine.zarr"
    size = (folder / "cells.h5ad").stat().st_size
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kithkin.core.host.RETRIES", 0)
        failing = iter(range(20))

        def track(pieces, *args, **settings):
            for piece in pieces:
                if next(failing, None) == 10:
                    host.cut = 10**6
                yield piece

        patch.setattr("kithkin.io.streams.download.track", track)
        with pytest.raises(RemoteError, match=r"^127\S+ does not answer: .*; 40,961 bytes are here, from which"):
            kk.read(url, to=to)
    host.cut = 0
    assert left_behind(to) == [".mine.zarr.download"]
    host.requests.clear()
    assert kk.read(url, to=to).n_obs == 600
    assert host.n_bytes <= size - 40_961 + 4
    assert left_behind(to) == []


def test_what_is_left_of_another_version_is_not_used(host, folder, tmp_path, monkeypatch):
    monkeypatch.setattr("kithkin.io.streams.download.PIECE", 4096)
    url, to = f"{host.base}/cells.h5ad", tmp_path / "mine.zarr"

    def interrupted(pieces, *args, **settings):
        yield from pieces[:3]
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("kithkin.io.streams.download.track", interrupted)
        with pytest.raises(KeyboardInterrupt):
            kk.read(url, to=to)
    assert left_behind(to) == [".mine.zarr.download"]
    shutil.copy(folder / "b/cells.h5ad", folder / "cells.h5ad")
    assert kk.read(url, to=to).n_obs == 250
    assert left_behind(to) == []


def test_several_samples_and_an_append(host, folder, tmp_path):
    urls, to = [f"{host.base}/{name}/cells.h5ad" for name in "ab"], tmp_path / "mine.zarr"
    both = kk.read([urls[0], folder / "b/cells.h5ad"], to=to)
    assert both.read("uns/samples")["n_cells"].tolist() == [350, 250]
    first = kk.read({"a": urls[0]}, to=tmp_path / "first.zarr")
    kk.append(first, {"b": urls[1]})
    assert first.read("uns/samples")["n_cells"].to_dict() == {"a": 350, "b": 250}
    assert (first.to_anndata().X != both.to_anndata().X).nnz == 0
    host.requests.clear()
    kk.append(first, {"b": urls[1]})
    assert host.n_bytes <= 4
    assert left_behind(to) == []


def test_a_run_begins_at_an_address(host, tmp_path):
    ds = kk.run(f"{host.base}/cells.h5ad", to=tmp_path / "mine.zarr", cells="n_genes > 50")
    assert "obs/leiden" in ds
    assert left_behind(ds.path) == []


def test_what_is_no_input_is_said(host, folder, tmp_path):
    (folder / "cells.rds").write_bytes(b"\x1f\x8b" + bytes(100))
    to = tmp_path / "mine.zarr"
    for name, message in (
        ("none.h5ad", r"there is no file at \S+/none\.h5ad$"),
        ("none.zarr", r"there is no file at \S+/none\.zarr: kithkin\.open opens a dataset there"),
        ("cells.rds", r"cells\.rds is "),
    ):
        with pytest.raises(kk.FormatError, match=message):
            kk.read(f"{host.base}/{name}", to=to)
        assert left_behind(to) == []
    with pytest.raises(kk.KithkinError, match=r"the folder .* does not exist"):
        kk.read(f"{host.base}/cells.h5ad", to=tmp_path / "nowhere/mine.zarr")


@pytest.mark.parametrize("host", ["http"], indirect=True)  # the protocol of buckets has ranges
def test_a_server_without_ranges_gives_it_as_a_whole(host, tmp_path, monkeypatch):
    host.ranges = False
    assert kk.read(f"{host.base}/cells.h5ad", to=tmp_path / "mine.zarr").n_obs == 600
    monkeypatch.setattr("kithkin.core.host.LARGEST_WHOLE", 1000)
    with pytest.raises(RemoteError, match=r"cells\.h5ad has [\d,]+ bytes, which is too many to be read as a whole"):
        kk.read(f"{host.base}/cells.h5ad", to=tmp_path / "other.zarr")


def test_two_do_not_download_for_the_same_dataset(host, tmp_path):
    to, together = tmp_path / "mine.zarr", Barrier(2, timeout=20)

    def bring(_):
        try:
            with downloaded({"a": f"{host.base}/cells.h5ad"}, to, Execution()) as here:
                together.wait()
                return here["a"].stat().st_size
        except kk.KithkinError as error:
            together.wait()
            return str(error)

    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(bring, range(2)))
    said = [one for one in found if isinstance(one, str)]
    assert len(said) == 1
    assert said[0] == f"{to} is being imported by another process: wait until that is done"
    assert left_behind(to) == []


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org",
        "s3://cells",
        "ftp://example.org/a.h5ad",
        "https://example.org/a.h5ad?token=hush",
        "https://me:hush@example.org/a.h5ad",
    ],
)
def test_what_is_no_address_of_a_file_is_refused(url, tmp_path):
    for source in (url, [url], {"a": url}):
        with pytest.raises(kk.ParameterError, match=r"^source must") as refused:
            kk.read(source, to=tmp_path / "mine.zarr")
        assert "hush" not in str(refused.value)
    assert not list(tmp_path.iterdir())
