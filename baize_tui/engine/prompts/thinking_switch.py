"""Switching thoughts on and off, with the variable that a template has for it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import msgspec
from msgspec import Struct

from baize_tui.engine.prompts.template_sandbox import TemplateError
from baize_tui.engine.prompts.templates import render
from baize_tui.engine.protocol import Prompt, PromptMessage

Value = str | int | bool


class ThinkingSwitch(Struct, frozen=True):
    """A variable of a template, or a word in its system turn, and the values for on and off."""

    variable: str
    on: Value
    off: Value
    only_less: bool = False
    """Whether off means less thinking rather than none."""

    @property
    def is_word(self) -> bool:
        """Whether the values are words in the system turn."""
        return not self.variable

    def apply(self, prompt: Prompt, *, think: bool) -> Prompt:
        """``prompt`` with thinking on or off."""
        value = self.on if think else self.off
        if not self.is_word:
            variables = {**prompt.variables, self.variable: value}
            return msgspec.structs.replace(prompt, variables=variables)
        messages = list(prompt.messages)
        if messages and messages[0].role == "system":
            messages[0] = PromptMessage("system", f"{messages[0].content}\n{value}")
        else:
            messages.insert(0, PromptMessage("system", str(value)))
        return msgspec.structs.replace(prompt, messages=messages)


SWITCHES = (
    ThinkingSwitch("enable_thinking", True, False),  # Qwen3, GLM, SmolLM3, Gemma 4 and most others
    ThinkingSwitch("thinking", True, False),  # DeepSeek V3, Granite, Kimi K3
    ThinkingSwitch("thinking_mode", "enabled", "disabled"),  # MiniMax M3
    ThinkingSwitch("reasoning_effort", "high", "no_think"),  # Hunyuan
    ThinkingSwitch("reasoning_effort", "high", "none"),  # Command A
    ThinkingSwitch("reasoning_effort", "high", "minimal"),  # Solar
    ThinkingSwitch("thinking_budget", -1, 0),  # Seed
    ThinkingSwitch("", "/think", "/no_think"),  # Nemotron Nano 2
    ThinkingSwitch("reasoning_effort", "medium", "low", only_less=True),  # gpt-oss
    ThinkingSwitch("reasoning_strength", "high", "low", only_less=True),  # Muse
)
"""In the order in which they are tried."""


def may_have_switch(source: str) -> bool:
    """Whether the Jinja template ``source`` mentions a switch; it is not rendered."""
    return any((switch.variable or str(switch.on)) in source for switch in SWITCHES)


def find_switch(source: str, variables: Mapping[str, str]) -> ThinkingSwitch | None:
    """The switch of the Jinja template ``source``; None if it always, or never, has its model
    think. ``variables`` are as in ``render``."""
    return _find_switch(source, tuple(sorted(variables.items())))


@lru_cache(maxsize=8)
def _find_switch(source: str, variables: tuple[tuple[str, str], ...]) -> ThinkingSwitch | None:
    return next(
        (switch for switch in SWITCHES if _works(switch, source, dict(variables))),
        None,
    )


def _works(switch: ThinkingSwitch, source: str, variables: Mapping[str, str]) -> bool:
    """Whether the template has the switch, and writes another prompt for off than for on."""
    if switch.variable not in source:
        return False
    knows_value = f"'{switch.off}'" in source or f'"{switch.off}"' in source
    if isinstance(switch.off, str) and not switch.only_less and not knows_value:
        return False
    # A word in the system turn appears in the prompts of all templates; it switches where the
    # prompts differ beside it.
    removed = [str(switch.on), str(switch.off)] if switch.is_word else []
    written = []
    for think in (True, False):
        prompt = switch.apply(Prompt([PromptMessage("user", "?")]), think=think)
        try:
            text = render(prompt, source, (), variables).text
        except TemplateError:
            return False
        for word in removed:
            text = text.replace(word, "")
        written.append(text)
    return written[0] != written[1]
