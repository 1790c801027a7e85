"""Shifting the KV cache of the real model: what follows a cut is not read again."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from baize_tui.engine.cache_gaps import LEAST_TOKENS, find_gap
from baize_tui.engine.llama.abort import AbortFlag
from baize_tui.engine.llama.context import Context
from baize_tui.engine.llama.errors import Aborted
from baize_tui.engine.llama_engine import LlamaEngine
from baize_tui.engine.protocol import Finished, Load, Prompt, PromptMessage
from baize_tui.settings import KvType
from tests.engine.test_snapshots import ask, files, opened, warm

TURNS = [
    ("The dragon Smaug is red. " * 8, "I see, a red dragon."),
    ("The wizard Gandalf is grey. " * 8, "I see, a grey wizard."),
    ("The hobbit Bilbo is small. " * 8, "I see, a small hobbit."),
]
SYSTEM = PromptMessage("system", "You are a helpful AI assistant.")
QUESTION = "Answer in one word: who is small?"
EACH_TYPE = pytest.mark.parametrize("kv_type", ["f16", "q8_0"])
EACH_CUT = pytest.mark.parametrize(
    "kept", [(1, 2), (2,), (0, 2)], ids=["the oldest", "two of them", "a pinned one stays"]
)
"""The turns that stay; the name says what leaves the context."""


def talk(*turns: int) -> Prompt:
    """The system prompt and some of the turns."""
    messages = [SYSTEM]
    for number in turns:
        question, answer = TURNS[number]
        messages += [PromptMessage("user", question), PromptMessage("assistant", answer)]
    return Prompt(messages)


def ask_after_cut(engine: LlamaEngine, kept: tuple[int, ...]) -> Finished:
    """Ask about the turns that stay, after all of them were read."""
    warm(engine, prompt=talk(0, 1, 2))
    return ask(engine, QUESTION, prompt=talk(*kept), shift=True)


def ids_of(engine: LlamaEngine, prompt: Prompt, question: str = QUESTION) -> list[int]:
    return engine.prompt_ids(Prompt([*prompt.messages, PromptMessage("user", question)]))


@pytest.mark.sampled(2)
@EACH_TYPE
@EACH_CUT
def test_only_what_is_new_is_read(
    shallow_smollm2: Path, tmp_path: Path, kv_type: KvType, kept: tuple[int, ...]
) -> None:
    with opened(shallow_smollm2, tmp_path, kv_type=kv_type) as engine:
        finished = ask_after_cut(engine, kept)
        wanted = ids_of(engine, talk(*kept))
        assert engine.cache.ids[: len(wanted)] == wanted
        new = len(wanted) - finished.stats.reused_tokens
        question_alone = len(ids_of(engine, Prompt([]))) + 1
        assert new <= question_alone
        assert finished.stats.shifted
        assert engine.cache.context.last_position() + 1 == len(engine.cache.ids)


@pytest.mark.sampled(1)
@EACH_TYPE
@EACH_CUT
def test_what_was_moved_is_understood(
    smollm2: Path, tmp_path: Path, kv_type: KvType, kept: tuple[int, ...]
) -> None:
    with opened(smollm2, tmp_path, kv_type=kv_type) as engine:
        finished = ask_after_cut(engine, kept)
        assert finished.stats.shifted
        assert "bilbo" in finished.text.lower() or "hobbit" in finished.text.lower()


def test_it_goes_on_shifted_until_the_cache_is_cleared(
    shallow_smollm2: Path, tmp_path: Path
) -> None:
    with opened(shallow_smollm2, tmp_path) as engine:
        warm(engine, prompt=talk(0, 1, 2))
        assert not ask(engine, QUESTION, prompt=talk(0, 1, 2)).stats.shifted
        engine.save_cache()
        saved = files(tmp_path)
        assert saved
        assert ask(engine, QUESTION, prompt=talk(1, 2), shift=True).stats.shifted
        engine.save_cache()
        assert files(tmp_path) == saved
        again = ask(engine, "And who is grey?", prompt=talk(1, 2))
        assert again.stats.shifted
        assert again.stats.reused_tokens > 100
        engine.save_cache()
        assert files(tmp_path) == saved
        # Another conversation shares no more than the beginning, which was not moved.
        other = Prompt([SYSTEM, PromptMessage("user", "Hello")])
        assert not ask(engine, QUESTION, conversation="b", prompt=other).stats.shifted
        engine.save_cache()
        assert files(tmp_path) != saved


def test_no_state_of_a_shifted_cache_is_saved(shallow_smollm2: Path, tmp_path: Path) -> None:
    with opened(shallow_smollm2, tmp_path) as engine:
        warm(engine, prompt=talk(0, 1, 2))
        ask(engine, QUESTION, prompt=talk(1, 2), shift=True)
        engine.save_cache()
    with opened(shallow_smollm2, tmp_path) as engine:  # what comes back is what reading would give
        restored = ask(engine, QUESTION, prompt=talk(1, 2))
        assert not restored.stats.shifted
        assert restored.stats.reused_tokens < 60
        engine.cache.clear()
        read = ask(engine, QUESTION, conversation="", prompt=talk(1, 2))
        assert restored.ids == read.ids


@pytest.mark.sampled(2)
@pytest.mark.parametrize("why", ["not allowed", "not possible", "another history", "empty"])
def test_otherwise_it_is_read_again(
    shallow_smollm2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    with opened(shallow_smollm2, tmp_path) as engine:
        exact = ask(engine, QUESTION, conversation="x", prompt=talk(1, 2))
        if why == "empty":
            engine.cache.clear()
        else:
            warm(engine, prompt=talk(0) if why == "another history" else talk(0, 1, 2))
        if why == "not possible":
            monkeypatch.setattr(Context, "can_shift", False)
        shifted = ask(engine, QUESTION, prompt=talk(1, 2), shift=why != "not allowed")
        assert not shifted.stats.shifted
        assert shifted.ids == exact.ids


class Stoppable(NamedTuple):
    engine: LlamaEngine
    abort: AbortFlag

    def shifted_ids(self) -> list[int]:
        """An answer after a shift."""
        return ask(self.engine, QUESTION, conversation="", prompt=talk(1, 2), shift=True).ids


@pytest.fixture
def stoppable(shallow_smollm2: Path) -> Iterator[Stoppable]:
    abort = AbortFlag()
    engine = LlamaEngine(Load(0, str(shallow_smollm2), context=1024, threads=2), abort)
    yield Stoppable(engine, abort)
    engine.close()


def test_stopping_before_the_move_leaves_nothing_half_moved(stoppable: Stoppable) -> None:
    engine, abort = stoppable
    exact = ask(engine, QUESTION, conversation="", prompt=talk(1, 2))
    warm(engine, conversation="", prompt=talk(0, 1, 2))
    abort.set()
    with pytest.raises(Aborted):
        engine.cache.shift_to(ids_of(engine, talk(1, 2)))
    abort.clear()
    assert not engine.cache.is_shifted
    assert ask(engine, QUESTION, conversation="", prompt=talk(1, 2)).ids == exact.ids


def test_the_move_itself_is_not_stopped(
    stoppable: Stoppable, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, abort = stoppable
    warm(engine, conversation="", prompt=talk(0, 1, 2))
    expected = stoppable.shifted_ids()
    engine.cache.clear()
    warm(engine, conversation="", prompt=talk(0, 1, 2))
    cut_out = Context.cut_out

    def stop_then(context: Context, start: int, end: int) -> bool:
        done = cut_out(context, start, end)
        abort.set()
        return done

    monkeypatch.setattr(Context, "cut_out", stop_then)
    engine.cache.shift_to(ids_of(engine, talk(1, 2))[:-1])
    # Afterwards the flag stops computations again.
    with pytest.raises(Aborted):
        engine.cache.context.decode([1] * 64, len(engine.cache.ids), logits=False)
    engine.cache.reuse(engine.cache.ids[: engine.cache.context.last_position() + 1])
    abort.clear()
    assert stoppable.shifted_ids() == expected


def test_a_move_that_fails_is_read_again(
    shallow_smollm2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(shallow_smollm2, tmp_path) as engine:
        exact = ask(engine, QUESTION, conversation="x", prompt=talk(1, 2))
        warm(engine, prompt=talk(0, 1, 2))

        def fail(default: str) -> str:
            return default or "failed to compute K-shift"

        monkeypatch.setattr("baize_tui.engine.llama.context.reason_from_log", fail)
        shifted = ask(engine, QUESTION, prompt=talk(1, 2), shift=True)
        assert not shifted.stats.shifted
        assert shifted.ids == exact.ids


# --- what to cut out ------------------------------------------------------------------------------


def test_a_gap_is_found_wherever_it_is() -> None:
    chance = random.Random(7)
    for _ in range(300):
        text = [chance.randrange(1000) for _ in range(chance.randrange(80, 300))]
        start = chance.randrange(len(text) - LEAST_TOKENS - 1)
        end = chance.randrange(start + 1, len(text) - LEAST_TOKENS + 1)
        wanted = text[:start] + text[end:] + [chance.randrange(1000) for _ in range(5)]
        gap = find_gap(text, wanted)
        assert gap is not None
        first, last = gap
        assert last - first == end - start
        assert text[:first] + text[last:] == wanted[: len(text) - (end - start)]


@pytest.mark.parametrize(
    ("cached", "wanted"),
    [
        ([], []),
        (list(range(100)), list(range(100))),
        (list(range(100)), list(range(50))),
        (list(range(50)), list(range(100))),
        (list(range(100)), list(range(200, 300))),
        (list(range(100)), list(range(90, 100))),
    ],
)
def test_there_is_no_gap_where_nothing_goes_on_alike(cached: list[int], wanted: list[int]) -> None:
    assert find_gap(cached, wanted) is None
