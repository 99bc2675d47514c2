"""Which reader is picked, and what is refused before anything is read."""

import gzip

import anndata
import h5py
import numpy as np
import pytest
from scipy import sparse

import kithkin as kk
from kithkin.core.errors import FormatError, ParameterError
from kithkin.io.read import FILES, IN_HDF5, open_source


@pytest.fixture
def h5ad(tmp_path):
    anndata.AnnData(sparse.csr_matrix(np.eye(3, dtype=np.float32))).write_h5ad(tmp_path / "counts.csv")
    return tmp_path / "counts.csv"


def test_content_decides_and_not_the_name(h5ad):
    source = open_source(str(h5ad))
    assert (source.name, source.n_columns, len(source.obs)) == ("counts.csv", 3, 3)
    source.close()


def test_at_most_one_reader_claims_a_file(h5ad):
    assert [kind.label for kind in FILES if kind.sniff(h5ad)] == []
    with h5py.File(h5ad) as file:
        assert [kind.label for kind in IN_HDF5 if kind.sniff(file)] == ["an h5ad file"]


@pytest.mark.parametrize(("setting", "value"), [("genome", "hg19"), ("transpose", True)])
def test_a_setting_without_effect_is_refused(h5ad, setting, value):
    with pytest.raises(ParameterError, match=f"^{setting} has no effect on an h5ad file: counts.csv$"):
        open_source(h5ad, **{setting: value})


def test_what_is_not_there_or_empty(tmp_path):
    with pytest.raises(FormatError, match=r"nowhere\.h5 does not exist"):
        open_source(tmp_path / "nowhere.h5")
    (tmp_path / "a.h5").touch()
    with pytest.raises(FormatError, match=r"^a\.h5 is empty$"):
        open_source(tmp_path / "a.h5")
    (tmp_path / "folder").mkdir()
    with pytest.raises(FormatError, match=r"^folder is an empty folder$"):
        open_source(tmp_path / "folder")


def test_what_nobody_reads(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["weights"] = np.eye(2)
    with pytest.raises(FormatError, match=r"^a.h5 is HDF5, but neither AnnData .* it holds weights$"):
        open_source(tmp_path / "a.h5")
    (tmp_path / "a.bin").write_bytes(bytes(range(256)) * 4)
    with pytest.raises(FormatError, match=r"^a.bin is not a file that can be read. Readable are: 10x HDF5"):
        open_source(tmp_path / "a.bin")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "notes").write_text("nothing")
    with pytest.raises(FormatError, match=r"^folder is not a folder that can be read"):
        open_source(tmp_path / "folder")


def test_a_folder_given_for_the_file_in_it(tmp_path, h5ad):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "0.empty").touch()
    (tmp_path / "run" / "README").write_text("a,table\n1,2\n")
    h5ad.rename(tmp_path / "run" / "counts.h5ad")
    with pytest.raises(
        FormatError, match=r"^run is a folder that is not read as a whole: name a file in it, such as counts\.h5ad$"
    ):
        open_source(tmp_path / "run")


def test_images_as_a_matrix_market_folder(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (6, 12)).astype(np.uint8)
    entries = [(column + 1, row + 1, images[row, column]) for row in range(6) for column in np.flatnonzero(images[row])]
    lines = [f"12 6 {len(entries)}", *(" ".join(map(str, entry)) for entry in entries)]
    (tmp_path / "matrix.mtx").write_text("%%MatrixMarket matrix coordinate integer general\n" + "\n".join(lines))
    pixels = [f"pixel_{k // 4}_{k % 4}" for k in range(12)]
    (tmp_path / "features.tsv").write_text("".join(f"{pixel}\t{pixel}\tPixel\n" for pixel in pixels))
    (tmp_path / "barcodes.tsv").write_text("".join(f"image{k}\n" for k in range(6)))
    ds = kk.read(tmp_path, to=tmp_path / "out.zarr")
    assert np.array_equal(ds.read("X").toarray(), images)
    assert ds.var_names.tolist() == pixels
    assert ds.obs_names.tolist() == [f"image{k}" for k in range(6)]


def test_truncated_hdf5_is_named_as_such(h5ad):
    h5ad.write_bytes(h5ad.read_bytes()[:2000])
    with pytest.raises(FormatError, match=r"^counts.csv is truncated or damaged: truncated file"):
        open_source(h5ad)


def test_gzip_that_cannot_be_told_is_named(tmp_path, h5ad):
    whole = gzip.compress(b"%%MatrixMarket matrix coordinate integer general\n2 2 1\n1 1 5\n")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "matrix.mtx.gz").write_bytes(whole[:15])
    with pytest.raises(FormatError, match=r"^matrix\.mtx\.gz is gzip, but truncated or damaged"):
        open_source(tmp_path / "run")
    (tmp_path / "a.h5ad.gz").write_bytes(gzip.compress(h5ad.read_bytes()))
    with pytest.raises(FormatError, match=r"^a\.h5ad\.gz is gzip, .*: unpack it first$"):
        open_source(tmp_path / "a.h5ad.gz")


@pytest.mark.parametrize(
    ("member", "said"), [("assays", "h5Seurat .*: write it from R"), ("barcode_idx", "Cell Ranger: read f")]
)
def test_other_files_of_hdf5_say_what_to_do(member, said, tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_group(member)
    with pytest.raises(FormatError, match=f"^a.h5 is .*{said}"):
        open_source(tmp_path / "a.h5")
