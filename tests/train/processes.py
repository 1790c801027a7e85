"""``baize-train`` as a process."""

from __future__ import annotations

import os
import platform
import resource
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

from tests.warm_start import PROGRAMS, TRAINING, Prepare, RunningCommand, as_text

WITH_PYTORCH = ("finetune", "sdf")
"""Commands that import PyTorch."""


def spawn(*arguments: object, **environment: str) -> subprocess.Popen[str]:
    return _spawn(["-m", "baize_train", *map(str, arguments)], _complete(environment))


def start(*arguments: object, **environment: str) -> RunningCommand:
    """Start a command that does without PyTorch; ``wait`` for its end before the next one."""
    return PROGRAMS.start("baize_train", [str(word) for word in arguments], _complete(environment))


def run(
    *arguments: object,
    limit: tuple[int, int] | None = None,
    libraries: Path | None = None,
    **environment: str,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end.

    ``limit`` is one of ``resource.RLIMIT_...`` and its value; in ``libraries`` the command finds
    more modules.
    """
    if libraries is not None:
        path = os.pathsep.join((str(libraries), os.environ.get("PYTHONPATH", "")))
        environment = {"PYTHONPATH": path, **environment}
    words = [str(argument) for argument in arguments]
    # On other systems the libraries do not survive a fork.
    needs_pytorch = words[0] in WITH_PYTORCH
    if not needs_pytorch or platform.system() == "Linux":
        warm = TRAINING if needs_pytorch else PROGRAMS
        prepare: Prepare | None = None
        if limit is not None:
            prepare = partial(resource.setrlimit, limit[0], (limit[1],) * 2)
        elif libraries is not None:
            prepare = partial(find_modules_in, str(libraries))
        done = warm.run("baize_train", words, _complete(environment), prepare=prepare)
        return as_text(done)
    if limit is None:
        process = spawn(*arguments, **environment)
    else:
        program = (
            f"import resource, runpy; resource.setrlimit({limit[0]}, ({limit[1]},) * 2);"
            "runpy.run_module('baize_train', run_name='__main__')"
        )
        process = _spawn(["-c", program, *words], _complete(environment))
    out, err = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def find_modules_in(folder: str) -> None:
    """Find the modules in ``folder``, as with PYTHONPATH, in a process that has started already."""
    sys.path.insert(0, folder)


def run_until_killed(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a training that is killed in the step after its first checkpoint."""
    words, environment = [str(argument) for argument in arguments], _complete({})
    if platform.system() == "Linux":
        prepare = kill_after_first_checkpoint
        return as_text(TRAINING.run("baize_train", words, environment, prepare=prepare))
    program = [sys.executable, "-c", _KILLED_PROGRAM, *words]
    return subprocess.run(program, capture_output=True, text=True, env=environment, check=False)


_KILLED_PROGRAM = """
import runpy
from tests.train.processes import kill_after_first_checkpoint
kill_after_first_checkpoint()
runpy.run_module("baize_train", run_name="__main__", alter_sys=True)
"""


def kill_after_first_checkpoint() -> None:
    """Let this process be killed in the training step after it has saved a checkpoint."""
    from baize_train.training.trainers import BaizeSftTrainer

    train = BaizeSftTrainer.training_step

    def training_step(trainer: Any, *arguments: Any, **named: Any) -> Any:
        if any(Path(trainer.args.output_dir).glob("checkpoint-*/trainer_state.json")):
            os.kill(os.getpid(), signal.SIGKILL)
        return train(trainer, *arguments, **named)

    BaizeSftTrainer.training_step = training_step  # type: ignore[assignment, method-assign]


def _complete(environment: dict[str, str]) -> dict[str, str]:
    return {**os.environ, "OPENAI_API_KEY": "", "no_proxy": "*", **environment}


def _spawn(arguments: list[str], environment: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
