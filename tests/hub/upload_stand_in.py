"""A stand-in of the hub that takes uploads: repositories, large files on another host, commits."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.quiet_server import QuietServer

LARGE = 1 << 12
"""Bytes from which on a file is kept outside the repository."""
_INFO = re.compile(r"/api/models/([^/]+/[^/]+)(?:/revision/main)?")
_PREUPLOAD = re.compile(r"/api/models/([^/]+/[^/]+)/preupload/main")
_COMMIT = re.compile(r"/api/models/([^/]+/[^/]+)/commit/main")
_BATCH = re.compile(r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch")
_STORE = re.compile(r"/store/([0-9a-f]{64})")


@dataclass
class Repository:
    """A repository and what was committed to it."""

    private: bool
    files: dict[str, bytes] = field(default_factory=dict)
    commits: int = 0


@dataclass
class UploadHub:
    """What the hub has, whom it knows, and every request that it got."""

    token: str
    owners: set[str]
    """Who the token may write for."""
    repositories: dict[str, Repository] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    """Large files by their SHA-256."""
    arrivals: list[str] = field(default_factory=list)
    """The SHA-256 of each large file that arrived whole, in their order."""
    breaks: int = 0
    """Number of large files whose upload fails."""
    echo: bool = False
    """Whether refusals repeat the token that they got."""
    answer: tuple[int, str, bytes] | None = None
    """Status, type and body of every answer, instead of the hub's."""
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)
    """Method, address and ``Authorization`` of each."""
    url: str = ""
    store_url: str = ""


def _handler(hub: UploadHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            self._note()
            if not self._is_authorized():
                return
            found = _INFO.fullmatch(self.path)
            repository = hub.repositories.get(found[1]) if found else None
            if found is None or repository is None:
                self._refuse(404, "Repository not found", "RepoNotFound")
            else:
                sha = f"{repository.commits:040x}"
                info = {"_id": "1", "id": found[1], "sha": sha, "private": repository.private}
                self._send(200, {**info, "siblings": [], "tags": [], "downloads": 0, "likes": 0})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self._note()
            path = self.path.partition("?")[0]
            if path.startswith("/verify/"):
                self._send(200, {})
            elif not self._is_authorized():
                return
            elif path == "/api/repos/create":
                self._create(json.loads(body))
            elif path == "/api/validate-yaml":
                self._send(200, {"errors": [], "warnings": []})
            elif found := _PREUPLOAD.fullmatch(path):
                self._choose_modes(hub.repositories[found[1]], json.loads(body)["files"])
            elif _BATCH.fullmatch(path):
                self._list_missing(json.loads(body)["objects"])
            elif found := _COMMIT.fullmatch(path):
                self._commit(found[1], [json.loads(line) for line in body.splitlines()])
            else:
                self._refuse(404, "no such page")

        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self._note()
            found = _STORE.fullmatch(self.path)
            assert found, self.path
            if hub.breaks:
                hub.breaks -= 1
                self._refuse(400, "the store is full")
                return
            assert hashlib.sha256(body).hexdigest() == found[1]
            hub.objects[found[1]] = body
            hub.arrivals.append(found[1])
            self._send(200, {})

        def _note(self) -> None:
            url = f"http://{self.headers['Host']}{self.path}"
            hub.requests.append((self.command, url, self.headers.get("Authorization")))

        def _is_authorized(self) -> bool:
            if hub.answer is not None:
                status, kind, body = hub.answer
                self._send(status, body, {"Content-Type": kind})
                return False
            sent = self.headers.get("Authorization")
            if sent == f"Bearer {hub.token}":
                return True
            self._refuse(401, "Invalid credentials in Authorization header")
            return False

        def _create(self, wanted: dict[str, Any]) -> None:
            name = f"{wanted['organization']}/{wanted['name']}"
            if wanted["organization"] not in hub.owners:
                self._refuse(403, f"You don't have the rights to create a model under {name}")
            elif name in hub.repositories:
                self._send(409, {"url": f"{hub.url}/{name}", "error": "You already have it"})
            else:
                hub.repositories[name] = Repository(wanted.get("visibility") == "private")
                self._send(200, {"url": f"{hub.url}/{name}"})

        def _choose_modes(self, repository: Repository, files: list[dict[str, Any]]) -> None:
            chosen = []
            for file in files:
                kept = repository.files.get(file["path"])
                large = file["size"] >= LARGE
                mode = "lfs" if large else "regular"
                chosen.append(
                    {
                        **{"path": file["path"], "uploadMode": mode, "shouldIgnore": False},
                        "oid": None if kept is None else _oid(kept, large=large),
                    }
                )
            self._send(200, {"files": chosen})

        def _list_missing(self, objects: list[dict[str, Any]]) -> None:
            answers = []
            for item in objects:
                answer = {"oid": item["oid"], "size": item["size"]}
                if item["oid"] not in hub.objects:
                    answer["actions"] = {
                        "upload": {"href": f"{hub.store_url}/store/{item['oid']}"},
                        "verify": {"href": f"{hub.store_url}/verify/{item['oid']}"},
                    }
                answers.append(answer)
            self._send(200, {"transfer": "basic", "objects": answers})

        def _commit(self, name: str, lines: list[dict[str, Any]]) -> None:
            repository = hub.repositories[name]
            for line in lines:
                value = line["value"]
                if line["key"] == "file":
                    repository.files[value["path"]] = base64.b64decode(value["content"])
                elif line["key"] == "lfsFile":
                    repository.files[value["path"]] = hub.objects[value["oid"]]
            repository.commits += 1
            oid = f"{repository.commits:040x}"
            self._send(200, {"commitUrl": f"{hub.url}/{name}/commit/{oid}", "commitOid": oid})

        def _refuse(self, status: int, why: str, code: str = "") -> None:
            if hub.echo:
                why += f" {self.headers.get('Authorization')}"
            headers = {"X-Error-Message": why, **({"X-Error-Code": code} if code else {})}
            self._send(status, {"error": why}, headers)

        def _send(
            self, status: int, body: dict[str, Any] | bytes, headers: dict[str, str] | None = None
        ) -> None:
            raw = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            for key, value in {"Content-Type": "application/json", **(headers or {})}.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

    return Handler


def _oid(content: bytes, *, large: bool) -> str:
    if large:
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@contextmanager
def serve_uploads(token: str, owners: set[str]) -> Iterator[UploadHub]:
    """Serve a hub without repositories; its store of large files has another port."""
    hub = UploadHub(token, owners)
    servers = [QuietServer(("127.0.0.1", 0), _handler(hub)) for _ in range(2)]
    hub.url, hub.store_url = (f"http://127.0.0.1:{server.server_port}" for server in servers)
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()
