"""``baize-train selfchat`` and ``finetune``, killed: the same corpus and the same weights."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from baize_train.selfchat.collection import rejected_file, replies_file
from benchmarks.collection import read_lines, seed_file
from benchmarks.killing.cases import Case, KilledCommand, RunCase, prepare_command
from tests.conftest import smollm2_file
from tests.convert.smollm2_folder import make_folder
from tests.train.conftest import TINY, corpus_lines
from tests.train.scripted_server import ScriptedServer, serve
from tests.train.self_talk import talk
from tests.train.small_runs import SMALL

DIALOGUES = 24
STEPS = 20


def prepare_selfchat(folder: Path, stack: ExitStack) -> RunCase:
    server = stack.enter_context(serve(talk))
    server.faults.delay_s = 0.05
    return prepare_command(_Selfchat(server, folder), folder)


def prepare_finetune(folder: Path, stack: ExitStack) -> RunCase:
    return prepare_command(_Finetune(folder), folder)


class _Selfchat(KilledCommand):
    def __init__(self, server: ScriptedServer, folder: Path) -> None:
        self._server = server
        self._seeds = seed_file(folder, DIALOGUES)
        self._wanted: dict[str, Any] = {}

    def arguments(self, case: Case) -> list[object]:
        options = ("--seeds", self._seeds, "-o", case.folder / "out.jsonl", "--near", "1")
        return ["baize_train", "selfchat", *options, "--speaker", self._server.spec, "--json"]

    def check_killed(self, case: Case) -> Iterator[str]:
        output = case.folder / "out.jsonl"
        for file in (output, rejected_file(output)):
            if file.exists():
                whole = file.read_bytes().rpartition(b"\n")[0]  # the last line may be cut
                invalid = sum(not _is_json(line) for line in whole.splitlines())
                if invalid:
                    yield f"{invalid} lines of {file.name} are damaged"

    def check_finished(self, case: Case) -> Iterator[str]:
        output = case.folder / "out.jsonl"
        records = [*read_lines(output), *read_lines(rejected_file(output))]
        dialogues = {record["meta"]["key"]: record["messages"] for record in records}
        if len(dialogues) != len(records):
            yield f"{len(records)} dialogues with {len(dialogues)} keys"
        self._wanted = self._wanted or dialogues
        if dialogues != self._wanted:
            yield f"{len(dialogues)} dialogues that are not those of a run that was not killed"
        tokens = sum(r["meta"]["prompt_tokens"] + r["meta"]["completion_tokens"] for r in records)
        report = json.loads((case.folder / "output").read_text())
        (total,) = read_lines(replies_file(output))
        spent = total["prompt_tokens"] + total["completion_tokens"]
        if not tokens == spent == report["total_tokens"]:
            yield f"{tokens} tokens in the dialogues, {spent} spent, {report['total_tokens']} told"


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


class _Finetune(KilledCommand):
    def __init__(self, folder: Path) -> None:
        self._base, self._corpus = folder / "base", folder / "corpus.jsonl"
        _make_tiny_llama(self._base, folder / "smollm2")
        lines = (json.dumps(line) for line in corpus_lines(24))
        self._corpus.write_text("".join(f"{line}\n" for line in lines))
        self._weights: dict[str, Any] = {}

    def arguments(self, case: Case) -> list[object]:
        options = ("--steps", STEPS, "--save-every", "5")
        files = ("--base", self._base, "--data", self._corpus, "-o", case.folder / "adapter")
        return ["baize_train", "finetune", *files, *SMALL, *options, "--json"]

    def check_finished(self, case: Case) -> Iterator[str]:
        folder = case.folder / "adapter"
        weights = load_file(folder / "adapter_model.safetensors")
        self._weights = self._weights or weights
        for name, weight in self._weights.items():
            if name not in weights or not np.allclose(weights[name], weight, atol=1e-6):
                yield f"{name} is not as in a run that was not killed"
                return
        manifest = json.loads((folder / "run.json").read_text())
        trained = [point["step"] for point in manifest["losses"] if not point.get("held_out")]
        if not manifest["finished"] or trained != list(range(1, STEPS + 1)):
            yield f"the steps in its manifest are {trained}"
        if (folder / "checkpoints").exists():
            yield "checkpoints are left"


def _make_tiny_llama(folder: Path, real: Path) -> None:
    """A tiny LLaMA with the vocabulary of the real model."""
    import torch
    import transformers

    torch.manual_seed(3)
    # The tokenizer is the whole one of the real model.
    config = transformers.LlamaConfig(**{**TINY, "vocab_size": 49152})
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    make_folder(smollm2_file(), real)
    for file in real.glob("tokenizer*"):
        (folder / file.name).write_bytes(file.read_bytes())
