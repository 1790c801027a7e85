"""A GGUF model that answers: loaded, prompted, stopped, with its KV cache reused."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from baize_tui.engine.adapters import AdapterSwitch
from baize_tui.engine.answer import Answer
from baize_tui.engine.guessing import Guessing
from baize_tui.engine.judging import judge
from baize_tui.engine.kv_cache import KvCache
from baize_tui.engine.likelihood import logits, losses
from baize_tui.engine.llama.abort import AbortFlag
from baize_tui.engine.llama.errors import Aborted, EngineError
from baize_tui.engine.llama.sampler import Sampler, check_grammar
from baize_tui.engine.loading import (
    attention_for,
    choose_gpu_layers,
    choose_threads,
    describe,
    open_context,
    open_model,
    open_snapshots,
    part_on_gpu,
)
from baize_tui.engine.measuring import context_size
from baize_tui.engine.model_header import read_chat_model
from baize_tui.engine.profiles import FULL, MachineProfile
from baize_tui.engine.prompts.prompt_pieces import prompt_pieces
from baize_tui.engine.prompts.prompt_reader import PromptReader
from baize_tui.engine.protocol import (
    AdapterUse,
    Count,
    Delta,
    Finished,
    Generate,
    Judge,
    Judged,
    Load,
    Prefilling,
    Prompt,
    PromptRead,
    ReadPrompt,
    ThreadsChosen,
    Warm,
    Warmed,
)
from baize_tui.engine.threads.cores import usable_cores
from baize_tui.engine.threads.neighbours import Neighbours
from baize_tui.settings import Sampling
from baize_tui.translation import msg, tr

TOO_LONG = msg(
    "the prompt has {tokens} tokens, with {reserve} kept for the answer; the context of this model "
    "holds {context}"
)


class TooLongError(EngineError):
    """The prompt leaves too little of the context for an answer."""

    def __init__(self, tokens: int, reserve: int, n_ctx: int) -> None:
        super().__init__(tr(TOO_LONG, tokens=tokens, reserve=reserve, context=n_ctx))
        self.tokens = tokens
        self.n_ctx = n_ctx


class LlamaEngine:
    """A loaded model and its one KV cache; not thread-safe."""

    def __init__(
        self,
        request: Load,
        abort: AbortFlag,
        progress: Callable[[float], bool] | None = None,
        profile: MachineProfile = FULL,
    ) -> None:
        """Load the model of ``request``; ``profile`` says what of this machine may be used.

        ``abort`` stops computations from another thread. ``progress`` receives 0.0 to 1.0 and stops
        the load by returning False.

        Raises:
            ModelFileError: llama.cpp cannot run the file as a model.
            EngineError: there is too little memory.
        """
        cores = usable_cores()
        neighbours = Neighbours(cores.cpus)  # measures what others use while the model loads
        header = read_chat_model(request.path)
        gpu_layers = choose_gpu_layers(request, header, profile)
        self.model = open_model(
            request.path, header.architecture, gpu_layers, progress, profile, request.device
        )
        self.vocabulary = self.model.vocabulary
        self._prompts = PromptReader(self.vocabulary, self.model.chat_template)
        on_gpu = part_on_gpu(gpu_layers, self.model.layers)
        self.threads = choose_threads(request, profile, cores, neighbours, on_gpu)
        n_ctx = context_size(request.context, self.model.n_ctx_train)
        attention = attention_for(request, self.model, n_ctx, gpu_layers, profile)
        context = open_context(
            self.model,
            self.threads,
            abort,
            n_ctx=n_ctx,
            attention=attention,
            all_logits=request.all_logits,
        )
        self.cache = KvCache(context, self.threads, abort)
        self._adapters = AdapterSwitch(self.model, context)
        self._snapshots = open_snapshots(request, self.model, self.cache, gpu_layers, attention)
        self._guessing = Guessing(
            request,
            self.model,
            self.cache,
            self.threads,
            abort,
            on_gpu=gpu_layers != 0,
            profile=profile,
        )
        self.loaded = describe(
            self.model,
            context,
            self.threads,
            header,
            gpu_layers,
            profile,
            attention,
            draft=self._guessing.draft,
            draft_problem=self._guessing.problem,
        )

    def warm_up(self) -> None:
        """Compute a token, so that a kernel that crashes on this machine does so while loading.

        First comes a batch of two tokens: batches use other kernels than single tokens
        (llama.cpp's crashing AMX kernel is one of them, ``ggml_backend_amx_mul_mat``).

        Raises:
            Aborted: the abort flag is set.
            EngineError: llama.cpp failed.
        """
        token = max(self.vocabulary.bos, 0)
        context = self.cache.context
        context.set_threads(self.threads.decoding.threads, self.threads.reading.threads)
        # Not through the cache, which measures: these calls read the weights from the disk.
        context.decode([token, token], 0, logits=True)
        context.decode([token], 2, logits=True)
        self.cache.clear()
        self._guessing.warm_up()

    def close(self) -> None:
        """Free the model and its context, once what is being saved is on disk."""
        if self._snapshots is not None:
            self._snapshots.close()
        self._guessing.close()
        self.cache.context.close()
        self.model.close()

    # --- prompts --------------------------------------------------------------------------------

    def prompt_ids(self, prompt: Prompt) -> list[int]:
        """Token ids of ``prompt``, with a BOS in front where the vocabulary wants one.

        Raises:
            TemplateError: the chat template failed.
        """
        return self._prompts.ids(prompt)

    def count(self, request: Count) -> int:
        """How many tokens the prompt has.

        Raises:
            TemplateError: the chat template failed.
        """
        return len(self.prompt_ids(request.prompt))

    def check_grammar(self, grammar: str) -> None:
        """Check that ``grammar`` is GBNF with the rule ``root``.

        Raises:
            EngineError: it is not.
        """
        check_grammar(self.vocabulary, grammar)

    def read_prompt(self, request: ReadPrompt) -> PromptRead:
        """The prompt as the model reads it.

        Raises:
            TemplateError: the chat template failed.
        """
        ids = self.prompt_ids(request.prompt)
        cached = self.cache.shared_with(ids)
        return PromptRead(request.request, prompt_pieces(ids, cached, self.vocabulary))

    # --- answers --------------------------------------------------------------------------------

    def generate(
        self,
        request: Generate,
        on_rendered: Callable[[], None] = lambda: None,
        on_estimate: Callable[[Prefilling], None] = lambda _: None,
    ) -> Iterator[Prefilling | ThreadsChosen | Delta | Finished]:
        """Answer ``request``; events come at most 10 times a second, the last is ``Finished``.

        ``on_rendered`` is called once the template has run. During a long batch of the prompt,
        ``on_estimate`` is called from another thread with an estimate of the progress. When the
        abort flag is set, the answer ends as ``cancelled`` and keeps what was generated.

        Raises:
            TemplateError: the chat template failed.
            ModelFileError: an adapter is not for this model.
            TooLongError: prompt and reserve exceed the context; nothing was computed.
            EngineError: llama.cpp failed.
        """
        started = time.monotonic()
        self.threads.begin_reading()
        prompt = self._prompts.read(request.prompt)
        ids = prompt.ids
        on_rendered()
        self._check_length(ids, request.reserve)
        seed = _seed(request.sampling)
        if request.grammar and prompt.partial_ids:
            raise EngineError(tr("a grammar cannot continue an answer that was begun without it"))
        answer = Answer(request, prompt, self.vocabulary, started)
        sampler = Sampler(request.sampling, self.vocabulary, seed, request.grammar)
        try:
            yield from self._compute(request, ids + answer.resumed, answer, sampler, on_estimate)
        except Aborted:
            answer.reason = "cancelled"
        finally:
            sampler.close()
            self.threads.end()
        stats = answer.stats(
            len(ids), seed, self.threads, self.loaded.profile, shifted=self.cache.is_shifted
        )
        answer.text.finish()
        if (delta := answer.delta()).text or delta.reasoning:
            yield delta
        kept = self._cut_at_stop(answer, len(ids) - len(prompt.partial_ids))
        yield Finished(
            request.request,
            answer.reason,
            answer.text.answer,
            kept,
            stats,
            [*answer.notices, *self._problems()],
            answer.text.thought,
        )

    def _compute(
        self,
        request: Generate,
        ids: list[int],
        answer: Answer,
        sampler: Sampler,
        on_estimate: Callable[[Prefilling], None],
    ) -> Iterator[Prefilling | ThreadsChosen | Delta]:
        """Read ``ids``, the prompt with what exists of the answer, and write ``answer``.

        Raises:
            Aborted: the abort flag is set.
            ModelFileError, EngineError: as for ``generate``.
        """
        # The last prompt token is decoded alone, so that regenerating takes the same path.
        answer.reused = self._reuse(request, ids[:-1])
        for token in ids[-_penalized_tokens(request.sampling) :]:
            sampler.accept(token)
        sampler.accept_in_grammar(answer.resumed_in_grammar)
        yield from self._prefill(request.request, ids, answer.reused, on_estimate)
        self.threads.begin_writing()
        self.cache.decode(ids[-1:])
        answer.end_prefill()
        ahead = self._guessing.look_ahead(request)
        try:
            yield from answer.write(ahead, sampler, self.threads, self._prompts.markup_ids)
        finally:
            ahead.drop_guesses()

    def warm(
        self,
        request: Warm,
        on_rendered: Callable[[], None] = lambda: None,
        on_estimate: Callable[[Prefilling], None] = lambda _: None,
    ) -> Iterator[Prefilling | Warmed]:
        """Read the prompt of ``request`` into the cache, so that an answer can begin at once.

        A prompt that is longer than the context is not read: asking will say so.

        Raises:
            Aborted: the abort flag is set; what was read stays in the cache.
            TemplateError, ModelFileError, EngineError: as for ``generate``.
        """
        self.threads.begin_reading()
        ids = self.prompt_ids(request.prompt)
        on_rendered()
        if not ids or len(ids) > self.cache.context.n_ctx:
            yield Warmed(request.request, len(ids), 0)
            return
        try:
            reused = self._reuse(request, ids[:-1])
            yield from self._prefill(request.request, ids, reused, on_estimate)
            self._guessing.prepare(ids)
        finally:
            self.threads.end()
        yield Warmed(request.request, len(ids), reused)

    def save_cache(self) -> None:
        """Save what the cache holds of the last conversation, where that pays.

        Raises:
            Aborted: the abort flag is set; the rest is not saved.
        """
        if self._snapshots is not None:
            self._snapshots.save(wait=True)

    def forget(self, conversation: str) -> None:
        """Remove the saved states of ``conversation``, and save none of it from now on."""
        if self._snapshots is not None:
            self._snapshots.forget(conversation)

    def take_snapshot_problem(self) -> str:
        """Why a state could not be saved or restored, only once; empty if all went well."""
        return self._snapshots.take_problem() if self._snapshots is not None else ""

    def _problems(self) -> list[str]:
        """What does not work any more, for the person to know."""
        return [*filter(None, (self.take_snapshot_problem(), self._guessing.take_problem()))]

    def _reuse(self, request: Generate | Warm | Judge, ids: Sequence[int]) -> int:
        """Cut the cache to what it shares with ``ids``, add what was saved, and return its length.

        Raises:
            Aborted: the abort flag is set.
            ModelFileError: an adapter is not for this model.
        """
        snapshots = self._snapshots
        if snapshots is None:
            self._apply(request.adapters)
            self._shift(request, ids)
            return self.cache.reuse(ids)
        owner = None
        if request.conversation:
            adapters = self._adapters.identities(request.adapters)
            owner = snapshots.owner(request.conversation, adapters)
        snapshots.leave(owner, ids)
        self._apply(request.adapters)
        self._shift(request, ids)
        snapshots.restore(owner, ids)
        return self.cache.reuse(ids)

    def _shift(self, request: Generate | Warm | Judge, ids: Sequence[int]) -> None:
        """Shift the cache if ``request`` allows it."""
        if isinstance(request, Generate) and request.shift:
            self.cache.shift_to(ids)

    def _check_length(self, ids: Sequence[int], reserve: int) -> None:
        n_ctx = self.cache.context.n_ctx
        if len(ids) + reserve > n_ctx or not ids:
            raise TooLongError(len(ids), reserve, n_ctx)

    def _prefill(
        self, number: int, ids: list[int], reused: int, on_estimate: Callable[[Prefilling], None]
    ) -> Iterator[Prefilling]:
        """Decode all of ``ids`` but the last into the cache, for request ``number``."""
        yield Prefilling(number, reused, len(ids), reused)

        def estimate(done: int) -> None:
            on_estimate(Prefilling(number, done, len(ids), reused))

        for done in self.cache.prefill(ids[:-1], reused, estimate):
            yield Prefilling(number, done, len(ids), reused)

    def _cut_at_stop(self, answer: Answer, start: int) -> list[int]:
        """The ids of ``answer`` up to its stop string; it begins at position ``start``.

        A token that straddles the cut is dropped, and its kept bytes are tokenized again; the
        cells of all dropped tokens leave the KV cache.
        """
        ids = answer.ids
        if not answer.text.stopped():
            return ids
        kept, left = 0, answer.text.kept_bytes
        while kept < len(ids) and (size := len(answer.text.piece(ids[kept]))) <= left:
            left -= size
            kept += 1
        rest = self.vocabulary.piece(ids[kept])[:left] if left else b""
        self.cache.reuse(self.cache.ids[: start + kept])
        return ids[:kept] + self._prompts.tokenizer.plain(rest.decode("utf-8", "ignore"))

    # --- likelihoods ----------------------------------------------------------------------------

    def judge(
        self,
        request: Judge,
        on_rendered: Callable[[], None] = lambda: None,
        on_estimate: Callable[[Prefilling], None] = lambda _: None,
    ) -> Iterator[Prefilling | Judged]:
        """How likely each token of an answer was; the last event is ``Judged``.

        Raises:
            Aborted: the abort flag is set.
            TooLongError: prompt and answer exceed the context.
            TemplateError, ModelFileError, EngineError: as for ``generate``.
        """
        self.threads.begin_reading()
        prompt = self.prompt_ids(request.prompt)
        on_rendered()
        self._check_length(prompt, len(request.ids))
        try:
            reused = self._reuse(request, prompt[:-1])
            yield from self._prefill(request.request, prompt, reused, on_estimate)
            self.threads.begin_writing()
            last, choices = prompt[-1], request.choices
            judged = [*judge(self.cache, self.vocabulary, last, request.ids, choices)]
        finally:
            self.threads.end()
        yield Judged(request.request, judged)

    def losses(self, ids: Sequence[int], adapters: list[AdapterUse]) -> list[float]:
        """The negative log-likelihood of each of ``ids`` after the first, in nats.

        Raises:
            ModelFileError: an adapter is not for this model.
            EngineError: there are more ids than the context holds.
        """
        self._apply(adapters)
        self.cache.clear()
        result = losses(self.cache.context, ids, self.vocabulary.size)
        self.cache.clear()
        return result

    def write_logits(self, ids: Sequence[int], output: str) -> None:
        """Write the logits after each of ``ids`` to ``output``: float32 [ids, vocabulary].

        Raises:
            EngineError: there are more ids than the context holds, or the file cannot be written.
        """
        self.cache.clear()
        try:
            with Path(output).open("wb") as file:
                for rows in logits(self.cache.context, ids, self.vocabulary.size):
                    file.write(rows.tobytes())
        except OSError as error:
            raise EngineError(f"{output}: {error.strerror}") from error
        finally:
            self.cache.clear()

    def _apply(self, adapters: list[AdapterUse]) -> None:
        """Apply exactly these adapters; what was computed with others leaves the cache."""
        if self._adapters.apply(adapters):
            self.cache.clear()


def _seed(sampling: Sampling) -> int:
    """The seed of ``sampling``, or a new one."""
    return random.SystemRandom().randrange(2**31) if sampling.seed is None else sampling.seed


def _penalized_tokens(sampling: Sampling) -> int:
    """How many tokens before the answer its penalties look at; at least 1."""
    dry = sampling.dry_penalty_last_n if sampling.dry_multiplier > 0 else 0
    return max(sampling.penalty_last_n, dry, 1)
