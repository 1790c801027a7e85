"""``baize-tui ask``: one question, one answer, for a person or a pipe."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec

from baize_shared.commands import DONE, INTERRUPTED
from baize_shared.named_numbers import parse_named_number
from baize_shared.printing import ProgressLine, prepare_stdout, print_json
from baize_tui.catalog.adapters import find_adapter, with_underlying
from baize_tui.catalog.recipes import find_model
from baize_tui.chat.events import (
    ChatEvent,
    Delta,
    Failed,
    Finished,
    NotSaved,
    TurnsLeft,
)
from baize_tui.chat.formats import format_named
from baize_tui.chat.turns import Chat
from baize_tui.cli.assembly import make_chat
from baize_tui.cli.failures import CommandError
from baize_tui.cli.gpu_layers import with_gpu_layers
from baize_tui.cli.output import PROGRAM, progress_line, tell
from baize_tui.engine.client import kill_workers
from baize_tui.engine.protocol import Prefilling
from baize_tui.exit_watch import ExitWatch
from baize_tui.paths import Paths, project_paths
from baize_tui.settings import load_settings
from baize_tui.store.conversations import Store

STDIN = "-"


@dataclass(frozen=True, slots=True)
class AskOptions:
    """The flags of ``ask``; None is not given."""

    model: str | None = None
    system: str | None = None
    session: str | None = None
    format: str | None = None
    save: bool = True
    json: bool = False
    seed: int | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    adapters: tuple[str, ...] = ()
    """Each a name or a path, with ``=SCALE`` behind it or not."""
    gpu_layers: str | None = None
    grammar: Path | None = None


def question_from(prompt: str | None) -> str:
    """The question: the argument, stdin, or the argument and below it what stdin holds.

    Raises:
        CommandError: nothing was asked, or stdin is not text.
    """
    given = prompt if prompt != STDIN else None
    piped = ""
    if prompt == STDIN or not sys.stdin.isatty():
        raw = sys.stdin.buffer.read()
        try:
            piped = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise CommandError(
                f"stdin is not UTF-8 text (byte 0x{raw[error.start]:02x} at {error.start})"
            ) from error
        if "\x00" in piped:
            raise CommandError(f"stdin is not text (a zero byte at {piped.index(chr(0))})")
    question = "\n\n".join(part.strip("\n") for part in (given, piped) if part and part.strip())
    if not question:
        raise CommandError("nothing to ask: give a question, or pipe a text in")
    return question


def adapters_from(given: Sequence[str], paths: Paths) -> dict[str, float]:
    """Scale by name, of adapters written as ``A`` or ``A=SCALE``.

    Raises:
        CommandError: a scale is no number.
        CatalogError: there is no such adapter.
    """
    found: dict[str, float] = {}
    for one in given:
        try:
            name, scale = parse_named_number(one)
        except ValueError as error:
            raise CommandError(f"--adapter {one}: {error}") from None
        adapter = find_adapter(name, paths)
        # One that was trained over another is nothing without it.
        found = {**found, **with_underlying(adapter, paths), **found, adapter.name: scale}
    return found


def ask(prompt: str | None, options: AskOptions) -> int:
    """Ask and print the answer; the exit code."""
    question = question_from(prompt)
    prepare_stdout(PROGRAM)
    with ExitWatch() as exit_watch:
        try:
            return asyncio.run(_ask(question, options, exit_watch))
        except KeyboardInterrupt:
            return INTERRUPTED


def _grammar_in(file: Path | None) -> str:
    try:
        return file.read_text("utf-8") if file is not None else ""
    except UnicodeDecodeError as error:
        raise CommandError(f"{file}: not a text in UTF-8") from error


class _Printing:
    """An answer on its way to stdout, and how it ended."""

    def __init__(self, progress: ProgressLine, *, quiet: bool) -> None:
        """With ``quiet`` the text is kept for later."""
        self._progress = progress
        self._quiet = quiet
        self._printed = 0
        self.finished: Finished | None = None
        self.interrupted = False

    def show(self, event: ChatEvent) -> None:
        """Print what ``event`` brings.

        Raises:
            CommandError: the answer failed.
        """
        match event:
            case Prefilling(done=done, total=total):
                self._progress.show(f"reading the prompt {done / max(total, 1):.0%}")
            case Delta(text=text) if not self._quiet:
                self._print(text.lstrip())
            case TurnsLeft(messages_dropped=dropped):
                self.tell(f"the context is full: the oldest {dropped} messages left it")
            case NotSaved(why=why):
                self.tell(f"not saved yet: {why}")
            case Failed(why=why):
                self._progress.clear()
                raise CommandError(why)
            case Finished():
                self.finished = event
            case _:
                pass

    def _print(self, text: str) -> None:
        """The rest of ``text``, the answer so far."""
        if len(text) > self._printed:
            self._progress.clear()
            sys.stdout.write(text[self._printed :])
            sys.stdout.flush()
            self._printed = len(text)

    def tell(self, line: str) -> None:
        """A line for the person, in place of the progress."""
        self._progress.clear()
        tell(line)

    def stop_on_interrupt(self, chat: Chat, conversation_id: str) -> None:
        """Have Ctrl-C stop the answer, so that what came is kept."""
        loop = asyncio.get_running_loop()

        def interrupt() -> None:
            self.interrupted = True
            if not chat.stop(conversation_id):
                raise KeyboardInterrupt

        def interrupt_soon(_number: int, _frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(interrupt)

        # Not loop.add_signal_handler: that would take the signals away from the exit watch.
        signal.signal(signal.SIGINT, interrupt_soon)

    def end(self, chat: Chat, options: AskOptions) -> int:
        """Print what is left once no more comes; the exit code.

        Raises:
            CommandError: the answer could not be saved.
        """
        self._progress.clear()
        finished = self.finished
        if finished is None:
            return INTERRUPTED if self.interrupted else DONE
        for notice in finished.notices:
            tell(notice)
        if options.json:
            print_json(_as_json(finished, chat, options))
        else:
            if not finished.message.text.endswith("\n"):
                sys.stdout.write("\n")
            sys.stdout.flush()
        if not finished.saved:
            raise CommandError("the answer could not be saved: no space left on the disk")
        return INTERRUPTED if finished.reason == "cancelled" else DONE


async def _ask(question: str, options: AskOptions, exit_watch: ExitWatch) -> int:
    paths = project_paths()
    settings = with_gpu_layers(load_settings(paths.settings_file), options.gpu_layers)
    adapters = adapters_from(options.adapters, paths)
    model = find_model(options.model or settings.model.default, paths)
    if options.format is not None:
        format_named(options.format)
    store = Store(paths.conversations_file if options.save else None)
    if store.set_aside is not None:
        tell(f"the conversations file was damaged; it is kept as {store.set_aside}")
    progress = progress_line()
    printing = _Printing(progress, quiet=options.json)
    chat = make_chat(store, settings, paths, one_model=True, on_notice=printing.tell)
    exit_watch.save_at_exit(chat.save_for_exit, chat.rescue)
    exit_watch.at_exit(kill_workers)
    try:
        chat.max_tokens = options.max_tokens or chat.max_tokens
        chat.grammar = _grammar_in(options.grammar)
        conversation = None
        if options.session is not None:
            conversation = await chat.run(store.conversation, options.session)
        await chat.use_model(model, lambda done: progress.show(f"loading {done:.0%}"))
        if conversation is None:
            conversation = await chat.new_conversation(
                system=options.system, format=options.format, adapters=adapters
            )
        elif adapters:
            conversation = msgspec.structs.replace(conversation, adapters=adapters)
            await chat.run(store.set_options, conversation)
        flags = {
            key: value
            for key, value in (("temperature", options.temperature), ("seed", options.seed))
            if value is not None
        }
        chat.sampling_for(conversation, **flags)  # a flag out of range ends here
        domain = chat.domain_of(conversation)
        if domain is not None:
            tell(domain.disclaimer)
        printing.stop_on_interrupt(chat, conversation.id)
        async with contextlib.aclosing(chat.ask(conversation.id, question, flags)) as events:
            async for event in events:
                printing.show(event)
        return printing.end(chat, options)
    finally:
        progress.clear()
        await chat.close()


def _as_json(finished: Finished, chat: Chat, options: AskOptions) -> dict[str, Any]:
    stats, message = finished.stats, finished.message
    assert chat.model is not None
    return {
        "text": message.text.strip(),
        "reasoning": message.reasoning,
        "model": chat.model.name,
        "session_id": message.conversation_id if options.save else None,
        "finish_reason": finished.reason,
        "prompt_tokens": stats.prompt_tokens,
        "reused_tokens": stats.reused_tokens,
        "completion_tokens": stats.completion_tokens,
        "ttft_s": round(stats.ttft_s, 4),
        "tokens_per_second": round(stats.tokens_per_second, 2),
        "seed": stats.seed,
        "adapters": (message.provenance or {}).get("adapters", {}),
        "saved": finished.saved and options.save,
    }
