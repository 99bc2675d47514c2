"""Buckets of S3-compatible stores: their addresses, who asks for them, and the meaning of their refusals."""

from __future__ import annotations

import configparser
import os
import re
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kithkin.core.errors import KithkinError, ParameterError, brief

SCHEME = "s3://"
BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]")
CODE = re.compile(r"<Code>(\w+)</Code>")
KEYS = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
# variables by which the services of a cloud give credentials to their own machines, in the forms that obstore knows
GIVEN_BY_MACHINE = (
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)
HOW_TO_SIGN = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
ELSEWHERE = "the bucket lies in another region than {region}: set AWS_REGION"
# what a store answers, by its code; any other refusal may as well mean that there is no such file
REFUSALS = {
    "NoSuchBucket": "{place} has no bucket {bucket}",
    "InvalidBucketName": "{place} has no bucket {bucket}",
    "InvalidAccessKeyId": "{place} does not know the access key of {source}",
    "SignatureDoesNotMatch": "the secret key of {source} is not that of the access key",
    "InvalidClientTokenId": "{place} does not know the access key of {source}",
    "InvalidToken": "the session token of {source} is not valid",
    "ExpiredToken": "the credentials of {source} have expired",
    "RequestTimeTooSkewed": "the clock of this machine is wrong",
    "PermanentRedirect": ELSEWHERE,
    "TemporaryRedirect": ELSEWHERE,
    "AuthorizationHeaderMalformed": ELSEWHERE,
    "IllegalLocationConstraintException": ELSEWHERE,
}


def is_bucket(url: str) -> bool:
    """Tell whether an address is one in a bucket.

    Examples
    --------
    >>> is_bucket("S3://cells/a.zarr"), is_bucket("https://example.org/a.zarr")
    (True, False)
    """
    return url[: len(SCHEME)].lower() == SCHEME


def bucket_address(url: str, of: str = "path") -> str:
    """Check an address in a bucket that was given for a parameter, and return it without a slash at its end.

    Raises
    ------
    ParameterError
        If it is none.

    Examples
    --------
    >>> bucket_address("S3://cells/lung/a.zarr/")
    's3://cells/lung/a.zarr'
    >>> bucket_address("s3://cells/../a.zarr")
    Traceback (most recent call last):
    kithkin.core.errors.ParameterError: path must be an address without steps such as .., got 's3://cells/../a.zarr'
    """
    bucket, _, key = url[len(SCHEME) :].rstrip("/").partition("/")
    if "@" in bucket:  # not shown: a password stands before it
        raise ParameterError(f"{of} must be an address without a name of a user, got one in a bucket")
    if "?" in url or "#" in url:  # not shown: a signature may follow
        raise ParameterError(f"{of} must be an address without ? or #, got one in the bucket {brief(bucket)}")
    if not BUCKET.fullmatch(bucket) or any(ord(letter) < 32 or ord(letter) == 127 for letter in url):
        raise ParameterError(f"{of} must name a bucket, such as s3://cells/a.zarr, got {brief(url)}")
    if key and {"", ".", ".."} & set(key.split("/")):
        raise ParameterError(f"{of} must be an address without steps such as .., got {brief(url)}")
    return f"{SCHEME}{bucket}/{key}".rstrip("/")


@dataclass(frozen=True)
class Access:
    """Store that buckets are asked of, and who asks.

    Attributes
    ----------
    endpoint
        Address of the store; "" for that of AWS.
    region
        Its region.
    source
        Where the credentials come from, in words; "" for none: requests are not signed.
    keys
        Access key, secret key and session token (or ""), unless the machine is asked for them. Never shown.
    """

    endpoint: str
    region: str
    source: str
    keys: tuple[str, str, str] | None = field(default=None, repr=False)

    @property
    def place(self) -> str:
        """Name of the store, for messages."""
        return urlsplit(self.endpoint).netloc or f"s3.{self.region}.amazonaws.com"

    def open(self, url: str, client: dict[str, Any], retries: Any) -> Any:
        """Open the part of a bucket below an address.

        Parameters
        ----------
        url
            The address.
        client, retries
            Settings of obstore.

        Raises
        ------
        KithkinError
            If obstore is not installed.
        """
        try:
            from obstore.store import S3Store
        except ImportError as error:
            raise KithkinError("a bucket needs obstore: pip install 'kithkin[s3]'") from error
        bucket, _, prefix = url[len(SCHEME) :].partition("/")
        settings: dict[str, Any] = {"region": self.region, "skip_signature": not self.source}
        settings |= {"endpoint": self.endpoint} if self.endpoint else {}
        if self.keys is not None:
            names = ("access_key_id", "secret_access_key", "session_token")
            settings |= {name: value for name, value in zip(names, self.keys, strict=True) if value}
        options: Any = {**client, "allow_http": self.endpoint.startswith("http://")}
        return S3Store(bucket, prefix=prefix or None, client_options=options, retry_config=retries, **settings)

    def refusal(self, url: str, error: Exception) -> str:
        """Say what an answer means that will not change; "" where it may, or where it means that there is no file."""
        text = str(error)
        found = CODE.search(text)
        code = found[1] if found else "PermanentRedirect" if "redirect without LOCATION" in text else ""
        bucket = url[len(SCHEME) :].partition("/")[0]
        said = REFUSALS.get(code, "")
        return said.format(bucket=bucket, place=self.place, region=self.region, source=self.source or "nobody")

    def denial(self) -> str:
        """Say what a refusal of one file means."""
        if self.source:
            return f"there is no such file, or whoever has the credentials of {self.source} may not read it"
        return f"there is no such file, or it is not public and no credentials are given ({HOW_TO_SIGN})"


