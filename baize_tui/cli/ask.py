"""``baize-tui ask``: one question, one answer, for a person or a pipe."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import msgspec

from baize_shared.commands import INTERRUPTED
from baize_tui.catalog.finding import find_model
from baize_tui.catalog.personas import find_persona
from baize_tui.catalog.recipes import CatalogError, CatalogModel
from baize_tui.chat.answer_options import AnswerOptions
from baize_tui.chat.chat import Chat
from baize_tui.chat.events import AnswerFailed
from baize_tui.chat.formats import format_named
from baize_tui.cli.ask_files import AskedFiles, attach_asked_files
from baize_tui.cli.ask_input import parse_adapters, read_form, read_question
from baize_tui.cli.ask_output import AnswerPrinter
from baize_tui.cli.draft_option import with_draft
from baize_tui.cli.failures import CommandError
from baize_tui.cli.gpu_layers import with_gpu_layers
from baize_tui.cli.open_chat import open_chat, open_conversations_file
from baize_tui.cli.output import progress_line, tell, warn_about_encoding
from baize_tui.engine.client import kill_workers
from baize_tui.exit_watch import ExitWatch
from baize_tui.output_forms import OutputForm
from baize_tui.paths import project_paths
from baize_tui.settings import load_settings
from baize_tui.store.records import Conversation
from baize_tui.translation import msg, tr

FOR_A_NEW_ONE = msg("{option} is for a new conversation; F3 in the client changes it in this one")


@dataclass(frozen=True, slots=True)
class AskOptions:
    """The options of ``ask``; None means not given."""

    model: str | None = None
    system: str | None = None
    session: str | None = None
    format: str | None = None
    save: bool = True
    json: bool = False
    seed: int | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    think: bool | None = None
    max_thinking_tokens: int | None = None
    show_thinking: bool | None = None
    """None shows the thought where stderr is a terminal."""
    adapters: tuple[str, ...] = ()
    """Names or paths, each with ``=SCALE`` after it or not."""
    gpu_layers: str | None = None
    draft: str | None = None
    json_object: bool = False
    json_schema: Path | None = None
    regex: str | None = None
    grammar: Path | None = None
    stop: tuple[str, ...] = ()
    attach: tuple[str, ...] = ()
    attach_secrets: bool = False
    persona: str | None = None

    @property
    def for_answer(self) -> AnswerOptions:
        """Those that the answer is asked with."""
        given = {"temperature": self.temperature, "seed": self.seed}
        return AnswerOptions(
            sampling={key: value for key, value in given.items() if value is not None},
            max_tokens=self.max_tokens,
            think=self.think,
            max_thinking_tokens=self.max_thinking_tokens,
            stop=self.stop,
        )

    @property
    def form(self) -> OutputForm | None:
        """The form that the answer has to have.

        Raises:
            CommandError: more than one is given, or it cannot be used.
        """
        return read_form(
            json=self.json_object,
            json_schema=self.json_schema,
            regex=self.regex,
            grammar=self.grammar,
        )


def ask(prompt: str | None, options: AskOptions) -> int:
    """Ask and print the answer; the exit code."""
    _check_session_options(options)
    form = options.form  # one that cannot be used fails here
    question = read_question(prompt, options.attach)
    warn_about_encoding()
    with ExitWatch() as exit_watch:
        try:
            return asyncio.run(_ask(question, form, options, exit_watch))
        except KeyboardInterrupt:
            return INTERRUPTED


def _check_session_options(options: AskOptions) -> None:
    """Check that no option is given that a conversation that exists would ignore.

    Raises:
        CommandError: there is one.
    """
    for name, value in (
        ("--system", options.system),
        ("--format", options.format),
        ("--persona", options.persona),
    ):
        if options.session is not None and value is not None:
            raise CommandError(tr(FOR_A_NEW_ONE, option=name))


async def _ask(
    question: AskedFiles, form: OutputForm | None, options: AskOptions, exit_watch: ExitWatch
) -> int:
    paths = project_paths()
    settings = with_gpu_layers(load_settings(paths.settings_file), options.gpu_layers)
    settings = with_draft(settings, options.draft, paths)
    adapters = parse_adapters(options.adapters, paths)
    wanted = find_model(options.model, paths) if options.model is not None else None
    if options.format is not None:
        format_named(options.format)  # an unknown format fails here
    store = open_conversations_file(paths.conversations_file if options.save else None)
    if store.why_read_only:
        raise CommandError(tr("{why}; --no-save answers without saving", why=store.why_read_only))
    with progress_line() as progress:
        show = options.show_thinking
        printer = AnswerPrinter(
            progress,
            json=options.json,
            saves=options.save,
            show_thinking=sys.stderr.isatty() and not options.json if show is None else show,
        )
        chat = open_chat(store, settings, paths, one_model=wanted is not None)
        if options.persona is not None:
            chat.persona = (options.persona, find_persona(options.persona, paths))
        chat.listen_for_notices(printer.tell)
        exit_watch.save_at_exit(chat.save_for_exit, chat.rescue)
        exit_watch.at_exit(kill_workers)
        try:
            conversation = await _open_conversation(
                chat,
                wanted,
                options,
                adapters,
                progress=lambda done: progress.show(tr("loading {part}", part=f"{done:.0%}")),
            )
            model = chat.active_model.require().model
            chat.options.sampling(
                conversation, options.for_answer.sampling
            )  # out of range fails here
            domain = chat.options.domain(conversation)
            if domain is not None:
                tell(domain.disclaimer)
            await _check_form(chat, form)
            interrupted = await _answer(chat, conversation, question, form, options, printer)
            return printer.end(model.name, interrupted=interrupted)
        finally:
            progress.clear()
            # Whoever asks again waits less; a single question need not wait for the disk.
            await chat.close(save_state=options.session is not None)


async def _answer(
    chat: Chat,
    conversation: Conversation,
    question: AskedFiles,
    form: OutputForm | None,
    options: AskOptions,
    printer: AnswerPrinter,
) -> bool:
    """Ask, and print the answer; whether the person has interrupted it."""
    written = await attach_asked_files(chat, conversation, question, insists=options.attach_secrets)
    interrupt = _Interrupt(chat, conversation.id)
    answering = chat.ask(
        conversation.id,
        written.text,
        options.for_answer,
        typed=question.typed,
        attachments=written.attachments,
        form=form,
    )
    async with contextlib.aclosing(answering) as events:
        async for event in events:
            if isinstance(event, AnswerFailed) and interrupt.received:
                printer.tell(event.why)
                break
            printer.show(event)
    return interrupt.received


async def _check_form(chat: Chat, form: OutputForm | None) -> None:
    """Check that the model can be asked for ``form``, and say what no grammar expresses.

    Raises:
        CommandError: it cannot.
    """
    if form is None:
        return
    from baize_tui.engine.grammars.errors import UnusableForm

    try:
        warning = await chat.check_form(form)
    except UnusableForm as error:
        raise CommandError(str(error)) from error
    if warning:
        tell(warning)


async def _open_conversation(
    chat: Chat,
    wanted: CatalogModel | None,
    options: AskOptions,
    adapters: Mapping[str, float],
    progress: Callable[[float], None],
) -> Conversation:
    """The conversation of ``--session`` or a new one, with the model that answers loaded.

    That is ``wanted``, or without it the conversation's own, or the default of the settings.

    Raises:
        CatalogError: the model is not on this machine.
        EngineFailure: it cannot be loaded.
        UnknownConversation: there is no conversation with the id that was given.
    """
    if options.session is None:
        await chat.use_model(wanted or chat.default_model(), progress)
        return await chat.new_conversation(
            system=options.system, format=options.format, adapters=adapters
        )
    conversation = await chat.conversations.get(options.session)
    try:
        own = wanted or chat.active_model.required_by(conversation)
    except CatalogError as error:
        raise CatalogError(tr("{why}. --model names another one", why=error)) from error
    await chat.use_model(own or chat.default_model(), progress)
    if wanted is not None and not chat.active_model.is_model_of(conversation):
        answering, own_name = chat.active_model.names_apart(conversation)
        tell(tr("{model} answers; the conversation is with {own}", model=answering, own=own_name))
    if not adapters:
        return conversation
    changed = msgspec.structs.replace(conversation, adapters=dict(adapters))
    if changed != conversation:
        tell(
            tr(
                "from now on, the conversation is with {adapters} over its model",
                adapters=", ".join(adapters),
            )
        )
    return await chat.conversations.set_options(changed)


class _Interrupt:
    """Ctrl-C stops the answer, so that its text so far is kept."""

    def __init__(self, chat: Chat, conversation_id: str) -> None:
        self.received = False
        loop = asyncio.get_running_loop()

        def interrupt() -> None:
            self.received = True
            if not chat.stop(conversation_id):
                raise KeyboardInterrupt

        def interrupt_soon(_number: int, _frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(interrupt)

        # Not loop.add_signal_handler, which would take the signals away from the exit watch.
        signal.signal(signal.SIGINT, interrupt_soon)
