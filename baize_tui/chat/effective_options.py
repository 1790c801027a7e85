"""What applies in a conversation: its own choice, else its model's, else that of the settings."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import msgspec

from baize_shared.shipped_models import OWN_TEMPLATE
from baize_tui.catalog.adapters import AdapterRecipe
from baize_tui.catalog.recipes import CatalogError, CatalogModel, Domain
from baize_tui.chat.active_model import ActiveModel, Catalog
from baize_tui.chat.answer_options import Answerer, AnswerOptions
from baize_tui.chat.answer_plan import AnswerPlan, stop_strings
from baize_tui.chat.context import reserve_for_answer
from baize_tui.chat.formats import fallback_format, formats
from baize_tui.engine.protocol import AdapterUse
from baize_tui.settings import Overflow, Sampling, Settings, merge_sampling
from baize_tui.store.records import Conversation, Message


class EffectiveOptions:
    """Combines the settings, the model, its adapters and the conversation."""

    def __init__(self, settings: Settings, active_model: ActiveModel, catalog: Catalog) -> None:
        self.settings = settings
        self._active_model = active_model
        self._catalog = catalog

    def sampling(
        self, conversation: Conversation | None, overrides: Mapping[str, Any] = {}
    ) -> Sampling:
        """The sampling options: defaults, the recipe of the model that answers, the settings, those
        of ``conversation``, and ``overrides``; the later ones win.

        Raises:
            SettingsError: a value is out of its range; the message names the key.
        """
        model = self._answering_model(conversation)
        recipe = model.recipe.sampling if model is not None else {}
        own = conversation.sampling if conversation is not None else {}
        return merge_sampling(recipe, self.settings.sampling, own, overrides)

    def overflow(self, conversation: Conversation | None) -> Overflow:
        """What happens when the context is full."""
        own = conversation.overflow if conversation is not None else None
        return own or self.settings.chat.overflow

    def think(self, conversation: Conversation | None) -> bool | None:
        """Whether the model thinks before it answers; None leaves it to the template."""
        own = conversation.think if conversation is not None else None
        return self.settings.chat.think if own is None else own

    def reserve(self, n_ctx: int) -> int:
        """How many of ``n_ctx`` tokens are kept free for an answer."""
        return reserve_for_answer(self.settings.chat.max_tokens, n_ctx)

    def prompt_format(self, conversation: Conversation) -> str:
        """Name of the prompt format.

        The first that is set: by the conversation, one of its adapters, the model's recipe, the
        model file, or the settings; else the model's own chat template, or ChatML without one. A
        server always uses its own.
        """
        running, model = self._active_model.running, self._answering_model(conversation)
        if model is not None and model.recipe.server is not None:
            return OWN_TEMPLATE
        adapter = next((a.format for a in self._adapter_recipes(conversation) if a.format), None)
        chosen = conversation.format or adapter
        if model is not None:
            chosen = chosen or model.recipe.format
        fallback = fallback_format(has_template=True)
        if running is not None and running.model == model:  # else its file was not read yet
            named = running.loaded.prompt_format
            chosen = chosen or (named if named in formats() else "")
            fallback = fallback_format(has_template=running.loaded.has_template)
        return chosen or self.settings.chat.format or fallback

    def as_trained(self, conversation: Conversation) -> Conversation:
        """``conversation`` with the system prompt that its model was trained with, unless the
        person has chosen one."""
        running = self._active_model.running
        if running is None or running.model != self._answering_model(conversation):
            return conversation
        trained = running.loaded.system
        if trained is None or conversation.system != self.settings.chat.system:
            return conversation
        return msgspec.structs.replace(conversation, system=trained)

    def domain(self, conversation: Conversation) -> Domain | None:
        """The field that the conversation's model, or an adapter over it, was made for."""
        for adapter in self._adapter_recipes(conversation):
            if adapter.domain is not None:
                return adapter.domain
        model = self._answering_model(conversation)
        return model.recipe.domain if model is not None else None

    def _answering_model(self, conversation: Conversation | None) -> CatalogModel | None:
        """The model that answers; the loaded one if that of ``conversation`` is gone."""
        with contextlib.suppress(CatalogError):
            return self._active_model.answering_model(conversation)
        return self._active_model.model

    def adapters(self, conversation: Conversation) -> list[AdapterUse]:
        """The adapters that the engine applies to the model.

        Raises:
            CatalogError: an adapter is not on this machine.
        """
        uses = []
        for name, scale in conversation.adapters.items():
            if not scale:  # switched off; its file may be gone
                continue
            path = self._catalog.find_adapter(name).path
            assert path is not None
            uses.append(AdapterUse(str(path), scale))
        return uses

    def plan(
        self,
        conversation: Conversation,
        options: AnswerOptions,
        question: Message,
        partial: Message | None,
    ) -> AnswerPlan:
        """Everything that is decided before one answer to ``question`` in ``conversation``;
        ``partial`` is the answer to continue.

        Raises:
            NoModelLoaded: there is no model to answer.
            CatalogError: an adapter is not on this machine.
            SettingsError: a sampling option is out of its range.
            UnknownFormat: there is no such prompt format.
            UnusableForm: the form of the question cannot be used.
        """
        form = None
        # A grammar cannot go on after a text that was begun without it.
        if question.form is not None and partial is None:
            from baize_tui.chat.forms import prepare_form  # few questions have a form

            form = prepare_form(question.form)
        own_stop = tuple(dict.fromkeys(filter(None, [*conversation.stop, *options.stop])))
        running = self._active_model.require()
        format_name = self.prompt_format(conversation)
        return AnswerPlan(
            conversation=self.as_trained(conversation),
            running=running,
            format_name=format_name,
            sampling=self.sampling(conversation, options.sampling),
            adapters=self.adapters(conversation),
            overflow=self.overflow(conversation),
            max_tokens=options.max_tokens or self.settings.chat.max_tokens,
            think=self.think(conversation) if options.think is None else options.think,
            max_thinking_tokens=(
                self.settings.chat.max_thinking_tokens
                if options.max_thinking_tokens is None
                else options.max_thinking_tokens
            ),
            stop=stop_strings(format_name, running, own_stop),
            form=form,
            grammar=form.grammar if form is not None else options.grammar,
            own_stop=own_stop,
            prompt_lookup=self.settings.model.prompt_lookup,
            partial=partial,
        )

    def _adapter_recipes(self, conversation: Conversation) -> list[AdapterRecipe]:
        """The recipes of the adapters of ``conversation`` that are in the catalog."""
        recipes = []
        for name, scale in conversation.adapters.items():
            with contextlib.suppress(CatalogError):
                if scale:
                    recipes.append(self._catalog.find_adapter(name).recipe)
        return recipes


def with_answerer(conversation: Conversation, answerer: Answerer | None) -> Conversation:
    """``conversation`` with the model and adapters of ``answerer``, if there is one."""
    if answerer is None:
        return conversation
    conversation = msgspec.structs.replace(conversation, adapters=answerer.adapters)
    if answerer.model == conversation.model:
        return conversation
    return msgspec.structs.replace(
        conversation, model=answerer.model, model_path=None, model_sha256=None
    )
