"""Chat templates: the ones that models really carry, and hostile ones."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

import psutil
import pytest

from baize_tui.engine.llama.vocabulary import Vocabulary
from baize_tui.engine.prompts.fragments import PromptTokenizer
from baize_tui.engine.prompts.template_sandbox import (
    TemplateError,
    run_template,
    template_environment,
)
from baize_tui.engine.prompts.templates import break_markers, render, tool_variables
from baize_tui.engine.protocol import Prompt, PromptMessage
from tests.engine.vocabulary_files import vocabulary
from tests.vocabularies import TEMPLATES

FILES = sorted(TEMPLATES.glob("*.jinja"))
VARIABLES = {"bos_token": "<s>", "eos_token": "</s>"}
QUESTION, ANSWER, NEXT = "What is a GGUF file?", "A file with a model in it.", "And a LoRA?"
CONVERSATION = [
    PromptMessage("system", "You are helpful."),
    PromptMessage("user", QUESTION),
    PromptMessage("assistant", ANSWER),
    PromptMessage("user", NEXT),
]


def plain_jinja(source: str, messages: list[dict[str, Any]], variables: Mapping[str, Any]) -> str:
    """As transformers renders it: without any of this project's stand-ins."""
    template = template_environment().from_string(source)
    return template.render(
        **{"messages": messages, "add_generation_prompt": True, "tools": None, **variables}
    )


def specials_of(voc: Vocabulary) -> list[str]:
    return [special.text for special in voc.specials if special.is_marker]


def test_all_templates_are_there() -> None:
    assert len(FILES) == 70


