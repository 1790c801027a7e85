"""A stand-in for llama-server: it has its options that matter, and waits before it is ready.

As a program: ``llama_server.py --host H --port P --model M …``. It writes its arguments beside
itself.
"""

from __future__ import annotations

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path


class Handler(BaseHTTPRequestHandler):
    asked = 0

    def do_GET(self) -> None:
        if self.path == "/health":
            Handler.asked += 1
            self._answer(200 if Handler.asked > 2 else 503, {})
        elif self.headers["Authorization"] != f"Bearer {os.environ['LLAMA_API_KEY']}":
            self._answer(401, {"error": {"message": "Invalid API Key"}})
        else:
            self._answer(200, {"object": "list", "data": [{"id": "stand-in", "object": "model"}]})

    def _answer(self, status: int, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


if __name__ == "__main__":
    arguments = sys.argv[1:]
    Path(sys.argv[0]).with_suffix(".json").write_text(json.dumps([os.getpid(), arguments]))
    host, port = (arguments[arguments.index(name) + 1] for name in ("--host", "--port"))
    HTTPServer((host, int(port)), Handler).serve_forever()
