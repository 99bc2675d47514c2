"""Files on a web server or in a bucket, read by ranges of bytes."""

from __future__ import annotations

import logging
import secrets
import time
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from kithkin.core.bucket import Access, access, bucket_address, is_bucket
from kithkin.core.errors import FormatError, KithkinError, ParameterError, brief

log = logging.getLogger("kithkin")
FRESH = 5.0  # seconds for which a server need not be asked again whether a dataset is the same
ATTEMPTS = 3  # to read a part of a file of which the connection was lost in the middle
RETRIES = 4  # of a request that got no answer, or that of a server that is too busy
PATIENCE = timedelta(seconds=20)  # for all of these


LARGEST_WHOLE = 2**28  # bytes of a file to take from a server that gives no parts


class RemoteError(KithkinError):
    """Server that gives no answer, or not the one that was asked for."""


class DeniedError(FileNotFoundError):
    """File of a bucket that may be there, and that the store does not give to whoever asks."""


@dataclass(frozen=True, slots=True)
class Part:
    """Part of a file on a server.

    Attributes
    ----------
    content
        Its bytes.
    start
        Where in the file they begin.
    size
        Length of the whole file.
    version
        What the server gives to tell the file from a later one of this name; "" if nothing.
    """

    content: bytes
    start: int
    size: int
    version: str


def normal_address(url: str, of: str = "path") -> str:
    """Check an address that was given for a parameter, and return it without a slash at its end.

    Raises
    ------
    ParameterError
        If it is not one on a web server or in a bucket.

    Examples
    --------
    >>> normal_address("HTTPS://example.org/a.zarr/")
    'https://example.org/a.zarr'
    >>> normal_address("ftp://example.org/a.zarr")
    Traceback (most recent call last):
    kithkin.core.errors.ParameterError: path must be on this disk or an address that begins with https://, ...
    """
    possible = f"{of} must be on this disk or an address that begins with https://, http:// or s3://"
    if is_bucket(url):
        return bucket_address(url, of)
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ParameterError(f"{possible}, got {brief(url)} ({error})") from None
    if parts.scheme.lower() not in ("http", "https"):
        raise ParameterError(f"{possible}, got {brief(url)}")
    if not host or any(ord(letter) <= 32 or ord(letter) == 127 for letter in url):
        raise ParameterError(f"{of} must name a server, such as https://example.org/a.zarr, got {brief(url)}")
    if parts.username is not None:  # not shown: a password may follow
        raise ParameterError(f"{of} must be an address without a name of a user, got one at {host}")
    if parts.query or parts.fragment:  # nor is this: a signature may be among it
        raise ParameterError(f"{of} must be an address without ? or #, got one at {host}")
    steps = [unquote(step) for step in parts.path.split("/")]
    if {".", ".."} & set(steps) or any("/" in step for step in steps):
        raise ParameterError(f"{of} must be an address without steps such as .., got {brief(url)}")
    path = quote(parts.path, safe="/%:@!$&'()*+,;=~-._")
    return f"{parts.scheme.lower()}://{parts.netloc}{path}".rstrip("/")


