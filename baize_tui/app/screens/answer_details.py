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

from baize_shared.sanitizer import clean_line
from baize_shared.sizes import size_text
from baize_tui.app.screens.dialogs import Columns, Dialog
from baize_tui.measures import count_text, speed_text
from baize_tui.output_forms import form_text
from baize_tui.settings import Sampling
from baize_tui.store.records import MARK_NAMES, BranchPosition, Message, MessageState
from baize_tui.translation import msg, tr

TITLE = msg("How this answer was made")
BY_PERSON = msg("It was written or edited by you.")
NO_RECORD = msg("There is no record of how it was made.")
ALL_DEFAULTS, OTHERS = msg("the defaults"), msg("the defaults · a shows all")
TIME = msg("{total} s, the first token after {first} s")
_MACHINE_FACTS = (
    (msg("profile"), "profile"),
    (msg("KV cache"), "kv_type"),
    (msg("backend"), "backend"),
)
_ENDS = {
    "stop": msg("the model ended it"),
    "length": msg("it had as many tokens as it may have"),
    "context": msg("the context was full"),
    "cancelled": msg("you stopped it"),
}
"""By the engine's reason to finish."""
_STATES: dict[MessageState, str] = {
    "streaming": msg("still being written"),
    "stopped": msg("stopped"),
    "interrupted": msg("interrupted: the client or the model ended"),
    "failed": msg("failed"),
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
            yield Static(tr(TITLE), classes="title")
            for number, (title, rows) in enumerate(self._parts().items()):
                yield Static(tr(title), classes="part" if number else "part -first")
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
        msg("Answer"): [*_answer_rows(message, branch, made)],
        msg("Model"): [*_model_rows(made)],
        msg("Prompt"): [*_prompt_rows(made)],
        msg("Sampling"): [*_sampling_rows(made, show_all=show_all)],
        msg("Machine"): [*_machine_rows(made)],
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
    yield tr("date"), f"{when:%Y-%m-%d %H:%M:%S}"
    if message.provenance is None and message.state == "complete":
        yield "", tr(BY_PERSON)
    elif not message.provenance:
        yield "", tr(NO_RECORD)
    reason = made.get("finish_reason", str)
    if message.state != "complete" or reason is not None:
        state = tr(_STATES.get(message.state, ""))
        end = tr(_ENDS.get(reason, reason)) if reason is not None else ""
        yield tr("end"), " · ".join(part for part in (state, end) if part)
    if (tokens := made.get("completion_tokens", int)) is not None:
        thought = made.get("thinking_tokens", int)
        of_thought = tr("{tokens}, {thought} of them its thought", tokens=tokens, thought=thought)
        yield tr("tokens"), of_thought if thought else str(tokens)
        yield from _time_rows(message, made)
    if guessed := made.get("guessed_tokens", int):
        right = made.get("accepted_tokens", int) or 0
        count = count_text(guessed, "token")
        yield tr("guessed"), tr("{tokens}, {right} right", tokens=count, right=right)
    if branch is not None:
        place = tr("{done} of {total}", done=branch.position, total=branch.total)
        yield tr("branch"), place
    if message.mark is not None:
        yield tr("mark"), tr(MARK_NAMES[message.mark])
    form = message.made.form if message.made is not None else None
    if form is not None:
        yield tr("form"), f"{form_text(form)}: {form.problem_text or tr('the answer has it')}"
    if (source := made.get("form_source", str)) is not None:
        yield "", clean_line(source, 200)
    if message.pinned:
        yield tr("pinned"), tr("stays when the context is full")


def _time_rows(message: Message, made: Record) -> Iterator[tuple[str, str]]:
    first, writing = made.number("ttft_s"), made.number("decode_s")
    yield tr("time"), tr(TIME, total=f"{first + writing:.2f}", first=f"{first:.2f}")
    speed = speed_text(message.made.tokens_per_second) if message.made is not None else ""
    if speed:
        yield tr("speed"), speed


def _model_rows(made: Record) -> Iterator[tuple[str, str]]:
    if (name := made.get("model", str)) is not None:
        yield tr("name"), name
    if (file := made.get("model_path", str)) is not None:
        size = made.get("model_bytes", int)
        yield tr("file"), f"{file} ({size_text(size)})" if size else file
        yield "SHA-256", made.get("model_sha256", str) or tr("was not computed yet")
    for adapter, scale in (made.get("adapters", dict[str, float]) or {}).items():
        state = tr("scale {scale}", scale=f"{scale:g}") if scale else tr("switched off")
        yield tr("adapter"), tr("{adapter}, {state}", adapter=adapter, state=state)
    if (format := made.get("format", str)) is not None:
        yield tr("format"), format


def _prompt_rows(made: Record) -> Iterator[tuple[str, str]]:
    tokens, reused = made.get("prompt_tokens", int), made.get("reused_tokens", int)
    if tokens is None or reused is None:
        return
    new, seconds = tokens - reused, made.number("prefill_s")
    yield tr("tokens"), str(tokens)
    yield tr("reused"), tr("{count} that the model had read before", count=reused)
    speed = speed_text(new / seconds) if seconds > 0 else ""
    read = tr("{count}, read in {seconds} s", count=new, seconds=f"{seconds:.2f}")
    yield tr("newly read"), read + (f" ({speed})" if speed else "")


def _sampling_rows(made: Record, *, show_all: bool) -> Iterator[tuple[str, str]]:
    if (seed := made.get("seed", int)) is not None:
        yield tr("seed"), str(seed)
    if stop := made.get("stop", list[str]):
        yield tr("stop strings"), ", ".join(repr(text) for text in stop)
    values = made.get("sampling", dict[str, Any])
    if values is None:
        return
    defaults = msgspec.to_builtins(Sampling())
    listed = {key: value for key, value in values.items() if key != "seed"}
    different = {key: value for key, value in listed.items() if value != defaults.get(key)}
    for key, value in (listed if show_all else different).items():
        yield key, f"{value:g}" if isinstance(value, float) else str(value)
    if not show_all and len(different) < len(listed):
        yield tr("others") if different else tr("all"), tr(OTHERS)


def _machine_rows(made: Record) -> Iterator[tuple[str, str]]:
    threads, reading = made.get("threads", int), made.get("threads_batch", int)
    if threads is not None:
        both = tr("{writing} writing, {reading} reading", writing=threads, reading=reading)
        yield tr("threads"), both if reading else tr("{writing} writing", writing=threads)
    if layers := made.get("gpu_layers", int):
        yield tr("GPU layers"), tr("all") if layers < 0 else str(layers)
    for name, key in _MACHINE_FACTS:
        if (value := made.get(key, str)) is not None:
            yield tr(name), value
    if (flash := made.get("flash_attention", bool)) is not None:
        yield tr("flash attention"), tr("on") if flash else tr("off")
    if (version := made.get("baize_tui", str)) is not None:
        yield "baize-tui", version
