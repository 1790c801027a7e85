"""Everything that is decided before one answer, and the request that the engine receives for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from baize_shared.sanitizer import clean_text
from baize_tui.chat.active_model import RunningModel
from baize_tui.chat.context import SHORTEN, SHORTEN_OR_ENLARGE, History, reserve_for_answer
from baize_tui.chat.formats import build_prompt, format_named
from baize_tui.engine.protocol import AdapterUse, Generate, Prompt, Warm
from baize_tui.settings import Overflow, Sampling
from baize_tui.store.records import Conversation, Message
from baize_tui.translation import tr

if TYPE_CHECKING:
    from baize_tui.chat.forms import PreparedForm


def question_message(text: str) -> Message:
    """A question that is not saved, for the end of a prompt."""
    return Message(
        id=0,
        conversation_id="",
        parent_id=None,
        role="user",
        state="complete",
        text=clean_text(text),
        reasoning="",
        ids=None,
        tokenizer=None,
        created_at=0,
        provenance=None,
    )


def conversation_prompt(
    conversation: Conversation,
    format_name: str,
    history: History,
    tokenizer: str,
    partial: Message | None = None,
    think: bool | None = None,
) -> Prompt:
    """The prompt for the next answer of ``conversation`` after ``history``; see ``build_prompt``.

    Raises:
        UnknownFormat: there is no format ``format_name``.
    """
    return build_prompt(
        format_name,
        history.messages,
        system=conversation.system,
        moderation=conversation.moderation,
        tokenizer=tokenizer,
        partial=partial,
        think=think,
        summary=history.summary,
    )


def stop_strings(format_name: str, running: RunningModel, more: Sequence[str] = ()) -> list[str]:
    """What ends an answer: by its format, the model's recipe and file, and ``more``."""
    chosen = format_named(format_name)
    return list(
        dict.fromkeys([*chosen.stop, *running.model.recipe.stop, *running.loaded.stop, *more])
    )


class AnswerPlan(Struct, frozen=True):
    """What is fixed for one answer; only the history can still shrink."""

    conversation: Conversation
    running: RunningModel
    format_name: str
    sampling: Sampling
    adapters: list[AdapterUse]
    overflow: Overflow
    max_tokens: int
    think: bool | None
    max_thinking_tokens: int
    stop: list[str]
    form: PreparedForm | None
    grammar: str
    own_stop: tuple[str, ...]
    """Those of ``stop`` that the conversation and the question have added."""
    prompt_lookup: bool
    partial: Message | None
    """The answer to continue."""

    @property
    def n_ctx(self) -> int:
        """Tokens of the context."""
        return self.running.loaded.n_ctx

    @property
    def reserve(self) -> int:
        """Tokens of the context that are kept free for the answer."""
        return reserve_for_answer(self.max_tokens, self.n_ctx)

    @property
    def room(self) -> int:
        """Tokens of the context that the prompt may have."""
        return self.n_ctx - self.reserve

    def in_context(self, n_ctx: int) -> AnswerPlan:
        """The same for a context of ``n_ctx`` tokens, as a server may say; 0 if it does not."""
        if not n_ctx or n_ctx == self.n_ctx:
            return self
        loaded = msgspec.structs.replace(self.running.loaded, n_ctx=n_ctx)
        running = msgspec.structs.replace(self.running, loaded=loaded)
        return msgspec.structs.replace(self, running=running)

    @property
    def advice_if_too_long(self) -> str:
        """What the person can do where not even the last question fits."""
        if self.running.model.recipe.server is not None:
            return tr(SHORTEN)
        return tr(SHORTEN_OR_ENLARGE)

    def prompt(self, history: History) -> Prompt:
        tokenizer = self.running.loaded.tokenizer
        return conversation_prompt(
            self.conversation, self.format_name, history, tokenizer, self.partial, self.think
        )

    def request(self, history: History, *, shift: bool = False) -> Generate:
        """With ``shift``, turns that ``history`` lacks may be cut out of the KV cache."""
        return Generate(
            request=0,
            prompt=self.prompt(history),
            sampling=self.sampling,
            max_tokens=self.max_tokens,
            max_thinking_tokens=self.max_thinking_tokens,
            reserve=self.reserve,
            stop=self.stop,
            trim_at_stop=format_named(self.format_name).trim_at_stop,
            adapters=self.adapters,
            grammar=self.grammar,
            form=self.form.form if self.form is not None else None,
            # Batches round differently, and a seed promises the same answer.
            prompt_lookup=self.prompt_lookup and self.sampling.seed is None,
            use_draft=self.sampling.seed is None,
            conversation=self.conversation.id,
            shift=shift,
        )

    def warm_request(self, history: History) -> Warm:
        """A request to read ``history`` ahead."""
        return Warm(0, self.prompt(history), self.adapters, self.conversation.id)
