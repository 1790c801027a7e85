"""Has the model write the title of a conversation, from what it has read of it already."""

from __future__ import annotations

from baize_tui.chat.active_model import ActiveModel
from baize_tui.chat.answer_plan import conversation_prompt, question_message, stop_strings
from baize_tui.chat.context import History, first_to_keep, without_oldest
from baize_tui.chat.effective_options import EffectiveOptions
from baize_tui.chat.titles import GRAMMAR, INSTRUCTION, MAX_TOKENS, parse_title
from baize_tui.engine.client import Engine, EngineFailure
from baize_tui.engine.protocol import Count, Finished, Generate, Prompt
from baize_tui.settings import Sampling
from baize_tui.store.records import Conversation


class TitleWriter:
    """Asks the loaded model for titles; the caller sees to it that nobody else uses the engine."""

    def __init__(
        self, engine: Engine, active_model: ActiveModel, options: EffectiveOptions
    ) -> None:
        self._engine = engine
        self._active_model = active_model
        self._options = options

    async def write(
        self, conversation: Conversation, history: History, *, shorten: bool = False
    ) -> str:
        """A title for ``conversation``, of which the model sees ``history``; empty if it writes
        none that can be used. With ``shorten``, one that is too long is shortened.

        The request is the next question of the conversation: the model reads only the instruction,
        and the next real question finds everything before that in the cache.

        Raises:
            EngineFailure: the model failed; ``too_long``, if the context has no room.
            NoModelLoaded, CatalogError, UnknownFormat: as their messages say.
        """
        format_name = self._options.prompt_format(conversation)
        request = Generate(
            request=0,
            prompt=self._prompt(conversation, history),
            sampling=Sampling(temperature=0, repeat_penalty=1.1),
            max_tokens=MAX_TOKENS,
            max_thinking_tokens=0,
            reserve=MAX_TOKENS,
            stop=stop_strings(format_name, self._active_model.require()),
            trim_at_stop=True,
            adapters=self._options.adapters(conversation),
            grammar=GRAMMAR,
            conversation=conversation.id,
        )
        finished: Finished | None = None
        async for event in self._engine.generate(request):
            if isinstance(event, Finished):
                finished = event
        if finished is None or finished.reason == "cancelled":
            return ""
        is_complete = finished.reason == "stop"
        return parse_title(finished.text, complete=is_complete, shorten=shorten)

    async def write_on_request(self, conversation: Conversation, history: History) -> str:
        """The same for a person who asks for it: too long a title is shortened, and where the
        context has no room, the oldest turns are left out.

        Raises:
            EngineFailure, NoModelLoaded, CatalogError, UnknownFormat: as in ``write``.
        """
        try:
            return await self.write(conversation, history, shorten=True)
        except EngineFailure as failure:
            if failure.kind != "too_long" or not history.messages:
                raise

        async def count(part: History) -> int:
            return await self._engine.count(Count(0, self._prompt(conversation, part)))

        n_ctx = self._active_model.require().loaded.n_ctx
        first = await first_to_keep(history, n_ctx, MAX_TOKENS, count)
        kept = History(without_oldest(history.messages, first), history.summary)
        return await self.write(conversation, kept, shorten=True)

    def _prompt(self, conversation: Conversation, history: History) -> Prompt:
        # Thinking stays as it is in the conversation: its switch may be at the start of the prompt.
        return conversation_prompt(
            self._options.as_trained(conversation),
            self._options.prompt_format(conversation),
            history.with_question(question_message(INSTRUCTION)),
            self._active_model.require().loaded.tokenizer,
            think=self._options.think(conversation),
        )
