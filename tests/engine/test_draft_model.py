"""A draft model: its guesses never change an answer, and without it the chat goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baize_tui.engine.client import ModelSpec
from baize_tui.engine.crash_switch import VARIABLE
from baize_tui.engine.draft_costs import LEAST_GAIN, MOST_TOKENS, Draft, DraftCosts
from baize_tui.engine.draft_model import DraftModel
from baize_tui.engine.draft_payoff import DraftPayoff
from baize_tui.engine.llama.abort import AbortFlag
from baize_tui.engine.llama.errors import Aborted, EngineError
from baize_tui.engine.llama_engine import LlamaEngine
from baize_tui.engine.protocol import Finished, Generate, Load, Prompt, PromptMessage, Warm
from baize_tui.paths import Paths
from baize_tui.settings import Sampling
from tests.convert.model_folders import convert_folder, random_folder
from tests.engine.gguf_kinds import other_files
from tests.engine.model_files import broken_files
from tests.engine.same_answers import assert_same_but_for_rounding
from tests.engine.test_profiles import opened, story

STORY = Prompt([PromptMessage("user", "Tell me a story about a dragon.")])
PLAIN = Prompt([PromptMessage("user", "Hello.")], template="{{ messages[0]['content'] }}")
TINY: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}


@pytest.fixture(scope="module")
def drafting(shallow_smollm2: Path, abort: AbortFlag) -> Iterator[LlamaEngine]:
    """The real model, which guesses its own tokens."""
    engine = LlamaEngine(
        Load(0, str(shallow_smollm2), context=512, draft=str(shallow_smollm2), threads=2), abort
    )
    engine.warm_up()
    assert engine.loaded.draft_problem == ""
    yield engine
    engine.close()


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guesses are made and computed whatever they cost."""
    monkeypatch.setattr(
        DraftCosts, "best_draft", lambda _self, rates: Draft(len(rates), 9.0 if rates else 1.0)
    )
    monkeypatch.setattr(DraftCosts, "per_guess", -9.0)
    monkeypatch.setattr(DraftCosts, "needs_single", False)
    monkeypatch.setattr(DraftCosts, "single_s", 1.0)
    monkeypatch.setattr(DraftPayoff, "allows", lambda _self: True)


def answer(
    engine: LlamaEngine, *, draft: bool, prompt: Prompt = STORY, **options: object
) -> Finished:
    sampling = options.pop("sampling", Sampling(temperature=0))
    request = Generate(1, prompt, sampling, use_draft=draft, **options)  # type: ignore[arg-type]
    *_, finished = engine.generate(request)
    assert isinstance(finished, Finished)
    return finished


@pytest.mark.sampled(3)
@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("tokens", [1, 2, 9, 60])
@pytest.mark.parametrize("lookup", [False, True])
def test_the_answer_is_the_same_as_without(
    drafting: LlamaEngine, tokens: int, lookup: bool
) -> None:
    plain = answer(drafting, draft=False, max_tokens=tokens)
    guessed = answer(drafting, draft=True, max_tokens=tokens, prompt_lookup=lookup)
    assert guessed.ids == plain.ids
    assert guessed.reason == plain.reason
    assert plain.stats.guessed_tokens == 0


@pytest.mark.usefixtures("eager")
def test_a_model_guesses_its_own_tokens(drafting: LlamaEngine) -> None:
    stats = answer(drafting, draft=True, max_tokens=60).stats
    assert stats.guessed_tokens > 40
    assert stats.accepted_tokens > 0.8 * stats.guessed_tokens


@pytest.mark.usefixtures("eager")
def test_the_cache_has_no_guess_after_an_answer(drafting: LlamaEngine) -> None:
    finished = answer(drafting, draft=True, max_tokens=23)
    assert drafting.cache.ids[finished.stats.prompt_tokens :] == finished.ids[:-1]
    assert drafting.cache.context.last_position() + 1 == len(drafting.cache.ids)


