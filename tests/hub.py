"""A server that behaves as a Hugging Face hub and its CDN do, with faults on demand."""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPOSITORY, FILE = "patrick-w/MedicalPatchNet", "MedicalPatchNet_weights.pt"
TOKEN = "hf_good"


@dataclass
class Hub:
    """The content of the hub and its faults; ``requests`` are method, path and Authorization of what it received.

    ``announced`` replaces the hash that it states, ``status`` answers every request, ``cuts`` transfers end after
    ``cut_after`` bytes, ``gated`` requires the token.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    announced: str = ""
    status: int = 0
    cuts: int = 0
    cut_after: int = 0
    gated: bool = False
    url: str = ""
    cdn: str = ""
    requests: list[tuple[str, str, str | None, str | None]] = field(default_factory=list)

    def transfers(self) -> list[str | None]:
        """The Range of every request to the CDN."""
        return [ranged for method, path, _, ranged in self.requests if method == "GET" and path.startswith("/cdn/")]


@contextmanager
def running_hub(**files: bytes) -> Iterator[Hub]:
    """A hub and its CDN on two ports, with files of ``REPOSITORY``; by default one, ``FILE``."""
    hub = Hub({FILE if name == "weights" else name: content for name, content in files.items()})
    handler = type("Handler", (_Handler,), {"hub": hub})
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), handler) for _ in range(2)]
    hub.url, hub.cdn = (f"http://127.0.0.1:{server.server_address[1]}" for server in servers)
    threads = [Thread(target=server.serve_forever, args=(0.01,), daemon=True) for server in servers]
    for thread in threads:
        thread.start()
    try:
        yield hub
    finally:
        for server, thread in zip(servers, threads, strict=True):
            server.shutdown()
            server.server_close()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing is printed."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        hub = self.hub
        hub.requests.append((self.command, self.path, self.headers["Authorization"], self.headers["Range"]))
        if hub.status:
            self._end(hub.status)
        elif self.path.startswith("/cdn/"):
            self._transfer(hub.files[self.path.removeprefix("/cdn/")])
        else:
            self._resolve()

    def _resolve(self) -> None:
        """The hub itself: headers about the file, and a redirect to the CDN."""
        hub = self.hub
        found = re.fullmatch(rf"/{REPOSITORY}/resolve/(main|{COMMIT})/(.+)", self.path)
        if hub.gated and self.headers["Authorization"] != f"Bearer {TOKEN}":
            self._end(401, {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access to this repository is restricted."})
        elif found is None:
            self._end(404, {"X-Error-Code": "RevisionNotFound", "X-Error-Message": "Invalid rev id"})
        elif found[2] not in hub.files:
            self._end(404, {"X-Error-Code": "EntryNotFound", "X-Error-Message": "Entry not found"})
        else:
            content = hub.files[found[2]]
            linked = hub.announced or hashlib.sha256(content).hexdigest()
            about = {"X-Repo-Commit": COMMIT, "X-Linked-Etag": f'"{linked}"', "X-Linked-Size": str(len(content))}
            self._end(302, {**about, "ETag": '"of-the-pointer"', "Location": f"{hub.cdn}/cdn/{found[2]}"})

    def _transfer(self, content: bytes) -> None:
        """The CDN: the bytes, from the start of a range, and cut where a fault is set."""
        hub, begin = self.hub, 0
        if ranged := self.headers["Range"]:
            begin = int(re.fullmatch(r"bytes=(\d+)-(\d*)", ranged)[1])
        self.send_response(206 if ranged else 200)
        if ranged:
            self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - begin))
        self.end_headers()
        if hub.cuts:
            hub.cuts -= 1
            self.wfile.write(content[begin : begin + hub.cut_after])
            self.close_connection = True
        elif self.command == "GET":
            self.wfile.write(content[begin:])

    def _end(self, status: int, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": "0", **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
