"""A server whose answers are nearly those of the hub, and a program that asks it."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import shutil
import threading
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from tests.convert.hostile.mutations import mutate_bytes, mutate_json
from tests.quiet_server import QuietServer

COMMIT = "0a" * 20
WEIGHTS = bytes(range(256)) * 300
CONFIG = b'{"architectures": ["LlamaForCausalLM"]}'
_SHA256 = hashlib.sha256(WEIGHTS).hexdigest()
_ENDLESS = 64 << 20
"""Bytes; a client that reads whatever comes holds them all."""


def _zeros(mebibytes: int) -> bytes:
    """Zeros as a zlib stream (RFC 1950), from one mebibyte that is compressed once."""
    compressor = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    mebibyte = compressor.compress(bytes(1 << 20)) + compressor.flush(zlib.Z_FULL_FLUSH)
    adler32 = (mebibytes << 20) % 65521 << 16 | 1
    return b"\x78\xda" + mebibyte * mebibytes + compressor.flush() + adler32.to_bytes(4, "big")


BOMB = _zeros(512)
"""Half a gigabyte, as half a megabyte."""
_PAGE = b"<!DOCTYPE html><html><body>Please log in to this network</body></html>"
_HASHES = ("../../../../evil", "..", '"../x"', "a" * 300, "", 'W/"1"', "ABCDEF" * 7, '"' + "/" * 40)
_SIZES = ("-1", "0", "1e9", "9" * 30, "x", "", "76800.0", " 76800", "76801")
_PLACES = (
    *("file:///etc/passwd", "//", "http://[", "http://user@127.0.0.1/x", "../x", "/loop", "x:y"),
    *("http://127.0.0.1:1/x", "http://127.0.0.1:99999/", "ftp://127.0.0.1/", "\x01", "?" * 5000),
)
_CODES = (200, 204, 206, 301, 302, 304, 307, 308, 400, 401, 403, 404, 410, 416, 429, 500, 503, 599)


@dataclass
class Answer:
    """What the server sends; ``length`` may be a lie, and None leaves it out."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    length: str | None = ""
    endless: bool = False


@dataclass
class HostileHub:
    """Honest answers, some of which are changed: at random, or by a function."""

    rng: random.Random = field(default_factory=random.Random)
    chance: float = 0.0
    change: Callable[[str, Answer], object] = lambda path, answer: None
    url: str = ""
    requests: list[tuple[str, str]] = field(default_factory=list)
    """Path and authorization of every request."""
    sent: int = 0
    """Bytes of bodies."""

    def answer(self, path: str, byte_range: str | None) -> Answer:
        answer = self._honest(path, byte_range)
        self.change(path, answer)
        if self.rng.random() < self.chance:
            for _ in range(self.rng.choice((1, 1, 2, 3))):
                self._spoil(answer)
        return answer

    def _honest(self, path: str, byte_range: str | None) -> Answer:
        if path.startswith("/api/models/owner/name/revision/"):
            names = ("config.json", "model.gguf")
            siblings = [{"rfilename": name} for name in names]
            info = {"_id": "1", "sha": COMMIT, "siblings": siblings}
            return Answer(200, json.dumps(info).encode(), {"Content-Type": "application/json"})
        headers = {"X-Repo-Commit": COMMIT}
        if path.endswith("/config.json"):
            git_hash = hashlib.sha1(CONFIG).hexdigest()
            return Answer(200, CONFIG, {**headers, "ETag": f'"{git_hash}"'})
        if path.endswith("/model.gguf") and "/resolve/" in path:
            headers |= {"X-Linked-Size": str(len(WEIGHTS)), "X-Linked-ETag": f'"{_SHA256}"'}
            return Answer(302, b"", {**headers, "Location": f"{self.url}/cdn/model.gguf"})
        if path == "/cdn/model.gguf":
            wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", byte_range or "")
            first, last = (int(wanted[1]), int(wanted[2])) if wanted else (0, len(WEIGHTS) - 1)
            part = WEIGHTS[first : last + 1]
            total = f"bytes {first}-{last}/{len(WEIGHTS)}"
            return Answer(206, part, {"Content-Range": total, "ETag": '"1"'})
        return Answer(404, b"", {"X-Error-Code": "EntryNotFound"})

    def _spoil(self, answer: Answer) -> None:
        rng = self.rng
        match rng.randrange(14):
            case 0:
                answer.status = rng.choice(_CODES)
            case 1:
                answer.headers[rng.choice(("ETag", "X-Linked-ETag"))] = rng.choice(_HASHES)
            case 2:
                answer.headers["X-Linked-Size"] = rng.choice(_SIZES)
            case 3:
                answer.length = rng.choice((*_SIZES, None))
            case 4:
                answer.status = rng.choice((301, 302, 307, 308))
                answer.headers["Location"] = rng.choice(_PLACES)
            case 5:
                answer.body = mutate_bytes(rng, answer.body)
            case 6 if answer.headers.get("Content-Type") == "application/json":
                answer.body = mutate_json(rng, answer.body)
            case 7:
                answer.status, answer.body = 200, _PAGE
                answer.headers["Content-Type"] = "text/html; charset=utf-8"
            case 8:
                answer.headers["Content-Encoding"] = rng.choice(("gzip", "deflate"))
                answer.body = rng.choice((BOMB, answer.body))
            case 9:
                answer.headers["Content-Encoding"] = rng.choice(
                    ("br", "zstd", "x" * 500, "gzip, gzip")
                )
            case 10:
                answer.endless, answer.length = True, None
            case 11:
                answer.headers["X-Repo-Commit"] = rng.choice(("../..", "", "0b" * 20))
            case 12:
                answer.headers["Content-Range"] = rng.choice(("", "bytes 0-0/1", "x/" + "9" * 40))
            case 13:
                answer.headers.pop(rng.choice(sorted(answer.headers) or [""]), None)
                answer.headers["Retry-After"] = rng.choice(("99999999999", "-1", "x"))


