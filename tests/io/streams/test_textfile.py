"""Text in every packing and encoding, and a sentence for what must be unpacked first."""

import bz2
import gzip
import lzma
import tarfile
import zipfile

import numpy as np
import pytest

from kithkin.core.errors import FormatError
from kithkin.core.execute import Execution
from kithkin.io.formats.column import read_column
from kithkin.io.read import open_source
from kithkin.io.streams.textfile import TextFile, head

TEXT = "cell,CD3E,CD8A\n" + "".join(f"ä{k},{k % 7},{k % 3}\n" for k in range(3000))
PACKINGS = {"plain": bytes, "gzip": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}
ENCODINGS = {"utf-8": "utf-8", "utf-8-sig": "utf-8-sig", "utf-16": "utf-16", "utf-16 big": "utf-16-be"}


def encoded(encoding):
    return (b"\xfe\xff" if encoding == "utf-16 big" else b"") + TEXT.encode(ENCODINGS[encoding])


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_packings_and_encodings(packing, encoding, tmp_path):
    path = tmp_path / "a"
    path.write_bytes(PACKINGS[packing](encoded(encoding)))
    with TextFile(path) as file:
        assert file.read().decode() == TEXT
    with TextFile(path) as file:
        assert b"".join(file) == TEXT.encode()
    assert head(path, 100) == TEXT.encode()[:100]
    source = open_source(path)
    X = np.concatenate(list(source.tables["X"](Execution())))
    assert X[:, 0].tolist() == [k % 7 for k in range(3000)]
    assert source.obs.index[-1] == "ä2999"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_lines_that_end_by_carriage_returns_alone(encoding, tmp_path):
    (tmp_path / "a").write_bytes(TEXT.replace("\n", "\r").encode(encoding))
    with TextFile(tmp_path / "a") as file:
        assert file.read().decode() == TEXT
    assert head(tmp_path / "a", 100) == TEXT.encode()[:100]
    (tmp_path / "b").write_bytes(TEXT.replace("\n", "\r\n").encode(encoding))
    for name in "ab":
        source = open_source(tmp_path / name)
        assert np.concatenate(list(source.tables["X"](Execution())))[:, 0].tolist() == [k % 7 for k in range(3000)]


def test_labels_in_utf_16(tmp_path):
    (tmp_path / "a.csv.xz").write_bytes(lzma.compress("cell,kind\na,T\nb,B\n".encode("utf-16")))
    assert read_column(tmp_path / "a.csv.xz", None, ["a", "b"]).tolist() == ["T", "B"]


@pytest.mark.parametrize("packing", ["bz2", "xz"])
def test_truncated_and_damaged(packing, tmp_path):
    whole = PACKINGS[packing](np.random.default_rng(0).bytes(300_000).hex().encode())
    (tmp_path / "a").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "b").write_bytes(whole[: len(whole) // 2] + bytes(100) + whole[len(whole) // 2 + 100 :])
    for name, fault in (("a", "truncated"), ("b", "damaged")):
        with pytest.raises(FormatError, match=fault), TextFile(tmp_path / name) as file:
            file.read()


def test_half_a_letter_of_utf_16_is_refused(tmp_path):
    (tmp_path / "a").write_bytes(TEXT.encode("utf-16")[:-1])
    with (
        pytest.raises(FormatError, match="a is truncated or damaged: it is not whole UTF-16 text"),
        TextFile(tmp_path / "a") as file,
    ):
        file.read()


def test_what_must_be_unpacked_or_exported_first(tmp_path):
    (tmp_path / "a.csv").write_text(TEXT)
    for name, mode in (("a.tar", "w"), ("b.tar.gz", "w:gz"), ("c.tar.xz", "w:xz")):
        with tarfile.open(tmp_path / name, mode) as archive:
            archive.add(tmp_path / "a.csv", "a.csv")
    for name, member in (("d.zip", "a.csv"), ("e.xlsx", "xl/workbook.xml")):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr(member, TEXT)
    (tmp_path / "f.xls").write_bytes(b"\xd0\xcf\x11\xe0" + bytes(600))
    (tmp_path / "g.rds").write_bytes(gzip.compress(b"X\n\0\0\0\3"))
    (tmp_path / "h.csv.zst").write_bytes(b"\x28\xb5\x2f\xfd\0\0")
    (tmp_path / "i.csv").write_bytes(TEXT.encode("utf-32"))
    (tmp_path / "j.csv").write_bytes("cell,CD3\na,1\n".encode("utf-16-be"))
    (tmp_path / "k.h5ad").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 12\n")
    (tmp_path / "l.mtx").write_text("<!DOCTYPE html><html><body>404</body></html>\n")
    (tmp_path / "m").write_bytes(gzip.compress(b"RDX3\n"))
    told = {
        "m": "write10xCounts",
        "i.csv": "UTF-32 .*: save it as UTF-8",
        "j.csv": "UTF-16 .*: save it as UTF-8",
        "k.h5ad": "a pointer .*: fetch the file first",
        "l.mtx": "a web page",
        "a.tar": "unpack it",
        "b.tar.gz": "unpack it",
        "c.tar.xz": "unpack it",
        "d.zip": r"a zip archive of a\.csv: unpack it",
        "e.xlsx": "save the sheet as CSV",
        "f.xls": "save the sheet as CSV",
        "g.rds": "write10xCounts",
        "h.csv.zst": "unpack it first",
    }
    for name, advice in told.items():
        with pytest.raises(FormatError, match=f"^{name} is .*{advice}"):
            open_source(tmp_path / name)
