"""Twelve sequences of roles in the 70 templates: each renders, with all texts that were typed."""

from __future__ import annotations

from pathlib import Path

import pytest

from baize_tui.engine.prompts.template_sandbox import TemplateError
from baize_tui.engine.prompts.templates import render
from baize_tui.engine.protocol import Prompt, PromptMessage, Role
from tests.vocabularies import TEMPLATES

FILES = sorted(TEMPLATES.glob("*.jinja"))
VARIABLES = {"bos_token": "<s>", "eos_token": "</s>"}
ROLES: dict[str, Role] = {"S": "system", "U": "user", "A": "assistant"}
SEQUENCES = (
    "U",
    "SU",
    "UAU",
    "SUAU",
    "UU",  # the first answer was deleted
    "SUUAU",
    "UAUU",
    "SUAUUU",
    "AU",  # the answer greets first
    "SAUAU",
    "UaU",  # an answer that was stopped before its first word
    "sUAAU",  # a blank system text, and an answer in two parts
)
"""Small letters are blank texts."""


def conversation(sequence: str) -> list[PromptMessage]:
    return [
        PromptMessage(ROLES[letter.upper()], f"text-{i}" if letter.isupper() else " ")
        for i, letter in enumerate(sequence)
    ]


@pytest.mark.sampled(24)
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_each_sequence_renders_with_every_text(file: Path) -> None:
    source = file.read_text(encoding="utf-8")
    for sequence in SEQUENCES:
        messages = conversation(sequence)
        text = render(Prompt(messages), source, (), VARIABLES).text
        places = [text.find(message.content.strip()) for message in messages]
        assert min(places) >= 0, sequence
        written = [place for place, letter in zip(places, sequence, strict=True) if letter in "UA"]
        assert written == sorted(written), sequence


ALTERNATE = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}"
    "{% endif %}{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Roles must take turns: user, assistant, user, assistant') }}{% endif %}"
    "<{{ m['role'] }}>{{ m['content'] | trim }}{% endfor %}"
)
IGNORING = (
    "{% for m in messages %}{% if m.role != 'system' %}<{{ m.role }}>{{ m.content }}"
    "{% endif %}{% endfor %}"
)
NO_EMPTY = (
    "{% for m in messages %}{% if not m.content | trim %}{{ raise_exception('empty') }}{% endif %}"
    "<{{ m.role }}>{{ m.content }}{% endfor %}"
)


@pytest.mark.parametrize("source", [ALTERNATE, IGNORING, NO_EMPTY])
@pytest.mark.parametrize("sequence", SEQUENCES)
def test_a_strict_template_gets_what_it_accepts(source: str, sequence: str) -> None:
    messages = conversation(sequence)
    text = render(Prompt(messages), source, (), VARIABLES).text
    assert all(message.content.strip() in text for message in messages)


def test_a_system_text_and_two_questions_become_one_turn() -> None:
    text = render(Prompt(conversation("SUUAU")), ALTERNATE, (), VARIABLES).text
    assert text == "<user>text-0\n\ntext-1\n\ntext-2<assistant>text-3<user>text-4"
    text = render(Prompt(conversation("SU")), IGNORING, (), VARIABLES).text
    assert text == "<user>text-0\n\ntext-1"


def test_a_template_that_refuses_says_why() -> None:
    source = f"{{{{ raise_exception('Only for tools') if messages | length }}}}{ALTERNATE}"
    with pytest.raises(TemplateError, match=r"^Only for tools$"):
        render(Prompt(conversation("SU")), source, (), VARIABLES)
    # The obstacle that is left after the system text was moved, not the one before.
    source = ALTERNATE.replace("(loop.index0 % 2 == 0)", "true")
    with pytest.raises(TemplateError, match=r"^Roles must take turns"):
        render(Prompt(conversation("SUAU")), source, (), VARIABLES)
