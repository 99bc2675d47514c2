"""Write a copy of a dataset for a web server or a bucket: linked files, all headers in one, X by genes, a page."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Any

from kithkin.core.arrays import attributes, open_group
from kithkin.core.bucket_writer import writable_address
from kithkin.core.checksums import find_damage, read_checksums
from kithkin.core.chunks import DamageError
from kithkin.core.dataset import Dataset
from kithkin.core.elements import create_dict
from kithkin.core.errors import KithkinError, check
from kithkin.core.execute import track
from kithkin.core.extension import link_tree, remove_element
from kithkin.core.growing import GrowingTable
from kithkin.core.history import Step, digest, entry_of, fingerprint
from kithkin.core.keys import Key
from kithkin.core.published import BY_GENE, COPY_OF, check_replaced, content_of, seal, write_archive
from kithkin.core.remote import address_of, is_address, name_of
from kithkin.core.transaction import flush, replace_dataset, writing
from kithkin.core.upload import Upload, uploading
from kithkin.io.streams.transpose import transpose

ATTEMPTS = 20  # to find the source as it is between two changes
PAGE = "index.html"  # what web servers show of a folder
COPY = str(Key("layers", BY_GENE))


def publish(ds: Dataset, to: str | Path, *, overwrite: bool = False) -> Path | str:
    """Write a copy of a dataset for a web server or a bucket, from which kithkin, anndata and zarr read it by parts.

    The files are those of the dataset, by hard links where the file system has these, and copies elsewhere. What is
    written to the dataset later does not change them. All headers are in one file, so that a server need not list
    folders, and X, where it is sparse, is there a second time by genes (`layers/by_gene`, in CSC), from which
    `Dataset.genes` reads. A browser shows the page of `kithkin.report`. Nothing is at the destination until all of it
    is there.

    The same files go to a bucket of an S3-compatible store, each on the condition that nobody else has written it. An
    upload that was interrupted goes on with the same call; one of something else is refused meanwhile. Readers find
    the dataset once all of it is there; where one is replaced, none until then.

    Parameters
    ----------
    ds
        The dataset.
    to
        Path of the copy: a new folder, or one file if it ends in ".zip", such as "pbmc.zarr.zip". Or an address in a
        bucket, such as "s3://lab/pbmc.zarr".
    overwrite
        Replace a dataset that is there, once the new one is whole. In a bucket also an upload that was given up.

    Returns
    -------
    Path or str
        The folder or file; in a bucket the address.

    Raises
    ------
    ParameterError
        If `to` lies in the dataset, or is an address that cannot be written to.
    KithkinError
        If `to` exists, the dataset is damaged or is read over HTTP itself, or the disk is full. In a bucket also if the
        store does not answer or refuses, or somebody else writes there.

    Examples
    --------
    >>> import anndata, kithkin as kk, tempfile
    >>> folder = tempfile.mkdtemp()
    >>> ds = kk.read(kk.datasets.simulate_counts(100, 200, 2), to=folder + "/a.zarr")
    >>> published = kk.open(kk.publish(ds, folder + "/public.zarr"))
    >>> kk.check(published), (published.genes(ds.var_names[:3]) == ds.genes(ds.var_names[:3])).all()
    ([], np.True_)
    """
    url = writable_address(to) if isinstance(to, str) and is_address(to) else ""
    address = address_of(ds.path)
    if address is not None:
        raise KithkinError(f"{ds.name} is read from {address}: publish the dataset of which that was made")
    if url:
        return _upload(ds, url, overwrite=overwrite)
    target = Path(to).expanduser().absolute()
    check(ds.path != target and ds.path not in target.parents, f"to must be outside {ds.name}, which is read")
    if not target.parent.is_dir():
        raise KithkinError(f"the folder {target.parent} does not exist")
    is_archive = target.suffix == ".zip"
    if os.path.lexists(target):
        if not overwrite:
            raise KithkinError(f"{target} exists already. Choose another name, or use overwrite=True to replace it.")
        check_replaced(target, is_archive=is_archive)
    with writing(target) as staging:
        staged = _stage(ds, staging, target.name.removesuffix(".zip"))
        if is_archive:
            write_archive(staged, staging / "archive")
            flush(staging / "archive")
            os.replace(staging / "archive", target)
            flush(target.parent)
        else:
            replace_dataset(staged, target)
    return target


def _upload(ds: Dataset, url: str, *, overwrite: bool) -> str:
    """Write the copy into a bucket.

    All files are made before the first is sent, as headers and checksums tell of all of them. The folder for it is
    beside the dataset, so that links take no space: only X by genes does. The next call removes what a kill leaves.
    """
    recorded = read_checksums(ds.path)
    content = [f"{one} {key}" for key, one in sorted(recorded.items())] if recorded else fingerprint(ds.path)
    beside = ds.path.with_name(f"{name_of(url)}-upload-{digest([str(ds.path), url])[:8]}")
    with writing(beside) as staging, uploading(url, digest(content), ds.name, overwrite=overwrite) as upload:
        staged = _stage(ds, staging, name_of(url), upload)
        upload.send(staged, ds.execution)
        upload.finish(staged)
    return upload.url


def _stage(ds: Dataset, staging: Path, name: str, upload: Upload | None = None) -> Path:
    """Make the copy in a folder: the one that an earlier attempt to upload it has made in part, if there is one."""
    staged = staging / "dataset"
    _link(ds, staged)
    began, copy = time.perf_counter(), Dataset(staged, ds.execution)
    keys = _add_copy_by_gene(copy, staging)
    inputs = copy.lineage.identities(("X",)) if keys else {}
    step = Step("publish", 1, {}, ("X",) if keys else (), tuple(keys))
    recorded = read_checksums(staged)
    entry = None if upload is None else upload.entry
    if entry is None:
        entry = entry_of(step, inputs, time.perf_counter() - began)
        if upload is not None:
            upload.record(entry)
    seal(staged, entry, keys)
    add_page(ds, staged, name.removesuffix(".zarr"))
    if read_checksums(ds.path) != recorded:  # of which the page would tell
        raise KithkinError(f"{ds.name} was changed while it was published: publish it again")
    return staged


def _link(ds: Dataset, staged: Path) -> None:
    """Make a folder of the files of a dataset, as they are between two changes of it."""
    problems = ["it is being written again and again: wait until its writer is done"]
    for _ in range(ATTEMPTS):
        before = os.stat(ds.path).st_ino
        try:
            link_tree(ds.path, staged)
            problems = find_damage(staged, "", read_checksums(staged))
        except (FileNotFoundError, DamageError) as error:
            problems = [str(error)]
        if not problems and os.stat(ds.path).st_ino == before:
            return
        if staged.exists():
            shutil.rmtree(staged)
    raise DamageError(f"{ds.name}: {problems[0]}")


def _add_copy_by_gene(copy: Dataset, scratch: Path) -> list[str]:
    """Write X by genes as a layer of a staged copy, within the budget; return its key, or nothing where X is dense."""
    if "X" not in copy or attributes(copy.path, "X").get("encoding-type") != "csr_matrix":
        return []
    blocks: Any = copy.blocks("X")
    n_obs, n_vars = blocks.shape
    if not n_obs or not n_vars:
        return []
    group: Any = open_group(copy.path, "r+")
    layers = group["layers"] if "layers" in group else create_dict(group, "layers")
    if BY_GENE in layers:
        there = attributes(copy.path, COPY)
        check(COPY_OF in there, f"{COPY} of {copy.name} is where the copy of X by genes goes: delete or rename it")
        remove_element(layers, BY_GENE)
    table: GrowingTable | None = None
    read = (blocks.read(*one) for one in track(blocks.ranges, copy.execution, "publish"))
    for block in transpose(read, n_vars, n_obs, copy.execution, scratch):
        table = GrowingTable(layers, BY_GENE, block, n_obs, n_vars) if table is None else table
        table.append(block)
    if table is None:
        return []
    table.close()
    table.cast()
    content = content_of(read_checksums(copy.path), "X")
    layers[BY_GENE].attrs.update(
        {"encoding-type": "csc_matrix", "shape": [n_obs, n_vars], COPY_OF: {"key": "X", "content": content}}
    )
    return [COPY]


def add_page(ds: Dataset, folder: Path, title: str) -> None:
    """Write the page that a browser shows at the address, in place of that of an earlier copy."""
    from kithkin.reports.build import report

    page = folder / PAGE
    page.unlink(missing_ok=True)  # it is a file of the dataset, too, if that was published itself
    report(ds, page, title=title)