def serve_hostile() -> HostileHub:
    """Start the server; it ends with the process."""
    hub = HostileHub()
    server = QuietServer(("127.0.0.1", 0), handler_of(hub))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return hub


def handler_of(hub: HostileHub) -> type[BaseHTTPRequestHandler]:
    """What answers the requests of a server as ``hub`` says."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            hub.requests.append((self.path, self.headers.get("Authorization", "")))
            self._send(hub.answer(self.path, self.headers.get("Range")))

        def _send(self, answer: Answer) -> None:
            self.close_connection = True
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            if answer.length is not None:
                self.send_header("Content-Length", answer.length or str(len(answer.body)))
            self.send_header("Connection", "close")
            self.end_headers()
            if self.command == "HEAD":
                return
            self.wfile.write(answer.body)
            for _ in range(_ENDLESS >> 16 if answer.endless else 0):
                self.wfile.write(bytes(1 << 16))
                hub.sent += 1 << 16

    return Handler


def read_hub(work: Path) -> Callable[[random.Random], None]:
    """A function that opens and downloads a repository whose answers ``rng`` spoils."""
    hub = serve_hostile()
    home = work / "hf"
    os.environ |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1"}
    from baize_convert.hub import exchange
    from baize_convert.hub.cache import cache_file
    from baize_convert.hub.names import HubName
    from baize_convert.hub.repository import open_repository

    exchange.FIRST_WAIT_S = exchange.LONGEST_WAIT_S = 0.0
    canary = work / "evil"
    canary.write_text("untouched")
    before = {path.name for path in work.iterdir()}

    def run(rng: random.Random) -> None:
        shutil.rmtree(home, ignore_errors=True)
        hub.rng, hub.chance = rng, rng.choice((0.2, 0.5, 1.0))
        try:
            repository = open_repository(HubName("owner/name"))
            source = repository.open("model.gguf")
            part = source.read(100, 1000)  # its hash is known at the end of a merge
            assert len(part) == max(min(1000, len(source) - 100), 0)
            source.close()
            assert cache_file(repository, "model.gguf").read_bytes() == WEIGHTS
        finally:
            outside = {path.name for path in work.iterdir()} - {"hf", "number", *before}
            hub_folder = home / "hub"
            inside = {p.name for p in hub_folder.iterdir()} if hub_folder.is_dir() else set()
            assert not outside, outside
            assert inside <= {"models--owner--name", ".locks"}, inside
            assert canary.read_text() == "untouched"

    return run
