"""A store of buckets on this machine, by moto, in a process of its own.

    python bucket_server.py

prints its address, and ends with its standard input. Where INITIAL_NO_AUTH_ACTION_COUNT is set, signatures are verified
after so many requests.
"""

# ruff: noqa: T201  (it talks to the test that has started it)

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REGION = "us-east-1"


@dataclass
class Store:
    """A store of buckets.

    Attributes
    ----------
    url
        Its address.
    key, secret
        Credentials of who may do everything.
    reader
        Credentials of who may only read; of a strict store.
    """

    url: str
    key: str = "AKIAOWNEROFBUCKETS00"
    secret: str = "a-secret-that-is-never-shown"
    reader: tuple[str, str] = ("", "")

    def client(self, service: str = "s3") -> Any:
        """Make a client of one of its services."""
        import boto3

        keys = {"aws_access_key_id": self.key, "aws_secret_access_key": self.secret}
        return boto3.client(service, endpoint_url=self.url, region_name=REGION, **keys)

    def make(self, bucket: str, folder: Path, *, public: bool = False) -> None:
        """Make a bucket of the files of a folder."""
        client = self.client()
        client.create_bucket(Bucket=bucket)
        more = {"ACL": "public-read"} if public else {}
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            client.put_object(Bucket=bucket, Key=file.relative_to(folder).as_posix(), Body=file.read_bytes(), **more)

    def become_strict(self) -> None:
        """Make users of its own, each with two requests and one for the policy."""
        iam = self.client("iam")
        users = []
        for name, actions in (("owner", '"s3:*"'), ("reader", '["s3:GetObject", "s3:ListBucket"]')):
            iam.create_user(UserName=name)
            made = iam.create_access_key(UserName=name)["AccessKey"]
            policy = f'{{"Effect": "Allow", "Action": {actions}, "Resource": "*"}}'
            document = f'{{"Version": "2012-10-17", "Statement": [{policy}]}}'
            iam.put_user_policy(UserName=name, PolicyName="all", PolicyDocument=document)
            users.append((made["AccessKeyId"], made["SecretAccessKey"]))
        (self.key, self.secret), self.reader = users


@contextmanager
def store_of_buckets(*, strict: bool = False) -> Iterator[Store]:
    """Start a store, and end it with the block; a strict one verifies signatures."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    env |= {"INITIAL_NO_AUTH_ACTION_COUNT": "6"} if strict else {}
    process = subprocess.Popen(
        [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env
    )
    try:
        url = process.stdout.readline().decode().strip()
        if not url:
            raise RuntimeError("the store of buckets did not start")
        store = Store(url)
        if strict:
            store.become_strict()
        yield store
    finally:
        process.stdin.close()
        process.wait(20)
        process.stdout.close()


if __name__ == "__main__":
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    print(f"http://{host}:{port}", flush=True)
    sys.stdin.read()
    os._exit(0)