def access() -> Access:
    """Find the store and the credentials in the environment, else in the files of the AWS command line.

    Read are `AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL`, `AWS_REGION`, `AWS_DEFAULT_REGION`, `AWS_ACCESS_KEY_ID`,
    `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, `AWS_PROFILE`, `AWS_SHARED_CREDENTIALS_FILE`, `AWS_CONFIG_FILE` and
    `AWS_SKIP_SIGNATURE`. No service is asked for credentials unless the environment names one.

    Raises
    ------
    ParameterError
        If these contradict themselves.
    """
    home = os.path.expanduser("~/.aws")
    files = [
        os.path.expanduser(os.environ.get("AWS_SHARED_CREDENTIALS_FILE", "") or f"{home}/credentials"),
        os.path.expanduser(os.environ.get("AWS_CONFIG_FILE", "") or f"{home}/config"),
    ]
    given = tuple(sorted((name, value) for name, value in os.environ.items() if name.startswith("AWS_") and value))
    return _access(given, tuple((file, _changed(file)) for file in files))


def _changed(file: str) -> int:
    try:
        return os.stat(file).st_mtime_ns
    except OSError:
        return 0


@lru_cache(maxsize=4)
def _access(given: tuple[tuple[str, str], ...], files: tuple[tuple[str, int], ...]) -> Access:
    env = dict(given)
    profile, name = _profile(env, [file for file, changed in files if changed])
    region = env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION") or profile.get("region") or "us-east-1"
    endpoint = env.get("AWS_ENDPOINT_URL_S3") or env.get("AWS_ENDPOINT_URL") or profile.get("endpoint_url") or ""
    parts = urlsplit(endpoint)
    if endpoint and (parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None):
        raise ParameterError("AWS_ENDPOINT_URL must be an address that begins with https:// or http://, without a user")
    unsigned = env.get("AWS_SKIP_SIGNATURE", "").lower()
    found = {key: env.get(key.upper(), "") for key in KEYS}
    source = "AWS_ACCESS_KEY_ID"
    if not found["aws_access_key_id"] and not found["aws_secret_access_key"]:
        found, source = {key: profile.get(key, "") for key in KEYS}, f"the profile {brief(name)}"
    first, second, token = (found[key] for key in KEYS)
    if unsigned in ("true", "1"):
        return Access(endpoint, region, "")
    if bool(first) != bool(second):
        raise ParameterError(f"{source} must come with a secret key: {HOW_TO_SIGN}")
    if first:
        return Access(endpoint, region, source, (first, second, token))
    asked = unsigned in ("false", "0") or any(variable in env for variable in GIVEN_BY_MACHINE)
    return Access(endpoint, region, "this machine" if asked else "")


def _profile(env: dict[str, str], files: list[str]) -> tuple[dict[str, str], str]:
    """Read the settings of the chosen profile from the files of the AWS command line, and its name."""
    name = env.get("AWS_PROFILE") or env.get("AWS_DEFAULT_PROFILE") or ""
    found: dict[str, str] = {}
    there = False
    for file in reversed(files):  # the credentials win over the general file
        parser = configparser.RawConfigParser()
        try:
            parser.read_string(Path(file).read_text(encoding="utf-8"))
        except (configparser.Error, UnicodeDecodeError):  # not shown: what cannot be read may be a key
            raise ParameterError(f"{file} cannot be read as profiles of the AWS command line") from None
        except OSError as error:
            raise ParameterError(f"{file} cannot be read: {error.strerror}") from error
        for section in (name or "default", f"profile {name}"):
            if parser.has_section(section):
                found |= dict(parser.items(section))
                there = True
    if name and not there:
        raise ParameterError(
            f"AWS_PROFILE must name a profile of ~/.aws/credentials or ~/.aws/config, got {brief(name)}"
        )
    return found, name or "default"
