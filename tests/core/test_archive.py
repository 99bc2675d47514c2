"""Files in a ZIP file are read where they lie; what is damaged, compressed or replaced meanwhile is said."""

import zipfile

import numpy as np
import pytest

import kithkin as kk
from kithkin.core.archive import ArchiveFile, archive_of
from kithkin.core.host import RemoteError


@pytest.fixture
def archive(dataset, tmp_path):
    return kk.publish(dataset, tmp_path / "public.zarr.zip")


def test_parts_of_files_are_those_that_zipfile_reads(archive):
    with zipfile.ZipFile(archive) as opened:
        for name in opened.namelist():
            content, file = opened.read(name), ArchiveFile(archive_of(str(archive)), name)
            assert file.size == len(content)
            assert file.read(10**9, 0) == content
            assert file.read(7, 3) == content[3:10]
            assert file.read(5, len(content) + 2) == b""
            assert file.tail(9) == (content[-9:], max(0, len(content) - 9))


def test_a_name_that_is_not_there_is_no_file(archive):
    with pytest.raises(FileNotFoundError, match="no nothing/c/0"):
        ArchiveFile(archive_of(str(archive)), "nothing/c/0")


def test_a_compressed_archive_is_refused(dataset, tmp_path):
    folder = kk.publish(dataset, tmp_path / "public.zarr")
    with zipfile.ZipFile(tmp_path / "packed.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                packed.write(path, path.relative_to(folder))
    with pytest.raises(kk.KithkinError, match=r"packed\.zip is compressed \(.*\), and cannot be read by parts"):
        kk.open(tmp_path / "packed.zip", cache=tmp_path / "cache")


@pytest.mark.parametrize("content", [b"", b"PK\x05\x06", b"no archive at all" * 9])
def test_what_is_no_archive_is_refused(tmp_path, content):
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(kk.KithkinError, match=r"a\.zip is no ZIP file, or is damaged"):
        kk.open(tmp_path / "a.zip", cache=tmp_path / "cache")


def test_an_archive_of_something_else_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as other:
        other.writestr("thesis.txt", "all of it")
    with pytest.raises(kk.KithkinError, match=r"there is no dataset at .*a\.zip: it has no zarr\.json"):
        kk.open(tmp_path / "a.zip", cache=tmp_path / "cache")


def test_a_cut_archive_is_damage(archive, tmp_path):
    ds = kk.open(archive, cache=tmp_path / "cache")
    content = archive.read_bytes()
    with zipfile.ZipFile(archive) as opened:
        place = opened.getinfo("X/data/c/0").header_offset
    archive.write_bytes(content[: place + 200] + bytes(50) + content[place + 250 :])
    with pytest.raises(RemoteError, match=r"public\.zarr\.zip was changed while it was read: open it again"):
        ds.blocks().read(0, 10)
    again = kk.open(archive, cache=tmp_path / "cache")
    assert [problem.partition(" ")[0] for problem in kk.check(again)] == ["X/data"]
    with pytest.raises(kk.KithkinError, match="X/data is damaged"):
        again.blocks().read(0, 600)


def test_it_is_opened_again_where_it_was(archive, dataset, tmp_path):
    ds = kk.open(archive, cache=tmp_path / "cache")
    ds["obs/mine"] = np.arange(600)
    moved = archive.rename(tmp_path / "moved.zip")
    with pytest.raises(kk.KithkinError, match=r"public\.zarr\.zip cannot be read: No such file"):
        ds.blocks().read(0, 10)
    moved.rename(archive)
    assert kk.open(archive, cache=tmp_path / "cache")["obs/mine"].tolist() == list(range(600))
