"""Losses in TensorBoard and at Weights & Biases: when asked for, and only then."""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from baize_train.cli import training_options
from baize_train.errors import TrainError
from baize_train.training.reporting import prepare_reports
from tests.train.processes import run
from tests.train.small_runs import SMALL

WANDB = """
import json, os, sys, types
FILE = os.environ["WANDB_CALLS"]
run = None
class Error(Exception): ...
class Config(dict):
    def update(self, *_, **__): ...
config = Config()
def call(kind, **values):
    record = {"call": kind, "mode": os.environ.get("WANDB_MODE"), **values}
    with open(FILE, "a") as file:
        print(json.dumps(record), file=file)
def init(**options):
    global run
    call("init", **options)
    run = types.SimpleNamespace(id="1", url=None, summary={}, _label=lambda **_: None)
def log(values, **_):
    call("log", losses=[key for key in values if key.endswith("loss")])
def define_metric(*_, **__): ...
"""
"""As much of W&B as transformers uses; it keeps what it is given."""


@pytest.fixture
def wandb(tmp_path: Path) -> Path:
    """A folder in which Python finds W&B."""
    inner = tmp_path / "libraries" / "wandb"
    for folder in (inner, inner / "sdk", inner / "sdk" / "lib"):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "__init__.py").touch()
    (inner / "__init__.py").write_text(WANDB)
    (inner / "sdk" / "lib" / "config_util.py").write_text("class ConfigError(Exception): ...\n")
    return inner.parent


def calls(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


@pytest.mark.training
def test_losses_are_reported_when_asked_for_and_offline_stays_offline(
    wandb: Path, tiny_llama: Path, corpus: Path, tmp_path: Path
) -> None:
    pytest.importorskip("trl")
    seen, token = tmp_path / "calls", tmp_path / "token"
    token.write_text("plum")
    kubeflow = socket.create_server(("127.0.0.1", 0))
    kubeflow.setblocking(False)
    environment: dict[str, Any] = {
        "WANDB_CALLS": str(seen),
        "WANDB_MODE": "online",
        "HF_HUB_OFFLINE": "1",
        "KUBEFLOW_TRAINER_SERVER_URL": f"http://127.0.0.1:{kubeflow.getsockname()[1]}/",
        "KUBEFLOW_TRAINER_SERVER_TOKEN": str(token),
    }
    command = ("finetune", "--base", tiny_llama, "--data", corpus, *SMALL, "--steps", "2")

    def train(output: str, *more: object) -> tuple[int, str]:
        done = run(*command, "-o", tmp_path / output, *more, libraries=wandb, **environment)
        return done.returncode, done.stderr

    code, errors = train("silent")
    assert code == 0, errors
    assert calls(seen) == []
    with kubeflow, pytest.raises(BlockingIOError):
        kubeflow.accept()  # nobody has connected
    code, errors = train("told", "--report-to", "wandb")
    assert code == 0, errors
    first, *logs = calls(seen)
    assert (first["call"], first["mode"], first["project"]) == ("init", "offline", "baize")
    assert {name for log in logs for name in log["losses"]} >= {"train/loss", "eval/loss"}


def test_a_failed_login_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Error(Exception):
        """``wandb.Error``"""

    def init(**_: str) -> None:
        raise Error("no API key\nconfigured")

    for name in ("WANDB_SILENT", "WANDB_CONSOLE", "DISABLE_KUBEFLOW_INTEGRATION"):
        monkeypatch.setenv(name, "true")
    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(Error=Error, init=init))
    with pytest.raises(TrainError, match=r"^W&B cannot start: no API key configured; "):
        prepare_reports("wandb", tmp_path)


def test_a_report_without_its_library_is_refused_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("baize_train.training.reporting.find_spec", lambda name: None)
    options = training_options.TrainingOptions(output=tmp_path, report_to="tensorboard")
    with pytest.raises(TrainError, match=r"needs tensorboard: pip install 'baize-tui\[tracked-"):
        training_options.require_option_libraries(options)
