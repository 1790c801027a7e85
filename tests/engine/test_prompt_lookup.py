"""Guessed tokens: right where text repeats, learned from, and never part of an answer unchecked."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baize_tui.engine.draft_costs import MOST_TOKENS, Draft, DraftCosts
from baize_tui.engine.llama_engine import LlamaEngine
from baize_tui.engine.prompt_lookup import PromptLookup
from baize_tui.engine.protocol import Finished, Generate, Prompt, PromptMessage
from baize_tui.settings import Sampling

TEXT = (
    "The old lighthouse stood on the cliff above the town. Every evening the keeper climbed the "
    "stairs and lit the lamp. Ships passed far out, and their crews saw the light."
)
REPEAT = Prompt(
    [
        PromptMessage("user", f"{TEXT}\n\nRepeat this text exactly."),
        PromptMessage("assistant", TEXT),
        PromptMessage("user", "Repeat it once more."),
    ]
)
STORY = Prompt([PromptMessage("user", "Tell me a story about a dragon.")])


def answer(engine: LlamaEngine, prompt: Prompt, *, lookup: bool, **options: object) -> Finished:
    sampling = options.pop("sampling", Sampling(temperature=0))
    request = Generate(1, prompt, sampling, prompt_lookup=lookup, **options)  # type: ignore[arg-type]
    *_, finished = engine.generate(request)
    assert isinstance(finished, Finished)
    return finished


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guesses are computed whatever they cost, as often as there are some."""
    monkeypatch.setattr(
        DraftCosts, "best_draft", lambda _self, rates: Draft(len(rates), 9.0 if rates else 1.0)
    )
    monkeypatch.setattr(DraftCosts, "needs_single", False)


@pytest.mark.sampled(3)
@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("prompt", [REPEAT, STORY], ids=["repeat", "story"])
@pytest.mark.parametrize("tokens", [1, 2, 7, 40])
def test_the_answer_is_the_same_as_without(
    engine: LlamaEngine, prompt: Prompt, tokens: int
) -> None:
    plain = answer(engine, prompt, lookup=False, max_tokens=tokens)
    guessed = answer(engine, prompt, lookup=True, max_tokens=tokens)
    assert guessed.ids == plain.ids
    assert guessed.reason == plain.reason
    assert len(guessed.ids) <= tokens


@pytest.mark.usefixtures("eager")
def test_most_guesses_are_right_where_text_repeats(engine: LlamaEngine) -> None:
    stats = answer(engine, REPEAT, lookup=True, max_tokens=40).stats
    assert stats.guessed_tokens > 20
    assert stats.accepted_tokens > 0.6 * stats.guessed_tokens
    assert answer(engine, REPEAT, lookup=False, max_tokens=40).stats.guessed_tokens == 0


@pytest.mark.usefixtures("eager")
def test_the_cache_has_no_guess_after_an_answer(engine: LlamaEngine) -> None:
    finished = answer(engine, REPEAT, lookup=True, max_tokens=23)
    prompt_tokens = finished.stats.prompt_tokens
    # The last token of an answer is not decoded.
    assert engine.cache.ids[prompt_tokens:] == finished.ids[:-1]
    assert engine.cache.context.last_position() + 1 == len(engine.cache.ids)


@pytest.mark.usefixtures("eager")
def test_a_grammar_is_followed(engine: LlamaEngine) -> None:
    grammar = 'root ::= ("The old " | "lighthouse " | "stood ")+ "."'
    finished = answer(engine, REPEAT, lookup=True, max_tokens=30, grammar=grammar)
    assert re.fullmatch(r"((The old |lighthouse |stood )*(\.|T?\w*\s?\w*))", finished.text)


@pytest.mark.usefixtures("eager")
def test_penalties_see_only_tokens_of_the_answer(engine: LlamaEngine) -> None:
    sampling = Sampling(temperature=0, repeat_penalty=1.3, penalty_last_n=64)
    plain = answer(engine, REPEAT, lookup=False, max_tokens=30, sampling=sampling)
    guessed = answer(engine, REPEAT, lookup=True, max_tokens=30, sampling=sampling)
    assert guessed.ids == plain.ids


# --- guessing -----------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 3), max_size=60), st.lists(st.integers(0, 3), max_size=30))
def test_a_guess_is_what_followed_the_same_tokens_before(
    prompt: list[int], answer_ids: list[int]
) -> None:
    lookup, ids = PromptLookup(prompt), list(prompt)
    for token in [*answer_ids, 0]:
        guesses = lookup.guesses(5)
        if guesses:
            places = [
                i
                for i in range(3, len(ids))
                if ids[i - 3 : i] == ids[-3:] and ids[i : i + len(guesses)] == guesses
            ]
            assert places
        assert 0 <= lookup.rate <= 1
        lookup.add(token)
        ids.append(token)


def test_repeated_text_is_guessed_token_by_token() -> None:
    text = list(range(100, 140))
    lookup = PromptLookup([*text, 1, *text[:3]])
    for token in text[3:]:
        assert lookup.guesses(1) == [token]
        lookup.add(token)
    assert lookup.rate > 0.9


def test_wrong_guesses_are_learned_from() -> None:
    lookup = PromptLookup([1, 2, 3, 4])
    for last in range(5, 60):
        for token in (1, 2, 3):
            lookup.add(token)
        before = lookup.rate
        lookup.add(last)
    assert before < 0.1


# --- what pays ----------------------------------------------------------------------------------


def test_guesses_are_computed_only_if_they_pay() -> None:
    costs = DraftCosts()
    assert costs.best_draft([0.05] * 7).length == 0
    assert costs.best_draft([0.98] * 7).length == 7
    for size in range(1, MOST_TOKENS + 1):
        costs.measured(size, 0.01 * size)  # a batch is no faster than single tokens
    assert costs.best_draft([0.98] * 7).length == 0
