"""A persona's settings become those of a conversation, which keeps them."""

from __future__ import annotations

import msgspec

from baize_tui.catalog.personas import Persona
from baize_tui.settings import ChatSettings
from baize_tui.store.records import Conversation


def with_persona(
    conversation: Conversation, name: str, persona: Persona, defaults: ChatSettings
) -> Conversation:
    """``conversation`` with all settings of ``persona``; its model stays."""
    moderation = persona.moderation
    return msgspec.structs.replace(
        conversation,
        persona=name,
        system=persona.system,
        moderation=defaults.moderation if moderation is None else moderation,
        format=persona.format,
        think=persona.think,
        overflow=persona.overflow,
        stop=persona.stop,
        adapters=dict(persona.adapters),
        sampling=dict(persona.sampling),
    )


def without_persona(conversation: Conversation, defaults: ChatSettings) -> Conversation:
    """``conversation`` with the settings of a new one."""
    nobody = Persona(system=defaults.system)
    return with_persona(conversation, "", nobody, defaults)
