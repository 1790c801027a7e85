"""An engine without a model: it generates what a test scripts, and records the requests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Set
from pathlib import Path

from baize_tui.catalog.adapters import CatalogAdapter
from baize_tui.catalog.recipes import CatalogError, CatalogModel, Recipe
from baize_tui.chat.titles import GRAMMAR
from baize_tui.engine.answer_text import AnswerText
from baize_tui.engine.client import EngineFailure, Generation, GenerationEvent, ModelSpec
from baize_tui.engine.prompts.prompt_reader import AnswerBeginning
from baize_tui.engine.protocol import (
    CheckForm,
    Count,
    Delta,
    Finished,
    FinishReason,
    Generate,
    Judge,
    Judged,
    JudgedToken,
    LoadedModel,
    Prefilling,
    Prompt,
    PromptPiece,
    PromptRead,
    ReadPrompt,
    Stats,
    ThreadsChosen,
    TokenChoice,
    Warm,
    Warmed,
)

TOKENIZER = "scripted"
SUMMARY = "They counted words."
CONTROL, OTHER = "<|turn|>", "pears "
"""The control token before each message, and a token that is always as likely as the chosen one."""


def model(tmp_file: str = "/nowhere/scripted.gguf", name: str = "scripted") -> CatalogModel:
    return CatalogModel(name, Path(tmp_file), Recipe(file=tmp_file, title="A scripted model"))


def _no_adapter(name: str) -> CatalogAdapter:
    raise CatalogError(f"no adapter is called {name!r}")


class ScriptedCatalog:
    """Finds what a test gives it; both functions can be replaced."""

    def __init__(
        self,
        find_model: Callable[[str | None], CatalogModel],
        find_adapter: Callable[[str], CatalogAdapter] = _no_adapter,
    ) -> None:
        self.find_model = find_model
        self.find_adapter = find_adapter

    def names_in_domain(self, domain: str) -> Set[str]:
        if domain != "healthcare":
            raise CatalogError(f"no model or adapter has the domain {domain!r}")
        return {"healer"}

    def find_same_model(self, name: str, path: str | None, sha256: str | None) -> CatalogModel:
        return self.find_model(name)


class _Answer:
    def __init__(self, engine: ScriptedEngine, request: Generate) -> None:
        self._engine = engine
        self._request = request
        self._cancelled = asyncio.Event()

    def cancel(self) -> None:
        self._cancelled.set()

    async def _pause(self) -> None:
        self._engine.paused.set()
        waits = {
            asyncio.ensure_future(self._engine.go_on.wait()),
            asyncio.ensure_future(self._cancelled.wait()),
        }
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def __aiter__(self) -> AsyncIterator[GenerationEvent]:
        engine, request = self._engine, self._request
        tokens = engine.tokens_of(request.prompt)
        if tokens + request.reserve > engine.n_ctx:
            raise EngineFailure("too long", "too_long", tokens, engine.n_ctx)
        yield Prefilling(0, 0, tokens, 0)
        if engine.prefilled is not None:
            yield Prefilling(0, *engine.prefilled, 0)
            await self._pause()
        partial = request.prompt.partial
        text = AnswerText(AnswerBeginning(), _Vocabulary(engine.pieces))
        ids = list(partial.ids or []) if partial is not None else []
        if partial is not None and partial.content and not ids:  # a person wrote it
            ids = [len(engine.pieces)]
            engine.pieces.append(partial.content)
        reason: FinishReason = "stop"
        for token in ids:
            text.feed(token)
        if ids:
            yield _delta(text, ids)
        for step, piece in enumerate(engine.script):
            if engine.pause_at is not None and step == engine.pause_at:
                await self._pause()
            if self._cancelled.is_set():
                reason = "cancelled"
                break
            if isinstance(piece, EngineFailure):
                raise piece
            token = len(engine.pieces)
            engine.pieces.append(piece)
            ids = [*ids, token]
            text.feed(token)
            yield _delta(text, [token])
            if engine.threads is not None and step == 0:
                yield engine.threads
            await asyncio.sleep(0)
        text.finish()
        if (delta := _delta(text, [])).text or delta.reasoning:
            yield delta
        stats = Stats(tokens, 0, len(ids), 0.1, 0.1, 1.0, 42, 1, 2)
        yield Finished(0, reason, text.answer, ids, stats, reasoning=text.thought)


class _Title:
    """A title that is asked for; whoever stops iterating stops it."""

    def __init__(self, engine: ScriptedEngine, request: Generate) -> None:
        self._engine = engine
        self._request = request

    def cancel(self) -> None:
        raise AssertionError("a title is cancelled with the task that waits for it")

    async def __aiter__(self) -> AsyncIterator[GenerationEvent]:
        engine = self._engine
        tokens = engine.tokens_of(self._request.prompt)
        if tokens + self._request.reserve > engine.n_ctx:
            raise EngineFailure("too long", "too_long", tokens, engine.n_ctx)
        await engine.title_may_end.wait()
        if isinstance(engine.title, EngineFailure):
            raise engine.title
        stats = Stats(tokens, 0, 1, 0.1, 0.1, 1.0, 42, 1, 2)
        yield Finished(0, engine.title_end, engine.title, [0], stats)


class _Vocabulary:
    """Pieces by their numbers."""

    def __init__(self, pieces: list[str]) -> None:
        self._pieces = pieces

    def piece(self, token: int) -> bytes:
        # An answer may go on that another engine has begun, in a client before this one.
        return self._pieces[token].encode() if token < len(self._pieces) else b""


def _delta(text: AnswerText, ids: list[int]) -> Delta:
    new = text.take_new()
    return Delta(0, new.answer, ids, new.thought, text.in_thought, new.answer_was_thought)


class ScriptedEngine:
    """Answers with ``script``; an exception in it is raised there."""

    on_notice: Callable[[str], None] = staticmethod(lambda _notice: None)

    def __init__(self, *script: str | EngineFailure, n_ctx: int = 1000) -> None:
        self.script: list[str | EngineFailure] = list(script or ("Hello ", "there."))
        self.n_ctx = n_ctx
        self.pieces: list[str] = []
        """What was generated: the token with the number i is ``pieces[i]``."""
        self.requests: list[Generate] = []
        """All but those for titles."""
        self.title: str | EngineFailure = ""
        """What it writes as a title; an exception is raised."""
        self.title_end: FinishReason = "stop"
        self.title_may_end = asyncio.Event()
        self.title_may_end.set()
        self.title_requests: list[Generate] = []
        self.pause_at: int | None = None
        self.paused = asyncio.Event()
        self.go_on = asyncio.Event()
        self.prefilled: tuple[int, int] | None = None
        """Pause while the prompt is read: tokens done, of how many."""
        self.loaded_to: float | None = None
        """Pause the load at this part, 0.0 to 1.0."""
        self.load_failure: EngineFailure | None = None
        self.threads: ThreadsChosen | None = None
        """Sent after the first piece."""
        self.can_switch_thinking = True
        self.can_cut_cache = True
        self.prompt_format = ""
        """The format that the model file names."""
        self.stop: list[str] = []
        """The stop strings that the model file names."""
        self.trained_system: str | None = None
        """The system prompt that the model file names."""
        self.loads: list[ModelSpec] = []
        self.warmed: list[Warm] = []
        self.judged: list[Judge] = []
        self.saved = 0
        """How often the state was to be saved."""
        self.save_problem = ""
        self.forgotten: list[str] = []
        """Conversations whose states were to be removed."""
        self.closed = False

    @staticmethod
    def tokens_of(prompt: Prompt) -> int:
        """One token for each word."""
        return sum(len(message.content.split()) for message in prompt.messages)

    async def load(
        self, spec: ModelSpec, progress: Callable[[float], None] | None = None
    ) -> LoadedModel:
        self.loads.append(spec)
        if self.load_failure is not None:
            raise self.load_failure
        if progress is not None:
            progress(1.0 if self.loaded_to is None else self.loaded_to)
        if self.loaded_to is not None:
            self.paused.set()
            await self.go_on.wait()
        return LoadedModel(
            path=spec.path,
            file_bytes=1,
            name="scripted",
            description="scripted",
            n_ctx=self.n_ctx,
            n_ctx_train=self.n_ctx,
            n_vocab=10,
            threads=1 if self.threads is None else self.threads.most,
            threads_batch=2,
            gpu_layers=0,
            tokenizer=TOKENIZER,
            has_template=True,
            backend="scripted",
            can_switch_thinking=self.can_switch_thinking,
            prompt_format=self.prompt_format,
            stop=self.stop,
            system=self.trained_system,
            can_cut_cache=self.can_cut_cache,
        )

    def generate(self, request: Generate) -> Generation:
        if request.grammar == GRAMMAR:
            self.title_requests.append(request)
            return _Title(self, request)
        self.requests.append(request)
        return _Answer(self, request)

    async def warm(self, request: Warm) -> Warmed:
        self.warmed.append(request)
        return Warmed(0, self.tokens_of(request.prompt), 0)

    async def read_prompt(self, request: ReadPrompt) -> PromptRead:
        pieces: list[PromptPiece] = []
        for message in request.prompt.messages:
            words = len(message.content.split())
            pieces.append(PromptPiece(CONTROL, 1, True, False))
            pieces.append(PromptPiece(message.content, words, False, False))
        return PromptRead(0, pieces)

    async def judge(self, request: Judge) -> Judged:
        """The tokens of the answer are as likely as ``OTHER``, which no answer has."""
        self.judged.append(request)
        tokens = [TokenChoice(id, self.pieces[id], 0.4) for id in request.ids]
        other = TokenChoice(self.other_id, OTHER, 0.4)
        return Judged(0, [JudgedToken(token, [token, other]) for token in tokens])

    @property
    def other_id(self) -> int:
        """The token that is as likely as each in an answer."""
        if OTHER not in self.pieces:
            self.pieces.append(OTHER)
        return self.pieces.index(OTHER)

    async def save_cache(self) -> str:
        self.saved += 1
        return self.save_problem

    async def forget(self, conversation: str) -> None:
        self.forgotten.append(conversation)

    async def count(self, request: Count) -> int:
        return self.tokens_of(request.prompt)

    async def check_form(self, request: CheckForm) -> None:
        if "wrong" in request.grammar:
            raise EngineFailure("the grammar cannot be read: a scripted reason", "engine")

    async def close(self) -> None:
        self.closed = True


class WritingEngine(ScriptedEngine):
    """Answers with its script, and summarizes with ``writer``."""

    def __init__(self, *summary: str | EngineFailure, n_ctx: int = 1000) -> None:
        super().__init__("yes", n_ctx=n_ctx)
        self.writer = ScriptedEngine(*(summary or (SUMMARY,)), n_ctx=n_ctx)

    def generate(self, request: Generate) -> Generation:
        writes_summary = not request.conversation
        return self.writer.generate(request) if writes_summary else super().generate(request)

    @property
    def read_for_summaries(self) -> list[str]:
        """What the model has read to summarize it."""
        return [request.prompt.messages[-1].content for request in self.writer.requests]
