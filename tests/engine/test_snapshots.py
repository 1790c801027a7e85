"""Saved states on the real model: restored bit for bit, and never trusted when damaged."""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from baize_tui.engine import kv_snapshots
from baize_tui.engine.llama.abort import AbortFlag
from baize_tui.engine.llama.errors import Aborted
from baize_tui.engine.llama_engine import LlamaEngine
from baize_tui.engine.protocol import (
    Finished,
    Generate,
    Load,
    Prompt,
    PromptMessage,
    Stats,
    Warm,
    Warmed,
)
from baize_tui.engine.snapshots.block_file import read_block, write_block
from baize_tui.engine.snapshots.snapshot_folder import SnapshotFolder
from baize_tui.engine.snapshots.state_key import file_identity
from baize_tui.settings import Sampling
from baize_tui.translation import tr
from tests.conftest import wait_for
from tests.engine.lora_files import SHALLOW_QUERIES, write_lora

GREEDY = Sampling(temperature=0)
LONG = " ".join(f"The dragon number {i} guards {i * 7} coins." for i in range(10))
HISTORY = Prompt([PromptMessage("user", LONG), PromptMessage("assistant", "I see.")])
BUDGET = 1 << 30


@pytest.fixture(autouse=True)
def small_blocks() -> Iterator[None]:
    """So that a prompt of some hundred tokens has several."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kv_snapshots, "_MOST_BLOCK_TOKENS", 32)
        # Whether it pays depends on the machine; here every state is saved.
        patch.setattr(kv_snapshots.KvSnapshots, "_pays", lambda _self: True)
        yield


@contextmanager
def opened(
    model: Path,
    folder: Path,
    budget: int = BUDGET,
    abort: AbortFlag | None = None,
    **options: object,
) -> Iterator[LlamaEngine]:
    """A restarted engine that saves states in ``folder``."""
    load = msgspec.convert(
        {
            "request": 0,
            "path": str(model),
            "context": 1024,
            "threads": 2,
            "snapshot_folder": str(folder),
            "snapshot_budget": budget,
            **options,
        },
        Load,
    )
    engine = LlamaEngine(load, abort or AbortFlag())
    try:
        yield engine
    finally:
        engine.close()


def ask(
    engine: LlamaEngine,
    question: str,
    conversation: str = "a",
    prompt: Prompt = HISTORY,
    **options: object,
) -> Finished:
    asked = Prompt([*prompt.messages, PromptMessage("user", question)])
    request = msgspec.convert(
        {
            "request": 1,
            "prompt": asked,
            "sampling": GREEDY,
            "max_tokens": 12,
            "conversation": conversation,
            **options,
        },
        Generate,
    )
    *_, finished = engine.generate(request)
    assert isinstance(finished, Finished)
    return finished


def warm(engine: LlamaEngine, conversation: str = "a", prompt: Prompt = HISTORY) -> Warmed:
    *_, warmed = engine.warm(Warm(1, prompt, conversation=conversation))
    assert isinstance(warmed, Warmed)
    return warmed


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/*.kv"))


class Saved(NamedTuple):
    """An engine, where it has saved conversation ``a``, and the answer in that."""

    engine: LlamaEngine
    folder: Path
    answer: Finished

    def restart(self) -> None:
        """Forget what is in memory."""
        self.engine.cache.clear()


QUESTION = "How many dragons are there?"


@pytest.fixture(scope="module")
def saved_once(shallow_smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Saved]:
    folder = tmp_path_factory.mktemp("saved") / "snapshots"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kv_snapshots, "_MOST_BLOCK_TOKENS", 32)
        patch.setattr(kv_snapshots.KvSnapshots, "_pays", lambda _self: True)
        with opened(shallow_smollm2, folder) as engine:
            finished = ask(engine, QUESTION)
            engine.save_cache()
            assert len(files(folder)) > 3
            yield Saved(engine, folder, finished)


@pytest.fixture
def saved(saved_once: Saved, tmp_path: Path) -> Iterator[Saved]:
    """The same engine, as if it had just been started."""
    backup = tmp_path / "backup"
    shutil.copytree(saved_once.folder, backup)
    saved_once.restart()
    yield saved_once
    saved_once.engine.take_snapshot_problem()
    shutil.rmtree(saved_once.folder, ignore_errors=True)
    shutil.copytree(backup, saved_once.folder)


def test_a_restored_conversation_answers_as_before(shallow_smollm2: Path, saved: Saved) -> None:
    with opened(shallow_smollm2, saved.folder) as restarted:
        after = ask(restarted, QUESTION)
    assert after.ids == saved.answer.ids
    assert after.stats.reused_tokens == after.stats.prompt_tokens - 1
    assert after.notices == []


def test_the_restored_state_is_the_computed_one_bit_for_bit(saved: Saved) -> None:
    engine = saved.engine
    ask(engine, QUESTION, max_tokens=1)
    restored = bytes(engine.cache.context.state_of(0, 64))
    saved.restart()
    shutil.rmtree(saved.folder)
    assert ask(engine, QUESTION, max_tokens=1).stats.reused_tokens == 0
    assert bytes(engine.cache.context.state_of(0, 64)) == restored


def test_a_later_turn_adds_blocks_and_rewrites_only_the_last(saved: Saved) -> None:
    before = set(files(saved.folder))
    ask(saved.engine, "Another question. " * 30)
    saved.engine.save_cache()
    after = set(files(saved.folder))
    assert len(before - after) <= 1
    assert len(after - before) > 1


def test_branches_share_what_is_before_them(saved: Saved) -> None:
    engine, questions = (
        saved.engine,
        (
            "Who is the first dragon, and what does it eat in the morning?",
            "Tell me about gold and silver, and about their price today.",
        ),
    )
    blocks = len(files(saved.folder))
    answers = []
    for question in questions:
        answers.append(ask(engine, question))
        engine.save_cache()
    assert len(files(saved.folder)) <= blocks + 2 * len(questions)
    for question, answer in zip(questions, answers, strict=True):
        saved.restart()
        again = ask(engine, question)
        assert again.ids == answer.ids
        assert again.stats.reused_tokens == again.stats.prompt_tokens - 1


def test_switching_branches_reads_one_token(saved: Saved) -> None:
    engine = saved.engine
    questions = "What do dragons eat when they are hungry?", "Where do all of the dragons sleep?"
    for question in (*questions, *questions):
        stats = ask(engine, question).stats
        engine.save_cache()
    assert stats.prompt_tokens - stats.reused_tokens == 1


def test_leaving_a_conversation_saves_it(saved: Saved) -> None:
    engine = saved.engine
    other = Prompt([PromptMessage("user", "Something else entirely.")])
    ask(engine, "What is this?", "left")
    ask(engine, "And this?", "another", other)
    back = ask(engine, "What is this?", "left")
    assert back.stats.reused_tokens == back.stats.prompt_tokens - 1


def test_a_conversation_never_uses_the_states_of_another(saved: Saved) -> None:
    assert ask(saved.engine, QUESTION, "b").stats.reused_tokens == 0


def test_what_is_read_ahead_is_reused_and_saved(saved: Saved) -> None:
    engine = saved.engine
    assert warm(engine, "ahead").reused == 0
    engine.save_cache()
    saved.restart()
    warmed = warm(engine, "ahead")
    assert warmed.reused == warmed.tokens - 1
    stats = ask(engine, "How many?", "ahead").stats
    assert stats.prompt_tokens - stats.reused_tokens < 20


def test_an_answer_does_not_wait_until_an_earlier_draft_is_saved(saved: Saved) -> None:
    before = files(saved.folder)
    warm(saved.engine, "draft")
    ask(saved.engine, "How many?", "draft", max_tokens=1)
    assert files(saved.folder) == before


def test_reading_ahead_can_be_stopped_and_continued(shallow_smollm2: Path, tmp_path: Path) -> None:
    abort = AbortFlag()
    long = Prompt([PromptMessage("user", LONG * 8)])
    engine = LlamaEngine(Load(0, str(shallow_smollm2), context=2048, threads=2), abort)
    with pytest.raises(Aborted):
        for event in engine.warm(Warm(1, long)):
            if getattr(event, "done", 0):
                abort.set()
    kept = len(engine.cache.ids)
    assert kept > 0
    abort.clear()
    assert warm(engine, prompt=long).reused == kept
    engine.close()


# --- faults -------------------------------------------------------------------------------------

DAMAGES: dict[str, Callable[[Path], object]] = {
    "emptied": lambda file: file.write_bytes(b""),
    "truncated": lambda file: os.truncate(file, file.stat().st_size - 1),
    "truncated header": lambda file: os.truncate(file, 30),
    "flipped bit in the state": lambda file: flip(file, -1000),
    "flipped bit in the header": lambda file: flip(file, 40),
    "flipped bit in the digest": lambda file: flip(file, 10),
    "longer": lambda file: file.write_bytes(file.read_bytes() + b"x"),
    "another program's": lambda file: file.write_bytes(b"GGUF" + bytes(5000)),
    "a folder": lambda file: replace_by_folder(file),
    "a pipe": lambda file: replace_by_pipe(file),
    "too large for the memory": lambda file: replace_by_endless_block(file),
    "endless brackets": lambda file: replace_by_brackets(file),
    "a link to nothing": lambda file: replace_by_link(file),
    "removed": lambda file: file.unlink(),
}


GONE = ("removed", "a link to nothing")
"""As after an eviction."""


def replace_by_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def replace_by_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def replace_by_endless_block(file: Path) -> None:
    most = 1 << 40
    header = msgspec.structs.replace(read_block(file)[0], state_bytes=most)
    write_block(file, header, b"")
    os.truncate(file, file.stat().st_size + most)  # it takes no room on the disk


def replace_by_brackets(file: Path) -> None:
    header = b'{"more":' + b"[" * 100_000
    file.write_bytes(b"BAIZEKV1" + bytes(16) + len(header).to_bytes(4, "little") + header)


def replace_by_link(file: Path) -> None:
    file.unlink()
    file.symlink_to(file.parent / "gone")


def flip(file: Path, at: int) -> None:
    content = bytearray(file.read_bytes())
    content[at] ^= 4
    file.write_bytes(content)


@pytest.mark.sampled(7)
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("position", [0, 2])
def test_a_damaged_block_only_costs_time(saved: Saved, damage: str, position: int) -> None:
    engine = saved.engine
    ordered = sorted(files(saved.folder), key=lambda file: read_block(file)[0].start)
    DAMAGES[damage](ordered[position])
    after = ask(engine, QUESTION)
    engine.save_cache()
    assert after.ids == saved.answer.ids
    assert after.stats.reused_tokens == position * 32
    assert after.notices == ([] if damage in GONE else [tr(kv_snapshots.DAMAGED)])
    saved.restart()
    stats = ask(engine, QUESTION).stats
    assert stats.reused_tokens == stats.prompt_tokens - 1


@pytest.mark.parametrize("damages", [12, pytest.param(25, marks=pytest.mark.sweep)])
def test_random_damage_never_changes_an_answer(saved: Saved, damages: int) -> None:
    chosen = random.Random(5)
    contents = {file: file.read_bytes() for file in files(saved.folder)}
    for _ in range(damages):
        for file, content in contents.items():
            file.write_bytes(content)
        file = chosen.choice(list(contents))
        flip(file, chosen.randrange(len(contents[file])))
        saved.restart()
        assert ask(saved.engine, QUESTION, max_tokens=3).ids == saved.answer.ids[:3]


@pytest.mark.parametrize(
    "options", [{"context": 768}, {"kv_type": "q8_0"}, {"flash_attention": False}]
)
def test_states_of_other_settings_are_removed(
    shallow_smollm2: Path, saved: Saved, options: dict[str, Any]
) -> None:
    earlier = set(files(saved.folder))
    with opened(shallow_smollm2, saved.folder, **options) as engine:
        after = ask(engine, QUESTION, max_tokens=1)
    assert after.stats.reused_tokens == 0
    assert "with other settings of the model" in after.notices[0]
    assert not earlier & set(files(saved.folder))


def test_states_with_an_adapter_are_not_those_without(saved: Saved, tmp_path: Path) -> None:
    engine, adapter = saved.engine, tmp_path / "lora.gguf"
    write_lora(adapter, SHALLOW_QUERIES)

    def asked(scale: float) -> Stats:
        uses = [{"path": str(adapter), "scale": scale}]
        return ask(engine, QUESTION, adapters=uses, max_tokens=1).stats

    assert asked(1.0).reused_tokens == 0
    engine.save_cache()
    assert "adapters" not in engine.take_snapshot_problem()  # said in the answer
    saved.restart()
    assert asked(1.0).reused_tokens > 0
    assert asked(0.5).reused_tokens == 0
    assert ask(engine, QUESTION, max_tokens=1).stats.reused_tokens == 0


def test_a_changed_model_file_makes_its_states_useless(
    shallow_smollm2: Path, saved: Saved, tmp_path: Path
) -> None:
    changed = tmp_path / "changed.gguf"
    changed.write_bytes(shallow_smollm2.read_bytes())
    with opened(changed, saved.folder) as engine:
        after = ask(engine, QUESTION, max_tokens=1)
    assert after.stats.reused_tokens == 0
    assert "with another model file" in after.notices[0]


def test_another_file_with_the_same_beginning_and_time_is_another_model(tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(bytes(3 << 20))
    before, status = file_identity(file), file.stat()

    def change() -> bool:  # the clock of a file system has ticks
        with file.open("r+b") as stream:
            stream.seek(-1, os.SEEK_END)
            stream.write(b"1")
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
        return file.stat().st_ctime_ns != status.st_ctime_ns

    wait_for(change)
    assert file_identity(file) != before


def test_an_adapter_that_is_replaced_while_it_is_applied_is_another(
    saved: Saved, tmp_path: Path
) -> None:
    engine, adapter = saved.engine, tmp_path / "lora.gguf"

    def asked(strength: float) -> Finished:
        write_lora(tmp_path / "new.gguf", SHALLOW_QUERIES, strength=strength)
        (tmp_path / "new.gguf").replace(adapter)
        return ask(engine, QUESTION, adapters=[{"path": str(adapter)}])

    assert asked(60).ids != saved.answer.ids
    again = asked(0)  # an adapter without effect
    assert again.ids == saved.answer.ids
    assert again.stats.reused_tokens == 0
    adapter.unlink()
    gone = ask(engine, QUESTION, adapters=[{"path": str(adapter)}])
    assert gone.ids == saved.answer.ids
    assert gone.stats.reused_tokens > 0


def test_the_least_recently_used_states_are_removed_beyond_the_budget(
    smollm2: Path, tmp_path: Path
) -> None:
    folder, short = tmp_path / "snapshots", Prompt([PromptMessage("user", LONG[:400])])

    def size() -> int:
        return sum(file.stat().st_size for file in files(folder))

    def asked(conversation: str) -> Stats:
        stats = ask(engine, "What is this?", conversation, short, max_tokens=2).stats
        engine.save_cache()
        return stats

    with opened(smollm2, folder, budget=9 << 20) as engine:
        asked("a")
        one = size()
        assert 3 << 20 < one < 4 << 20
        for conversation in "bcad":
            asked(conversation)
        assert size() <= 9 << 20
        recent = asked("a")
    assert recent.reused_tokens == recent.prompt_tokens - 1


def test_states_of_a_clock_that_was_ahead_do_not_stay_in_place_of_new_ones(tmp_path: Path) -> None:
    budget = SnapshotFolder(tmp_path, budget=300)
    now = time.time_ns()
    day = 24 * 3600 * 10**9
    for name, used in (("ahead", now + day), ("before", now - day), ("just now", now)):
        file = tmp_path / name / "0.kv"
        file.parent.mkdir()
        file.write_bytes(bytes(150))
        os.utime(file, ns=(used, used))
    budget.keep_budget()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["before", "just now"]


def test_what_cannot_be_removed_does_not_keep_others_from_being_evicted(tmp_path: Path) -> None:
    folder = SnapshotFolder(tmp_path, budget=30_000)  # more than the folder takes
    for number in range(4):
        file = tmp_path / "a" / f"{number}.kv"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(bytes(15_000))
        os.utime(file, ns=(number, number))
    in_the_way = tmp_path / "a" / "oldest.kv"
    (in_the_way / "of another program").mkdir(parents=True)
    os.utime(in_the_way, ns=(0, 0))
    folder.keep_budget()
    assert in_the_way.exists()
    assert not (tmp_path / "a" / "0.kv").exists()
    assert not (tmp_path / "a" / "2.kv").exists()


def test_a_budget_of_zero_saves_nothing(shallow_smollm2: Path, tmp_path: Path) -> None:
    folder = tmp_path / "snapshots"
    with opened(shallow_smollm2, folder, budget=0) as engine:
        ask(engine, "What is this?", max_tokens=1)
        engine.save_cache()
    assert not folder.exists()


def test_what_a_killed_writer_left_is_removed(saved: Saved) -> None:
    left = files(saved.folder)[0].with_name("999999999-00000000.partial")
    left.write_bytes(bytes(1000))
    ask(saved.engine, "A new question, about something else. " * 3)
    saved.engine.save_cache()
    assert not left.exists()


def test_what_a_killed_writer_left_is_removed_when_another_process_has_its_id(
    tmp_path: Path,
) -> None:
    old, new = (tmp_path / "a" / f"{os.getpid()}-{i:08x}.partial" for i in range(2))
    old.parent.mkdir()
    for file in (old, new):
        file.write_bytes(bytes(1000))
    yesterday = time.time_ns() - 24 * 3600 * 10**9
    os.utime(old, ns=(yesterday, yesterday))
    SnapshotFolder(tmp_path, budget=300).keep_budget()
    assert not old.exists()
    assert new.exists()


def test_listing_thousands_of_blocks_can_be_stopped(shallow_smollm2: Path, saved: Saved) -> None:
    abort = AbortFlag()
    folder = files(saved.folder)[0].parent
    for number in range(1000):
        (folder / f"{number}.kv").write_bytes(b"another program's")
    with opened(shallow_smollm2, saved.folder, abort=abort) as engine:
        abort.set()
        with pytest.raises(Aborted):
            warm(engine)
    assert len(files(saved.folder)) > 900


def test_a_forgotten_conversation_leaves_nothing(saved: Saved) -> None:
    ask(saved.engine, "How many dragons are there? And a longer question to be saved.")
    saved.engine.forget("a")
    saved.engine.save_cache()
    assert files(saved.folder) == []


def test_a_folder_that_disappears_is_made_again(saved: Saved) -> None:
    shutil.rmtree(saved.folder)
    assert ask(saved.engine, QUESTION).ids == saved.answer.ids
    saved.engine.save_cache()
    assert saved.engine.take_snapshot_problem() == ""
    assert files(saved.folder)


def test_a_folder_that_cannot_be_written_is_reported_once(saved: Saved) -> None:
    shutil.rmtree(saved.folder)
    saved.folder.write_text("a file in place of the folder")
    first = ask(saved.engine, QUESTION)
    saved.engine.save_cache()
    assert "cannot be" in " ".join([*first.notices, saved.engine.take_snapshot_problem()])
    assert saved.engine.take_snapshot_problem() == ""
    saved.folder.unlink()


def test_ten_thousand_files_of_others_do_not_matter(saved: Saved) -> None:
    for i in range(100):
        other = saved.folder / f"{i:016x}"
        other.mkdir()
        for j in range(100):
            (other / f"{j:016x}.kv").touch()
    after = ask(saved.engine, QUESTION)
    assert after.ids == saved.answer.ids
    assert after.stats.reused_tokens == after.stats.prompt_tokens - 1
    saved.engine.save_cache()