@pytest.mark.usefixtures("eager")
def test_the_answer_is_the_same_up_to_the_end_of_the_context(
    drafting: LlamaEngine,
) -> None:
    long = Prompt([PromptMessage("user", "word " * 400 + "\nTell me a story about a dragon.")])
    plain = answer(drafting, draft=False, prompt=long, max_tokens=500)
    guessed = answer(drafting, draft=True, prompt=long, max_tokens=500)
    assert len(drafting.cache.ids) <= drafting.cache.context.n_ctx
    assert_same_but_for_rounding(drafting, long, guessed, plain)


@pytest.mark.usefixtures("eager")
def test_another_conversation_is_read_from_where_it_differs(drafting: LlamaEngine) -> None:
    for question in ("Who was Ada Lovelace?", "Who was Ada Byron?", "Name three rivers."):
        prompt = Prompt([PromptMessage("user", question)])
        plain = answer(drafting, draft=False, prompt=prompt, max_tokens=20)
        assert answer(drafting, draft=True, prompt=prompt, max_tokens=20).ids == plain.ids


def test_reading_ahead_changes_no_answer(drafting: LlamaEngine) -> None:
    plain = answer(drafting, draft=False, max_tokens=10)
    for _ in range(MOST_TOKENS):  # each time one more size of batches is measured
        assert [*drafting.warm(Warm(2, STORY))][-1].request == 2
        assert len(drafting.cache.ids) == plain.stats.prompt_tokens - 1
    assert answer(drafting, draft=True, max_tokens=10).ids == plain.ids


@pytest.mark.usefixtures("eager")
def test_it_stops_with_the_answer(drafting: LlamaEngine, abort: AbortFlag) -> None:
    events = drafting.generate(
        Generate(1, STORY, Sampling(temperature=0), max_tokens=200, use_draft=True)
    )
    next(event for event in events if getattr(event, "ids", None))
    abort.set()
    try:
        *_, end = events
    finally:
        abort.clear()
    assert isinstance(end, Finished)
    assert end.reason == "cancelled"
    assert drafting.cache.context.last_position() + 1 == len(drafting.cache.ids)
    assert answer(drafting, draft=True, max_tokens=5).reason == "length"


