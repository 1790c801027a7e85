"""Flash or plain attention: the rule, the trial on this machine, and what comes of it."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from baize_tui.engine.attention import (
    BATCH,
    GPU_BATCH,
    MOST_SCORE_BYTES,
    Attention,
    AttentionTimes,
    TrialResult,
    choose_attention,
)
from baize_tui.engine.client import EngineFailure
from baize_tui.engine.client.attention_choice import VARIABLE, AttentionChoice
from baize_tui.engine.llama.abort import AbortFlag
from baize_tui.engine.llama_engine import LlamaEngine
from baize_tui.engine.measuring import measure
from baize_tui.engine.protocol import (
    Delta,
    Generate,
    Load,
    Measure,
    Prompt,
    PromptMessage,
)
from baize_tui.settings import Sampling

SLOW = AttentionTimes(token=0.002, question=0.1, batch=0.4)
FAST = AttentionTimes(token=0.001, question=0.02, batch=0.5)


@pytest.fixture
def choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AttentionChoice:
    monkeypatch.delenv(VARIABLE, raising=False)
    return AttentionChoice(tmp_path / "cache" / "attention.json", tmp_path / "worker.log")


def choose(n_ctx: int, heads: int = 32, *, allowed: bool = True, pays: bool = False) -> Attention:
    return choose_attention(
        on_gpu=False, flash_allowed=allowed, flash_pays=pays, n_ctx=n_ctx, heads=heads
    )


def test_flash_attention_is_switched_off_only_where_plain_is_clearly_faster() -> None:
    assert not TrialResult(flash=SLOW, plain=FAST).flash_pays
    assert TrialResult(flash=FAST, plain=SLOW).flash_pays
    assert TrialResult(flash=FAST, plain=FAST).flash_pays, "plain takes more memory"


def test_a_gpu_always_uses_flash_attention_if_it_may() -> None:
    for allowed in (False, True):
        assert choose_attention(
            on_gpu=True, flash_allowed=allowed, flash_pays=False, n_ctx=4096, heads=32
        ) == Attention(allowed, GPU_BATCH)


@pytest.mark.parametrize(
    ("n_ctx", "batch"), [(512, 512), (4096, 512), (8192, 256), (16384, 128), (32768, 64)]
)
def test_batches_get_smaller_so_that_scores_fit_into_memory(n_ctx: int, batch: int) -> None:
    assert choose(n_ctx) == Attention(flash=False, batch=batch)


def test_a_context_too_long_for_scores_uses_flash_attention_unless_it_crashed() -> None:
    assert choose(131072) == Attention(flash=True, batch=BATCH)
    assert choose(131072, allowed=False) == Attention(flash=False, batch=64)


@given(n_ctx=st.integers(1, 1 << 20), heads=st.integers(1, 256))
def test_scores_never_take_more_than_their_limit(n_ctx: int, heads: int) -> None:
    attention = choose(n_ctx, heads)
    assert 64 <= attention.batch <= BATCH
    assert attention.flash or n_ctx * heads * attention.batch * 4 <= MOST_SCORE_BYTES


async def test_the_trial_measures_this_machine_once(
    choice: AttentionChoice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pays = await choice.flash_pays()
    result = choice.known_result
    assert result is not None, (tmp_path / "worker.log").read_text()
    assert min(msgspec.structs.astuple(result.flash) + msgspec.structs.astuple(result.plain)) > 0
    assert result.flash_pays is pays

    def not_again(*_: object, **__: object) -> None:
        raise AssertionError("it is measured again")

    monkeypatch.setattr(asyncio, "create_subprocess_exec", not_again)
    later = AttentionChoice(tmp_path / "cache" / "attention.json", tmp_path / "worker.log")
    assert await later.flash_pays() is pays
    assert later.known_result == result


@pytest.mark.parametrize("program", ["/bin/false", "/bin/echo", "no such program"])
async def test_a_trial_that_fails_leaves_flash_attention_on_for_this_client(
    program: str, choice: AttentionChoice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", program)
    assert await choice.flash_pays()
    assert choice.known_result is None
    assert not (tmp_path / "cache" / "attention.json").exists(), "the next client tries again"


async def test_a_crash_of_llama_cpp_in_the_trial_is_remembered(
    choice: AttentionChoice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "crash"
    program.write_text("#!/bin/sh\nkill -SEGV $$\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    assert await choice.flash_pays()
    assert (tmp_path / "cache" / "attention.json").exists()


def test_another_value_of_the_variable_is_refused(
    choice: AttentionChoice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "maybe")
    with pytest.raises(EngineFailure, match="BAIZE_FLASH_ATTENTION is 'maybe', but may be on or"):
        choice.flash_pays_so_far()


@pytest.mark.parametrize(("value", "pays"), [("on", True), ("off", False)])
async def test_the_environment_decides_instead_of_the_trial(
    value: str, pays: bool, choice: AttentionChoice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, value)
    monkeypatch.setattr(sys, "executable", "no such program")
    assert await choice.flash_pays() is pays
    assert choice.flash_pays_so_far() is pays


def test_both_ways_give_the_same_answer(smollm2: Path) -> None:
    prompt = Prompt([PromptMessage("user", "Count from one to ten.")])
    request = Generate(0, prompt, Sampling(temperature=0), max_tokens=12)
    answers = []
    for flash in (True, False):
        load = Load(0, str(smollm2), context=512, threads=2, flash_attention=flash)
        engine = LlamaEngine(load, AbortFlag())
        assert engine.loaded.flash_attention is flash
        events = engine.generate(request)
        answers.append("".join(event.text for event in events if isinstance(event, Delta)))
        engine.close()
    assert answers[0]
    assert answers[0] == answers[1]


def test_the_measured_footprint_includes_the_scores(smollm2: Path) -> None:
    flash, plain = (
        measure(Measure(0, str(smollm2), context=2048, flash_attention=flash)).footprint
        for flash in (True, False)
    )
    assert plain.compute > flash.compute
    assert plain.kv == flash.kv
