"""All that is known about how an answer was made."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterator
from typing import Any, ClassVar, TypeVar

import msgspec
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Static

from baize_shared.counts import count_text
from baize_shared.sanitizer import clean_line
from baize_shared.sizes import size_text
from baize_shared.speeds import speed_text
from baize_tui.app.screens.dialogs import Columns, Dialog
from baize_tui.output_forms import form_text
from baize_tui.settings import Sampling
from baize_tui.store.records import BranchPosition, Message, MessageState

TITLE = "How this answer was made"
BY_PERSON = "It was written or edited by you."
NO_RECORD = "There is no record of how it was made."
ALL_DEFAULTS, OTHERS = "the defaults", "the defaults · a shows all"
_ENDS = {
    "stop": "the model ended it",
    "length": "it had as many tokens as it may have",
    "context": "the context was full",
    "cancelled": "you stopped it",
}
"""By the engine's reason to finish."""
_STATES: dict[MessageState, str] = {
    "streaming": "still being written",
    "stopped": "stopped",
    "interrupted": "interrupted: the client or the model ended",
    "failed": "failed",
}

Rows = list[tuple[str, str]]
T = TypeVar("T")


class AnswerDetails(Dialog[None]):
    """The record of one answer, in parts."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "show_all", priority=True),
        Binding("q", "close", priority=True),
    ]

    def __init__(self, message: Message, branch: BranchPosition | None) -> None:
        super().__init__()
        self._message = message
        self._branch = branch
        self._show_all = False
        self._columns: dict[str, Columns] = {}
        """By the title of the part."""

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="dialog -tall"):
            yield Static(TITLE, classes="title")
            for number, (title, rows) in enumerate(self._parts().items()):
                yield Static(title, classes="part" if number else "part -first")
                self._columns[title] = Columns(rows)
                yield self._columns[title]

    def _parts(self) -> dict[str, Rows]:
        return details(self._message, self._branch, show_all=self._show_all)

    def action_show_all(self) -> None:
        """Show all sampling options, or only those that differ from the defaults."""
        self._show_all = not self._show_all
        for title, rows in self._parts().items():
            self._columns[title].show(rows)


def details(message: Message, branch: BranchPosition | None, *, show_all: bool) -> dict[str, Rows]:
    """The parts of the record of ``message``: by title, their rows of a name and a value.

    ``show_all`` includes the sampling options that are as by default. Older clients have recorded
    less, and other programs may have recorded anything: what is missing or makes no sense is left
    out.
    """
    made = Record(message.provenance or {})
    parts = {
        "Answer": [*_answer_rows(message, branch, made)],
        "Model": [*_model_rows(made)],
        "Prompt": [*_prompt_rows(made)],
        "Sampling": [*_sampling_rows(made, show_all=show_all)],
        "Machine": [*_machine_rows(made)],
    }
    return {title: rows for title, rows in parts.items() if rows}


class Record:
    """A provenance as it was stored."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values

    def get(self, key: str, kind: type[T]) -> T | None:
        """The value of ``key``, if there is one of this type that is not empty."""
        try:
            value = msgspec.convert(self._values.get(key), kind)
        except msgspec.ValidationError:
            return None
        return None if value == "" else value

    def number(self, key: str) -> float:
        """The value of ``key``; 0 if there is no finite number."""
        value = self.get(key, float) or 0.0
        return value if math.isfinite(value) else 0.0


