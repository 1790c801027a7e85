"""Thought and answer are told apart, however the text is cut into pieces."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baize_tui.engine.prompts.fragments import SpecialToken
from baize_tui.engine.prompts.reasoning_styles import (
    START,
    STYLES,
    Position,
    ReasoningStyle,
    applicable_styles,
    position_after,
)
from baize_tui.engine.prompts.thought_splitter import (
    MarkupTokens,
    Part,
    ThoughtSplitter,
    split_text,
)

THOUGHT, ANSWER = "Let me see.\n\nParis, a < b.", "It is Paris.\n\n- a <b>\n- c"


def split(
    pieces: Sequence[str], template: str = "", prompt_end: str = ""
) -> tuple[str, str, list[Part]]:
    """Thought, answer, and the parts that gave them."""
    styles = applicable_styles(template, prompt_end)
    position = position_after(prompt_end, styles)
    splitter = ThoughtSplitter(styles, position)
    parts = [part for piece in pieces for part in splitter.feed(piece)]
    parts += splitter.finish()
    thought, answer = "", ""
    for part in parts:
        if part.kind == "was_thought":
            thought, answer = thought + answer, ""
        elif part.kind == "thought":
            thought += part.text
        elif part.kind == "answer":
            answer += part.text
    return thought, answer, parts


def check(
    pieces: Sequence[str], expected: tuple[str, str], template: str = "", prompt_end: str = ""
) -> None:
    thought, answer, parts = split(pieces, template, prompt_end)
    assert (thought, answer) == expected, pieces
    assert "".join(part.text for part in parts) == "".join(pieces)


def every_split(text: str) -> list[list[str]]:
    """``text`` whole, in single characters, and in two pieces at every position."""
    return [[text], list(text), *([text[:i], text[i:]] for i in range(1, len(text)))]


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.name)
def test_each_style_at_every_split(style: ReasoningStyle) -> None:
    """Opened by the model, opened by the template, and closed by the template."""
    template = style.opens[0] if style.spoken else ""
    opening, closing = style.opens[0] + style.lead, style.ending
    for pieces in every_split(f"{opening}{THOUGHT}{closing}{ANSWER}"):
        check(pieces, (THOUGHT, ANSWER), template)
    for pieces in every_split(f"{THOUGHT}{closing}{ANSWER}"):
        check(pieces, (THOUGHT, ANSWER), template, prompt_end=f"assistant{opening}")
    for pieces in every_split(ANSWER):
        check(pieces, ("", ANSWER), template, prompt_end=f"assistant{opening}{closing}")


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.name)
def test_a_thought_that_is_cut_off_is_no_answer(style: ReasoningStyle) -> None:
    template = style.opens[0] if style.spoken else ""
    whole = f"{style.opens[0]}{style.lead}{THOUGHT}"
    for end in range(len(style.opens[0]) + len(style.lead), len(whole) + 1):
        thought, answer, parts = split([whole[:end]], template)
        assert answer == ""
        assert thought.rstrip() == whole[len(style.opens[0] + style.lead) : end].rstrip()
        assert "".join(part.text for part in parts) == whole[:end]


@pytest.mark.parametrize(
    "style", [s for s in STYLES if not s.has_channels], ids=lambda style: style.name
)
def test_a_closing_tag_alone_on_its_line_ends_a_thought(style: ReasoningStyle) -> None:
    template = style.opens[0] if style.spoken else ""
    for pieces in every_split(f"{THOUGHT}\n{style.stops[0]}\n\n{ANSWER}"):
        thought, answer, _ = split(pieces, template)
        assert (thought.rstrip(), answer) == (THOUGHT, ANSWER)


MENTIONS = [
    "Put the thoughts first and then `</think>`, which ends them; the answer comes after it.",
    'The tag "</think>" ends them.\n\n`<think>` begins them.',
    "A thought ends with </think> in this format.",
    "Thoughts:\n```\n<think>\nwhy\n</think>\nBecause.\n```\nThat is all.",
    "End it with\n```\n</think>\n```\nand go on.\n\n1. </think>\n2. Done.",
    "`<think>` opens a thought and `</think>` ends it.",
    "It is Mistral's, said he: <|channel|>final<|message|> is not.",
]


@pytest.mark.parametrize("text", MENTIONS)
def test_an_answer_that_mentions_markup_stays_whole(text: str) -> None:
    for template in ("", "<think>\n</think>"):
        for pieces in every_split(text):
            check(pieces, ("", text), template)
    for pieces in every_split(f"<think>Hm.</think>{text}"):
        check(pieces, ("Hm.", text))
    for pieces in every_split(text):
        check(pieces, ("", text), prompt_end="<think>\n\n</think>\n\n")


def test_a_thought_that_quotes_its_own_tag_goes_on() -> None:
    thought = 'I write `</think>` at the end, or "</think>".'
    for pieces in every_split(f"{thought}\n</think>\n\nDone."):
        check(pieces, (thought, "Done."), prompt_end="<think>\n")
    for pieces in every_split("I call `f(x)`</think>Done."):
        check(pieces, ("I call `f(x)`", "Done."), prompt_end="<think>")


HARMONY = [
    (
        "<|channel|>analysis<|message|>One.<|end|><|start|>assistant<|channel|>analysis<|message|>"
        "Two.<|end|><|start|>assistant<|channel|>final<|message|>Three.<|return|>",
        ("One.Two.", "Three."),
    ),
    (
        "<|channel|>commentary to=assistant<|channel|>analysis<|message|>Hm.<|end|>"
        "<|start|>assistant<|channel|>final<|message|>Yes.",
        ("Hm.", "Yes."),
    ),
    (
        "<|channel|>commentary<|message|>I look it up.<|end|><|start|>assistant<|channel|>analysis"
        " code<|message|>x = 1<|end|><|start|>assistant<|channel|>final json<|message|>{}",
        ("x = 1", "I look it up.{}"),
    ),
    ("<|channel|>final<|message|>At once.<|return|>", ("", "At once.")),
]


@pytest.mark.parametrize(("text", "expected"), HARMONY)
def test_harmony_channels(text: str, expected: tuple[str, str]) -> None:
    for pieces in every_split(text):
        check(pieces, expected, prompt_end="<|end|><|start|>assistant")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<think>Hm.</think><response>Yes.</response>", ("Hm.", "Yes.")),
        ("<think>Hm.</think>\n<answer>\nYes.</answer>", ("Hm.", "Yes.")),
        ("<|START_THINKING|>a<|END_THINKING|><|START_TEXT|>b<|END_TEXT|>", ("a", "b")),
        (
            "a<|close|>think<|sep|><|open|>response<|sep|>b<|close|>response<|sep|>"
            "<|close|>message<|sep|><|end_of_msg|>",
            ("a", "b"),
        ),
        (" to=self<|message|>a<|eom|><|start|>assistant to=user<|message|>b<|eot|>", ("a", "b")),
        ("<think></think>Yes.", ("", "Yes.")),
        ("<think>\n\n</think>\n\nYes.", ("", "Yes.")),
        ("\n<think> a </think> b", ("a", "b")),
        ("<response>is a tag", ("", "<response>is a tag")),
    ],
)
def test_markup_around_the_answer(text: str, expected: tuple[str, str]) -> None:
    opens = "<|open|>think<|sep|>" if "<|close|>think" in text else ""
    for pieces in every_split(text):
        if text.startswith("<response>"):  # it belongs to no thought: nothing is lost
            thought, answer, parts = split(pieces)
            assert not thought
            assert "is a tag" in answer
            assert "".join(part.text for part in parts) == text
        else:
            check(pieces, expected, prompt_end=opens)


MARKUP = sorted({mark for style in STYLES for mark in style.markup})
TEXTS = st.lists(
    st.sampled_from([*MARKUP, "a", " ", "\n", "`", "<", "</", "think>", "|>", "你", "[", '"']),
    max_size=12,
).map("".join)


@given(
    text=TEXTS,
    cuts=st.lists(st.integers(0, 400), max_size=12),
    template=st.sampled_from(["", *MARKUP]),
    end=st.sampled_from(["", *MARKUP]),
)
def test_nothing_is_lost_and_the_cuts_do_not_matter(
    text: str, cuts: list[int], template: str, end: str
) -> None:
    bounds = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    pieces = [text[a:b] for a, b in pairwise(bounds)]
    thought, answer, parts = split(pieces, template, end)
    assert "".join(part.text for part in parts) == text
    assert (thought, answer) == split([text], template, end)[:2]


def test_where_an_answer_begins() -> None:
    def phase(end: str) -> tuple[str, str]:
        position = position_after(end, STYLES)
        return position.phase, position.style.name if position.style is not None else ""

    assert position_after("<|im_end|>\n<|im_start|>assistant\n", STYLES) == START
    assert position_after("<|end|><|start|>assistant", STYLES) == Position("start", None)
    assert phase("<|assistant|><think>") == ("thought", "think")
    assert phase("<think>\n\n</think>\n\n") == ("gap", "think")
    assert phase("<|assistant|></think>") == ("gap", "think")
    assert phase("<|end|><|begin|>assistant<|think|><|end|><|begin|>assistant") == ("gap", "solar")
    assert phase('message role="assistant"<|sep|><|open|>response<|sep|>') == ("answer", "kimi-k3")
    assert phase("<turn|>\n<|turn>model\n<|channel>thought\n<channel|>") == ("gap", "gemma-4")
    assert phase("Here are my reasoning steps:\n") == ("thought", "apriel")


def test_the_whole_text_of_an_unknown_model() -> None:
    assert split_text("<think>\nHm.\n</think>\n\nYes.") == ("Hm.", "Yes.")
    assert split_text("Hm.\n</think>\n\nYes.") == ("Hm.", "Yes.")
    assert split_text("Write </think> at the end.") == ("", "Write </think> at the end.")
    assert split_text("Yes.") == ("", "Yes.")


@pytest.mark.parametrize("control", [True, False])
def test_tokens_count_and_spelled_tags_are_text(control: bool) -> None:
    """In a vocabulary with the tags as tokens; 1 and 2 stand for these."""
    specials = [SpecialToken(2, "</think>", control), SpecialToken(1, "<think>", control)]
    tokens = MarkupTokens(specials, STYLES)

    def read(*pieces: str | int) -> tuple[str, str]:
        splitter = ThoughtSplitter(STYLES, START, tokens)
        parts: list[Part] = []
        for piece in pieces:
            parts += splitter.feed(piece if isinstance(piece, str) else tokens.stand_ins[piece])
        parts += splitter.finish()
        answer_from = max((i for i, p in enumerate(parts) if p.kind == "was_thought"), default=-1)
        before, after = parts[: answer_from + 1], parts[answer_from + 1 :]
        thought = "".join(p.text for p in before if p.kind == "answer")
        thought += "".join(p.text for p in after if p.kind == "thought")
        return thought, "".join(p.text for p in after if p.kind == "answer")

    assert read(1, "\nI close with </think>, so.\n", 2, "\n\nYes.") == (
        "I close with </think>, so.",
        "Yes.",
    )
    assert read("Hm.", 2, "Yes.") == ("Hm.", "Yes.")
    assert read(1, "Hm.", 2, "BEGIN ", 1, " AFTER ", 2, " END") == (
        "Hm.",
        "BEGIN <think> AFTER </think> END",
    )
    assert read("<think> and </think> are spelled.") == ("", "<think> and </think> are spelled.")
    assert read("`", 2, "` ends it, ", 1, " begins.")[1].endswith("` ends it, <think> begins.")
