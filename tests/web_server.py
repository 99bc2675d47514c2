"""A web server on this machine for a folder of files, with ranges of bytes, counts of requests, and faults.

    python web_server.py FOLDER

serves a folder until its standard input ends and prints the address. To "counts" on its standard input it answers with
the requests and bytes so far as JSON; any other line makes it forget them.
"""

# ruff: noqa: T201  (it talks to the benchmark that has started it; the library calls do_GET)

from __future__ import annotations

import json
import os
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote


@dataclass
class Served:
    """A folder that is served.

    Attributes
    ----------
    folder
        The folder.
    ranges
        Whether parts of files are given.
    absent
        Status for what is not there, and for folders, which are never listed.
    cut
        How many answers to break off in the middle from now on.
    refused
        How many answers are 503 from now on.
    requests
        Path, first byte, and the one behind the last, of each answer.
    """

    folder: Path
    ranges: bool = True
    absent: int = 404
    cut: int = 0
    refused: int = 0
    requests: list[tuple[str, int, int]] = field(default_factory=list)
    url: str = ""

    @property
    def n_bytes(self) -> int:
        """Bytes of all answers."""
        return sum(stop - start for _, start, stop in self.requests)

    def twice(self) -> int:
        """Count the bytes that were given more than once."""
        again, by_path = 0, dict[str, list[tuple[int, int]]]()
        for path, start, stop in self.requests:
            by_path.setdefault(path, []).append((start, stop))
        for ranges in by_path.values():
            end = 0
            for start, stop in sorted(ranges):
                again += max(0, min(stop, end) - start)
                end = max(end, stop)
        return again


def handler_of(served: Served) -> type[BaseHTTPRequestHandler]:
    """Make the class that answers requests for a folder."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = 1 << 16  # headers and a short body leave together

        def log_message(self, *values: object) -> None:
            pass

        def _refuse(self, status: int) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def _answer(self, *, body: bool) -> None:
            name = unquote(self.path.partition("?")[0]).lstrip("/")
            file = served.folder / name
            if served.refused > 0:
                served.refused -= 1
                self._refuse(503)
                return
            if ".." in name.split("/") or not file.is_file():
                served.requests.append((name, 0, 0))
                self._refuse(served.absent)
                return
            status = file.stat()
            start, stop, asked = 0, status.st_size, self.headers.get("Range", "")
            found = re.fullmatch(r"bytes=(\d*)-(\d*)", asked) if served.ranges else None
            if found:
                first, last = found.groups()
                start = int(first) if first else max(0, stop - int(last))
                stop = min(stop, int(last) + 1) if first and last else stop
            self.send_response(206 if found else 200)
            if found:
                self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{status.st_size}")
            if served.ranges:
                self.send_header("Accept-Ranges", "bytes")
            self.send_header("ETag", f'"{status.st_ino:x}-{status.st_mtime_ns:x}"')
            self.send_header("Content-Length", str(stop - start))
            self.end_headers()
            if not body:
                return
            served.requests.append((name, start, stop))
            with file.open("rb") as opened:
                opened.seek(start)
                content = opened.read(stop - start)
            if served.cut > 0:
                served.cut -= 1
                self.wfile.write(content[: len(content) // 2])
                self.wfile.flush()
                self.close_connection = True
                self.connection.close()
                return
            self.wfile.write(content)

        def handle(self) -> None:
            try:
                super().handle()
            except (ConnectionError, ValueError, OSError):  # the client has gone, or the answer was broken off
                self.close_connection = True

        def finish(self) -> None:
            try:
                super().finish()
            except (ConnectionError, ValueError, OSError):
                self.close_connection = True

    return Handler


@contextmanager
def serving(folder: str | os.PathLike[str], **settings: object) -> Iterator[Served]:
    """Serve a folder on this machine until the end of the block."""
    served = Served(Path(folder), **settings)  # type: ignore[arg-type]
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(served))
    server.daemon_threads = True
    server.block_on_close = False
    served.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


if __name__ == "__main__":
    with serving(sys.argv[1]) as here:
        print(here.url, flush=True)
        for line in sys.stdin:  # each line asks for the counts since the last
            if line.strip() == "counts":
                answer = {"requests": len(here.requests), "bytes": here.n_bytes, "twice": here.twice()}
                print(json.dumps(answer), flush=True)
            else:
                here.requests.clear()
                print("{}", flush=True)
