"""A tiny LLaMA with the first tokens of the real vocabulary, as a Hugging Face folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from baize_train.cli.app import run
from baize_train.selfchat.collection import rejected_file
from tests.convert.smollm2_folder import write_first_tokens
from tests.made_once import made_once
from tests.train.collecting import Collect, Collected
from tests.train.processes import run as run_process
from tests.train.scripted_server import ScriptedServer, serve
from tests.train.self_talk import WORDS, read_records, talk
from tests.train.small_runs import SMALL

TINY = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "vocab_size": 4096,
    "tie_word_embeddings": True,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


@pytest.fixture(scope="session")
def tiny_llama(smollm2_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")

    def make(folder: Path) -> None:
        torch.manual_seed(3)
        model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**TINY))
        model.save_pretrained(folder)
        # Of the whole vocabulary, the logits would take most of the time.
        write_first_tokens(smollm2_folder, folder, model.config.vocab_size)

    return made_once(tmp_path_factory, "tiny-llama", make)


def corpus_lines(count: int) -> list[dict[str, Any]]:
    """Different dialogues that a model can learn."""
    return [
        {
            "messages": [
                {"role": "user", "content": f"What is number {n}?"},
                {"role": "assistant", "content": f"Number {n} is the {WORDS[n % 10]}."},
                {"role": "user", "content": "Sure?"},
                {"role": "assistant", "content": f"Yes, the {WORDS[n % 10]}."},
            ],
            "meta": {"teacher": "a test"},
        }
        for n in range(count)
    ]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write_corpus(tmp_path)


def write_corpus(folder: Path) -> Path:
    file = folder / "corpus.jsonl"
    file.write_text("".join(f"{json.dumps(line)}\n" for line in corpus_lines(24)))
    return file


@pytest.fixture(scope="session")
def tiny_adapter(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA of the tiny LLaMA after four steps, to be read only."""

    def make(folder: Path) -> None:
        work = tmp_path_factory.mktemp("tiny-adapter")
        command = ("finetune", "--base", tiny_llama, "--data", write_corpus(work), "-o", folder)
        done = run_process(*command, *SMALL, "--steps", "4", BAIZE_HOME=str(work / "home"))
        assert done.returncode == 0, done.stderr

    return made_once(tmp_path_factory, "tiny-adapter", make)


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with serve(talk) as scripted:
        yield scripted


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out.jsonl"


@pytest.fixture
def collect(
    server: ScriptedServer,
    output: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Collect:
    """Runs ``selfchat`` on some seeds, without the keys of the person who tests."""
    for name in ("OPENAI_API_KEY", "BAIZE_SERVER_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("BAIZE_HOME", str(tmp_path / "home"))

    def call(*arguments: object, seeds: int = 4, speaker: str | None = None) -> Collected:
        file = tmp_path / "seeds.txt"
        file.write_text(
            "".join(
                f"What is a {word} made of in {n} ways?\n"
                for n, word in zip(range(seeds), WORDS * 9, strict=False)
            )
        )
        given = [str(argument) for argument in arguments]
        if "--seeds" not in given:
            given += ["--seeds", str(file)]
        if "--speaker" not in given:
            given += ["--speaker", speaker or server.spec]
        capsys.readouterr()
        code = run(["selfchat", "-o", str(output), "--json", "--near", "1", *given])
        out, errors = capsys.readouterr()
        report = json.loads(out) if code == 0 else {}
        return Collected(
            code, report, errors, read_records(output), read_records(rejected_file(output))
        )

    return call
