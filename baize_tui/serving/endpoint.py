"""An OpenAI-compatible endpoint for one model of this machine, in a process of its own."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from baize_shared.private_files import create_file, private_folder
from baize_shared.signal_names import signal_name
from baize_tui.engine.profiles import environment_for, profile_named
from baize_tui.serving.addresses import url_of
from baize_tui.serving.errors import EndpointFailed
from baize_tui.serving.order import READY, Program, ServeOrder
from baize_tui.shared_texts import tr_shared
from baize_tui.translation import msg, tr

LLAMA_SERVER: Final = "llama-server"
MISSING = msg(
    "no server is installed: pip install 'baize-tui[serve]' brings llama-cpp-python's, or install "
    "llama-server"
)
_CLOSE_S = 5.0


def choose_program(wanted: Program | None) -> tuple[Program, str]:
    """The server to run, and its path if it is llama-server.

    Without a wish it is llama-cpp-python's, whose llama.cpp the client has tried on this machine.

    Raises:
        EndpointFailed: it is not installed.
    """
    path = shutil.which(LLAMA_SERVER)
    if wanted != LLAMA_SERVER and all(map(importlib.util.find_spec, ("uvicorn", "fastapi"))):
        return "llama-cpp-python", ""
    if wanted != "llama-cpp-python" and path is not None:
        return LLAMA_SERVER, path
    if wanted == LLAMA_SERVER:
        raise EndpointFailed(tr("llama-server is not on the PATH"))
    raise EndpointFailed(tr(MISSING))


class Endpoint:
    """A running endpoint; it ends with this process, however that ends."""

    def __init__(self, process: subprocess.Popen[bytes], order: ServeOrder, log: Path) -> None:
        self._process = process
        self._order = order
        self._log = log

    @classmethod
    def start(cls, order: ServeOrder, listener: socket.socket, log: Path) -> Self:
        """Start the process and wait until it answers; ``listener`` belongs to it afterwards.

        Raises:
            EndpointFailed: it cannot be started, or has ended.
        """
        private_folder(log.parent)
        passed: tuple[int, ...] = ()
        if order.program == LLAMA_SERVER:
            listener.close()  # it opens its own
        else:
            passed = (listener.fileno(),)
            order = msgspec.structs.replace(order, listener=listener.fileno())
        descriptor = create_file(log)
        try:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "baize_tui.serving.endpoint_process"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=descriptor,
                pass_fds=passed,
                start_new_session=True,  # Ctrl-C in the terminal is for this process alone
                env={
                    **os.environ,
                    "GGML_NO_BACKTRACE": "1",
                    "PYTHONUTF8": "1",
                    **environment_for(profile_named(order.profile)),
                },
            )
        except OSError as error:
            why = tr_shared(error.strerror)
            raise EndpointFailed(tr("the server cannot be started: {why}", why=why)) from error
        finally:
            os.close(descriptor)
            listener.close()
        endpoint = cls(process, order, log)
        try:
            endpoint._wait_until_ready()
        except BaseException:
            endpoint.close()
            raise
        return endpoint

    def _wait_until_ready(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(msgspec.json.encode(self._order) + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._end() from None
        if self._process.stdout.readline() != READY:
            raise self._end()

    @property
    def url(self) -> str:
        """Its address, without a path."""
        return url_of(self._order.host, self._order.port)

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait(self) -> None:
        """Wait for the end of the process, which should not end by itself.

        Raises:
            EndpointFailed: it has.
        """
        raise self._end()

    def _end(self) -> EndpointFailed:
        code = self._process.wait()
        how = tr("exit code {code}", code=code) if code >= 0 else signal_name(-code)
        return EndpointFailed(tr("the server has ended ({how}); see {log}", how=how, log=self._log))

    def close(self) -> None:
        """End the process."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(_CLOSE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.close()
