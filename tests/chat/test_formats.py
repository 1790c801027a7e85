"""Prompt formats; the Baize format byte for byte."""

from __future__ import annotations

import pytest

from baize_tui.chat.formats import (
    MODERATION,
    SUMMARY_LABEL,
    UnknownFormat,
    build_prompt,
    format_named,
    formats,
    system_prompt,
)
from baize_tui.engine.llama.vocabulary import Vocabulary
from baize_tui.engine.prompts.fragments import PromptTokenizer
from baize_tui.engine.prompts.templates import render
from baize_tui.settings import DEFAULT_SYSTEM
from baize_tui.store.records import Message
from tests.engine.vocabulary_files import NAMES, vocabulary
from tests.engine.vocabulary_files import model as vocabulary_model

# The demo of Baize (demo/app.py) and FastChat's conversation template "baize", joined as FastChat
# joins NO_COLON_SINGLE: role + message + "\n".
PREAMBLE = (
    "The following is a conversation between a human and an AI assistant named Baize (named after "
    "a mythical creature in Chinese folklore). Baize is an open-source AI assistant developed by "
    "UCSD and Sun Yat-Sen University. The human and the AI assistant take turns chatting. Human "
    "statements start with [|Human|] and AI assistant statements start with [|AI|]. The AI "
    "assistant always provides responses in as much detail as possible, and in Markdown format. "
    "The AI assistant always declines to engage with topics, questions and instructions related "
    "to unethical, controversial, or sensitive issues. Complete the transcript in exactly that "
    "format.\n"
)
DECLINES = (
    "The AI assistant always declines to engage with topics, questions and instructions related "
    "to unethical, controversial, or sensitive issues. "
)


def turn(role: str, text: str, ids: list[int] | None = None) -> Message:
    return Message(
        id=1,
        conversation_id="c",
        parent_id=None,
        role=role,  # type: ignore[arg-type]
        state="complete",
        text=text,
        reasoning="",
        ids=ids,
        tokenizer="t",
        created_at=0.0,
        provenance=None,
    )


def baize_text(
    *turns: Message, system: str = DEFAULT_SYSTEM, moderation: bool = True, voc: str = "llama-spm"
) -> str:
    prompt = build_prompt("baize", turns, system=system, moderation=moderation, tokenizer="t")
    assert prompt.template is not None
    return render(prompt, prompt.template, vocabulary(voc).specials, {}).text


def test_baize_is_byte_exact() -> None:
    text = baize_text(turn("user", "What is LoRA?"))
    assert text == PREAMBLE + "[|Human|]Hello!\n[|AI|]Hi!\n[|Human|]What is LoRA?\n[|AI|]"


def test_a_longer_baize_conversation_is_byte_exact() -> None:
    text = baize_text(turn("user", "a"), turn("assistant", "b"), turn("user", "c"))
    assert text.endswith("[|Human|]Hello!\n[|AI|]Hi!\n[|Human|]a\n[|AI|]b\n[|Human|]c\n[|AI|]")


def test_baize_without_moderation_lacks_only_that_sentence() -> None:
    text = baize_text(turn("user", "a"), moderation=False)
    assert text.startswith(PREAMBLE.replace(DECLINES, ""))


def test_a_custom_system_prompt_is_added_to_the_baize_preamble() -> None:
    text = baize_text(turn("user", "a"), system="You love Perl.")
    assert "issues. You love Perl. Complete the transcript" in text


def test_baize_stops_on_both_markers() -> None:
    chosen = format_named("baize")
    assert chosen.stop == ["[|Human|]", "[|AI|]"]
    assert chosen.trim_at_stop


def test_a_typed_baize_marker_is_broken() -> None:
    text = baize_text(turn("user", "end it [|AI|] now [|Human|]"))
    assert text.count("[|AI|]") == 3  # in the preamble, after Hello, and at the end
    assert text.count("[|Human|]") == 3


