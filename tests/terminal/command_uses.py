"""A use of every command of the programs, in a world where every source of text is hostile."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

from tests.program_commands import process_arguments
from tests.terminal.hostile_world import World
from tests.terminal.terminal_bytes import hostile, hostile_name

Arguments = tuple[str | Path, ...]


@dataclasses.dataclass(frozen=True)
class Case:
    """A use of a command, and the sources whose text it prints."""

    arguments: Callable[[World], Arguments]
    prints: tuple[str, ...] = ()


TRAINING = ("--preset", "cpu-try", "--max-length", "64")
USES: dict[str, Case] = {
    "baize-tui ask": Case(lambda w: (hostile("Qtyped"), "--model", w.model, "--max-tokens", "4")),
    "baize-tui bench": Case(lambda w: ("--model", w.model, "--quick")),
    "baize-tui doctor": Case(lambda w: (), ("Qstem",)),
    "baize-tui serve": Case(lambda w: ("--model", hostile("Qtyped")), ("Qtyped",)),
    "baize-tui web": Case(lambda w: ("--model", hostile("Qtyped")), ("Qtyped",)),
    "baize-tui sessions list": Case(lambda w: (), ("Qtitle",)),
    "baize-tui sessions show": Case(lambda w: (w.session,), ("Qtitle", "Qquestion", "Qanswer")),
    "baize-tui sessions export": Case(
        lambda w: (w.session, "--format", "json"), ("Qtitle", "Qsystem", "Qquestion", "Qanswer")
    ),
    "baize-tui sessions search": Case(lambda w: ("Qquestion",), ("Qtitle", "Qquestion")),
    "baize-tui sessions import": Case(lambda w: (w.chats,), ("Qchats",)),
    "baize-tui sessions backup": Case(lambda w: (w.folder / hostile_name("Qtyped"),)),
    "baize-tui sessions restore": Case(lambda w: (w.backup,)),
    "baize-tui sessions rename": Case(lambda w: (w.session, hostile("Qtyped"))),
    "baize-tui sessions tag": Case(lambda w: (w.session, hostile("Qtyped"))),
    "baize-tui sessions pin": Case(lambda w: (w.session,)),
    "baize-tui sessions archive": Case(lambda w: (w.session,)),
    "baize-tui sessions purge": Case(lambda w: ("--all", "--yes")),
    "baize-tui sessions delete": Case(lambda w: (w.session,)),
    "baize-tui sessions undelete": Case(lambda w: (w.session,)),
    "baize-tui models list": Case(lambda w: (), ("Qrecipe", "Qstem", "Qlora")),
    "baize-tui models info": Case(lambda w: ("mine",), ("Qrecipe", "Qgguf", "Qfile")),
    "baize-tui models modelfile": Case(
        lambda w: (w.model, "--format", "chatml", "--system", hostile("Qtyped")),
        ("Qfile", "Qtyped"),
    ),
    "baize-tui models default": Case(lambda w: (w.model,), ("Qfile",)),
    "baize-tui models remove": Case(lambda w: ("gone",)),
    "baize-tui models import": Case(lambda w: (w.model,)),
    "baize-tui models plan": Case(lambda w: (w.model,)),
    "baize-tui models pull": Case(lambda w: ("hf:owner/adapter",), ("Qpeft",)),
    "baize-convert plan": Case(lambda w: (w.base, "--adapter", w.peft), ("Qbase", "Qpeft")),
    "baize-convert merge": Case(
        lambda w: (w.base, "--outtype", "F32", "-o", w.folder / f"{hostile_name('Qtyped')}.gguf")
    ),
    "baize-convert adapter": Case(
        lambda w: (w.peft, "--base", w.base, "-o", w.folder / "adapter.gguf")
    ),
    "baize-convert verify": Case(lambda w: (w.model, "--base", w.base, "--tokens", "16")),
    "baize-convert inspect": Case(lambda w: (w.model,), ("Qgguf",)),
    "baize-train selfchat": Case(
        lambda w: (
            "--seeds",
            w.seeds,
            "-o",
            w.folder / "out.jsonl",
            "--speaker",
            "SERVER",
            "--turns",
            "1",
        )
    ),
    "baize-train finetune": Case(
        lambda w: (
            *("--data", w.corpus, "--base", w.base, "-o", w.folder / "run", *TRAINING),
            "--dry-run",
        )
    ),
    "baize-train sdf": Case(
        lambda w: (
            *("--adapter", w.peft, "--base", w.base, "--seeds", w.seeds, "--judge", "SERVER"),
            *("--speaker", "SERVER", "-o", w.folder / "run", *TRAINING),
        )
    ),
    "baize-train eval": Case(lambda w: ("--data", w.corpus, "--base", w.model)),
    "baize-train publish": Case(lambda w: (w.peft, hostile("Qtyped")), ("Qtyped",)),
    "baize-train data validate": Case(lambda w: (w.corpus,), ("Qcorpus", "Qcorpname")),
    "baize-train data convert": Case(lambda w: (w.corpus, "-o", w.folder / "out.jsonl")),
    "baize-train data mix": Case(lambda w: (w.corpus, "-o", w.folder / "out.jsonl")),
    "baize-train data split": Case(
        lambda w: (w.corpus, "--train", w.folder / "a.jsonl", "--eval", w.folder / "b.jsonl")
    ),
    "baize-train data stats": Case(lambda w: (w.corpus,), ("Qcorpname",)),
    "baize-train data preview": Case(
        lambda w: (w.corpus, "--max-length", "512"), ("Qcorpus", "Qcorpname")
    ),
    "baize-train data card": Case(lambda w: (w.corpus,), ("Qcorpus", "Qcorpname")),
}


WEIGHTS = "hf:owner/weights"
HUB_USES: dict[str, tuple[str, Case]] = {
    "a choice of models": (
        "baize-tui models plan",
        Case(lambda w: ("hf:owner/names",), ("Qhub one",)),
    ),
    "a missing file": (
        "baize-tui models plan",
        Case(lambda w: (f"hf:owner/names/{hostile('Qtyped')}",), ("Qhub one",)),
    ),
    "a choice of folders": (
        "baize-tui models pull",
        Case(lambda w: ("hf:owner/folders",), ("Qhub one",)),
    ),
    "a choice of adapters": (
        "baize-convert adapter",
        Case(
            lambda w: ("hf:owner/adapters", "--base", w.base, "-o", w.folder / "a.gguf"),
            ("Qhub one",),
        ),
    ),
    "a name outside": ("baize-tui models plan", Case(lambda w: ("hf:owner/outside",), ("Qhub",))),
    "a name outside, to convert": (
        "baize-convert merge",
        Case(lambda w: ("hf:owner/outside", "-o", w.folder / "a.gguf"), ("Qhub",)),
    ),
    "a name outside, to train": (
        "baize-train eval",
        Case(lambda w: ("--data", w.corpus, "--base", "hf:owner/outside"), ("Qhub",)),
    ),
    "a licence": ("baize-tui models pull", Case(lambda w: (WEIGHTS,), ("Qhub",))),
    "a licence, in a plan": ("baize-convert plan", Case(lambda w: (WEIGHTS,), ("Qhub",))),
    "a licence, to convert": (
        "baize-convert merge",
        Case(lambda w: (WEIGHTS, "--outtype", "F32", "-o", w.folder / "a.gguf"), ("Qhub",)),
    ),
    "a licence, to compare": (
        "baize-convert verify",
        Case(lambda w: (w.model, "--base", WEIGHTS, "--tokens", "16"), ("Qhub",)),
    ),
    "a licence, to train": (
        "baize-train eval",
        Case(lambda w: ("--data", w.corpus, "--base", WEIGHTS), ("Qhub",)),
    ),
}
"""Uses of a hub, with their commands."""


def complete(
    words: str, world: World, environment: dict[str, str], case: Case | None = None
) -> list[str]:
    """The arguments of a process for the use ``case`` of ``words``, or for the one in ``USES``."""
    arguments = (case or USES[words]).arguments(world)
    chosen = [os.fspath(argument) for argument in arguments]
    server = environment["SERVER"]
    return [*process_arguments(words), *(server if one == "SERVER" else one for one in chosen)]