@pytest.mark.usefixtures("eager")
def test_a_draft_model_that_fails_is_reported_once_and_left_out(
    shallow_smollm2: Path, abort: AbortFlag, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = LlamaEngine(
        Load(0, str(shallow_smollm2), context=512, draft=str(shallow_smollm2)), abort
    )

    def fail(*_: object) -> None:
        raise EngineError("out of memory")

    monkeypatch.setattr(DraftModel, "read", fail)
    first = answer(engine, draft=True, max_tokens=12)
    again = answer(engine, draft=True, max_tokens=12)
    engine.close()
    assert [notice for notice in first.notices if "out of memory" in notice]
    assert first.stats.completion_tokens == again.stats.completion_tokens == 12
    assert again.notices == []


# --- files that cannot guess ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of 300 tokens."""
    folder = tmp_path_factory.mktemp("tiny")
    convert_folder(random_folder(folder / "model", **TINY), "F16", folder / "tiny.gguf")
    return folder / "tiny.gguf"


def test_a_file_that_cannot_guess_is_left_out_with_one_line(
    tiny: Path, shallow_smollm2: Path, abort: AbortFlag, tmp_path: Path
) -> None:
    files = {name: file for name, (file, _) in broken_files(tmp_path / "broken", tiny).items()}
    files |= {name: file for name, (file, _) in other_files(tmp_path / "kinds").items()}
    files |= {"vocabulary": shallow_smollm2, "missing": tmp_path / "missing.gguf"}
    for name, file in files.items():
        engine = LlamaEngine(Load(0, str(tiny), context=256, draft=str(file)), abort)
        problem = engine.loaded.draft_problem
        assert problem.startswith("no draft model is used: "), name
        assert "\n" not in problem
        assert str(file) in problem, name
        assert engine.loaded.draft == ""
        assert answer(engine, draft=True, prompt=PLAIN, max_tokens=3).ids, name
        engine.close()


@pytest.mark.sampled(2)
@pytest.mark.parametrize(("padding", "accepted"), [(0, True), (100, True), (200, False)])
def test_a_vocabulary_may_be_padded(
    padding: int, accepted: bool, tiny: Path, abort: AbortFlag, tmp_path: Path
) -> None:
    """Sizes of one family often differ by tokens that do not exist."""
    folder = random_folder(tmp_path / "padded", **TINY, vocab_size=300 + padding)
    convert_folder(folder, "F16", tmp_path / "padded.gguf")
    load = Load(0, str(tiny), context=256, draft=str(tmp_path / "padded.gguf"))
    engine = LlamaEngine(load, abort)
    assert bool(engine.loaded.draft) == accepted, engine.loaded.draft_problem
    plain = answer(engine, draft=False, prompt=PLAIN, max_tokens=12)
    assert answer(engine, draft=True, prompt=PLAIN, max_tokens=12).ids == plain.ids
    engine.close()


# --- crashes --------------------------------------------------------------------------------------


@pytest.mark.sampled(2)
@pytest.mark.parametrize("phase", ["loading", "warming-up", "prefilling", "decoding"])
async def test_the_draft_model_is_given_up_before_anything_else(
    phase: str, paths: Paths, shallow_smollm2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, f"SIGSEGV {phase} full draft")
    async with opened(paths) as (engine, notices):
        await engine.load(ModelSpec(str(shallow_smollm2), context=512, draft=str(shallow_smollm2)))
        text, end = await story(engine)
        assert text == end.text
        assert end.stats.completion_tokens == 40
        (notice,) = notices
        assert "SIGSEGV" in notice
        assert f"the draft model {shallow_smollm2} is not used any more" in notice
        assert engine.profile.name == "full"
        assert (await story(engine, 4))[1].text
        assert len(notices) == 1


async def test_a_crash_that_has_another_cause_is_survived_too(
    paths: Paths, shallow_smollm2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "SIGSEGV decoding full")
    async with opened(paths) as (engine, notices):
        await engine.load(ModelSpec(str(shallow_smollm2), context=512, draft=str(shallow_smollm2)))
        text, end = await story(engine)
        assert text == end.text
        assert engine.profile.name != "full"
        assert len(notices) == 2


# --- what pays ------------------------------------------------------------------------------------


@given(st.lists(st.floats(0, 1), max_size=MOST_TOKENS - 1))
def test_a_draft_is_never_longer_than_the_guesses(rates: list[float]) -> None:
    length, gain = DraftCosts().best_draft(rates)
    assert 0 <= length <= len(rates)
    assert gain == 1.0 if length == 0 else gain > LEAST_GAIN


@given(st.lists(st.tuples(st.integers(1, 8), st.floats(0.001, 10)), min_size=1, max_size=500))
def test_losing_drafts_become_rare(tries: list[tuple[int, float]]) -> None:
    """Whatever was measured before, drafts that lose take a bounded part of the tokens."""
    payoff = DraftPayoff()
    for tokens, seconds in tries:
        payoff.record(tokens, seconds, 1.0)
    drafts = 0
    for _ in range(20_000):
        if payoff.allows():
            drafts += 1
            payoff.record(1, 2.0, 1.0)
    assert drafts < 400


def test_drafts_are_tried_again_and_stay_where_they_pay() -> None:
    payoff = DraftPayoff()
    while payoff.allows():
        payoff.record(1, 2.0, 1.0)
    waited = 0
    while not payoff.allows():
        waited += 1
    assert 0 < waited <= 1024
    for _ in range(100):
        payoff.record(5, 2.0, 1.0)
    assert all(payoff.allows() for _ in range(100))


def test_a_single_token_is_measured_now_and_then() -> None:
    costs, singles = DraftCosts(), 0
    for _ in range(1000):
        single = costs.needs_single
        singles += single
        costs.measured(1 if single else 5, 1.0)
    assert 10 <= singles <= 20


def test_an_aborted_read_leaves_a_cache_that_is_known(
    drafting: LlamaEngine, abort: AbortFlag
) -> None:
    abort.set()
    try:
        with pytest.raises(Aborted):
            list(drafting.warm(Warm(3, Prompt([PromptMessage("user", "word " * 400)]))))
    finally:
        abort.clear()
    plain = answer(drafting, draft=False, max_tokens=10)
    assert answer(drafting, draft=True, max_tokens=10).ids == plain.ids
