"""The process a model runs in: ``python -m baize_tui.engine.worker``.

Requests arrive as JSON lines on stdin, events leave as JSON lines on the original stdout; whatever
C code prints goes to stderr, which the client points at a log file. A reader thread takes the
requests, so that a cancel reaches a running computation. The end of stdin aborts the computation
and ends the process, so no worker outlives its client.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
import traceback
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from baize_shared.json_errors import JSON_ERRORS
from baize_tui.engine.adapters import check_adapter
from baize_tui.engine.crash_switch import Phase, crash_switch
from baize_tui.engine.llama.abort import AbortFlag
from baize_tui.engine.llama.bare_loop import time_loop
from baize_tui.engine.llama.errors import Aborted, EngineError
from baize_tui.engine.llama.machine import backend
from baize_tui.engine.llama.model import Model
from baize_tui.engine.llama_engine import LlamaEngine, TooLongError
from baize_tui.engine.measuring import measure
from baize_tui.engine.model_header import read_model_header
from baize_tui.engine.profiles import FULL, MachineProfile, ProfileName, profile_named
from baize_tui.engine.prompts.template_sandbox import TemplateError
from baize_tui.engine.prompts.templates import render
from baize_tui.engine.protocol import (
    AdapterChecked,
    AnswerTimed,
    AnyRequest,
    CacheSaved,
    Cancel,
    CheckAdapter,
    CheckForm,
    Count,
    Counted,
    Delta,
    Diagnose,
    Diagnosis,
    Encode,
    Encoded,
    Event,
    Failed,
    FailureKind,
    Finished,
    Forget,
    Forgotten,
    FormChecked,
    Generate,
    Inspect,
    Inspected,
    Judge,
    Judged,
    Load,
    Loaded,
    Loading,
    LogitsWritten,
    LoopTimed,
    Measure,
    Measured,
    Prefilling,
    PromptRead,
    ReadPrompt,
    Rendered,
    Rendering,
    Request,
    SaveCache,
    Score,
    Scored,
    Started,
    TemplateWritten,
    TimeAnswer,
    TimeLoop,
    Tokenize,
    Tokenized,
    Warm,
    Warmed,
    WarmingUp,
    WriteLogits,
    WriteTemplate,
    decode_request,
    encode_line,
    request_number,
)
from baize_tui.engine.threads.cores import most_threads
from baize_tui.translation import Language, choose_language, tr

_PROGRESS_STEP = 0.02
Handler = Callable[[Any], Event]
"""Takes one kind of request and returns the event that answers it."""


class Worker:
    """Serves one request after the other; cancels and the end of input interrupt them."""

    def __init__(
        self, requests: Iterable[bytes], events: int, profile: MachineProfile = FULL
    ) -> None:
        """``requests`` are lines; ``events`` is the file descriptor for events."""
        self._lines = requests
        self._events = events
        self._profile = profile
        self._crash = crash_switch()
        self._abort = AbortFlag()
        self._lock = threading.Lock()
        self._running = 0
        self._cancelled: set[int] = set()
        self._queue: queue.SimpleQueue[AnyRequest] = queue.SimpleQueue()
        self._engine: LlamaEngine | None = None
        self._has_draft = False
        self._vocabulary: Model | None = None
        self._handlers: dict[type[Request[Any, Any]], Handler] = {
            Load: self._load,
            Generate: self._generate,
            Warm: self._warm,
            SaveCache: self._save_cache,
            Forget: self._forget,
            Count: self._count,
            CheckForm: self._check_form,
            ReadPrompt: self._read_prompt,
            Judge: self._judge,
            Tokenize: self._tokenize,
            Encode: self._encode,
            WriteTemplate: self._write_template,
            Score: self._score,
            WriteLogits: self._write_logits,
            TimeLoop: self._time_loop,
            TimeAnswer: self._time_answer,
            Inspect: self._inspect,
            Measure: self._measure,
            CheckAdapter: self._check_adapter,
            Diagnose: self._diagnose,
        }

    # --- the loop -------------------------------------------------------------------------------

    def serve(self) -> None:
        """Serve requests until the end of input, which ends the process."""
        self._reached("starting")
        self._send(Started())
        threading.Thread(target=self._read, name="requests", daemon=True).start()
        while True:
            request = self._queue.get()
            self._begin(request.request)
            try:
                self._send(self._handlers[type(request)](request))
            except Exception as error:  # noqa: BLE001 - the boundary of the process
                # Whatever fails, the client gets an answer, and the next request is served.
                if not isinstance(error, TemplateError | EngineError | Aborted):
                    traceback.print_exc()  # stderr is the log
                self._send(_failure(request, error))
            finally:
                self._end(request.request)

    def _begin(self, number: int) -> None:
        with self._lock:
            self._running = number
            if number in self._cancelled:
                self._abort.set()
            else:
                self._abort.clear()

    def _end(self, number: int) -> None:
        with self._lock:
            self._running = 0
            self._cancelled.discard(number)

    def _read(self) -> None:
        for line in self._lines:
            try:
                message = decode_request(line)
            except JSON_ERRORS as error:
                why = f"an unreadable request: {error}"
                self._send(Failed(request_number(line), "request", why))
                continue
            if isinstance(message, Cancel):
                self._cancel(message.request)
            else:
                self._queue.put(message)
        # The client is gone: stop computing and exit at once; nothing here needs saving.
        self._abort.set()
        os._exit(0)

    def _cancel(self, number: int) -> None:
        with self._lock:
            if number == self._running:
                self._abort.set()
            else:
                self._cancelled.add(number)

    def _send(self, event: Event) -> None:
        view = memoryview(encode_line(event))
        while view:
            view = view[os.write(self._events, view) :]

    def _reached(self, phase: Phase) -> None:
        if self._crash is not None:
            self._crash.reached(phase, self._profile.name, has_draft=self._has_draft)

    # --- the loaded model -----------------------------------------------------------------------

    def _load(self, request: Load) -> Loaded:
        if self._engine is not None:
            self._engine.close()
            self._engine = None
        last = -1.0

        def progress(fraction: float) -> bool:
            nonlocal last
            if fraction - last >= _PROGRESS_STEP or fraction >= 1.0:
                last = fraction
                self._send(Loading(request.request, fraction))
            return not self._abort.is_set()

        self._has_draft = bool(request.draft)
        self._reached("loading")
        engine = LlamaEngine(request, self._abort, progress, self._profile)
        self._send(WarmingUp(request.request))
        self._reached("warming-up")
        try:
            engine.warm_up()
        except (Aborted, EngineError) as error:
            engine.close()
            why = str(error) or tr("the load was stopped")  # Aborted has no text
            raise EngineError(
                tr("{file} cannot compute: {why}", file=request.path, why=why)
            ) from error
        self._engine = engine
        return Loaded(request.request, engine.loaded)

    def _loaded(self) -> LlamaEngine:
        if self._engine is None:
            raise EngineError(tr("no model is loaded"))
        return self._engine

    def _generate(self, request: Generate) -> Finished:
        engine = self._loaded()
        self._send(Rendering(request.request))
        rendered = Rendered(request.request)
        for event in engine.generate(request, lambda: self._send(rendered), self._send):
            if isinstance(event, Finished):
                return event
            self._send(event)
            if isinstance(event, Prefilling):
                self._reached("prefilling")
            elif isinstance(event, Delta):
                self._reached("decoding")
        raise AssertionError("an answer ends with Finished")

    def _warm(self, request: Warm) -> Warmed:
        engine = self._loaded()
        self._send(Rendering(request.request))
        rendered = Rendered(request.request)
        for event in engine.warm(request, lambda: self._send(rendered), self._send):
            if isinstance(event, Warmed):
                return event
            self._send(event)
        raise AssertionError("reading ends with Warmed")

    def _save_cache(self, request: SaveCache) -> CacheSaved:
        if self._engine is None:
            return CacheSaved(request.request)
        self._engine.save_cache()
        return CacheSaved(request.request, self._engine.take_snapshot_problem())

    def _forget(self, request: Forget) -> Forgotten:
        if self._engine is not None:
            self._engine.forget(request.conversation)
        return Forgotten(request.request)

    def _count(self, request: Count) -> Counted:
        engine = self._loaded()
        self._send(Rendering(request.request))
        return Counted(request.request, engine.count(request), engine.loaded.n_ctx)

    def _check_form(self, request: CheckForm) -> FormChecked:
        self._loaded().check_grammar(request.grammar)
        return FormChecked(request.request)

    def _read_prompt(self, request: ReadPrompt) -> PromptRead:
        engine = self._loaded()
        self._send(Rendering(request.request))
        return engine.read_prompt(request)

    def _judge(self, request: Judge) -> Judged:
        engine = self._loaded()
        self._send(Rendering(request.request))
        rendered = Rendered(request.request)
        for event in engine.judge(request, lambda: self._send(rendered), self._send):
            if isinstance(event, Judged):
                return event
            self._send(event)
        raise AssertionError("judging ends with Judged")

    def _score(self, request: Score) -> Scored:
        return Scored(request.request, self._loaded().losses(request.ids, request.adapters))

    def _write_logits(self, request: WriteLogits) -> LogitsWritten:
        self._loaded().write_logits(request.ids, request.output)
        return LogitsWritten(request.request)

    # --- times ----------------------------------------------------------------------------------

    def _time_loop(self, request: TimeLoop) -> LoopTimed:
        times = time_loop(
            self._loaded().model,
            self._abort,
            threads=request.threads,
            read=request.read,
            written=request.written,
            most_s=request.most_s,
            flash_attention=self._profile.flash_attention,
        )
        return LoopTimed(request.request, times.read_s, times.written, times.write_s)

    def _time_answer(self, request: TimeAnswer) -> AnswerTimed:
        engine = self._loaded()
        self._send(Rendering(request.request))
        rendered = Rendered(request.request)
        for event in engine.generate(request.answer, lambda: self._send(rendered)):
            if isinstance(event, Finished):
                return AnswerTimed(request.request, event.stats)
        raise AssertionError("an answer ends with Finished")

    # --- files and the machine ------------------------------------------------------------------

    def _tokenize(self, request: Tokenize) -> Tokenized:
        ids = self._open_vocabulary(request.path).vocabulary.tokenize(request.text)
        return Tokenized(request.request, ids)

    def _encode(self, request: Encode) -> Encoded:
        vocabulary = self._open_vocabulary(request.path).vocabulary
        return Encoded(
            request.request,
            [
                vocabulary.tokenize(text, parse_special=True, add_special=request.add_special)
                for text in request.texts
            ],
        )

    def _write_template(self, request: WriteTemplate) -> TemplateWritten:
        prompt, template, variables = request.prompt, request.prompt.template, {}
        if template is None:
            model = self._open_vocabulary(request.path)
            template, variables = model.chat_template, model.vocabulary.template_variables
        self._send(Rendering(request.request))
        return TemplateWritten(request.request, render(prompt, template, (), variables).text)

    def _open_vocabulary(self, path: str) -> Model:
        if self._vocabulary is None or self._vocabulary.path != path:
            if self._vocabulary is not None:
                self._vocabulary.close()
            read_model_header(path)  # a damaged file could abort the process inside llama.cpp
            self._vocabulary = Model(path, vocabulary_only=True)
        return self._vocabulary

    def _inspect(self, request: Inspect) -> Inspected:
        self._reached("reading")
        return Inspected(request.request, read_model_header(request.path))

    def _measure(self, request: Measure) -> Measured:
        self._reached("measuring")
        return Measured(request.request, measure(request, self._profile))

    def _check_adapter(self, request: CheckAdapter) -> AdapterChecked:
        self._reached("reading")
        check_adapter(request.path, request.base)
        return AdapterChecked(request.request)

    def _diagnose(self, request: Diagnose) -> Diagnosis:
        llama = backend()
        return Diagnosis(
            request=request.request,
            llama_cpp_python=llama.llama_cpp_python,
            llama_cpp=llama.llama_cpp,
            system_info=llama.system_info,
            gpu_offload=llama.gpu_offload,
            mmap=llama.mmap,
            threads=most_threads(),
            threads_batch=most_threads(),
            devices=llama.devices,
        )


def _failure(request: AnyRequest, error: Exception) -> Failed:
    """The event for ``error``."""
    if isinstance(error, TooLongError):
        return Failed(request.request, "too_long", str(error), error.tokens, error.n_ctx)
    if isinstance(error, TemplateError):
        name = "template"
        if isinstance(request, Generate | Warm | Count | ReadPrompt | Judge | WriteTemplate):
            name = request.prompt.template_name
        elif isinstance(request, TimeAnswer):
            name = request.answer.prompt.template_name
        return Failed(
            request.request, "template", tr("{name} failed: {why}", name=tr(name), why=error)
        )
    kind: FailureKind = "load" if isinstance(request, Load) else "engine"
    if isinstance(error, EngineError):
        return Failed(request.request, kind, str(error))
    if isinstance(error, Aborted):
        return Failed(request.request, kind, tr("stopped"))
    what = f"{type(error).__name__}: {error}".removesuffix(": ")
    return Failed(request.request, kind, tr("an error in the model process ({error})", error=what))


def main() -> None:
    """Serve under the machine profile that the first argument names, in the language of the second
    one."""
    profile = FULL
    if len(sys.argv) > 1:
        profile = profile_named(msgspec.convert(sys.argv[1], ProfileName))
    if len(sys.argv) > 2:
        choose_language(msgspec.convert(sys.argv[2], Language))
    events = os.dup(1)
    os.dup2(2, 1)  # what C code prints must not mix with the events
    try:
        Worker(sys.stdin.buffer, events, profile).serve()
    except BrokenPipeError:
        os._exit(0)


if __name__ == "__main__":
    main()
