"""The process a model runs in: ``python -m baize_tui.engine.worker``.

Requests come as JSON lines on stdin, events leave as JSON lines on what was stdout; all that C code
prints goes to stderr, which the client points at a log file. A reader thread takes the requests, so
that a cancel reaches a running computation; the end of stdin aborts it and ends the process, so no
worker outlives its client.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
from collections.abc import Iterable

import msgspec

from baize_tui.engine.adapter_fits import check_adapter
from baize_tui.engine.bindings import (
    Aborted,
    AbortFlag,
    EngineError,
    Model,
    backend,
    read_header,
)
from baize_tui.engine.cores import most_threads
from baize_tui.engine.crash_switch import Phase, crash_switch
from baize_tui.engine.llama_engine import LlamaEngine, TooLongError
from baize_tui.engine.measuring import measure
from baize_tui.engine.profiles import FULL, MachineProfile, profile_named
from baize_tui.engine.protocol import (
    AdapterChecked,
    Cancel,
    CheckAdapter,
    Count,
    Counted,
    Delta,
    Diagnose,
    Diagnosis,
    Event,
    Failed,
    FailureKind,
    Generate,
    Inspect,
    Inspected,
    Load,
    Loaded,
    Loading,
    LogitsWritten,
    Measure,
    Measured,
    Prefilling,
    Rendered,
    Rendering,
    Request,
    Score,
    Scored,
    Started,
    Tokenize,
    Tokenized,
    WarmingUp,
    WriteLogits,
    decode_request,
    encode_line,
)
from baize_tui.engine.templates import TemplateError

_PROGRESS_STEP = 0.02


class Worker:
    """Serves one request after the other; cancels and the end of input come in between."""

    def __init__(
        self, requests: Iterable[bytes], events: int, profile: MachineProfile = FULL
    ) -> None:
        """``requests`` are lines; ``events`` is the file descriptor that events go to."""
        self._lines = requests
        self._events = events
        self._profile = profile
        self._crash = crash_switch()
        self._abort = AbortFlag()
        self._lock = threading.Lock()
        self._running = 0
        self._cancelled: set[int] = set()
        self._queue: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        self._engine: LlamaEngine | None = None
        self._vocabulary: Model | None = None

    def _reached(self, phase: Phase) -> None:
        if self._crash is not None:
            self._crash.reached(phase, self._profile.name)

    def serve(self) -> None:
        """Until the end of input."""
        self._reached("starting")
        self._send(Started())
        threading.Thread(target=self._read, name="requests", daemon=True).start()
        while (request := self._queue.get()) is not None:
            with self._lock:
                self._running = request.request
                if request.request in self._cancelled:
                    self._abort.set()
                else:
                    self._abort.clear()
            try:
                self._handle(request)
            except TooLongError as error:
                self._send(
                    Failed(request.request, "too_long", str(error), error.tokens, error.n_ctx)
                )
            except TemplateError as error:
                self._send(Failed(request.request, "template", _template_failure(request, error)))
            except EngineError as error:
                kind: FailureKind = "load" if isinstance(request, Load) else "engine"
                self._send(Failed(request.request, kind, str(error)))
            finally:
                with self._lock:
                    self._running = 0
                    self._cancelled.discard(request.request)

    def _read(self) -> None:
        for line in self._lines:
            try:
                request = decode_request(line)
            except msgspec.DecodeError as error:
                self._send(Failed(0, "request", f"a request that cannot be read: {error}"))
                continue
            if isinstance(request, Cancel):
                with self._lock:
                    if request.request == self._running:
                        self._abort.set()
                    else:
                        self._cancelled.add(request.request)
            else:
                self._queue.put(request)
        # The client is gone: stop computing, and go at once; nothing here needs saving.
        self._abort.set()
        os._exit(0)

    def _send(self, event: Event) -> None:
        view = memoryview(encode_line(event))
        while view:
            view = view[os.write(self._events, view) :]

    def _handle(self, request: Request) -> None:
        match request:
            case Load():
                self._load(request)
            case Generate():
                self._generate(request)
            case Count():
                engine = self._loaded()
                self._send(Rendering(request.request))
                tokens = engine.count(request)
                self._send(Counted(request.request, tokens, engine.loaded.n_ctx))
            case Tokenize():
                ids = self._vocabulary_in(request.path).vocabulary.tokenize(request.text)
                self._send(Tokenized(request.request, ids))
            case Score():
                losses = self._loaded().losses(request.ids, request.adapters)
                self._send(Scored(request.request, losses))
            case WriteLogits():
                self._loaded().write_logits(request.ids, request.output)
                self._send(LogitsWritten(request.request))
            case Inspect():
                self._reached("reading")
                self._send(Inspected(request.request, read_header(request.path)))
            case Measure():
                self._reached("measuring")
                self._send(Measured(request.request, measure(request, self._profile)))
            case CheckAdapter():
                self._reached("reading")
                check_adapter(request.path, request.base)
                self._send(AdapterChecked(request.request))
            case Diagnose():
                found = backend()
                self._send(
                    Diagnosis(
                        request=request.request,
                        llama_cpp_python=found.llama_cpp_python,
                        llama_cpp=found.llama_cpp,
                        system_info=found.system_info,
                        gpu_offload=found.gpu_offload,
                        mmap=found.mmap,
                        threads=most_threads(),
                        threads_batch=most_threads(),
                        devices=found.devices,
                    )
                )
            case Cancel():
                pass

    def _generate(self, request: Generate) -> None:
        engine = self._loaded()
        self._send(Rendering(request.request))
        rendered = Rendered(request.request)
        for event in engine.generate(request, lambda: self._send(rendered), self._send):
            self._send(event)
            if isinstance(event, Prefilling | Delta):
                self._reached("prefilling" if isinstance(event, Prefilling) else "decoding")

    def _vocabulary_in(self, path: str) -> Model:
        if self._vocabulary is None or self._vocabulary.path != path:
            if self._vocabulary is not None:
                self._vocabulary.close()
            read_header(path)  # a damaged file could abort the process inside llama.cpp
            self._vocabulary = Model(path, vocabulary_only=True)
        return self._vocabulary

    def _loaded(self) -> LlamaEngine:
        if self._engine is None:
            raise EngineError("no model is loaded")
        return self._engine

    def _load(self, request: Load) -> None:
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

        self._reached("loading")
        engine = LlamaEngine(request, self._abort, progress, self._profile)
        self._send(WarmingUp(request.request))
        self._reached("warming-up")
        try:
            engine.warm_up()
        except (Aborted, EngineError) as error:
            engine.close()
            why = str(error) or "the load was stopped"
            raise EngineError(f"{request.path} cannot compute: {why}") from error
        self._engine = engine
        self._send(Loaded(request.request, engine.loaded))


def _template_failure(request: Request, error: TemplateError) -> str:
    name = request.prompt.template_name if isinstance(request, Generate | Count) else "template"
    return f"{name} failed: {error}"


def main() -> None:
    """Serve under the machine profile that the first argument names."""
    profile = profile_named(sys.argv[1]) if len(sys.argv) > 1 else FULL
    events = os.dup(1)
    os.dup2(2, 1)  # what C code prints must not mix with the events
    try:
        Worker(sys.stdin.buffer, events, profile).serve()
    except BrokenPipeError:
        os._exit(0)


if __name__ == "__main__":
    main()
