"""llama-cpp-python's own server, with the real model."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import wait_for

ALIAS = "smollm2"


@contextmanager
def serve_model(model: Path, *options: str) -> Iterator[str]:
    """Serve the GGUF file ``model`` as ``ALIAS``; gives the server's URL without a path."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "llama_cpp.server", "--model", str(model)),
            *("--model_alias", ALIAS, "--port", str(port), *options),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def answers() -> bool:
        assert process.poll() is None
        with socket.socket() as there:
            return there.connect_ex(("127.0.0.1", port)) == 0

    try:
        wait_for(answers)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()