def _answer_rows(
    message: Message, branch: BranchPosition | None, made: Record
) -> Iterator[tuple[str, str]]:
    when = datetime.datetime.fromtimestamp(message.created_at)
    yield "date", f"{when:%Y-%m-%d %H:%M:%S}"
    if message.provenance is None and message.state == "complete":
        yield "", BY_PERSON
    elif not message.provenance:
        yield "", NO_RECORD
    reason = made.get("finish_reason", str)
    if message.state != "complete" or reason is not None:
        state = _STATES.get(message.state, "")
        end = _ENDS.get(reason, reason) if reason is not None else ""
        yield "end", " · ".join(part for part in (state, end) if part)
    if (tokens := made.get("completion_tokens", int)) is not None:
        thought = made.get("thinking_tokens", int)
        of_thought = f", {thought} of them its thought" if thought else ""
        yield "tokens", f"{tokens}{of_thought}"
        yield from _time_rows(message, made)
    if guessed := made.get("guessed_tokens", int):
        right = made.get("accepted_tokens", int) or 0
        yield "guessed", f"{count_text(guessed, 'token')}, {right} right"
    if branch is not None:
        yield "branch", f"{branch.position} of {branch.total}"
    if message.mark is not None:
        yield "mark", message.mark
    form = message.made.form if message.made is not None else None
    if form is not None:
        yield "form", f"{form_text(form)}: {form.problem or 'the answer has it'}"
    if (source := made.get("form_source", str)) is not None:
        yield "", clean_line(source, 200)
    if message.pinned:
        yield "pinned", "stays when the context is full"


def _time_rows(message: Message, made: Record) -> Iterator[tuple[str, str]]:
    first, writing = made.number("ttft_s"), made.number("decode_s")
    yield "time", f"{first + writing:.2f} s, the first token after {first:.2f} s"
    speed = speed_text(message.made.tokens_per_second) if message.made is not None else ""
    if speed:
        yield "speed", speed


def _model_rows(made: Record) -> Iterator[tuple[str, str]]:
    if (name := made.get("model", str)) is not None:
        yield "name", name
    if (file := made.get("model_path", str)) is not None:
        size = made.get("model_bytes", int)
        yield "file", f"{file} ({size_text(size)})" if size else file
        yield "SHA-256", made.get("model_sha256", str) or "was not computed yet"
    for adapter, scale in (made.get("adapters", dict[str, float]) or {}).items():
        yield "adapter", f"{adapter}, scale {scale:g}" if scale else f"{adapter}, switched off"
    if (format := made.get("format", str)) is not None:
        yield "format", format


def _prompt_rows(made: Record) -> Iterator[tuple[str, str]]:
    tokens, reused = made.get("prompt_tokens", int), made.get("reused_tokens", int)
    if tokens is None or reused is None:
        return
    new, seconds = tokens - reused, made.number("prefill_s")
    yield "tokens", str(tokens)
    yield "reused", f"{reused} that the model had read before"
    speed = speed_text(new / seconds) if seconds > 0 else ""
    yield "new", f"{new}, read in {seconds:.2f} s" + (f" ({speed})" if speed else "")


def _sampling_rows(made: Record, *, show_all: bool) -> Iterator[tuple[str, str]]:
    if (seed := made.get("seed", int)) is not None:
        yield "seed", str(seed)
    if stop := made.get("stop", list[str]):
        yield "stop", ", ".join(repr(text) for text in stop)
    values = made.get("sampling", dict[str, Any])
    if values is None:
        return
    defaults = msgspec.to_builtins(Sampling())
    listed = {key: value for key, value in values.items() if key != "seed"}
    different = {key: value for key, value in listed.items() if value != defaults.get(key)}
    for key, value in (listed if show_all else different).items():
        yield key, f"{value:g}" if isinstance(value, float) else str(value)
    if not show_all and len(different) < len(listed):
        yield "others" if different else "all", OTHERS


def _machine_rows(made: Record) -> Iterator[tuple[str, str]]:
    threads, reading = made.get("threads", int), made.get("threads_batch", int)
    if threads is not None:
        yield "threads", f"{threads} writing" + (f", {reading} reading" if reading else "")
    if layers := made.get("gpu_layers", int):
        yield "GPU layers", "all" if layers < 0 else str(layers)
    for name, key in (("profile", "profile"), ("KV cache", "kv_type"), ("backend", "backend")):
        if (value := made.get(key, str)) is not None:
            yield name, value
    if (flash := made.get("flash_attention", bool)) is not None:
        yield "flash attention", "on" if flash else "off"
    if (version := made.get("baize_tui", str)) is not None:
        yield "baize-tui", version
