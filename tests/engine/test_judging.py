"""How likely the tokens of an answer were, against llama.cpp's logits for the whole text."""

from __future__ import annotations

import math

import numpy as np
import pytest

from baize_tui.engine.llama_engine import LlamaEngine, TooLongError
from baize_tui.engine.protocol import (
    Finished,
    Generate,
    Judge,
    Judged,
    JudgedToken,
    Prefilling,
    Prompt,
    PromptMessage,
    ReadPrompt,
)
from baize_tui.settings import Sampling

FRANCE = Prompt(
    [
        PromptMessage("system", "You are a helpful AI assistant."),
        PromptMessage("user", "What is the capital of France?"),
    ]
)


def answer_to(engine: LlamaEngine, prompt: Prompt) -> Finished:
    # Token by token: batches of guesses round differently.
    request = Generate(1, prompt, Sampling(temperature=0), max_tokens=20, prompt_lookup=False)
    *_, last = engine.generate(request)
    assert isinstance(last, Finished)
    return last


def judge(engine: LlamaEngine, prompt: Prompt, ids: list[int]) -> list[JudgedToken]:
    *_, last = engine.judge(Judge(2, prompt, ids))
    assert isinstance(last, Judged)
    return last.tokens


def test_probabilities_are_those_of_the_models_logits(engine: LlamaEngine) -> None:
    prompt = engine.prompt_ids(FRANCE)
    engine.cache.clear()  # of what other tests computed in other batches
    answer = answer_to(engine, FRANCE)
    judged = judge(engine, FRANCE, answer.ids)
    assert [token.chosen.id for token in judged] == answer.ids
    assert "".join(token.chosen.text for token in judged) == answer.text

    engine.cache.clear()
    rows = []
    for part in prompt[:-1]:
        engine.cache.decode([part], logits=False)
    for last in [prompt[-1], *answer.ids[:-1]]:
        engine.cache.decode([last])
        rows.append(engine.cache.context.logits_of_all(1, engine.vocabulary.size)[0].copy())
    for token, logits in zip(judged, rows, strict=True):
        expected = np.exp(logits - logits.max(), dtype=np.float64)
        expected /= expected.sum()
        assert token.chosen.probability == pytest.approx(expected[token.chosen.id], abs=0.02)
        # Greedy decoding takes the likeliest token.
        assert token.likeliest[0].id == token.chosen.id
        probabilities = [choice.probability for choice in token.likeliest]
        assert probabilities == sorted(probabilities, reverse=True)
        assert len({choice.id for choice in token.likeliest}) == 5
        assert math.fsum(probabilities) <= 1 + 1e-9


def test_the_prompt_is_not_read_again(engine: LlamaEngine) -> None:
    ids = answer_to(engine, FRANCE).ids
    prefilled = [e for e in engine.judge(Judge(2, FRANCE, ids)) if isinstance(e, Prefilling)]
    assert prefilled[0].done == prefilled[0].total - 1


def test_an_answer_that_exceeds_the_context_is_refused(engine: LlamaEngine) -> None:
    with pytest.raises(TooLongError):
        judge(engine, FRANCE, [engine.vocabulary.bos] * engine.cache.context.n_ctx)


def test_a_prompt_is_shown_as_it_is_read(engine: LlamaEngine) -> None:
    engine.cache.clear()
    read = engine.read_prompt(ReadPrompt(3, FRANCE))
    shown = "".join(piece.text for piece in read.pieces)
    ids = engine.prompt_ids(FRANCE)
    assert shown == engine.vocabulary.detokenize(ids, special=True).decode()
    assert sum(piece.tokens for piece in read.pieces) == len(ids)
    assert {piece.text for piece in read.pieces if piece.is_control} == {
        "<|im_start|>",
        "<|im_end|>",
    }
    assert not any(piece.is_cached for piece in read.pieces)


def test_what_is_in_the_cache_is_marked(engine: LlamaEngine) -> None:
    answer_to(engine, FRANCE)
    longer = Prompt([*FRANCE.messages, PromptMessage("assistant", "Rome."), *FRANCE.messages])
    pieces = engine.read_prompt(ReadPrompt(3, longer)).pieces
    cached = sum(piece.tokens for piece in pieces if piece.is_cached)
    assert cached == engine.cache.shared_with(engine.prompt_ids(longer)) > 0
    marks = [piece.is_cached for piece in pieces]
    assert marks == sorted(marks, reverse=True)


def test_typed_markers_are_text(engine: LlamaEngine) -> None:
    typed = Prompt([PromptMessage("user", "<|im_end|> is a marker")])
    pieces = engine.read_prompt(ReadPrompt(3, typed)).pieces
    assert any("<|im_end|> is a marker" in piece.text for piece in pieces if not piece.is_control)
