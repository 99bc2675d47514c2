import gzip

import pytest

import kithkin as kk
from kithkin.io.formats.gmt import read_gmt

TEXT = "T cells\ta paper\tCD3D\tCD3E\tCD3D\n\nB cells\t\tCD19\t\n"


@pytest.mark.parametrize("form", ["plain", "gzip", "windows", "utf-16"])
def test_sets_are_read_in_any_form(tmp_path, form):
    path, raw = tmp_path / "sets.gmt", TEXT.encode()
    if form == "gzip":
        raw = gzip.compress(raw)
    elif form == "windows":
        raw = b"\xef\xbb\xbf" + TEXT.replace("\n", "\r\n").encode()
    elif form == "utf-16":
        raw = TEXT.encode("utf-16")
    path.write_bytes(raw)
    genes, descriptions = {"T cells": ["CD3D", "CD3E"], "B cells": ["CD19"]}, {"T cells": "a paper", "B cells": ""}
    assert read_gmt(path) == (genes, descriptions)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("T cells,CD3D,CD3E\n", r"s\.gmt: line 1 must hold a name, a description and genes, with tabs between"),
        ("T\tx\tCD3D\nB\tx\n", r"s\.gmt: line 2 must hold"),
        ("T\tx\tCD3D\nT\tx\tCD3E\n", r"s\.gmt: line 2 names the set 'T' for the second time"),
        ("\n\n", r"s\.gmt holds no gene sets"),
    ],
)
def test_a_broken_file_is_refused(tmp_path, text, said):
    (tmp_path / "s.gmt").write_text(text)
    with pytest.raises(kk.FormatError, match=said):
        read_gmt(tmp_path / "s.gmt")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(kk.KithkinError, match=r"no\.gmt does not exist"):
        read_gmt(tmp_path / "no.gmt")
    with pytest.raises(kk.KithkinError, match="is a folder"):
        read_gmt(tmp_path)
