"""One GGUF model that answers: prefill with progress, decode, stop, and the KV cache reused."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import msgspec

from baize_shared.common_prefix import common_prefix_length
from baize_tui.engine.adapter_fits import check_adapter
from baize_tui.engine.bindings import (
    Aborted,
    AbortFlag,
    Adapter,
    Context,
    EngineError,
    Model,
    ModelFileError,
    Sampler,
    backend,
    read_header,
)
from baize_tui.engine.cores import usable_cores
from baize_tui.engine.fragments import PromptTokenizer
from baize_tui.engine.likelihood import BATCH as LIKELIHOOD_BATCH
from baize_tui.engine.likelihood import logits, losses
from baize_tui.engine.measuring import batch_size, layers_that_fit
from baize_tui.engine.neighbours import Neighbours
from baize_tui.engine.profiles import FULL, MachineProfile
from baize_tui.engine.protocol import (
    AdapterUse,
    Count,
    Delta,
    Finished,
    FinishReason,
    Generate,
    Load,
    LoadedModel,
    Prefilling,
    Prompt,
    Stats,
    ThreadsChosen,
)
from baize_tui.engine.reading_progress import ReadingProgress
from baize_tui.engine.stop_strings import AnswerText
from baize_tui.engine.templates import TemplateError, render
from baize_tui.engine.threads import OnGpu, Threads
from baize_tui.settings import Sampling

EVENTS_PER_SECOND = 10
"""As often as a screen draws: each event wakes the client, which takes a core from the model."""
FIRST_BATCH = 64
"""Tokens of the first decode call for a prompt longer than one batch."""


class TooLongError(EngineError):
    """The prompt leaves too little of the context for an answer."""

    def __init__(self, tokens: int, reserve: int, n_ctx: int) -> None:
        super().__init__(
            f"the prompt has {tokens} tokens, with {reserve} kept for the answer; "
            f"the context of this model holds {n_ctx}"
        )
        self.tokens = tokens
        self.n_ctx = n_ctx


def _stop_strings(text: str) -> list[str]:
    """A JSON list as baize-convert writes it; what is none says nothing."""
    try:
        return [stop for stop in msgspec.json.decode(text, type=list[str]) if stop]
    except msgspec.DecodeError:
        return []


def _looked_back(sampling: Sampling) -> int:
    """How many tokens before the answer its penalties look at; at least 1."""
    dry = sampling.dry_penalty_last_n if sampling.dry_multiplier > 0 else 0
    return max(sampling.penalty_last_n, dry, 1)


def _on_gpu(gpu_layers: int, layers: int) -> OnGpu:
    """How much of a model of ``layers`` is on a GPU; -1 is all of it."""
    if gpu_layers < 0 or gpu_layers > layers:
        return "everything"
    return "some" if gpu_layers else "nothing"


def _notices(prompt: Prompt) -> list[str]:
    """What was changed in the contents, to be said to the person."""
    typed = [
        marker
        for marker in prompt.markers
        if any(marker in message.content for message in prompt.messages)
    ]
    if not typed:
        return []
    return [f"{' and '.join(typed)} in the text would end a turn: a zero-width break was put in"]


class LlamaEngine:
    """A loaded model and its one KV cache; not thread-safe, except ``cancel``."""

    def __init__(
        self,
        request: Load,
        abort: AbortFlag,
        progress: Callable[[float], bool] | None = None,
        profile: MachineProfile = FULL,
    ) -> None:
        """Load the model of ``request``; ``profile`` is how much of this machine it may use.

        Raises:
            ModelFileError: the file is not a model llama.cpp can run.
            EngineError: too little memory.
        """
        cores = usable_cores()
        neighbours = Neighbours(cores.cpus)  # loading shows already what others use
        header = read_header(request.path)
        self._abort = abort
        wanted = min(request.context, header.context_length) or header.context_length
        gpu_layers = request.gpu_layers if profile.gpu else 0
        if gpu_layers is None:
            gpu_layers = layers_that_fit(request.path, wanted, profile)
        self._model = Model(
            request.path,
            gpu_layers=gpu_layers,
            progress=progress,
            profile=profile,
            device=request.device,
        )
        if not self._model.can_generate:
            self._model.close()
            raise ModelFileError(
                f"{request.path} is an encoder ({header.architecture}): it cannot chat"
            )
        self.vocabulary = self._model.vocabulary
        self._tokenizer = PromptTokenizer(self.vocabulary)
        self._template = self._model.chat_template
        trained = self._model.n_ctx_train
        fixed = (request.threads, request.threads_batch) if profile.all_threads else (1, 1)
        self.threads = Threads(
            *fixed,
            usable=cores,
            neighbours=neighbours,
            on_gpu=_on_gpu(gpu_layers, self._model.layers),
        )
        self._batch = LIKELIHOOD_BATCH if request.all_logits else batch_size(gpu_layers)
        try:
            self._context = Context(
                self._model,
                n_ctx=min(request.context, trained) if request.context and trained else trained,
                n_batch=self._batch,
                threads=self.threads.decoding.threads,
                threads_batch=self.threads.reading.threads,
                abort=abort,
                flash_attention=profile.flash_attention,
                outputs=0 if request.all_logits else 1,
            )
        except EngineError:
            self._model.close()
            raise
        self._reading = ReadingProgress()
        self._cached: list[int] = []
        self._adapters: dict[tuple[str, int], Adapter] = {}
        self._laid_over: list[AdapterUse] = []
        versions = backend()
        self.loaded = LoadedModel(
            path=request.path,
            file_bytes=header.file_bytes,
            name=header.name,
            description=self._model.description,
            n_ctx=self._context.n_ctx,
            n_ctx_train=trained,
            n_vocab=self.vocabulary.size,
            threads=self.threads.most,
            threads_batch=self.threads.most_batch,
            gpu_layers=gpu_layers,
            tokenizer=self.vocabulary.fingerprint,
            has_template=bool(self._template),
            backend=f"llama-cpp-python {versions.llama_cpp_python}, {versions.llama_cpp}",
            profile=profile.name,
            begin=[self.vocabulary.bos] if self.vocabulary.add_bos else [],
            prompt_format=self._model.metadata("baize.prompt_format"),
            stop=_stop_strings(self._model.metadata("baize.stop")),
        )

    def warm_up(self) -> None:
        """Compute a token, so that a kernel that crashes on this machine does so at load.

        Two tokens at once first: batches take other kernels than single tokens do (llama.cpp's
        crashing AMX kernel is one of them, ``ggml_backend_amx_mul_mat``).

        Raises:
            Aborted: the abort flag is set.
            EngineError: llama.cpp failed.
        """
        token = max(self.vocabulary.bos, 0)
        self._context.set_threads(self.threads.decoding.threads, self.threads.reading.threads)
        # Not measured: these calls read the weights from the disk.
        self._context.decode([token, token], 0, logits=True)
        self._context.decode([token], 2, logits=True)
        self._forget()

    def _forget(self) -> None:
        self._context.clear()
        self._cached.clear()

    def close(self) -> None:
        self._context.close()
        self._model.close()

    # --- prompts --------------------------------------------------------------------------------

    def prompt_ids(self, prompt: Prompt) -> list[int]:
        """Token ids of ``prompt``, with a BOS in front where the vocabulary wants one.

        Raises:
            TemplateError: the chat template failed.
        """
        return self._prompt_ids(self._with_partial_ids(prompt))

    def _with_partial_ids(self, prompt: Prompt) -> Prompt:
        """``prompt`` with the begun answer as ids, so that it can be told apart from the rest."""
        partial = prompt.partial
        if partial is None or partial.ids:
            return prompt
        ids = self._tokenizer.plain(partial.content)
        return msgspec.structs.replace(
            prompt, partial=msgspec.structs.replace(partial, ids=ids) if ids else None
        )

    def _prompt_ids(self, prompt: Prompt) -> list[int]:
        source = prompt.template if prompt.template is not None else self._template
        if not source:
            raise TemplateError("the file has none; choose a prompt format in the settings")
        vocabulary = self.vocabulary
        marked = render(
            prompt,
            source,
            vocabulary.specials,
            {
                "bos_token": vocabulary.special_text(vocabulary.bos),
                "eos_token": vocabulary.special_text(vocabulary.eos),
            },
        )
        ids = self._tokenizer.ids(marked)
        if vocabulary.add_bos and ids[:1] != [vocabulary.bos]:
            ids.insert(0, vocabulary.bos)
        return ids

    def count(self, request: Count) -> int:
        return len(self.prompt_ids(request.prompt))

    # --- answers --------------------------------------------------------------------------------

    def generate(
        self,
        request: Generate,
        rendered: Callable[[], None] = lambda: None,
        likely: Callable[[Prefilling], None] = lambda _: None,
    ) -> Iterator[Prefilling | ThreadsChosen | Delta | Finished]:
        """Answer ``request``; events come at most 10 times a second, the last is ``Finished``.

        ``rendered`` is called once the template has run, ``likely`` from another thread while a
        long batch of the prompt is read, with how far that probably is. When the abort flag is
        set, the answer ends as ``cancelled`` with all that came before.

        Raises:
            TemplateError: the chat template failed.
            ModelFileError: an adapter is not of this model.
            TooLongError: prompt and reserve exceed the context; nothing was computed.
            EngineError: llama.cpp failed.
        """
        started = time.monotonic()
        self.threads.begin_reading()
        self._lay_over(request.adapters)
        prompt = self._with_partial_ids(request.prompt)
        ids = self._prompt_ids(prompt)
        rendered()
        n_ctx = self._context.n_ctx
        if len(ids) + request.reserve > n_ctx or not ids:
            raise TooLongError(len(ids), request.reserve, n_ctx)
        prompt_tokens = len(ids)

        seed = request.sampling.seed
        if seed is None:
            seed = random.SystemRandom().randrange(2**31)
        if request.grammar and prompt.partial is not None:
            raise EngineError("a grammar cannot go on with an answer that was begun without it")
        begun = (prompt.partial.ids or []) if prompt.partial is not None else []
        answer = AnswerText(request.stop, trim_at_stop=request.trim_at_stop)
        unsent_text = "".join(answer.feed(self.vocabulary.piece(token)) for token in begun)
        answer_ids, unsent_ids = list(begun), list(begun)
        resumed = request.resume[len(begun) :]
        if resumed:  # the deltas before gave all of this
            for token in resumed:
                answer.feed(self.vocabulary.piece(token))
            ids, answer_ids = ids + resumed, begun + resumed
            unsent_text, unsent_ids = "", []
        generated = len(resumed)
        notices = _notices(prompt)
        reason: FinishReason = "stop" if answer.stopped() else "length"
        prefilled = first = last = started

        def stats() -> Stats:
            return Stats(
                prompt_tokens=prompt_tokens,
                reused_tokens=min(reused, prompt_tokens),
                completion_tokens=generated,
                ttft_s=first - started if generated else 0.0,
                prefill_s=prefilled - started,
                decode_s=last - first if generated else 0.0,
                seed=seed,
                threads=self.threads.decoding.mostly_used,
                threads_batch=self.threads.reading.mostly_used,
                lowered=self.threads.decoding.is_lowered,
                profile=self.loaded.profile,
                resumed_tokens=len(resumed),
            )

        # The last prompt token is decoded alone, so that regenerating takes the same path.
        reused = self._reuse(ids[:-1])
        sampler = Sampler(request.sampling, self.vocabulary, seed, request.grammar)
        try:
            for token in ids[-_looked_back(request.sampling) :]:
                sampler.accept(token)
            sampler.accept_in_grammar(resumed)
            yield Prefilling(request.request, reused, len(ids), reused)

            def tell(done: int) -> None:
                likely(Prefilling(request.request, done, len(ids), reused))

            for done in self._prefill(ids[:-1], reused, tell):
                yield Prefilling(request.request, done, len(ids), reused)
            self.threads.begin_writing()
            self._decode(ids[-1:])
            prefilled = first = last = time.monotonic()
            sent_at = 0.0
            while not answer.stopped() and generated < request.max_tokens:
                token = sampler.sample(self._context)
                last = time.monotonic()
                if generated == len(resumed):
                    first = last
                if self.vocabulary.is_end_of_generation(token):
                    reason = "stop"
                    break
                generated += 1
                answer_ids.append(token)
                unsent_ids.append(token)
                unsent_text += answer.feed(self.vocabulary.piece(token))
                if answer.stopped():
                    reason = "stop"
                    break
                if last - sent_at >= 1 / EVENTS_PER_SECOND:
                    if (choice := self.threads.news(last)) is not None:
                        yield ThreadsChosen(request.request, *choice)
                    yield Delta(request.request, unsent_text, unsent_ids)
                    sent_at, unsent_text, unsent_ids = last, "", []
                if generated >= request.max_tokens:
                    reason = "length"
                    break
                if len(self._cached) >= n_ctx:
                    reason = "context"
                    break
                self._decode([token])
        except Aborted:
            reason = "cancelled"
        finally:
            sampler.close()
            self.threads.end()
        measured = stats()
        unsent_text += answer.finish()
        if unsent_text:
            yield Delta(request.request, unsent_text, unsent_ids)
        if answer.stopped():
            start = prompt_tokens - len(begun)
            answer_ids = self._cut_at_stop(answer_ids, answer.kept_bytes, start)
        yield Finished(request.request, reason, answer.text, answer_ids, measured, notices)

    # --- likelihoods ------------------------------------------------------------------------------

    def losses(self, ids: Sequence[int], adapters: list[AdapterUse]) -> list[float]:
        """The negative log-likelihood of each of ``ids`` after the first, in nats.

        Raises:
            ModelFileError: an adapter is not of this model.
            EngineError: the ids are more than the context holds.
        """
        self._lay_over(adapters)
        self._forget()
        found = losses(self._context, ids, self.vocabulary.size)
        self._forget()
        return found

    def write_logits(self, ids: Sequence[int], output: str) -> None:
        """Write the logits after each of ``ids`` to ``output``: float32 [ids, vocabulary].

        Raises:
            EngineError: the ids are more than the context holds, or the file cannot be written.
        """
        self._forget()
        try:
            with Path(output).open("wb") as file:
                for rows in logits(self._context, ids, self.vocabulary.size):
                    file.write(rows.tobytes())
        except OSError as error:
            raise EngineError(f"{output}: {error.strerror}") from error
        finally:
            self._forget()

    # --- adapters ---------------------------------------------------------------------------------

    def _lay_over(self, wanted: list[AdapterUse]) -> None:
        """Have these adapters count from now on; what was computed with others is forgotten.

        Raises:
            ModelFileError: one is not of this model; those before count on.
        """
        wanted = [use for use in wanted if use.scale != 0]
        if wanted == self._laid_over:
            return
        self._context.set_adapters([(self._adapter(use.path), use.scale) for use in wanted])
        self._laid_over = wanted
        self._forget()

    def _adapter(self, path: str) -> Adapter:
        try:
            key = path, Path(path).stat().st_mtime_ns
        except OSError as error:
            raise ModelFileError(f"{path}: {error.strerror}") from error
        if key not in self._adapters:
            check_adapter(path, self.loaded.path)
            self._adapters[key] = Adapter(self._model, path)
        return self._adapters[key]

    def _reuse(self, ids: Sequence[int]) -> int:
        """Cut the KV cache to the longest prefix it shares with ``ids``; its length."""
        shared = common_prefix_length(self._cached, ids)
        if shared < len(self._cached) and not self._context.truncate(shared):
            self._context.clear()
            shared = 0
        del self._cached[shared:]
        return shared

    def _prefill(
        self, ids: Sequence[int], start: int, tell: Callable[[int], None]
    ) -> Iterator[int]:
        """Decode ``ids[start:]`` batch by batch; yields how many are done.

        A long text starts with a small batch: it shows soon how fast the rest will go.
        """
        at = start
        while at < len(ids):
            is_long = at == start and len(ids) - start > self._batch
            size = FIRST_BATCH if is_long else min(self._batch, len(ids) - at)
            with self._reading.batch(at, size, tell):
                self._decode(ids[at : at + size], logits=False)
            yield len(self._cached)
            at += size

    def _decode(self, tokens: Sequence[int], *, logits: bool = True) -> None:
        """Append ``tokens`` to the KV cache, whose ids stay known whatever happens.

        Raises:
            Aborted: the abort flag is set.
        """
        if self._abort.is_set():
            raise Aborted
        decoding, reading = self.threads.decoding, self.threads.reading
        self._context.set_threads(decoding.threads, reading.threads)
        measured: AbstractContextManager[None] = nullcontext()  # a few tokens tell little
        if len(tokens) == 1:
            measured = decoding.measured()
        elif len(tokens) >= FIRST_BATCH:
            measured = reading.measured(of=self._batch / len(tokens))
        try:
            with measured:
                self._context.decode(tokens, len(self._cached), logits=logits)
        except (Aborted, EngineError):
            kept = self._context.last_position() + 1 - len(self._cached)
            self._cached.extend(tokens[: max(kept, 0)])
            raise
        self._cached.extend(tokens)

    def _cut_at_stop(self, ids: list[int], kept_bytes: int, start: int) -> list[int]:
        """The ids of the first ``kept_bytes`` of an answer that begins at position ``start``.

        A token that straddles the cut is dropped, and its kept bytes are tokenized again; the
        cells of all that was dropped leave the KV cache.
        """
        kept = 0
        while kept < len(ids) and (size := len(self.vocabulary.piece(ids[kept]))) <= kept_bytes:
            kept_bytes -= size
            kept += 1
        rest = self.vocabulary.piece(ids[kept])[:kept_bytes] if kept_bytes else b""
        self._reuse(self._cached[: start + kept])
        return ids[:kept] + self._tokenizer.plain(rest.decode("utf-8", "ignore"))
