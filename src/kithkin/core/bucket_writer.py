"""Folders in buckets to which files are written, each on the condition that nobody else has written it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from kithkin.core.bucket import HOW_TO_SIGN, access, bucket_address
from kithkin.core.errors import KithkinError, ParameterError
from kithkin.core.host import ATTEMPTS, Host, RemoteError, first_reason

T = TypeVar("T")
LARGEST = 5 * 2**30  # bytes that S3 takes in one request; only such a one can have a condition
DIGEST = "kithkin-md5"  # attribute of a file, as the tag of an encrypted one is not that of its content
TYPES = {"html": "text/html; charset=utf-8", "json": "application/json"}  # by which browsers show a file


@dataclass(frozen=True, slots=True)
class Found:
    """File that is in a bucket.

    Attributes
    ----------
    size
        Its length in bytes.
    tag
        Tag that the store gave it: another one for each content.
    digest
        MD5 of its content, or "" where only a request of its own would tell.
    """

    size: int
    tag: str
    digest: str = ""

    def holds(self, content: bytes) -> bool:
        """Tell whether the content of the file is this one."""
        return self.size == len(content) and digest_of(content) in (self.tag.strip('"'), self.digest)


class ConditionError(KithkinError):
    """File that another writer has made or changed."""


def digest_of(content: bytes) -> str:
    """Compute the MD5 of a content, which stores give as its tag.

    Examples
    --------
    >>> digest_of(b"")
    'd41d8cd98f00b204e9800998ecf8427e'
    """
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def writable_address(url: str) -> str:
    """Check an address to which a dataset is written, and return it without a slash at its end.

    Raises
    ------
    ParameterError
        If it is none in a bucket, or that of a bucket as a whole.

    Examples
    --------
    >>> writable_address("s3://cells/a.zarr/")
    's3://cells/a.zarr'
    >>> writable_address("https://example.org/a.zarr")
    Traceback (most recent call last):
    kithkin.core.errors.ParameterError: to must be a path or an address in a bucket, such as s3://lab/cells.zarr: ...
    """
    possible = "to must be a path or an address in a bucket, such as s3://lab/cells.zarr"
    scheme = url.partition("://")[0].lower()
    if scheme in ("http", "https"):  # no more of it is shown: it may hold a password or a signature
        raise ParameterError(f"{possible}: what lies behind {scheme}:// cannot be written")
    if scheme != "s3":
        raise ParameterError(f"{possible}, got one that begins with {scheme}://")
    address = bucket_address(url, "to")
    name = address.split("/", 3)[3:]
    if not name:
        raise ParameterError("to must name a dataset in the bucket, such as s3://lab/cells.zarr, got a whole bucket")
    if name[0].endswith(".zip"):
        raise ParameterError("to must name a folder in the bucket, as a ZIP file there is not read by parts")
    return address


class BucketWriter(Host):
    """Folder in a bucket that is read and written.

    Parameters
    ----------
    url
        Its address.

    Raises
    ------
    KithkinError
        If there are no credentials, or obstore is not installed.
    """

    TIMEOUT = timedelta(minutes=10)  # of a request: a file of 32 MiB goes out at 0.5 Mbit/s

    def __init__(self, url: str) -> None:
        asked = access()
        if not asked.source:
            raise RemoteError(f"{url} cannot be written: no credentials are given ({HOW_TO_SIGN})")
        self._asked = asked
        super().__init__(url, asked)

    def files(self) -> dict[str, Found]:
        """List what is there, by name."""
        import obstore

        def request() -> dict[str, Found]:
            listed = (one for part in obstore.list(self._store, chunk_size=1000) for one in part)
            return {str(one["path"]): Found(int(one["size"]), str(one["e_tag"] or "")) for one in listed}

        return self._ask("its files", request, "list")

    def find(self, name: str) -> Found | None:
        """Look for a file, and what was recorded of its content; None where there is none."""
        import obstore

        def request() -> Found | None:
            try:
                found = obstore.get(self._store, name, options={"head": True})
            except FileNotFoundError:
                return None
            recorded = str(dict(found.attributes).get(DIGEST, ""))
            return Found(int(found.meta["size"]), str(found.meta["e_tag"] or ""), recorded)

        return self._ask(name, request, "read")

    def different(self, folder: Path, sizes: Mapping[str, int], there: Mapping[str, Found]) -> set[str]:
        """Find files of a folder, with their sizes by name, of which another content is there."""
        names = {name for name in sizes.keys() & there.keys() if there[name].size != sizes[name]}
        for name in sizes.keys() & there.keys() - names:
            content = (folder / name).read_bytes()
            if not there[name].holds(content):
                found = self.find(name)  # the tag of an encrypted file is not that of its content
                if found is None or not found.holds(content):
                    names.add(name)
        return names

    def write(self, name: str, content: bytes, instead_of: Found | None = None) -> str:
        """Write a file that must not be there, or must still be the one that was found; return its tag.

        Raises
        ------
        ConditionError
            If it is there, or is another one.
        RemoteError
            If there is no answer, the store knows no such conditions, or refuses.
        """
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        mode: Any = "create" if instead_of is None else {"e_tag": instead_of.tag}
        attributes: Any = {DIGEST: digest_of(content)}
        ending = name.rpartition(".")[2]
        attributes |= {"Content-Type": TYPES[ending]} if ending in TYPES else {}

        def request() -> str:
            try:
                put = obstore.put(self._store, name, content, mode=mode, attributes=attributes, use_multipart=False)
            except (AlreadyExistsError, PreconditionError):
                raise ConditionError(f"{self.url}/{name} was written by another") from None
            return str(put["e_tag"] or "")

        return self._ask(name, request, "write")

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        import obstore

        self._ask(name, lambda: obstore.delete(self._store, name), "write")

    def _ask(self, name: str, request: Callable[[], T], what: str) -> T:
        """Send a request, again where the connection is lost, and say what a refusal means."""
        from obstore.exceptions import NotSupportedError, PermissionDeniedError, UnauthenticatedError

        problem, refused = "", f"{self.url} cannot be written"
        for _ in range(ATTEMPTS):
            try:
                return request()
            except KithkinError:
                raise
            except NotSupportedError:
                raise RemoteError(f"{refused}: {self.place} knows no conditional writes (If-None-Match)") from None
            except Exception as error:  # the store has an exception for each way in which a connection ends
                reason = self._asked.refusal(self.url, error)
                if not reason and isinstance(error, (PermissionDeniedError, UnauthenticatedError)):
                    reason = f"whoever has the credentials of {self._asked.source} may not {what} {name}"
                if reason:
                    raise RemoteError(f"{refused}: {reason}") from None  # the answer may name the key
                problem = first_reason(error)
        raise RemoteError(f"{self.place} does not answer: {name} could not be written ({problem})")
