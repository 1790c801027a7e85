"""A use of every command that writes files or conversations, in a ``World``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.faults.world import World
from tests.program_commands import process_arguments

Arguments = tuple[str | Path, ...]


@dataclass(frozen=True)
class Use:
    """How a command is used."""

    words: str
    """The command, such as ``baize-tui sessions list``."""
    arguments: Callable[[World], Arguments]
    slow: bool = False
    """Whether it imports PyTorch, which takes seconds."""
    text: str = ""
    """What is typed."""

    @property
    def goes_on(self) -> bool:
        """Whether it says what it cannot save, and goes on."""
        return self.words == CLIENT

    def process(self, world: World, environment: Mapping[str, str]) -> list[str]:
        """The arguments of a process."""
        chosen = [str(argument) for argument in self.arguments(world)]
        server = environment["SERVER"]
        given = [server if argument == "SERVER" else argument for argument in chosen]
        if self.words == CLIENT:
            return [*process_arguments("baize-tui"), *given]
        return [*process_arguments(self.words), *given]


CLIENT = "baize-tui --plain"
_SHORT = (
    *("--preset", "cpu-try", "--max-length", "512", "--batch", "4", "--steps", "4"),
    *("--format", "chatml"),
)
READING = {
    "baize-tui sessions list",
    "baize-tui sessions show",
    "baize-tui sessions search",
    "baize-tui models list",
    "baize-tui models info",
    "baize-tui serve",
    "baize-tui web",
    "baize-tui bench",
    "baize-convert plan",
    "baize-convert inspect",
    "baize-train publish",
    "baize-train data validate",
    "baize-train data stats",
    "baize-train data preview",
}
"""Commands whose result is on the terminal, or somewhere else than on this machine."""


def _use(words: str, *arguments: str, slow: bool = False) -> Use:
    """A use whose arguments are texts, or the names of a world's files in braces."""

    def fill(world: World) -> Arguments:
        names = {
            name: getattr(world, name)
            for name in ("made", "model", "base", "peft", "lora", "corpus", "seeds", "chats")
        }
        names |= {"backup": world.backup, "session": world.session, "deleted": world.deleted}
        return tuple(argument.format(**names) for argument in arguments)

    return Use(words, fill, slow)


WRITING: dict[str, Use] = {
    "ask": _use("baize-tui ask", "Hi", "--model", "{model}", "--max-tokens", "8"),
    "ask in a conversation": _use(
        "baize-tui ask", "Hi", "--model", "{model}", "--max-tokens", "8", "--session", "{session}"
    ),
    "the client in lines": Use(
        CLIENT,
        lambda w: ("--plain", "--model", w.model, "--session", w.session),
        text="A question that is kept\n/system Be brief.\n/quit\n",
    ),
    "doctor --bundle": _use("baize-tui doctor", "--bundle", "{made}/bundle.txt"),
    "sessions export": _use(
        "baize-tui sessions export", "{session}", "-o", "{made}/chat.html", "-f", "html"
    ),
    "sessions export --all": _use("baize-tui sessions export", "--all", "-o", "{made}/all"),
    "sessions export --as": _use(
        "baize-tui sessions export", "--all", "--as", "good", "-o", "{made}/good.jsonl"
    ),
    "sessions import": _use("baize-tui sessions import", "{chats}"),
    "sessions backup": _use("baize-tui sessions backup", "{made}/backup.db"),
    "sessions restore": _use("baize-tui sessions restore", "{backup}"),
    "sessions rename": _use("baize-tui sessions rename", "{session}", "Another title"),
    "sessions tag": _use("baize-tui sessions tag", "{session}", "work"),
    "sessions pin": _use("baize-tui sessions pin", "{session}"),
    "sessions archive": _use("baize-tui sessions archive", "{session}"),
    "sessions purge": _use("baize-tui sessions purge", "--all", "--yes"),
    "sessions delete": _use("baize-tui sessions delete", "{session}"),
    "sessions undelete": _use("baize-tui sessions undelete", "{deleted}"),
    "models modelfile": _use(
        "baize-tui models modelfile", "{model}", "--format", "chatml", "-o", "{made}/Modelfile"
    ),
    "models default": _use("baize-tui models default", "{model}"),
    "models remove": _use("baize-tui models remove", "installed"),
    "models import": _use("baize-tui models import", "{model}", "--name", "other"),
    "models import --copy": _use("baize-tui models import", "{model}", "--name", "o", "--copy"),
    "models import of an adapter": _use(
        "baize-tui models import", "{peft}", "--name", "another", "--base", "mine"
    ),
    "models plan": _use("baize-tui models plan", "hf:owner/ggufs"),
    "models pull": _use("baize-tui models pull", "hf:owner/ggufs", "--accept-license"),
    "models pull of a checkpoint": _use(
        "baize-tui models pull", "hf:owner/base", "--outtype", "Q8_0", "--accept-license"
    ),
    "merge": _use("baize-convert merge", "{base}", "--adapter", "{peft}", "-o", "{made}/m.gguf"),
    "merge from the hub": _use("baize-convert merge", "hf:owner/base", "-o", "{made}/h.gguf"),
    "adapter": _use(
        "baize-convert adapter", "{peft}", "--base", "{base}", "-o", "{made}/adapter.gguf"
    ),
    "verify": _use("baize-convert verify", "{model}", "--base", "{base}", "--tokens", "16"),
    "selfchat": _use(
        "baize-train selfchat",
        *("--seeds", "{seeds}", "-o", "{made}/out.jsonl", "--speaker", "SERVER", "--near", "1"),
    ),
    "data convert": _use("baize-train data convert", "{corpus}", "-o", "{made}/out.jsonl"),
    "data mix": _use("baize-train data mix", "{corpus}", "-o", "{made}/out.jsonl"),
    "data split": _use(
        "baize-train data split",
        *("{corpus}", "--train", "{made}/a.jsonl", "--eval", "{made}/b.jsonl"),
    ),
    "data card": _use("baize-train data card", "{corpus}", "-o", "{made}/README.md"),
    "finetune": _use(
        "baize-train finetune",
        *("--data", "{corpus}", "--base", "{base}", "-o", "{made}/run", *_SHORT),
        *("--save-every", "2"),
        slow=True,
    ),
    "sdf": _use(
        "baize-train sdf",
        *("--adapter", "{peft}", "--base", "{base}", "--seeds", "{seeds}", "--judge", "SERVER"),
        *("--speaker", "SERVER", "-o", "{made}/sdf", *_SHORT),
        slow=True,
    ),
    "eval": _use(
        "baize-train eval", "--data", "{corpus}", "--base", "{model}", "--format", "chatml"
    ),
}
"""The uses by name; with ``READING`` they are of all commands."""
