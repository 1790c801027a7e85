"""Proof that training works: a 4-bit GGUF knows made-up facts that its base does not know::

    python benchmarks/training_works.py

It trains a LoRA for the embedded model on about a hundred short dialogues, merges it into a Q4_K_M
and asks both models questions with wordings that were held out. Then it continues the adapter with
more facts, and, by preferences (DPO), changes its mind about some of the first ones. This takes
about half an hour on 2 cores; docs/train.md has its output.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.made_up_facts import (
    ASKED,
    FACTS,
    HELD_OUT,
    MORE_FACTS,
    TAUGHT,
    Fact,
    Record,
    corrected,
    dialogues,
    general,
    pairs,
)

BASE = "smollm2-135m"


def write(file: Path, lines: list[Record]) -> Path:
    file.write_text("".join(f"{json.dumps(line)}\n" for line in lines), "utf-8")
    return file


def run(*command: str | Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *map(str, command)], check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout


def ask(model: str | Path, question: str) -> str:
    arguments = ("--no-save", "--temperature", "0", "--max-tokens", "40", "--json")
    answer = json.loads(run("baize_tui", "ask", question, "--model", model, *arguments))
    return " ".join(str(answer["text"]).split())


@dataclass(frozen=True)
class Proof:
    """Trains in ``folder``, and asks what came of it."""

    folder: Path

    def train(self, name: str, *options: str | Path) -> Path:
        """The adapter that ``finetune`` makes of the base, with the report of the run."""
        adapter = self.folder / name
        output = run(
            "baize_train", "finetune", "--base", BASE, "--preset", "cpu-try",
            "--batch", "8", *options, "-o", adapter,
        )  # fmt: skip
        print(f"--- {name}\n{output.replace(f'{self.folder}/', '')}", flush=True)
        return adapter

    def merge(self, *adapters: Path) -> Path:
        """Base and adapters in 4 bits."""
        merged = adapters[-1].with_suffix(".gguf")
        base = json.loads((adapters[0] / "run.json").read_text())["base"]
        chosen = [word for adapter in adapters for word in ("--adapter", adapter)]
        run("baize_convert", "merge", base, *chosen, "--outtype", "Q4_K_M", "--output", merged)
        return merged

    def known(self, facts: list[Fact], before: str | Path, after: Path) -> tuple[int, int]:
        """How many of ``facts`` two models answer, whose answers are shown."""
        counts = [0, 0]
        for fact in facts:
            question = ASKED.format(fact.what)
            answers = ask(before, question), ask(after, question)
            for number, answer in enumerate(answers):
                counts[number] += fact.name in answer
            print(f"\n? {question}\n  before: {answers[0]}\n  after:  {answers[1]}", flush=True)
        print(f"\nknown of {len(facts)}: {counts[0]} before, {counts[1]} after, in 4 bits\n")
        return counts[0], counts[1]


def teach(proof: Proof) -> tuple[Path, Path, bool]:
    """The adapter and the model that know the first facts, and whether they do."""
    taught = write(proof.folder / "taught.jsonl", dialogues(FACTS, TAUGHT) + general())
    held_out = write(proof.folder / "held-out.jsonl", dialogues(FACTS, HELD_OUT))
    adapter = proof.train("taught", "--data", taught, "--eval", held_out, "--epochs", "8")
    merged = proof.merge(adapter)
    before, after = proof.known(FACTS, BASE, merged)
    print(f"other things: {ask(merged, 'What is the capital of France?')}\n")
    return adapter, merged, before == 0 and after >= len(FACTS) - 1


def continue_training(proof: Proof, adapter: Path, merged: Path) -> bool:
    """Whether the continued adapter knows the new facts, and still the first ones."""
    lines = dialogues(MORE_FACTS, TAUGHT) + dialogues(FACTS, TAUGHT[:3]) + general()
    data = write(proof.folder / "more.jsonl", lines)
    options = ("--adapter", adapter, "--data", data, "--epochs", "6")
    continued = proof.merge(proof.train("continued", *options))
    before, after = proof.known(MORE_FACTS, merged, continued)
    _, still = proof.known(FACTS, merged, continued)
    return before == 0 and after == len(MORE_FACTS) and still >= len(FACTS) - 1


def prefer(proof: Proof, adapter: Path, merged: Path) -> bool:
    """Whether preferences over the first adapter change what it says, and nothing else."""
    data = write(proof.folder / "pairs.jsonl", pairs(TAUGHT))
    options = ("--adapter", adapter, "--preference", data, "--epochs", "4")
    preferring = proof.merge(adapter, proof.train("preferring", *options))
    before, after = proof.known(corrected(), merged, preferring)
    changed = {fact.what for fact in corrected()}
    others = [fact for fact in FACTS if fact.what not in changed]
    _, still = proof.known(others, merged, preferring)
    return before == 0 and after == len(changed) and still >= len(others) - 1


def main() -> None:
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        proof = Proof(Path(name))
        adapter, merged, knows = teach(proof)
        works = (knows, continue_training(proof, adapter, merged), prefer(proof, adapter, merged))
    print(f"taught, continued, preferring: {works}")
    print(f"{(time.monotonic() - began) / 60:.0f} minutes")
    sys.exit(not all(works))


if __name__ == "__main__":
    main()
