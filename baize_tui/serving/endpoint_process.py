"""The process of an endpoint: ``python -m baize_tui.serving.endpoint_process``.

It reads its order from stdin, writes ``ready`` to stdout once it answers, and ends with the end of
stdin, also when its parent was killed. Whatever else is printed goes to stderr, which is a log.
"""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from baize_tui.serving.order import READY, ServeOrder

_POLL_S = 0.1
_AMX = "amx_int8"


def main() -> None:
    """Serve until the parent ends."""
    order = msgspec.json.decode(sys.stdin.buffer.readline(), type=ServeOrder)
    answers = os.dup(1)
    os.dup2(2, 1)

    def report_ready() -> None:
        os.write(answers, READY)

    if order.program == "llama-server":
        sys.exit(_run_llama_server(order, report_ready))
    _end_with_parent(lambda: os._exit(0))
    _run_own_server(order, report_ready)


def _end_with_parent(end: Callable[[], object]) -> None:
    """Call ``end`` once stdin has ended."""

    def wait() -> None:
        while os.read(0, 1):
            pass
        end()

    threading.Thread(target=wait, name="parent", daemon=True).start()


# --- llama-cpp-python's server ------------------------------------------------------------------


def _run_own_server(order: ServeOrder, report_ready: Callable[[], None]) -> None:
    import uvicorn

    from baize_tui.engine.llama.openai_app import open_app
    from baize_tui.engine.profiles import profile_named
    from baize_tui.serving.text_parts import TextParts
    from baize_tui.serving.token_check import TokenCheck

    app = open_app(
        order.model,
        order.name,
        n_ctx=order.n_ctx,
        threads=order.threads,
        threads_batch=order.threads_batch,
        gpu_layers=order.gpu_layers,
        flash_attention=order.flash_attention,
        kv_type=order.kv_type,
        profile=profile_named(order.profile),
        template=order.template,
        template_name=order.template_name,
        stop=order.stop,
    )
    checked = TokenCheck(TextParts(app), order.token)
    config = uvicorn.Config(checked, access_log=False, log_level="warning")
    listener = socket.socket(fileno=order.listener)
    report_ready()  # requests wait in the socket's queue
    uvicorn.Server(config).run(sockets=[listener])


# --- llama-server -------------------------------------------------------------------------------


def _run_llama_server(order: ServeOrder, report_ready: Callable[[], None]) -> int:
    """Run llama-server as a child; its exit code, negative for a signal."""
    environment = {**os.environ, "LLAMA_API_KEY": order.token}
    child = subprocess.Popen(
        [order.executable, *llama_server_arguments(order, has_amx=_has_amx())],
        stdin=subprocess.DEVNULL,
        env=environment,
    )

    def end() -> None:
        child.kill()
        os._exit(0)

    _end_with_parent(end)
    while child.poll() is None and not _is_healthy(order):
        time.sleep(_POLL_S)
    if child.poll() is None:
        report_ready()
    return child.wait()


def llama_server_arguments(order: ServeOrder, *, has_amx: bool) -> list[str]:
    """The arguments of llama-server; the token is in its environment, which others cannot read."""
    flash = "on" if order.flash_attention else "off"
    arguments = [
        *("--model", order.model, "--alias", order.name),
        *("--host", order.host, "--port", str(order.port)),
        *("--ctx-size", str(order.n_ctx), "--gpu-layers", str(_layers(order.gpu_layers))),
        *("--threads", str(order.threads), "--threads-batch", str(order.threads_batch)),
        *("--flash-attn", flash, "--jinja", "--offline", "--no-webui"),
    ]
    if order.kv_type != "f16":
        arguments += ["--cache-type-k", order.kv_type, "--cache-type-v", order.kv_type]
    if order.template:
        arguments += ["--chat-template", order.template]
    if has_amx or order.profile != "full":
        # AMX kernels are among the repacked ones; they crash on some machines.
        arguments.append("--no-repack")
    return arguments


def _layers(gpu_layers: int) -> int:
    return 10_000 if gpu_layers < 0 else gpu_layers


def _has_amx() -> bool:
    try:
        return _AMX in Path("/proc/cpuinfo").read_text("utf-8", "replace")
    except OSError:  # no Linux, and no Xeon
        return False


def _is_healthy(order: ServeOrder) -> bool:
    """Whether llama-server has loaded its model: until then ``/health`` answers 503."""
    connection = http.client.HTTPConnection(order.host, order.port, timeout=5)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    main()
