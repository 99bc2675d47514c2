"""Uploads of datasets into buckets: resumable, one at a time, and no dataset for readers before all of it is there.

The journal is a file below the address. It is made on the condition that it is not there, and holds of which content
the upload is. Whoever uploads the same goes on from there, and anybody else is refused. Each file is written on the
condition that it is not there, or is the one to be replaced; one that is there with the same content counts as
uploaded. The header of the root, without which nothing is a dataset, comes last, and then the journal goes.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from kithkin.core.bucket_writer import LARGEST, BucketWriter, ConditionError, Found
from kithkin.core.errors import KithkinError
from kithkin.core.execute import Execution, map_tasks, track
from kithkin.core.history import Entry
from kithkin.core.host import RemoteError
from kithkin.core.keys import PLACES

log = logging.getLogger("kithkin")
JOURNAL = ".kithkin/upload.json"
ROOT, PAGE = "zarr.json", "index.html"  # the page holds the minute in which it was made: it is made again
CONNECTIONS = 8  # files under way at a time, at most; each is in memory, as one request with a condition holds it whole
CHOOSE = "choose another name, or use overwrite=True"


class Upload:
    """Upload of a dataset to an address, which is claimed for it.

    Parameters
    ----------
    url
        The address.
    of
        What tells the content of the dataset from any other.
    name
        Name of the dataset, for messages to others.
    overwrite
        Take the place of a dataset that is there, or of an upload of something else.

    Attributes
    ----------
    entry
        Record of the step that an earlier attempt has written into its files; None for none.
    n_there
        Number of files that are uploaded; None before the first is sent.
    """

    def __init__(self, url: str, of: str, name: str, *, overwrite: bool) -> None:
        self._writer, self._overwrite, self._name = BucketWriter(url), overwrite, name
        self._journal = {"of": of, "dataset": name, "begun": datetime.now(UTC).isoformat(timespec="seconds")}
        self._journal |= {"writer": secrets.token_hex(8)}
        self.entry: Entry | None = None
        self._there = self._writer.files()
        claimed = self._there.pop(JOURNAL, None)
        self._resumed = claimed is not None and self._take_up()
        self.n_there: int | None = None
        if self._resumed:
            return
        self._check_alien(self._there)
        if ROOT in self._there and not overwrite:
            raise KithkinError(f"{url} exists already. Choose another name, or use overwrite=True to replace it.")
        if self._there and overwrite and claimed is None and ROOT not in self._there:
            raise KithkinError(f"{url} is not a dataset, and will not be overwritten")
        self._tag = self._claim(claimed)

    @property
    def url(self) -> str:
        """Address of the dataset."""
        return self._writer.url

    def _take_up(self) -> bool:
        """Read the journal, and tell whether it is that of an earlier attempt to upload the same."""
        try:
            found = self._writer.get(JOURNAL)
            journal = json.loads(found.content)
            same, other = bool(journal["of"] == self._journal["of"]), f"{journal['dataset']}, begun {journal['begun']}"
            entry = Entry(**journal["entry"]) if same and journal["entry"] else None
        except FileNotFoundError as error:  # it was removed meanwhile, or may not be read
            raise RemoteError(f"{self.url} cannot be written: {error}") from None
        except (ValueError, KeyError, TypeError, RecursionError):
            same, other, entry = False, "by a journal that cannot be read", None
        if same:
            self._journal, self._tag, self.entry = journal, found.version, entry
        elif not self._overwrite:
            raise KithkinError(
                f"another upload to {self.url} is not finished ({other}): {CHOOSE} if nobody is at work on it any more"
            )
        return same

    def _check_alien(self, names: Iterable[str]) -> None:
        """Refuse to remove or surround what is no part of a dataset."""
        alien = next((name for name in names if name.split("/")[0] not in (*PLACES, ROOT, PAGE)), None)
        if alien is not None:
            raise KithkinError(f"{self.url} holds {alien}, which is no part of a dataset: choose another name")

    def _claim(self, instead_of: Found | None) -> str:
        """Write the journal, and return its tag."""
        content = self._text()
        try:
            tag = self._writer.write(JOURNAL, content, instead_of)
        except ConditionError:  # an answer that was lost makes the second request fail on the first
            found = self._writer.find(JOURNAL)
            if found is None or not found.holds(content):
                raise KithkinError(f"another upload to {self.url} has just begun: {CHOOSE} once it is done") from None
            tag = found.tag
        if instead_of is None:
            try:
                self._writer.write(JOURNAL, content)
            except ConditionError:
                return tag
            self._writer.remove(JOURNAL)
            raise RemoteError(
                f"{self.url} cannot be written: {self._writer.place} ignores conditions (If-None-Match), "
                "so that two writers would mix; publish to a folder, and copy that"
            )
        return tag

    def _text(self) -> bytes:
        entry = None if self.entry is None else dataclasses.asdict(self.entry)
        return json.dumps({**self._journal, "entry": entry}).encode()

    def record(self, entry: Entry) -> None:
        """Write into the journal what the files hold of this attempt, so that the next one makes the same files."""
        self.entry = entry
        before = Found(0, self._tag)
        try:
            self._tag = self._writer.write(JOURNAL, self._text(), before)
        except ConditionError:
            found = self._writer.find(JOURNAL)
            if found is None or not found.holds(self._text()):
                raise self._lost() from None
            self._tag = found.tag

    def release(self) -> None:
        """Give the address up again if nothing has been uploaded to it."""
        if not self._resumed and self.n_there is None and self._is_ours():
            self._writer.remove(JOURNAL)

    def send(self, folder: Path, execution: Execution) -> None:
        """Upload the files of a folder.

        Raises
        ------
        KithkinError
            If something else is there, or another writer comes between.
        RemoteError
            If the store does not answer or refuses.
        """
        sizes = file_sizes(folder)
        largest = max(sizes.values())
        if largest > LARGEST:
            raise KithkinError(f"a file of {self._name} has {largest:,} bytes, and a store takes {LARGEST:,} at a time")
        different = self._writer.different(folder, sizes, self._there)
        strays = [name for name in self._there if name not in sizes]
        self._check_alien(strays)
        replaced = [name for name in different if not (self._resumed and name == PAGE)]
        if not self._overwrite and (strays or replaced):
            raise KithkinError(f"{self.url} holds {(strays or replaced)[0]} with other content: {CHOOSE}")
        missing = [name for name in sizes if name != ROOT and (name not in self._there or name in different)]
        self.n_there = len(sizes) - 1 - len(missing)
        if ROOT in different:  # from here on it is no dataset: nobody reads a mixture of two
            self._writer.remove(ROOT)
            del self._there[ROOT]
        for name in strays:
            self._writer.remove(name)
        threads = max(1, min(CONNECTIONS, execution.memory // (2 * largest + 1)))
        total = sum(sizes[name] for name in missing)
        shown = track(missing, execution, "upload", unit="B", total=total, size=sizes.__getitem__)
        for _ in map_tasks(partial(self._put, folder), shown, dataclasses.replace(execution, threads=threads)):
            self.n_there += 1

    def finish(self, folder: Path) -> None:
        """Write the header of the root, if the address is still claimed, and give up the claim.

        Raises
        ------
        KithkinError
            If somebody else has claimed it.
        """
        if not self._is_ours():
            raise self._lost()
        self._put(folder, ROOT)
        self._writer.remove(JOURNAL)

    def _put(self, folder: Path, name: str) -> None:
        """Write one file, unless it is there."""
        content = (folder / name).read_bytes()
        try:
            self._writer.write(name, content, self._there.get(name))
        except ConditionError:
            found = self._writer.find(name)
            if found is None or not found.holds(content):
                raise self._lost() from None

    def _is_ours(self) -> bool:
        """Tell whether the journal is still the one that was written, or taken up."""
        found = self._writer.find(JOURNAL)
        return found is not None and found.tag == self._tag

    def _lost(self) -> KithkinError:
        return KithkinError(f"somebody else writes to {self.url} at the same time: {CHOOSE} once that is done")


@contextmanager
def uploading(url: str, of: str, name: str, *, overwrite: bool) -> Iterator[Upload]:
    """Claim an address for an upload; what fails before anything is there gives it up again."""
    upload = Upload(url, of, name, overwrite=overwrite)
    try:
        yield upload
    except BaseException as error:
        try:
            upload.release()
        except KithkinError as second:  # the first error is the one to tell
            log.debug("%s", second)
        if upload.n_there and isinstance(error, RemoteError):
            there = f"at least {upload.n_there:,} files are there, from which the same call goes on"
            raise RemoteError(f"{error}; {there}") from error
        raise


def file_sizes(folder: Path) -> dict[str, int]:
    """Map the files of a folder, by their names below it, to their sizes."""
    sizes: dict[str, int] = {}
    for where, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            file = Path(where, name)
            sizes[file.relative_to(folder).as_posix()] = file.stat().st_size
    return sizes