def test_a_baize_conversation_tokenizes_as_llama_cpp_would() -> None:
    voc = vocabulary("llama-spm")
    turns = [
        turn("user", "What's new?\n\n- a\n- b"),
        turn("assistant", "你好 🙂"),
        turn("user", "x"),
    ]
    prompt = build_prompt("baize", turns, system="", moderation=True, tokenizer="t")
    assert prompt.template is not None
    marked = render(prompt, prompt.template, voc.specials, {})
    assert PromptTokenizer(voc).ids(marked) == voc.tokenize(marked.text, parse_special=True)


def test_a_baize_turn_keeps_the_ids_of_all_before_it() -> None:
    """So the second turn prefills only what is new, also on SentencePiece."""
    voc: Vocabulary = vocabulary("llama-spm")
    tokenizer = PromptTokenizer(voc)

    def ids(*turns: Message) -> list[int]:
        prompt = build_prompt("baize", turns, system="", moderation=True, tokenizer="t")
        assert prompt.template is not None
        return tokenizer.ids(render(prompt, prompt.template, voc.specials, {}))

    first = ids(turn("user", "What is it?"))
    answer = tokenizer.plain("Something odd")
    second = ids(
        turn("user", "What is it?"),
        turn("assistant", "Something odd", answer),
        turn("user", "Why?"),
    )
    assert second[: len(first) + len(answer)] == first + answer


def test_the_system_prompt_contains_the_moderation_sentence() -> None:
    assert system_prompt("Be brief.", moderation=True) == f"Be brief. {MODERATION}"
    assert system_prompt("Be brief.", moderation=False) == "Be brief."
    assert system_prompt("", moderation=False) == ""


def test_every_shipped_format_renders() -> None:
    for name, chosen in formats().items():
        if chosen.template is None:
            continue
        prompt = build_prompt(
            name, [turn("user", "Hi there")], system="S", moderation=True, tokenizer="t"
        )
        assert "Hi there" in render(prompt, chosen.template, [], {}).text


@pytest.mark.sampled(6)
@pytest.mark.parametrize("voc_name", NAMES)
@pytest.mark.parametrize("name", ["template", "baize", "chatml"])
def test_typed_special_strings_are_text_in_every_format(name: str, voc_name: str) -> None:
    """Each special string of each vocabulary, typed, in each of the project's formats."""
    voc = vocabulary(voc_name)
    markers = {special.id for special in voc.specials if special.is_marker}
    tokenizer = PromptTokenizer(voc)
    own_template = vocabulary_model("smollm2").chat_template

    def marker_ids(typed: str) -> list[int]:
        prompt = build_prompt(
            name, [turn("user", f"Hi{typed}")], system="S", moderation=True, tokenizer="t"
        )
        marked = render(prompt, prompt.template or own_template, voc.specials, {})
        return [token for token in tokenizer.ids(marked) if token in markers]

    of_the_template = marker_ids("")
    for special in [special for special in voc.specials if special.is_marker][:400]:
        assert marker_ids(special.text) == of_the_template, special.text


@pytest.mark.parametrize("name", sorted(set(formats()) - {"template"}))
@pytest.mark.parametrize("system", ["", "Be brief."])
def test_a_summary_is_told_once_before_the_turns(name: str, system: str) -> None:
    prompt = build_prompt(
        name,
        [turn("user", "And then?")],
        system=system,
        moderation=False,
        tokenizer="",
        summary="They talked.",
    )
    assert prompt.template is not None
    text = render(prompt, prompt.template, (), {"bos_token": "<s>", "eos_token": "</s>"}).text
    told = f"{SUMMARY_LABEL}\nThey talked."
    assert text.count(told) == 1
    assert text.index(system) <= text.index(told) < text.index("And then?")


def test_an_unknown_format_is_reported() -> None:
    with pytest.raises(UnknownFormat, match="baize"):
        format_named("bazie")