class Host:
    """Folder on a web server or in a bucket.

    Parameters
    ----------
    url
        Its address.
    access
        Of a bucket: the store, and who asks it.
    """

    TIMEOUT = timedelta(seconds=60)  # of a request

    def __init__(self, url: str, access: Access | None = None) -> None:
        self.url, self._access = url, access
        self.place = urlsplit(url).netloc if access is None else access.place
        retry: Any = {
            "max_retries": RETRIES,
            "retry_timeout": PATIENCE,
            "backoff": {"init_backoff": timedelta(seconds=0.1), "max_backoff": timedelta(seconds=2), "base": 2},
        }
        options: Any = {"timeout": self.TIMEOUT, "connect_timeout": timedelta(seconds=10)}
        self._store: Any = _web(url, options, retry) if access is None else access.open(url, options, retry)
        self._has_ranges = True
        self._seen: dict[str, tuple[str, float]] = {}  # version of a file, and when it was seen

    def is_still(self, name: str, version: str) -> bool:
        """Tell whether a file has the version that it had; asked of the server if that is some seconds ago."""
        import obstore

        seen, when = self._seen.get(name, ("", 0.0))
        if not version or (seen == version and time.monotonic() - when < FRESH):
            return True
        try:
            found = _version(obstore.head(self._store, name))
        except Exception as error:  # a server that does not answer this is told by the next request of a file
            log.debug("%s/%s: %s", self.url, name, first_reason(error))
            return True
        self._seen[name] = found, time.monotonic()
        return found == version

    def get(
        self, name: str, start: int = 0, stop: int | None = None, *, tail: int = 0, largest: int | None = None
    ) -> Part:
        """Read a part of a file: from start to stop, its last bytes, or all of it.

        A server that gives no parts gives the whole file.

        Parameters
        ----------
        name
            Path of the file below the address.
        start, stop
            First byte, and the one behind the last; None: all of the file.
        tail
            How many bytes from the end instead.
        largest
            Most bytes of a file to read as a whole.

        Raises
        ------
        FileNotFoundError
            If there is no such file, or the server keeps it to itself.
        RemoteError
            If there is no answer, or a bucket is not there or asks for other credentials.
        """
        from obstore.exceptions import NotSupportedError, PermissionDeniedError, UnauthenticatedError

        wanted: Any = {"suffix": tail} if tail else None if stop is None else (start, stop)
        problem = ""
        for _ in range(ATTEMPTS):
            try:
                part = self._get(name, wanted if self._has_ranges else None, largest)
            except (PermissionDeniedError, UnauthenticatedError) as error:
                raise self._denied(name, error) from None  # its answer may name the key
            except FileNotFoundError as error:
                raise self._refused(error) or FileNotFoundError(f"{self.url}/{name}: no file") from None
            except NotSupportedError as error:
                if not self._has_ranges:
                    raise RemoteError(f"{self.url}/{name} cannot be read: {first_reason(error)}") from error
                self._has_ranges = False
                continue
            except KithkinError:
                raise
            except Exception as error:  # the store has an exception for each way in which a connection ends
                refused = self._refused(error)
                if refused is not None:
                    raise refused from None
                problem = first_reason(error)
                continue
            end = part.size if stop is None else min(stop, part.size)
            if part.start + len(part.content) < end:
                problem = f"only {len(part.content)} bytes came"
                continue
            return part
        raise RemoteError(f"{self.place} does not answer: {name} could not be read ({problem})")

    def _refused(self, error: Exception) -> RemoteError | None:
        """Make an error of an answer of a bucket that will not change; None of any other."""
        reason = "" if self._access is None else self._access.refusal(self.url, error)
        return RemoteError(f"{self.url} cannot be read: {reason}") if reason else None

    def _denied(self, name: str, error: Exception) -> Exception:
        """Make an error of a refusal, which a host that cannot list gives for absent files too."""
        if self._access is None:
            return FileNotFoundError(f"{self.url}/{name}: no file, or one that is not public")
        return self._refused(error) or DeniedError(f"{self.url}/{name} cannot be read: {self._access.denial()}")

    def _get(self, name: str, wanted: Any, largest: int | None) -> Part:
        import obstore

        options: Any = {} if wanted is None else {"range": wanted}
        result = obstore.get(self._store, name, options=options)
        meta = result.meta
        size = int(meta["size"])
        if largest is not None and wanted is None and size > largest:
            raise RemoteError(f"{self.url}/{name} has {size:,} bytes, which is too many to be read as a whole")
        version = _version(meta)
        self._seen[name] = version, time.monotonic()
        content = bytes(result.bytes())
        return Part(content, int(result.range[0]), size, version)


def _web(url: str, options: dict[str, Any], retry: Any) -> Any:
    try:
        from obstore.store import HTTPStore
    except ImportError as error:
        raise KithkinError("reading over HTTP needs obstore: pip install 'kithkin[remote]'") from error
    settings: Any = {**options, "allow_http": True}
    return HTTPStore.from_url(url, client_options=settings, retry_config=retry)


def _version(meta: Any) -> str:
    return str(meta.get("e_tag") or "") or str(meta.get("last_modified") or "")


def first_reason(error: Exception) -> str:
    """Return the innermost reason of an error of the store, in one line."""
    text = " ".join(str(error).split("\n\nDebug source")[0].split())
    seen: BaseException | None = error
    while seen is not None and seen.__cause__ is not None:
        seen = seen.__cause__
    known = {
        "dns error": "no such host",
        "Connection refused": "the connection was refused",
        "timed out": "it took too long",
        "certificate": "its certificate is not valid",
    }
    said = next((said for word, said in known.items() if word.lower() in f"{text} {error!r}".lower()), "")
    return said or (text if len(text) < 160 else f"{text[:80]} ... {text[-75:]}")


def host_of(url: str) -> Host:
    """Return the host of an address, with the connections that it holds; one in each process and for each access."""
    return _host_of(url, access() if is_bucket(url) else None)


_host_of = lru_cache(maxsize=16)(Host)


def look_at(url: str) -> tuple[Host, str, Part]:
    """Look for the file at an address: the host of its folder, its name there, and its last byte.

    Raises
    ------
    FormatError
        If there is no such file.
    ParameterError
        If it is no address of a file.
    RemoteError
        If there is no answer, or a bucket is not there or asks for other credentials.

    Examples
    --------
    >>> look_at("s3://cells")
    Traceback (most recent call last):
    kithkin.core.errors.ParameterError: source must name a file, such as https://example.org/a.h5ad, got 's3://cells'
    """
    folder, _, last = normal_address(url, "source").rpartition("/")
    if folder.endswith("/"):
        raise ParameterError(f"source must name a file, such as https://example.org/a.h5ad, got {brief(url)}")
    host, name = host_of(folder), last if is_bucket(url) else unquote(last)
    try:
        return host, name, host.get(name, tail=1, largest=LARGEST_WHOLE)
    except DeniedError as error:
        raise FormatError(str(error)) from None
    except FileNotFoundError:
        hint = ": kithkin.open opens a dataset there" if name.endswith(".zarr") else ""
        raise FormatError(f"there is no file at {folder}/{last}{hint}") from None


def identity_at(url: str) -> tuple[str, int, str]:
    """Return what tells a file at an address from a later one: its address, size and version.

    A file of which the server gives no version is never the same.
    """
    host, name, found = look_at(url)
    return f"{host.url}/{name}", found.size, found.version or secrets.token_hex(8)
