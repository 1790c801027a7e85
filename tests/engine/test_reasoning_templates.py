"""Every template of llama.cpp that has reasoning: forced answers, split at every position, cut off,
continued, and told to the model in the next turn."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import pytest

from baize_tui.engine.answer_text import AnswerText
from baize_tui.engine.prompts.fragments import SpecialToken, partition
from baize_tui.engine.prompts.prompt_reader import PromptReader
from baize_tui.engine.prompts.reasoning_styles import ReasoningStyle, applicable_styles
from baize_tui.engine.protocol import Prompt, PromptMessage
from tests.vocabularies import TEMPLATES

THOUGHT = "They ask for the capital.\nI know: a < b, Paris."
ANSWER = "It is **Paris**.\n\nI thought before `</think>`, in <|channel|> brackets."
QUESTION = PromptMessage("user", "Which capital has France?")
SYSTEM = PromptMessage("system", "Be brief.")

STYLES = {
    "Apertus-8B-Instruct": "apertus",
    "Apriel-1.6-15b-Thinker-fixed": "apriel",
    "Bielik-11B-v3.0-Instruct": "think",
    "ByteDance-Seed-OSS": "seed:think",
    "Cohere2MoE": "cohere",
    "CohereForAI-c4ai-command-r7b-12-2024-tool_use": "cohere",
    "GLM-4.6": "think",
    "GLM-4.7-Flash": "think",
    "HuggingFaceTB-SmolLM3-3B": "think",
    "Kimi-K2-Thinking": "think",
    "Kimi-K3": "kimi-k3",
    "LFM2.5-8B-A1B": "think",
    "LFM2.5-Instruct": "think",
    "MiniMax-M2": "think",
    "MiniMax-M3": "mm:think",
    "NVIDIA-Nemotron-3-Nano-30B-A3B-BF16": "think",
    "NVIDIA-Nemotron-Nano-v2": "think",
    "Qwen-QwQ-32B": "think",
    "Qwen-Qwen3-0.6B": "think",
    "Qwen3.5-4B": "think",
    "Reka-Edge": "think",
    "Spark2.5": "think",
    "StepFun3.5-Flash": "think",
    "deepseek-ai-DeepSeek-R1-Distill-Llama-8B": "think",
    "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B": "think",
    "deepseek-ai-DeepSeek-V3.1": "think",
    "deepseek-ai-DeepSeek-V3.2": "think",
    "deepseek-ai-DeepSeek-V4": "think",
    "deepseek-ai-DeepSeek-V4-Flash-0731": "think",
    "google-gemma-4-31B-it": "gemma-4",
    "google-gemma-4-31B-it-interleaved": "gemma-4",
    "ibm-granite-granite-3.3-2B-Instruct": "think",
    "inclusionai-ling-3.0-flash": "think",
    "llama-cpp-deepseek-r1": "think",
    "llama-cpp-rwkv-world": "think",
    "mistralai-Ministral-3-14B-Reasoning-2512": "mistral",
    "muse-glimmer": "muse",
    "openai-gpt-oss-120b": "harmony",
    "openbmb-MiniCPM5-1B": "think",
    "poolside-Laguna-S-2.1": "think",
    "poolside-Laguna-XS-2.1": "think",
    "poolside-Laguna-XS.2": "think",
    "tencent-Hy3": "think:opensource",
    "unsloth-Apriel-1.5": "apriel",
    "upstage-Solar-Open-100B": "solar",
}
"""The reasoning style of each template that has one."""

UNSWITCHABLE = {
    "Apriel-1.6-15b-Thinker-fixed",
    "Kimi-K2-Thinking",
    "LFM2.5-8B-A1B",
    "LFM2.5-Instruct",
    "MiniMax-M2",
    "StepFun3.5-Flash",
    "deepseek-ai-DeepSeek-R1-Distill-Llama-8B",
    "llama-cpp-deepseek-r1",
    "mistralai-Ministral-3-14B-Reasoning-2512",
    "unsloth-Apriel-1.5",
}
ONLY_LESS = {"openai-gpt-oss-120b", "muse-glimmer"}
SHOWS_EARLIER_THOUGHTS = {
    "Bielik-11B-v3.0-Instruct",
    "ByteDance-Seed-OSS",
    "Cohere2MoE",
    "Kimi-K3",
    "MiniMax-M3",
    "Spark2.5",
    "inclusionai-ling-3.0-flash",
    "mistralai-Ministral-3-14B-Reasoning-2512",
    "muse-glimmer",
    "poolside-Laguna-S-2.1",
    "poolside-Laguna-XS-2.1",
    "poolside-Laguna-XS.2",
}
"""Templates that write the thoughts of all turns."""


class LetterVocabulary:
    """One token for each character, and for each piece of markup if ``with_tokens``."""

    bos, eos, add_bos = -1, -1, False
    is_sentencepiece = newline_is_cut = False

    def __init__(self, markup: Sequence[str]) -> None:
        self.specials: Sequence[SpecialToken] = [
            SpecialToken(0x200000 + i, text, control=text.startswith("<|"))
            for i, text in enumerate(sorted(markup, key=lambda text: -len(text.encode())))
        ]
        self._by_id = {special.id: special for special in self.specials}

    def special_text(self, token: int) -> str:
        return ""

    def tokenize(self, text: str, *, parse_special: bool = False) -> list[int]:
        ids: list[int] = []
        for part in partition(text, self.specials) if parse_special else [text]:
            ids += [part.id] if isinstance(part, SpecialToken) else map(ord, part)
        return ids

    def piece(self, token: int, *, special: bool = False) -> bytes:
        known = self._by_id.get(token)
        if known is None:
            return chr(token).encode()
        return b"" if known.control and not special else known.text.encode()


def tokens_of(style: ReasoningStyle) -> list[str]:
    """The tokens that a model with this style has."""
    if style.name in ("harmony", "solar", "muse", "kimi-k3", "gemma-4"):
        names = "channel message start end return call think content begin eom eot open close sep"
        brackets = [f"<|{name}|>" for name in [*names.split(), "end_of_msg"]]
        return ["<|channel>", "<channel|>"] if style.name == "gemma-4" else brackets
    return [] if style.spoken else [*style.opens, *style.closes]


@cache
def source(name: str) -> str:
    return (TEMPLATES / f"{name}.jinja").read_text(encoding="utf-8")


@cache
def reader(name: str, *, with_tokens: bool) -> tuple[PromptReader, LetterVocabulary]:
    style = next(s for s in applicable_styles(source(name)) if s.name == STYLES[name])
    vocabulary = LetterVocabulary(tokens_of(style) if with_tokens else [])
    return PromptReader(vocabulary, source(name)), vocabulary


def prompt(*more: PromptMessage, think: bool | None = None) -> Prompt:
    return Prompt([SYSTEM, QUESTION, *more], think=think)


def forced(name: str, asked: Prompt, *, with_tokens: bool) -> list[int]:
    """The ids of a thought and an answer, as the model writes them after ``asked``."""
    reading, vocabulary = reader(name, with_tokens=with_tokens)
    beginning = reading.read(asked).beginning
    style = next(s for s in beginning.styles if s.name == STYLES[name])
    markup = {"start": style.opens[0] + style.lead}.get(beginning.position.phase, "")
    lead = vocabulary.tokenize(markup, parse_special=True)
    ending = vocabulary.tokenize(style.ending, parse_special=True)
    answer = vocabulary.tokenize(ANSWER)
    if beginning.position.phase in ("gap", "answer"):
        return answer
    return [*lead, *vocabulary.tokenize(THOUGHT), *ending, *answer]


def texts(name: str, asked: Prompt, ids: Sequence[int], *, with_tokens: bool) -> AnswerText:
    """What the ids are after ``asked``."""
    reading, vocabulary = reader(name, with_tokens=with_tokens)
    text = AnswerText(reading.read(asked).beginning, vocabulary)
    seen = ["", ""]
    for token in ids:
        text.feed(token)
        new = text.take_new()
        seen = ["".join(seen), ""] if new.answer_was_thought else seen
        seen = [seen[0] + new.thought, seen[1] + new.answer]
    text.finish()
    new = text.take_new()
    assert [seen[0] + new.thought, seen[1] + new.answer] == [text.thought, text.answer]
    return text


def thinks(name: str, think: bool | None, *, with_tokens: bool) -> bool:
    reading, _ = reader(name, with_tokens=with_tokens)
    return reading.read(prompt(think=think)).beginning.position.phase in ("start", "thought")


both_vocabularies = pytest.mark.parametrize("with_tokens", [True, False], ids=["tokens", "text"])
each_template = pytest.mark.parametrize("name", STYLES)


def test_every_template_with_reasoning_is_here() -> None:
    markup = ("think>", "THINK]", "thought", "THINKING", "analysis<|", "<|inner_", "reasoning_")
    with_markup = {
        file.stem
        for file in TEMPLATES.glob("*.jinja")
        if any(mark in file.read_text(encoding="utf-8") for mark in markup)
    }
    assert with_markup - set(STYLES) == set()


@pytest.mark.sampled(18)
@each_template
@both_vocabularies
def test_streamed_token_by_token(name: str, with_tokens: bool) -> None:
    for think in (None, True, False):
        asked = prompt(think=think)
        ids = forced(name, asked, with_tokens=with_tokens)
        text = texts(name, asked, ids, with_tokens=with_tokens)
        thought = THOUGHT if thinks(name, think, with_tokens=with_tokens) else ""
        assert (text.thought, text.answer) == (thought, ANSWER), think
        assert text.answer_tokens == len(ANSWER)


@each_template
def test_thinking_can_be_switched(name: str) -> None:
    reading, _ = reader(name, with_tokens=True)
    on, off = reading.read(prompt(think=True)), reading.read(prompt(think=False))
    if name in UNSWITCHABLE:
        assert on.ids == off.ids
        assert off.why_thinking == "the template of this model has no switch for thinking"
    elif name in ONLY_LESS:
        assert on.ids != off.ids
        assert off.why_thinking == "this model can only think less, not stop thinking"
    elif name == "ibm-granite-granite-3.3-2B-Instruct":
        assert not off.why_thinking  # only its own system text asks for thoughts
    else:
        assert on.ids != off.ids
        assert not off.why_thinking
        assert on.beginning.position.phase in ("start", "thought")
        if name != "Apertus-8B-Instruct":  # says so in its system turn
            assert off.beginning.position.phase != "thought"
            assert off.beginning.position != on.beginning.position


@pytest.mark.sampled(9)
@each_template
@both_vocabularies
def test_cut_off_anywhere_and_continued(name: str, with_tokens: bool) -> None:
    reading, _ = reader(name, with_tokens=with_tokens)
    asked = prompt(think=True)
    ids = forced(name, asked, with_tokens=with_tokens)
    for cut in range(1, len(ids), 9):
        text = texts(name, asked, ids[:cut], with_tokens=with_tokens)
        if len(text.thought.strip()) < len(THOUGHT):
            assert THOUGHT.startswith(text.thought.strip())
        partial = PromptMessage("assistant", text.answer, ids[:cut], text.thought.strip())
        read = reading.read(Prompt([SYSTEM, QUESTION], think=True, partial=partial))
        if text.answer or text.thought.strip():
            assert read.partial_ids == ids[:cut]
            assert read.ids[-cut:] == ids[:cut]
    thought, answer = THOUGHT[:20], ANSWER[:9]
    for kept in (
        PromptMessage("assistant", "", None, thought),
        PromptMessage("assistant", answer, None, THOUGHT),
        PromptMessage("assistant", answer),
    ):
        # Written by another model, or by the person: with the markup of this one.
        read = reading.read(Prompt([SYSTEM, QUESTION], think=True, partial=kept))
        text = texts(name, asked, read.partial_ids, with_tokens=with_tokens)
        assert (text.thought.strip(), text.answer) == (kept.reasoning, kept.content)


@pytest.mark.sampled(18)
@each_template
@both_vocabularies
def test_a_thought_is_not_continued_as_an_answer_when_thinking_is_switched_off(
    name: str, with_tokens: bool
) -> None:
    reading, _ = reader(name, with_tokens=with_tokens)
    if reading.read(prompt(think=False)).beginning.position.phase not in ("gap", "answer"):
        return
    ids = forced(name, prompt(think=True), with_tokens=with_tokens)
    partial = PromptMessage("assistant", ANSWER, ids, THOUGHT)
    off = Prompt([SYSTEM, QUESTION], think=False, partial=partial)
    text = texts(name, prompt(think=False), reading.read(off).partial_ids, with_tokens=with_tokens)
    assert text.answer == ANSWER


@pytest.mark.sampled(18)
@each_template
@both_vocabularies
def test_the_next_turn_sees_the_answer_once(name: str, with_tokens: bool) -> None:
    reading, vocabulary = reader(name, with_tokens=with_tokens)
    asked = prompt(think=True)
    ids = forced(name, asked, with_tokens=with_tokens)
    said = PromptMessage("assistant", ANSWER, ids, THOUGHT)
    told = reading.read(prompt(said, PromptMessage("user", "And Spain?"), think=True))
    text = b"".join(vocabulary.piece(token, special=True) for token in told.ids).decode()
    assert text.count(ANSWER) == 1
    assert text.count(THOUGHT) == (name in SHOWS_EARLIER_THOUGHTS)
    answer = vocabulary.tokenize(ANSWER)
    assert any(told.ids[i : i + len(answer)] == answer for i in range(len(told.ids)))
