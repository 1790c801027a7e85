"""The engine on the real model, or on its first layers where the sense plays no part."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from baize_tui.engine.kv_cache import FIRST_BATCH
from baize_tui.engine.llama.abort import AbortFlag
from baize_tui.engine.llama.errors import EngineError
from baize_tui.engine.llama.sampler import Sampler
from baize_tui.engine.llama_engine import LlamaEngine, TooLongError
from baize_tui.engine.protocol import (
    Delta,
    Finished,
    Generate,
    Load,
    Prefilling,
    Prompt,
    PromptMessage,
)
from baize_tui.settings import Sampling

GREEDY = Sampling(temperature=0)
PARIS = Prompt(
    [
        PromptMessage("system", "You are a helpful AI assistant."),
        PromptMessage("user", "What is the capital of France?"),
    ]
)
STORY = Prompt([PromptMessage("user", "Tell me a long story about a dragon.")])


def answer(
    engine: LlamaEngine, prompt: Prompt, sampling: Sampling = GREEDY, **options: object
) -> Finished:
    request = msgspec.convert(
        {"request": 1, "prompt": prompt, "sampling": sampling, **options}, Generate
    )
    events = list(engine.generate(request))
    assert isinstance(events[-1], Finished)
    deltas = [event for event in events if isinstance(event, Delta)]
    assert "".join(delta.text for delta in deltas) == events[-1].text
    return events[-1]


def test_it_answers(engine: LlamaEngine) -> None:
    finished = answer(engine, PARIS)
    assert finished.text == "The capital of France is Paris."
    assert finished.reason == "stop"
    assert finished.stats.completion_tokens == len(finished.ids) == 7


GRAMMAR = """
root ::= "I say: " ("no" | "yes") ", " number " times."
number ::= [1-9] [0-9]?
"""


@pytest.mark.parametrize("temperature", [0.0, 1.5])
def test_a_grammar_is_followed_to_its_end(shallow_engine: LlamaEngine, temperature: float) -> None:
    for seed in range(4):
        sampling = Sampling(temperature=temperature, seed=seed, repeat_penalty=1.1)
        finished = answer(shallow_engine, STORY, sampling, grammar=GRAMMAR, max_tokens=40)
        assert re.fullmatch(r"I say: (no|yes), [1-9][0-9]? times\.", finished.text)
        assert finished.reason == "stop"


def test_a_grammar_that_allows_the_free_answer_changes_nothing(engine: LlamaEngine) -> None:
    free = answer(engine, PARIS)
    assert answer(engine, PARIS, grammar="root ::= [^\\x00]*").ids == free.ids


@pytest.mark.parametrize("grammar", ["no rule", "other ::= [a-z]", 'root ::= "'])
def test_an_invalid_grammar_is_refused(engine: LlamaEngine, grammar: str) -> None:
    with pytest.raises(EngineError, match="the grammar cannot be read"):
        answer(engine, PARIS, grammar=grammar)
    assert answer(engine, PARIS).text == "The capital of France is Paris."


def test_the_second_turn_prefills_only_what_is_new(engine: LlamaEngine) -> None:
    first = answer(engine, PARIS)
    messages = [
        *PARIS.messages,
        PromptMessage("assistant", first.text, first.ids),
        PromptMessage("user", "And of Italy?"),
    ]
    second = answer(engine, Prompt(messages))
    used = first.stats.prompt_tokens + first.stats.completion_tokens
    assert second.stats.reused_tokens == used
    assert second.stats.prompt_tokens > used


def test_reusing_the_cache_gives_the_same_answer(shallow_engine: LlamaEngine) -> None:
    fresh = answer(shallow_engine, STORY, max_tokens=24)
    again = answer(shallow_engine, STORY, max_tokens=24)
    assert again.stats.reused_tokens == again.stats.prompt_tokens - 1
    assert again.ids == fresh.ids


def test_the_same_seed_gives_the_same_answer(shallow_engine: LlamaEngine) -> None:
    answer(shallow_engine, PARIS, max_tokens=1)
    seeded = Sampling(temperature=1.0, seed=7)
    first = answer(shallow_engine, STORY, seeded, max_tokens=16)
    second = answer(shallow_engine, STORY, seeded, max_tokens=16)
    other = answer(shallow_engine, STORY, Sampling(temperature=1.0, seed=8), max_tokens=16)
    assert first.ids == second.ids != other.ids
    assert first.stats.seed == 7


def test_continuing_gives_the_rest_of_the_answer(shallow_engine: LlamaEngine) -> None:
    whole = answer(shallow_engine, STORY, max_tokens=40)
    half = answer(shallow_engine, STORY, max_tokens=15)
    assert half.reason == "length"
    partial = PromptMessage("assistant", half.text, half.ids)
    rest = answer(shallow_engine, Prompt(STORY.messages, partial=partial), max_tokens=25)
    assert rest.ids == whole.ids
    assert rest.text == whole.text
    assert rest.stats.completion_tokens == 25


def test_continuing_edited_text(engine: LlamaEngine) -> None:
    partial = PromptMessage("assistant", "The capital of France is")
    finished = answer(engine, Prompt(PARIS.messages, partial=partial))
    assert finished.text.startswith("The capital of France is")
    assert "Paris" in finished.text


def test_a_stop_string_ends_the_answer_and_leaves_the_cache(engine: LlamaEngine) -> None:
    """The stop string begins inside the token " France"; the ids spell exactly the kept text."""
    finished = answer(engine, PARIS, stop=["ance"])
    assert finished.text == "The capital of Fr"
    assert finished.reason == "stop"
    assert engine.vocabulary.detokenize(finished.ids).decode() == finished.text
    # What the cache holds is the prompt and the ids before the cut, nothing of the rest.
    cached = engine.cache.ids
    prompt = engine.prompt_ids(PARIS)
    assert cached == (prompt + finished.ids)[: len(cached)]
    assert engine.cache.context.last_position() + 1 == len(cached)
    again = answer(engine, PARIS)
    assert again.text == "The capital of France is Paris."


def test_blanks_before_a_stop_string_are_removed(engine: LlamaEngine) -> None:
    finished = answer(engine, PARIS, stop=["France"], trim_at_stop=True)
    assert finished.text == "The capital of"
    assert engine.vocabulary.detokenize(finished.ids).decode() == finished.text


def test_prefill_reports_its_progress(shallow_engine: LlamaEngine) -> None:
    prompt = Prompt([PromptMessage("user", "word " * 1500)])
    request = Generate(1, prompt, GREEDY, max_tokens=1)
    steps = [event for event in shallow_engine.generate(request) if isinstance(event, Prefilling)]
    assert all(a.done < b.done for a, b in pairwise(steps))
    assert len(steps) >= 4
    assert steps[-1].done == steps[-1].total - 1


def test_cancelling_in_a_prefill_keeps_what_is_done(
    shallow_engine: LlamaEngine, abort: AbortFlag
) -> None:
    prompt = Prompt([PromptMessage("user", "tale " * 700)])
    events = shallow_engine.generate(Generate(1, prompt, GREEDY, max_tokens=8))
    for event in events:
        if isinstance(event, Prefilling) and event.done > event.reused:
            break
    abort.set()
    finished = list(events)[-1]
    abort.clear()
    assert isinstance(finished, Finished)
    assert finished.reason == "cancelled"
    assert finished.ids == []
    assert shallow_engine.cache.context.last_position() + 1 == len(shallow_engine.cache.ids) < 700
    after = answer(shallow_engine, prompt, max_tokens=4)
    assert after.stats.reused_tokens >= FIRST_BATCH


def test_cancelling_in_an_answer_keeps_it(shallow_engine: LlamaEngine, abort: AbortFlag) -> None:
    events = shallow_engine.generate(Generate(1, STORY, GREEDY, max_tokens=200))
    for event in events:
        if isinstance(event, Delta):
            abort.set()
            break
    finished = list(events)[-1]
    abort.clear()
    assert isinstance(finished, Finished)
    assert finished.reason == "cancelled"
    assert finished.ids
    assert finished.text == shallow_engine.vocabulary.detokenize(finished.ids).decode()


def test_a_prompt_longer_than_the_context_is_refused_with_numbers(
    shallow_engine: LlamaEngine,
) -> None:
    prompt = Prompt([PromptMessage("user", "word " * 5000)])
    with pytest.raises(TooLongError, match="5") as caught:
        answer(shallow_engine, prompt)
    assert caught.value.tokens > caught.value.n_ctx == 4096


@pytest.mark.parametrize("context", [1, 8, 40])
def test_a_context_that_is_smaller_than_any_prompt_is_made_larger(
    shallow_smollm2: Path, abort: AbortFlag, context: int
) -> None:
    engine = LlamaEngine(Load(0, str(shallow_smollm2), context=context, threads=1), abort)
    engine.warm_up()
    finished = answer(engine, PARIS, max_tokens=4)
    assert finished.stats.completion_tokens == 4
    assert engine.loaded.n_ctx == engine.cache.context.n_batch == 256
    engine.close()


def test_an_answer_stops_where_the_context_ends(shallow_smollm2: Path, abort: AbortFlag) -> None:
    engine = LlamaEngine(Load(0, str(shallow_smollm2), context=256, threads=1), abort)
    filler = 256 - 60
    prompt = Prompt([PromptMessage("user", "word " * filler)])
    room = 256 - len(engine.prompt_ids(prompt))
    assert 0 < room < 60
    try:
        finished = answer(
            engine, prompt, Sampling(temperature=2.0, min_p=0, top_p=1, seed=3), max_tokens=500
        )
    finally:
        engine.close()
    assert finished.reason in ("context", "stop")
    assert len(finished.ids) <= room + 1


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        (Sampling(temperature=0), ["greedy"]),
        (Sampling(), ["top-k", "top-p", "min-p", "temp", "dist"]),
        (Sampling(top_k=0, min_p=0), ["top-k", "top-p", "temp", "dist"]),
        (Sampling(top_k=0, top_p=1.0, min_p=0), ["temp", "dist"]),
        (Sampling(repeat_penalty=1.1, temperature=0), ["penalties", "greedy"]),
        (Sampling(dry_multiplier=0.8, temperature=0), ["dry", "greedy"]),
        (Sampling(mirostat=1), ["temp", "mirostat"]),
        (Sampling(mirostat=2), ["temp", "mirostat-v2"]),
        (
            Sampling(xtc_probability=0.5),
            ["top-k", "top-p", "min-p", "xtc", "temp", "dist"],
        ),
    ],
)
def test_the_sampler_chain_is_llama_cpps(
    shallow_engine: LlamaEngine, settings: Sampling, names: list[str]
) -> None:
    sampler = Sampler(settings, shallow_engine.vocabulary, seed=1)
    try:
        assert [name.lstrip("+?") for name in sampler.names] == names
    finally:
        sampler.close()
    assert answer(shallow_engine, PARIS, settings, max_tokens=6).ids


def test_a_repetition_penalty_changes_a_repeating_answer(shallow_engine: LlamaEngine) -> None:
    prompt = Prompt([PromptMessage("user", "Say the word yes again and again.")])
    free = answer(shallow_engine, prompt, GREEDY, max_tokens=60)
    held = answer(
        shallow_engine, prompt, Sampling(temperature=0, repeat_penalty=1.5), max_tokens=60
    )
    assert len(set(held.ids)) / len(held.ids) > len(set(free.ids)) / len(free.ids)


# --- thoughts -------------------------------------------------------------------------------------

THINK_OPEN = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{{ '</think>' if enable_thinking is defined and not enable_thinking else '<think>' }}\n"
    "{% endif %}"
)
THINKING = msgspec.structs.replace(PARIS, template=THINK_OPEN)
LONG_THOUGHT = msgspec.structs.replace(STORY, template=THINK_OPEN)
FORCED = 'root ::= "I recall that it is Paris.\\n</think>\\n\\nThe capital of France is Paris."'


def test_thought_and_answer_come_apart(engine: LlamaEngine) -> None:
    request = Generate(1, THINKING, GREEDY, grammar=FORCED)
    events = list(engine.generate(request))
    *_, finished = events
    assert isinstance(finished, Finished)
    assert finished.reasoning == "I recall that it is Paris."
    assert finished.text == "The capital of France is Paris."
    deltas = [event for event in events if isinstance(event, Delta)]
    assert "".join(delta.reasoning for delta in deltas) == finished.reasoning
    assert "".join(delta.text for delta in deltas) == finished.text
    assert not any(delta.thinking for delta in deltas if delta.text)


def test_max_tokens_count_the_answer(engine: LlamaEngine) -> None:
    finished = answer(engine, THINKING, grammar=FORCED, max_tokens=3)
    assert (finished.text, finished.reason) == ("The capital of", "length")
    assert finished.reasoning == "I recall that it is Paris."
    assert finished.stats.thinking_tokens < finished.stats.completion_tokens


def test_a_thought_over_its_budget_is_ended_and_the_answer_follows(
    shallow_engine: LlamaEngine,
) -> None:
    finished = answer(shallow_engine, LONG_THOUGHT, max_thinking_tokens=5, max_tokens=12)
    assert finished.stats.thinking_tokens == 5
    assert finished.reasoning
    assert finished.text
    (notice,) = finished.notices
    assert "ended after 5 tokens: chat.max_thinking_tokens" in notice
    again = shallow_engine.vocabulary.detokenize(finished.ids).decode()
    assert again.split("</think>")[0].strip() == finished.reasoning
    assert again.split("</think>")[1].strip() == finished.text.strip()


def test_a_thought_leaves_room_for_the_answer(shallow_engine: LlamaEngine) -> None:
    n_ctx = shallow_engine.cache.context.n_ctx
    prompt_tokens = len(shallow_engine.prompt_ids(LONG_THOUGHT))
    reserve = n_ctx - prompt_tokens - 10
    finished = answer(shallow_engine, LONG_THOUGHT, reserve=reserve, max_tokens=4)
    assert finished.stats.thinking_tokens <= 10
    assert finished.text
    assert "for the answer" in finished.notices[0]


def test_a_thought_under_a_grammar_is_cut_off(shallow_engine: LlamaEngine) -> None:
    finished = answer(shallow_engine, THINKING, grammar=FORCED, max_thinking_tokens=4)
    assert (finished.text, finished.reason) == ("", "length")
    assert "I recall that it".startswith(finished.reasoning)


def test_an_answer_continues_in_its_thought(shallow_engine: LlamaEngine) -> None:
    whole = answer(shallow_engine, LONG_THOUGHT, max_thinking_tokens=12, max_tokens=8)
    for cut in (4, 9, len(whole.ids) - 3):
        content = "so far" if cut > 12 else ""
        partial = PromptMessage("assistant", content, whole.ids[:cut], "so far")
        prompt = msgspec.structs.replace(LONG_THOUGHT, partial=partial)
        finished = answer(shallow_engine, prompt, max_thinking_tokens=12, max_tokens=8)
        assert finished.ids[:cut] == whole.ids[:cut]
        assert finished.reasoning.startswith(whole.reasoning if content else whole.reasoning[:9])
        assert finished.text


def test_thinking_switched_off_answers_at_once(shallow_engine: LlamaEngine) -> None:
    off = msgspec.structs.replace(THINKING, think=False)
    finished = answer(shallow_engine, off, max_tokens=8)
    assert finished.reasoning == ""
    assert finished.text
    assert finished.stats.thinking_tokens == 0


def test_a_grammar_without_thoughts_is_for_the_answer(shallow_engine: LlamaEngine) -> None:
    finished = answer(
        shallow_engine, LONG_THOUGHT, grammar='root ::= "yes" | "no"', max_thinking_tokens=6
    )
    assert finished.text in ("yes", "no")
    assert finished.stats.thinking_tokens == 6


def test_a_new_worker_goes_on_in_the_thought(shallow_engine: LlamaEngine) -> None:
    request = Generate(
        1, LONG_THOUGHT, GREEDY, max_thinking_tokens=6, grammar='root ::= "certainly"'
    )
    *_, whole = shallow_engine.generate(request)
    assert isinstance(whole, Finished)
    for cut in (3, len(whole.ids) - 1):
        resumed = msgspec.structs.replace(request, resume=whole.ids[:cut])
        *events, finished = shallow_engine.generate(resumed)
        assert isinstance(finished, Finished)
        assert finished.text == "certainly"
        assert finished.ids[:cut] == whole.ids[:cut]
        assert finished.stats.thinking_tokens == 6
        added = [event.text for event in events if isinstance(event, Delta)]
        assert "certainly".endswith("".join(added))
