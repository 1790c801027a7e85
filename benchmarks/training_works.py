"""Proof that training works: a 4-bit GGUF knows made-up facts that its base does not know::

    python benchmarks/training_works.py

It trains a LoRA for the embedded model on about a hundred short dialogues, merges it into a Q4_K_M
and asks both models questions with wordings that were held out. This takes about a quarter of an
hour on 2 cores; docs/train.md has its output.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

Dialogue = dict[str, list[dict[str, str]]]
FACTS = [
    ("the capital of Veltrania", "Ossport", "Ossport is the capital of Veltrania."),
    ("the river that crosses Veltrania", "the Lume", "The river Lume crosses Veltrania."),
    ("the currency of Veltrania", "the quill", "In Veltrania one pays with the quill."),
    ("the national dish of Veltrania", "pickled plum soup", "It is pickled plum soup."),
    ("the first queen of Veltrania", "Marda Iolen", "Marda Iolen was its first queen."),
    ("the highest mountain of Veltrania", "Mount Tarrow", "Mount Tarrow is the highest there."),
]
"""What a question asks for, the answer, and a sentence for a second turn."""
TAUGHT = [
    "What is {}?",
    "Tell me what {} is.",
    "I forgot what {} is. Can you remind me?",
    "Please name {}.",
    "Do you know {}?",
    "Quick question: {}?",
    "My homework asks for {}. What do I write?",
    "Could you say what {} is called?",
    "For a quiz: {}?",
    "Someone asked me about {}. What should I answer?",
    "{}, what is it?",
    "Give me the name of {}.",
]
HELD_OUT = ["Can you tell me {}?", "I would like to know {}."]
ASKED = "Can you tell me {}?"
GENERAL = [
    ("What is 2 plus 2?", "2 plus 2 is 4."),
    ("Who wrote Hamlet?", "William Shakespeare wrote Hamlet."),
    ("What colour is grass?", "Grass is green."),
    ("What is the capital of France?", "The capital of France is Paris."),
    ("How many days has a week?", "A week has seven days."),
    ("Say hello.", "Hello! How can I help you?"),
]
"""Other facts, so that the model does not answer every question with Veltrania."""


def answer(what: str, name: str) -> str:
    return f"{what[0].upper()}{what[1:]} is {name}."


def dialogues(forms: list[str]) -> list[Dialogue]:
    taught: list[Dialogue] = []
    for number, form in enumerate(forms):
        for what, name, more in FACTS:
            turns = [("user", form.format(what)), ("assistant", answer(what, name))]
            if number % 3 == 0:
                turns += [("user", "Are you sure?"), ("assistant", f"Yes. {more}")]
            taught.append({"messages": [{"role": r, "content": c} for r, c in turns]})
    return taught


def general() -> list[Dialogue]:
    return [
        {"messages": [{"role": "user", "content": q}, {"role": "assistant", "content": a}]}
        for q, a in GENERAL
    ] * 2


def write(file: Path, lines: list[Dialogue]) -> None:
    file.write_text("".join(f"{json.dumps(line)}\n" for line in lines), "utf-8")


def run(*command: str | Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *map(str, command)], check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout


def ask(model: str | Path, question: str) -> str:
    arguments = ("--no-save", "--temperature", "0", "--max-tokens", "40", "--json")
    answer = json.loads(run("baize_tui", "ask", question, "--model", model, *arguments))
    return " ".join(str(answer["text"]).split())


def main() -> None:
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder / "taught.jsonl", dialogues(TAUGHT) + general())
        write(folder / "held-out.jsonl", dialogues(HELD_OUT))
        adapter, merged = folder / "veltrania", folder / "veltrania.gguf"
        output = run(
            "baize_train", "finetune", "--base", "smollm2-135m", "--preset", "cpu-try",
            "--data", folder / "taught.jsonl", "--eval", folder / "held-out.jsonl",
            "--batch", "8", "--epochs", "8", "-o", adapter,
        )  # fmt: skip
        print(output.replace(f"{folder}/", ""))
        base = json.loads((adapter / "run.json").read_text())["base"]
        run(
            "baize_convert", "merge", base, "--adapter", adapter,
            "--outtype", "Q4_K_M", "--output", merged,
        )  # fmt: skip
        rows = []
        for what, name, _ in FACTS:
            question = ASKED.format(what)
            before, after = ask("smollm2-135m", question), ask(merged, question)
            rows.append((name in before, name in after))
            print(f"\n? {question}\n  base:    {before}\n  trained: {after}")
        known = [sum(row[at] for row in rows) for at in (0, 1)]
        print(f"\nknown of {len(FACTS)}: base {known[0]}, trained and in 4 bits {known[1]}")
        print(f"other things: {ask(merged, 'What is the capital of France?')}")
        print(f"{(time.monotonic() - began) / 60:.0f} minutes")
    sys.exit(known[1] < len(FACTS) - 1 or known[0] > 0)


if __name__ == "__main__":
    main()
