"""A stand-in of the Hugging Face hub on 127.0.0.1: what huggingface_hub asks for, and faults."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from tests.quiet_server import QuietServer

_PIECE = 1 << 16
_LARGE = 1 << 16
"""Bytes from which on files are on the other host, as on the real hub."""
_API = re.compile(
    r"/api/models/(?P<repo>[^/]+/[^/]+)(?:/(?P<what>revision|tree)/(?P<rev>[^/?]+).*)?"
)
_RESOLVE = re.compile(r"/(?P<repo>[^/]+/[^/]+)/resolve/(?P<rev>[^/]+)/(?P<file>.+)")
_ADDRESS = re.compile(r"^http://[^/]+")
_CDN = re.compile(r"/cdn/(?P<repo>[^/]+/[^/]+)/(?P<commit>[^/]+)/(?P<file>.+)")


@dataclass
class Faults:
    """The faults to simulate; counts go down with each fault."""

    drops: int = 0
    """Number of bodies that end halfway."""
    errors: list[int] = field(default_factory=list)
    """Statuses of the answers to the next ranges, instead of bytes."""
    retry_after: str | None = None
    damage: int | None = None
    """Bytes of files after which one byte is damaged."""
    after_bytes: int | None = None
    """Bytes of files after which a body is cut off and every range gets an error."""
    stall_after_bytes: int | None = None
    """Bytes of files after which requests wait until ``go_on`` is set."""


@dataclass
class Hub:
    """The repositories by name, and the requests so far."""

    folders: dict[str, Path]
    token: str | None = None
    """The token for repositories called ``.../private``."""
    listed: dict[str, list[str]] = field(default_factory=dict)
    """Names of files that a repository has only in its listing."""
    faults: Faults = field(default_factory=Faults)
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    """Method, path and headers of every request."""
    sent: int = 0
    """Bytes of files that were sent."""
    lock: threading.Lock = field(default_factory=threading.Lock)
    stalled: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)
    url: str = ""
    cdn_url: str = ""

    def commit(self, repo: str) -> str:
        """Changes whenever a file does."""
        digest = hashlib.sha1(repo.encode())
        for file in sorted(self.folders[repo].rglob("*")):
            if file.is_file():
                digest.update(f"{file.name} {file.stat().st_mtime_ns}".encode())
        return digest.hexdigest()

    def ranges(self) -> int:
        """How many pieces of files were asked for."""
        return sum(1 for method, path, _ in self.requests if method == "GET" and "/cdn/" in path)


def _sha256(file: Path) -> str:
    status = file.stat()
    return _hash_of(file, status.st_size, status.st_mtime_ns)


@cache
def _hash_of(file: Path, size: int, changed: int) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_HEAD(self) -> None:
            self._answer()

        def do_GET(self) -> None:
            self._answer()

        def _answer(self) -> None:
            # A proxy is asked for whole addresses, and this one has them all itself.
            path = _ADDRESS.sub("", unquote(self.path))
            with hub.lock:
                hub.requests.append((self.command, path, dict(self.headers)))
            if match := _API.fullmatch(path):
                self._api(match)
            elif match := _RESOLVE.fullmatch(path.partition("?")[0]):
                self._resolve(match["repo"], match["rev"], match["file"])
            elif match := _CDN.fullmatch(path):
                self._file(hub.folders[match["repo"]] / match["file"])
            else:
                self._send(404, b"", {"X-Error-Code": "EntryNotFound"})

        def _allowed(self, repo: str) -> bool:
            if repo not in hub.folders:
                self._send(404, b"", {"X-Error-Code": "RepoNotFound"})
            elif repo.endswith("/gated"):
                self._send(403, b"", {"X-Error-Code": "GatedRepo"})
            elif repo.endswith("/private") and self.headers.get("authorization") != (
                f"Bearer {hub.token}"
            ):
                self._send(401, b"", {"X-Error-Code": "RepoNotFound"})
            else:
                return True
            return False

        def _api(self, match: re.Match[str]) -> None:
            repo = match["repo"]
            if not self._allowed(repo):
                return
            commit = hub.commit(repo)
            if match["rev"] not in (None, "main", commit):
                self._send(404, b"", {"X-Error-Code": "RevisionNotFound"})
                return
            folder = hub.folders[repo]
            files = sorted(file for file in folder.rglob("*") if file.is_file())
            if match["what"] == "tree":
                tree = [
                    {
                        "type": "file",
                        "path": str(file.relative_to(folder)),
                        "size": file.stat().st_size,
                        "oid": _sha256(file)[:40],
                        **(
                            {
                                "lfs": {
                                    "oid": _sha256(file),
                                    "size": file.stat().st_size,
                                    "pointerSize": 130,
                                }
                            }
                            if file.stat().st_size >= _LARGE
                            else {}
                        ),
                    }
                    for file in files
                ]
                self._send(200, json.dumps(tree).encode())
                return
            names = [*(str(file.relative_to(folder)) for file in files), *hub.listed.get(repo, ())]
            siblings = [{"rfilename": name} for name in names]
            info = {"_id": "1", "id": repo, "modelId": repo, "sha": commit, "siblings": siblings}
            info |= {"private": False, "tags": [], "downloads": 0, "likes": 0}
            self._send(200, json.dumps(info).encode())

        def _resolve(self, repo: str, revision: str, name: str) -> None:
            if not self._allowed(repo):
                return
            file, commit = hub.folders[repo] / name, hub.commit(repo)
            if revision not in ("main", commit):
                self._send(404, b"", {"X-Error-Code": "RevisionNotFound"})
                return
            if not file.is_file():
                self._send(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
                return
            headers = {"X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
            if file.stat().st_size < _LARGE:
                self._file(file, headers)
                return
            headers |= {
                "X-Linked-Size": str(file.stat().st_size),
                "X-Linked-ETag": f'"{_sha256(file)}"',
                "Location": f"{hub.cdn_url}/cdn/{repo}/{commit}/{name}",
            }
            self._send(302, b"", headers)

        def _file(self, file: Path, headers: dict[str, str] | None = None) -> None:
            with hub.lock:
                error = hub.faults.errors.pop(0) if hub.faults.errors and not headers else None
                if hub.faults.after_bytes is not None and hub.sent > hub.faults.after_bytes:
                    error = 503
                dropped = hub.faults.drops > 0 and not headers and error is None
                hub.faults.drops -= dropped
            stall = hub.faults.stall_after_bytes
            if stall is not None and hub.sent > stall:
                hub.stalled.set()
                hub.go_on.wait()
            if error is not None:
                after = hub.faults.retry_after
                self._send(error, b"", {"Retry-After": after} if after is not None else {})
                return
            size, first, status = file.stat().st_size, 0, 200
            headers = {**(headers or {}), "ETag": f'"{_sha256(file)}"', "Accept-Ranges": "bytes"}
            last = size - 1
            wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("range") or "")
            if wanted:
                first, last, status = int(wanted[1]), min(int(wanted[2] or last), last), 206
                headers["Content-Range"] = f"bytes {first}-{last}/{size}"
            length = last + 1 - first
            self._begin(status, length, headers)
            if self.command == "HEAD":
                return
            if dropped:
                length, self.close_connection = length // 2, True
            broken = hub.faults.after_bytes
            faults = (stall, broken, hub.faults.damage)
            if faults == (None, None, None) and size >= _LARGE:
                with file.open("rb") as opened:
                    self.connection.sendfile(opened, first, length)
                with hub.lock:
                    hub.sent += length
                return
            with file.open("rb") as opened:
                opened.seek(first)
                while length > 0 and (piece := opened.read(min(length, _PIECE))):
                    if broken is not None and hub.sent > broken:
                        self.close_connection = True
                        return
                    if (
                        size >= _LARGE
                        and hub.faults.damage is not None
                        and hub.sent >= hub.faults.damage
                    ):
                        piece, hub.faults.damage = piece[:-1] + bytes([piece[-1] ^ 1]), None
                    if stall is not None and hub.sent > stall:
                        hub.stalled.set()
                        hub.go_on.wait()
                    self.wfile.write(piece)
                    length -= len(piece)
                    with hub.lock:
                        hub.sent += len(piece)

        def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
            self._begin(status, len(body), headers or {})
            if self.command != "HEAD":
                self.wfile.write(body)

        def _begin(self, status: int, length: int, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(length))
            self.end_headers()

    return Handler


@contextmanager
def serve(folders: dict[str, Path], token: str | None = None) -> Iterator[Hub]:
    """Serve ``folders``, by repository; large files come from another host and port."""
    hub = Hub(folders, token)
    servers = [QuietServer(("127.0.0.1", 0), _handler(hub)) for _ in range(2)]
    hub.url = f"http://127.0.0.1:{servers[0].server_port}"
    hub.cdn_url = f"http://localhost:{servers[1].server_port}"
    threads = [threading.Thread(target=server.serve_forever, daemon=True) for server in servers]
    for thread in threads:
        thread.start()
    try:
        yield hub
    finally:
        hub.go_on.set()
        for server in servers:
            server.shutdown()
            server.server_close()
