"""``baize-train`` as a process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys


def spawn(*arguments: object, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "baize_train", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        env={**os.environ, "OPENAI_API_KEY": "", "no_proxy": "*", **environment},
    )


def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    process = spawn(*arguments, **environment)
    out, err = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)
