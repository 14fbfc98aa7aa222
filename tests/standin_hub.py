"""A hub of a few files on 127.0.0.1, as far as huggingface_hub and datasets ask it, with faults on demand.

It is where `HF_ENDPOINT` leads: lists of files, their sizes and hashes, and their bytes, by range. That the
real hub answers so is an assumption: it was not reached when this was written.
"""

import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
"""A commit."""

LARGE = 1000
"""From how many bytes on a file is kept as the hub keeps large ones (LFS), with its SHA-256."""


class Request(NamedTuple):
    """What was asked: method, path without query, and the range of bytes, last one included."""

    method: str
    path: str
    span: tuple[int, int] | None


class Fault(NamedTuple):
    """An answer in place of the true one."""

    status: int
    headers: Mapping[str, str] = MappingProxyType({})
    body: bytes = b""


@dataclass
class StandIn:
    """The hub: files by repository ("models/org/name", "datasets/org/name") and path, and what was asked.

    Attributes:
        commit: the only commit of every repository.
        faults: asked in turn with each request; the first that is not None is the answer.
        said: bytes that are served in place of a file's own, though lists and headers tell of its own.
        requests: all that was asked, but for what huggingface_hub asks for itself.
    """

    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    commit: str = COMMIT
    faults: list[Callable[[Request], Fault | None]] = field(default_factory=list)
    said: dict[str, bytes] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    endpoint: str = ""

    def fail(self, pattern: str, *faults: Fault) -> None:
        """Answer the next requests whose "METHOD path" the pattern finds with these faults, one each."""
        left = list(faults)

        def fault(request: Request) -> Fault | None:
            hit = left and re.search(pattern, f"{request.method} {request.path}")
            return left.pop(0) if hit else None

        self.faults.append(fault)

    def always(self, pattern: str, fault: Fault) -> None:
        """Answer every such request with this fault."""
        self.faults.append(lambda request: fault if re.search(pattern, " ".join(request[:2])) else None)

    def spans(self, path: str) -> list[tuple[int, int]]:
        """The ranges of bytes that were served of the file at the end of `path`."""
        return [
            request.span
            for request in self.requests
            if request.span and request.method == "GET" and request.path.endswith(path)
        ]


def listed(path: str, content: bytes) -> dict[str, Any]:
    """What the hub's lists say of a file."""
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    entry: dict[str, Any] = {"type": "file", "path": path, "size": len(content), "oid": blob}
    if len(content) >= LARGE:
        sha256 = hashlib.sha256(content).hexdigest()
        entry["lfs"] = {"oid": sha256, "size": len(content), "pointerSize": 130}
    return entry


def sibling(entry: dict[str, Any]) -> dict[str, Any]:
    """The same in the form of the facts of a repository."""
    found = {"rfilename": entry["path"], "size": entry["size"], "blobId": entry["oid"]}
    if "lfs" in entry:
        found["lfs"] = {"sha256": entry["lfs"]["oid"], "size": entry["size"], "pointerSize": 130}
    return found


def folders(files: dict[str, bytes]) -> set[str]:
    """The folders of a repository."""
    return {path.rsplit("/", depth)[0] for path in files for depth in range(1, path.count("/") + 1)}


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    protocol_version = "HTTP/1.1"
    hub: StandIn

    def log_message(self, *_: Any) -> None:
        """Say nothing: pytest shows what was asked."""

    def do_GET(self) -> None:
        self._answer("GET")

    def do_HEAD(self) -> None:
        self._answer("HEAD")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer("POST")

    def _answer(self, method: str) -> None:
        path = unquote(urlsplit(self.path).path)
        found = re.fullmatch(r"bytes=(\d+)-(\d+)?", self.headers.get("Range", ""))
        span = (int(found[1]), int(found[2] or 2**60)) if found else None
        request = Request(method, path, span)
        if path != "/api/agent-harnesses":
            self.hub.requests.append(request)
        for fault in self.hub.faults:
            if (answer := fault(request)) is not None:
                self._send(answer.status, answer.headers, answer.body)
                return
        if match := re.fullmatch(r"/api/(models|datasets)/([^/]+/[^/]+)/(revision|tree)/([^/]+)/?(.*)", path):
            self._api(*match.groups())
        elif match := re.fullmatch(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.*)", path):
            kind, name, revision, file = match.groups()
            self._file(f"{(kind or 'models/')}{name}", revision, file, span)
        else:
            self._missing("RepoNotFound")

    def _api(self, kind: str, name: str, what: str, revision: str, folder: str) -> None:
        files = self.hub.files.get(f"{kind}/{name}")
        if files is None:
            self._missing("RepoNotFound")
        elif revision != self.hub.commit:
            self._missing("RevisionNotFound")
        elif what == "revision":
            siblings = [sibling(listed(*file)) for file in files.items()]
            facts = {"id": name, "_id": "0", "sha": revision, "private": False, "tags": [], "downloads": 0}
            self._json(facts | {"likes": 0, "siblings": siblings})
        elif folder and folder not in folders(files):
            self._missing("EntryNotFound")
        else:
            self._json(self._tree(files, folder, "recursive=True" in self.path))

    @staticmethod
    def _tree(files: dict[str, bytes], folder: str, recursive: bool) -> list[dict[str, Any]]:
        entries = [{"type": "directory", "path": path, "size": 0, "oid": "0"} for path in folders(files)]
        entries += [listed(*file) for file in files.items()]
        below = [entry for entry in entries if entry["path"].startswith(f"{folder}/" if folder else "")]
        depth = folder.count("/") + 1 if folder else 0
        return [entry for entry in below if recursive or entry["path"].count("/") == depth]

    def _file(self, repository: str, revision: str, path: str, span: tuple[int, int] | None) -> None:
        files = self.hub.files.get(repository)
        if files is None or revision != self.hub.commit or path not in files:
            self._missing("RepoNotFound" if files is None else "EntryNotFound")
            return
        entry, content = listed(path, files[path]), self.hub.said.get(path, files[path])
        etag = entry["lfs"]["oid"] if "lfs" in entry else entry["oid"]
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": revision, "Accept-Ranges": "bytes"}
        if "lfs" in entry:
            headers |= {"X-Linked-Size": str(entry["size"]), "X-Linked-ETag": f'"{etag}"'}
        if span is None:
            self._send(200, headers, content)
            return
        part = content[span[0] : span[1] + 1]
        last = span[0] + len(part) - 1
        self._send(206, headers | {"Content-Range": f"bytes {span[0]}-{last}/{len(content)}"}, part)

    def _missing(self, code: str) -> None:
        self._send(404, {"X-Error-Code": code, "X-Error-Message": code}, b"{}")

    def _json(self, document: Any) -> None:
        self._send(200, {"Content-Type": "application/json"}, json.dumps(document).encode())

    def _send(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@contextmanager
def serving() -> Iterator[StandIn]:
    """A stand-in that answers while the block runs."""
    hub = StandIn()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"hub": hub}))
    hub.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
