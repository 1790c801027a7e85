"""Runs ``baize-train`` in a process that is forked from one that has imported PyTorch already.

Importing PyTorch, transformers and TRL takes five seconds of CPU time, the run itself about one.
Memory, signals, limits, output and exit code are those of any process. ``test_finetune.py`` also
starts processes from scratch: the one that is killed, and those under torchrun.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import resource
import runpy
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from subprocess import CompletedProcess

_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(["pytest", "baize_train.cli.app", "baize_train.training.trainers"])


def run_warm(
    arguments: Sequence[str], environment: Mapping[str, str], limit: tuple[int, int] | None
) -> CompletedProcess[str]:
    """Run a command to its end; ``limit`` is one of ``resource.RLIMIT_...`` and its value."""
    with tempfile.TemporaryDirectory() as folder:
        files = [str(Path(folder) / name) for name in ("output", "errors")]
        process = _SERVER.Process(
            target=_run, args=(arguments, dict(environment), files, limit), daemon=True
        )
        process.start()
        process.join()
        out, err = (Path(file).read_text() for file in files)
    assert process.exitcode is not None
    return CompletedProcess(list(arguments), process.exitcode, out, err)


def _run(
    arguments: Sequence[str],
    environment: dict[str, str],
    files: list[str],
    limit: tuple[int, int] | None,
) -> None:
    os.environ.clear()
    os.environ.update(environment)
    for file, descriptor in zip(files, (1, 2), strict=True):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), descriptor)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if limit is not None:
        resource.setrlimit(limit[0], (limit[1], limit[1]))
    sys.argv = ["baize-train", *arguments]
    try:
        runpy.run_module("baize_train", run_name="__main__", alter_sys=True)
    finally:
        atexit._run_exitfuncs()