@pytest.mark.sampled(18)
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
@pytest.mark.parametrize("name", ["smollm2", "llama-spm"])
def test_a_conversation_renders_as_jinja_does_and_tokenizes_as_llama_cpp_does(
    file: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    freeze_the_clock(monkeypatch)
    source = file.read_text(encoding="utf-8")
    voc = vocabulary(name)
    marked = render(Prompt(CONVERSATION), source, voc.specials, VARIABLES)
    ids = PromptTokenizer(voc).ids(marked)
    rows: list[dict[str, Any]] = [
        {"role": message.role, "content": message.content} for message in CONVERSATION
    ]
    merged = [{"role": "user", "content": f"You are helpful.\n\n{QUESTION}"}, *rows[2:]]
    typed = [
        {"role": row["role"], "content": [{"type": "text", "text": row["content"]}]} for row in rows
    ]
    whole = None
    no_tools: dict[str, Any] = {"tools": [], **tool_variables()}
    for form, extra in ((rows, {}), (merged, {}), (typed, {}), (rows, no_tools)):
        try:
            whole = plain_jinja(source, form, {**VARIABLES, **extra})
        except Exception:  # noqa: BLE001 - a template may raise anything in a form it refuses
            continue
        if NEXT in whole:
            break
    assert whole is not None
    assert marked.text == whole
    assert ids == voc.tokenize(whole, parse_special=True)
    assert NEXT in voc.detokenize(ids, special=True).decode()


@pytest.mark.sampled(24)
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_no_template_lets_typed_special_strings_through(file: Any) -> None:
    """All special strings of a vocabulary that has the markers of most templates."""
    source = file.read_text(encoding="utf-8")
    for name in ("qwen2", "llama-bpe", "smollm2"):
        voc = vocabulary(name)
        markers = {special.id for special in voc.specials if special.is_marker}
        tokenizer = PromptTokenizer(voc)
        plain = tokenizer.ids(render(Prompt(CONVERSATION), source, voc.specials, VARIABLES))
        expected = [token for token in plain if token in markers]
        for special in specials_of(voc)[:12]:
            typed = f"a {special} b {special}"
            messages = [*CONVERSATION[:-1], PromptMessage("user", f"{NEXT} {typed}")]
            ids = tokenizer.ids(render(Prompt(messages), source, voc.specials, VARIABLES))
            assert [token for token in ids if token in markers] == expected, special


def freeze_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    class Frozen(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Frozen:
            return cls(2026, 1, 2, tzinfo=tz)

    monkeypatch.setattr("baize_tui.engine.prompts.template_sandbox.datetime.datetime", Frozen)


# --- ids generated earlier ------------------------------------------------------------------------

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content | trim }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def test_generated_ids_stay_as_generated() -> None:
    voc = vocabulary("smollm2")
    odd = [voc.tokenize("A f")[0], *voc.tokenize("ile")]
    messages = [*CONVERSATION[:2], PromptMessage("assistant", "A file", odd), CONVERSATION[3]]
    ids = PromptTokenizer(voc).ids(render(Prompt(messages), CHATML, voc.specials, {}))
    assert any(ids[i : i + len(odd)] == odd for i in range(len(ids)))


def test_a_template_that_rewrites_answers_gets_their_text() -> None:
    source = CHATML.replace("m.content | trim", "m.content | upper")
    voc = vocabulary("smollm2")
    messages = [
        PromptMessage("user", "HI"),
        PromptMessage("assistant", "well\nsaid", [1, 2, 3]),
        PromptMessage("user", "AND?"),
    ]
    rewriting = CHATML.replace(
        "m.content | trim",
        "(m.content.split('\\n') | last) if m.role == 'assistant' and not loop.last else m.content",
    )
    marked = render(Prompt(messages), rewriting, voc.specials, {})
    assert marked.earlier  # one stand-in has no line to drop: its ids stay
    dropping = CHATML.replace("m.content | trim", "'' if m.role == 'assistant' else m.content")
    marked = render(Prompt(messages), dropping, voc.specials, {})
    assert "well" not in marked.text
    assert not marked.earlier
    assert "HI" in render(Prompt(messages), source, voc.specials, {}).text


def test_think_tags_of_an_answer_reach_the_template() -> None:
    source = CHATML.replace("m.content | trim", "m.content.split('</think>')[-1]")
    voc = vocabulary("smollm2")
    messages = [
        PromptMessage("user", "Hi"),
        PromptMessage("assistant", "<think>secret</think>Hello", [5, 6]),
        PromptMessage("user", "And?"),
    ]
    text = render(Prompt(messages), source, voc.specials, {}).text
    assert "secret" not in text
    assert "Hello" in text


def test_continuing_an_answer_starts_with_its_ids() -> None:
    voc = vocabulary("smollm2")
    partial = PromptMessage("assistant", "A file", voc.tokenize("A file"))
    prompt = Prompt(CONVERSATION[:2], partial=partial)
    ids = PromptTokenizer(voc).ids(render(prompt, CHATML, voc.specials, {}))
    assert ids[-len(partial.ids or []) :] == partial.ids


def test_a_template_without_a_system_turn_gets_it_in_the_first_question() -> None:
    source = (
        "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"
    )
    text = render(Prompt(CONVERSATION), source, [], {}).text
    assert text.startswith(f"[user]You are helpful.\n\n{QUESTION}[assistant]")


def test_a_marker_in_plain_text_is_broken() -> None:
    assert break_markers("x[|AI|]y", ["[|Human|]", "[|AI|]"]) == "x[|A\u2060I|]y"


# --- hostile templates ----------------------------------------------------------------------------


@pytest.mark.sampled(8)
@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("{{ ''.__class__.__mro__ }}", "not allowed in a template"),
        ("{{ messages.append(1) }}", "not allowed in a template"),
        ("{{ cycler.__init__.__globals__ }}", "not allowed in a template"),
        ("{{ 10 ** (9 ** 9) }}", "power too large"),
        ("{{ 'x' * 10 ** 9 }}", "too long to repeat"),
        ("{{ [0] * 10 ** 9 }}", "too long to repeat"),
        ("{{ '%0999999999d' % 1 }}", "printf"),
        ("{{ '{:>99999999}'.format(1) }}", "characters"),
        ("{{ 'x' | center(10 ** 9) }}", "too wide"),
        ("{{ range(10 ** 9) }}", "range"),
        (
            "{% set ns = namespace(x='xxxxxxxx') %}{% for i in range(40) %}"
            "{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x }}",
            "512 MB of memory",
        ),
        ("{% for i in range(99999) %}{{ 'x' * 9999 }}{% endfor %}", "characters"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "without end"),
        ("{{ raise_exception('roles must alternate') }}", "roles must alternate"),
        ("{{ messages[0].content", "line 1"),
        ("{{ messages[99].content }}", "no element"),
        ("{{ 1 / 0 }}", "ZeroDivisionError"),
        ("no turns at all", "omits"),
        ("{% break %}", "'break' outside loop"),
        ("{% continue %}", "'continue' not properly in loop"),
        ("{% include 'other' %}", "no loader"),
        (r"{{ messages[0].content }}{{ '\ud83d' }}", "half of a pair"),
    ],
)
def test_a_hostile_template_is_named(source: str, named: str) -> None:
    with pytest.raises(TemplateError, match=named):
        render(Prompt([PromptMessage("user", "What?")]), source, [], {})


def test_what_a_failed_template_has_built_is_freed() -> None:
    messages = [{"role": "user", "content": "Hi"}]
    before, failures = psutil.Process().memory_info().rss, []
    for _ in range(4):  # each comes near the limit
        with pytest.raises(TemplateError, match="512 MB of memory") as failed:
            run_template("{{ messages | tojson(indent=99999999) }}", {"messages": messages})
        failures.append(failed.value)
    assert psutil.Process().memory_info().rss - before < 300 << 20
