"""How every state looks, in three sizes, dark and light, and with 16 colours.

After an intended change, look at the report and then: pytest tests/app --snapshot-update
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import msgspec
import pytest
from textual import events
from textual.pilot import Pilot
from textual.widgets import Input, OptionList, TextArea

from baize_tui.app.app import BaizeApp
from baize_tui.app.screens.branch_map import BranchMap
from baize_tui.app.screens.described_picker import DescribedPicker
from baize_tui.app.screens.option_form import OptionRow
from baize_tui.app.screens.palette import Palette
from baize_tui.app.screens.picker import Picker
from baize_tui.app.screens.search import SearchScreen
from baize_tui.app.screens.shelves import TrashScreen
from baize_tui.app.screens.side_by_side import AnswerColumn, SideBySide
from baize_tui.app.transcript.transcript import Transcript
from baize_tui.app.widgets.choice_lists import ChoiceList
from baize_tui.app.widgets.find_bar import FindBar
from baize_tui.catalog.fit import Machine
from baize_tui.catalog.recipes import CatalogError, CatalogModel, Domain, NoModelInstalled
from baize_tui.chat.chat import Chat
from baize_tui.chat.store_thread import open_store
from baize_tui.engine.client import EngineFailure, WorkerDied
from baize_tui.output_forms import OutputForm
from baize_tui.paths import Paths
from baize_tui.settings import LookSettings, Settings
from baize_tui.store.records import Paste
from tests.app.contrast import LEAST_OF_16, hard_to_read
from tests.app.model_list import GB, details, open_models, plan_of
from tests.app.pilot import client, is_open, say, screen, shown, status, texts
from tests.app.sixteen_colours import use_16_colours
from tests.chat.scripted_engine import ScriptedCatalog, ScriptedEngine, WritingEngine, model
from tests.conftest import wait_until

SIZES = ((80, 24), (120, 40), (200, 60))
THEMES = ("baize-dark", "baize-light")
LOOKS = [(size, theme) for theme in THEMES for size in SIZES]
ALWAYS = (((80, 24), "baize-dark"), ((120, 40), "baize-light"))
"""The looks that ``make test`` draws: one of them for each state, in turn."""
ANSWER = """Two **regular** ways, and `sum` for a third:

1. Add them with `+`.
2. Call a function:

```python
def add(a: int, b: int) -> int:
    \"\"\"The sum of two numbers.\"\"\"
    return a + b
```

| way | code | cells |
|:--|:--|--:|
| operator | `1 + 2` | 5 |
| function | `add(1, 2)` | 9 |

> Keep it simple.
"""
CHINESE = """**白泽**是中国古代神话中的瑞兽，能说人语，通万物之情。

- 黄帝东巡，于海滨得之
- 知天下一万一千五百二十种鬼怪 🐉
- かな、カナ、한글 and 🇨🇳 👩‍👩‍👧 too

| 词 | 意思 |
|---|---|
| 白 | white |
| 泽 | marsh, kindness |
"""


ENGINES: WeakKeyDictionary[BaizeApp, ScriptedEngine] = WeakKeyDictionary()


class State:
    """A state to take a snapshot of; ``reach`` brings the client into it."""

    def __init__(
        self,
        reach: Callable[[Pilot[int]], Awaitable[None]],
        *script: str | EngineFailure,
        n_ctx: int = 4096,
        find_model: Callable[[str | None], CatalogModel] | None = None,
        **engine: Any,
    ) -> None:
        self.reach = reach
        self.engine = ScriptedEngine(*(script or (ANSWER,)), n_ctx=n_ctx)
        for name, value in engine.items():
            setattr(self.engine, name, value)
        self.find_model = find_model


async def begun(pilot: Pilot[int]) -> None:
    await wait_until(lambda: pilot.app.query(Transcript), "the screen")
    state = client(pilot).state
    await wait_until(lambda: state.model is not None or state.problem, "the model, or a problem")
    await pilot.pause()


async def settled(pilot: Pilot[int]) -> None:
    """Wait until all that follows an answer is on the screen: the list, the branches, the hints."""
    engine = ENGINES[client(pilot)]
    await wait_until(
        lambda: not screen(pilot).answers.in_progress or engine.paused.is_set(), "the end"
    )
    await pilot.pause()  # until a change of the draft is known
    cost = screen(pilot).parts.draft_cost
    await wait_until(lambda: not cost.is_pending, "the cost of the draft")
    later = ("list", "rest of the turns", "count", "title")
    await wait_until(
        lambda: all(w.is_finished for w in pilot.app.workers if w.group in later), "the rest"
    )
    await pilot.pause()


async def answered(pilot: Pilot[int], question: str = "How do I add two numbers?") -> None:
    count = len(texts(pilot))
    await say(pilot, question)
    await wait_until(lambda: len(texts(pilot)) == count + 2, "the answer")
    await wait_until(lambda: not client(pilot).state.chat.busy, "its end")
    await wait_until(lambda: screen(pilot).status.kind == "idle", "the status")


async def paused(pilot: Pilot[int]) -> None:
    await say(pilot, "How do I add two numbers?")
    engine = ENGINES[client(pilot)]
    await wait_until(engine.paused.is_set, "the pause")


def no_model(name: str | None) -> CatalogModel:
    raise NoModelInstalled


def gone_model(name: str | None) -> CatalogModel:
    raise CatalogError("the file of llama-3.2-3b is gone: /home/you/llama-3.2-3b.gguf")


async def as_it_starts(pilot: Pilot[int]) -> None:
    await wait_until(lambda: client(pilot).state.chat.active_model.loaded is not None, "the load")
    await wait_until(lambda: "moderated" in status(pilot), "rest")


async def without_model(pilot: Pilot[int]) -> None:
    await wait_until(lambda: "alt+m lists models" in shown(pilot), "the words")


async def loading(pilot: Pilot[int]) -> None:
    await wait_until(lambda: "loading scripted" in status(pilot), "the bar")


async def not_loadable(pilot: Pilot[int]) -> None:
    await wait_until(lambda: "not a GGUF" in status(pilot), "the words")


async def chinese(pilot: Pilot[int]) -> None:
    await answered(pilot, "白泽是什么？")


async def prefilling(pilot: Pilot[int]) -> None:
    await paused(pilot)
    await wait_until(lambda: "620 of 1800" in status(pilot), "the bar")


async def open_code_block(pilot: Pilot[int]) -> None:
    await paused(pilot)
    await wait_until(lambda: "return" in shown(pilot), "the code")


async def more_has_come(pilot: Pilot[int]) -> None:
    await paused(pilot)
    await wait_until(lambda: "line 70" in shown(pilot), "the answer")
    await pilot.press("pageup")
    await wait_until(lambda: screen(pilot).query_one("#more").display, "the mark")


async def branches(pilot: Pilot[int]) -> None:
    await answered(pilot)
    for _ in range(2):
        await pilot.press("ctrl+r")
        await wait_until(lambda: not client(pilot).state.chat.busy, "another")
    await wait_until(lambda: "3/3" in shown(pilot), "the branches")
    await pilot.press("alt+left")
    await wait_until(lambda: "2/3" in shown(pilot), "the one before")


async def chosen_and_marked(pilot: Pilot[int]) -> None:
    await answered(pilot)
    await pilot.press("alt+up", "alt+g")
    await wait_until(lambda: "▲ good" in shown(pilot), "the mark")


async def stopped(pilot: Pilot[int]) -> None:
    await paused(pilot)
    await pilot.press("escape")
    await wait_until(lambda: "stopped ·" in shown(pilot), "the stop")


async def thought(pilot: Pilot[int]) -> None:
    await answered(pilot)
    await pilot.press("alt+r")
    await wait_until(lambda: "▾ thought" in shown(pilot), "the thought")


async def cut(pilot: Pilot[int]) -> None:
    for number in range(3):
        await answered(pilot, f"question {number} " + "word " * 30)
        if number == 0:
            await pilot.press("alt+p")
            await wait_until(lambda: "pinned" in shown(pilot), "the pin")
    await wait_until(lambda: any("sees only pinned" in n for n in _notes(pilot)), "the cut")


async def summarized(pilot: Pilot[int]) -> None:
    chat = client(pilot).state.chat
    settings = msgspec.structs.replace(chat.settings.chat, overflow="summarize")
    chat.change_settings(msgspec.structs.replace(chat.settings, chat=settings))
    for number in range(3):
        await answered(pilot, f"question {number} " + "word " * 30)
    await wait_until(lambda: screen(pilot).transcript.cut is not None, "the cut")
    await pilot.press("alt+r")
    await wait_until(lambda: "│ The person" in shown(pilot), "the summary")


def with_summary() -> State:
    """A state with an engine that writes a summary."""
    state = State(summarized)
    state.engine = WritingEngine(
        "The person asked about words; each question was noted.", n_ctx=150
    )
    return state


def _notes(pilot: Pilot[int]) -> list[str]:
    return screen(pilot).transcript.notes


async def dead_worker(pilot: Pilot[int]) -> None:
    await say(pilot, "How do I add two numbers?")
    await wait_until(lambda: "SIGKILL" in status(pilot), "the words")
    await wait_until(lambda: not client(pilot).state.chat.busy, "the end")


async def settings(pilot: Pilot[int]) -> None:
    await answered(pilot)
    await pilot.press("f4")
    await wait_until(lambda: pilot.app.screen.query(OptionRow), "the rows")


async def options(pilot: Pilot[int]) -> None:
    await answered(pilot)
    conversation = screen(pilot).view.conversation
    assert conversation is not None
    await screen(pilot).conversation_view.change_options(
        msgspec.structs.replace(
            conversation, system="You are a patient teacher.", sampling={"temperature": 0.2}
        )
    )
    await pilot.press("f3")
    await wait_until(lambda: pilot.app.screen.query(OptionRow), "the rows")


async def palette(pilot: Pilot[int]) -> None:
    await answered(pilot)
    await pilot.press("ctrl+p")
    await wait_until(lambda: is_open(pilot, Palette), "the palette")
    await pilot.press(*"answer")
    options = pilot.app.screen.query_one(OptionList)
    await wait_until(lambda: "Good answer" in str(options.get_option_at_index(0).prompt), "it")


async def help_screen(pilot: Pilot[int]) -> None:
    await answered(pilot)
    await pilot.press("f1")
    await wait_until(lambda: pilot.app.screen is not screen(pilot), "the help")


async def models(pilot: Pilot[int]) -> None:
    """One model is installed, the cost of one was measured, and one is being pulled."""
    await answered(pilot)
    app = client(pilot)
    app.state.plans.update(
        {
            "smollm2-135m": plan_of("smollm2-135m"),
            "baize-v1-13b": plan_of("baize-v1-13b", "tight", installed=False),
        }
    )
    app.state.pulls.start("baize-v2-7b")
    models_screen = await open_models(pilot)
    for _ in range(2):
        await pilot.press("down")
    await wait_until(lambda: "For research only" in details(models_screen), "the details")


async def side_by_side(pilot: Pilot[int]) -> None:
    await answered(pilot)
    await pilot.press(*"What")
    await wait_until(lambda: "with draft" in status(pilot), "the count")
    await pilot.press("alt+v")
    await wait_until(lambda: is_open(pilot, Picker), "the picker")
    await pilot.press("enter")
    await wait_until(lambda: is_open(pilot, SideBySide), "both")
    await wait_until(lambda: not client(pilot).state.chat.busy, "the answers")
    columns = pilot.app.screen.query(AnswerColumn)
    await wait_until(lambda: all(column.text for column in columns), "both answers")
    await wait_until(lambda: "loads with the next" in status(pilot), "its own model")
    # Another model than the conversation's is loaded now, which cannot count its draft.
    await wait_until(lambda: "with draft" not in status(pilot), "the end of the count")


async def disclaimer(pilot: Pilot[int]) -> None:
    await answered(pilot)


def doctor(name: str | None) -> CatalogModel:
    domain = Domain("healthcare", "This is no medical advice: a language model wrote it.")
    found = model("/nowhere/scripted.gguf", name or "baize-healthcare-7b")
    return msgspec.structs.replace(
        found, recipe=msgspec.structs.replace(found.recipe, domain=domain, format="baize")
    )


async def finding(pilot: Pilot[int]) -> None:
    conversations = client(pilot).state.chat.conversations
    for title in ("Bread without yeast", "Verse about the sea", "Perl one-liners", "白泽"):
        await conversations.create(system="", moderation=True, title=title)
    await answered(pilot)
    await pilot.press("ctrl+b", *"er")
    await wait_until(lambda: screen(pilot).conversation_list.option_count == 4, "the matches")


async def searching(pilot: Pilot[int]) -> None:
    for question in ("How do I add two numbers?", "And two lists?", "白泽是什么？"):
        await answered(pilot, question)
    with contextlib.closing(sqlite3.connect(client(pilot).state.paths.conversations_file)) as file:
        file.execute("UPDATE message SET created_at = 1700000000 + id * 86400")
        file.commit()
    await pilot.press("ctrl+s")
    await wait_until(lambda: is_open(pilot, SearchScreen), "the search")
    await pilot.press(*"call")
    rows = pilot.app.screen.query_one(OptionList)
    await wait_until(lambda: rows.option_count == 3, "the results")


async def walking(pilot: Pilot[int]) -> None:
    for question in ("How do I add two numbers?", "And two lists?"):
        await answered(pilot, question)
    await pilot.press("ctrl+f", *"two", "enter", "n")
    line = pilot.app.query_one(FindBar)
    await wait_until(lambda: line.is_walking and " of " in line.state, "the matches")


async def large_paste(pilot: Pilot[int]) -> None:
    await as_it_starts(pilot)
    await pilot.press(*"What is this?", "ctrl+j")
    pilot.app.post_message(events.Paste("word " * 700))
    # The cost of what was typed before the paste may be shown first.
    await wait_until(lambda: re.search(r"context 7\d\d/\d+ with draft", status(pilot)), "its cost")


async def attached(pilot: Pilot[int]) -> None:
    await as_it_starts(pilot)
    prompt = screen(pilot).prompt
    schema = OutputForm("json_schema", '{"required": ["day"]}', "meeting.json")
    prompt.put_form(Paste(name="JSON meeting.json", form=schema))
    prompt.insert("When is it? ")
    file = Paste("<file>The meeting is on Tuesday.</file>", "notes.txt", 153)
    prompt.put_file("", file)
    await pilot.press("enter")
    await wait_until(lambda: "✓ JSON" in shown(pilot), "the answer")
    await settled(pilot)
    prompt.insert("And see ")
    prompt.put_file("", file)


async def personas(pilot: Pilot[int]) -> None:
    await as_it_starts(pilot)
    await screen(pilot).run_command("persona")
    await wait_until(lambda: is_open(pilot, DescribedPicker), "the picker")


async def long_question(pilot: Pilot[int]) -> None:
    await as_it_starts(pilot)
    await pilot.press(*"The log:", "ctrl+j")
    pilot.app.post_message(events.Paste("\n".join(f"{n:03} disk full" for n in range(61))))
    await pilot.press("ctrl+j", *"What should I do?", "enter")
    await wait_until(lambda: len(texts(pilot)) == 2, "the answer")
    await settled(pilot)


async def queued(pilot: Pilot[int]) -> None:
    await paused(pilot)
    for message in ("And how do I subtract?", "Now in Rust."):
        await pilot.press(*message, "enter")
    await pilot.press(*"A draft")
    await wait_until(lambda: screen(pilot).queue_lines.display, "the queue")


async def queue_waits(pilot: Pilot[int]) -> None:
    await queued(pilot)
    await pilot.press("escape")
    await wait_until(lambda: not client(pilot).state.chat.busy, "the stop")
    await wait_until(lambda: "with draft" in status(pilot), "the count")
    await settled(pilot)


async def editing(pilot: Pilot[int]) -> None:
    await answered(pilot)
    await pilot.press("alt+e", *" And three?")


async def no_command(pilot: Pilot[int]) -> None:
    await as_it_starts(pilot)
    await pilot.press(*"/etc/fstab: what is this?", "enter")
    await wait_until(lambda: "enter again" in status(pilot), "the offer")


async def branch_map(pilot: Pilot[int]) -> None:
    await branches(pilot)
    await pilot.press("alt+shift+b")
    await wait_until(lambda: is_open(pilot, BranchMap), "the map")
    options = pilot.app.screen.query_one(ChoiceList)
    await wait_until(lambda: options.highlighted, "the branches")


STATES: dict[str, Callable[[], State]] = {
    "start": lambda: State(as_it_starts),
    "first-run": lambda: State(without_model, find_model=no_model),
    "missing-file": lambda: State(without_model, find_model=gone_model),
    "loading": lambda: State(loading, loaded_to=0.62),
    "not-loadable": lambda: State(
        not_loadable, load_failure=EngineFailure("/home/you/x.gguf is not a GGUF file", "load")
    ),
    "answer": lambda: State(answered),
    "chinese": lambda: State(chinese, CHINESE),
    "search": lambda: State(searching),
    "walking": lambda: State(walking),
    "prefill": lambda: State(prefilling, prefilled=(620, 1800)),
    "open-code-block": lambda: State(
        open_code_block, "Look:\n\n```python\ndef f(x):\n    return x", "\n```", pause_at=1
    ),
    "more-has-come": lambda: State(
        more_has_come, "\n\n".join(f"line {n}" for n in range(71)), "end", pause_at=1
    ),
    "branches": lambda: State(branches),
    "chosen": lambda: State(chosen_and_marked),
    "stopped": lambda: State(stopped, "One, two, ", "three.", pause_at=1),
    "reasoning": lambda: State(thought, "<think>The person asks\nfor a sum.</think>3."),
    "context-cut": lambda: State(cut, "Noted.", n_ctx=150),
    "context-summary": with_summary,
    "dead-worker": lambda: State(
        dead_worker,
        "First, ",
        WorkerDied(
            "the model process was ended by SIGKILL (perhaps too little memory); see worker.log"
        ),
    ),
    "settings": lambda: State(settings),
    "options": lambda: State(options),
    "palette": lambda: State(palette),
    "help": lambda: State(help_screen),
    "models": lambda: State(models),
    "side-by-side": lambda: State(side_by_side),
    "branch-map": lambda: State(branch_map),
    "disclaimer": lambda: State(disclaimer, find_model=doctor),
    "finding": lambda: State(finding),
    "large-paste": lambda: State(large_paste),
    "attached": lambda: State(attached, '{"day": ', '"Tuesday"}'),
    "personas": lambda: State(personas),
    "long-question": lambda: State(long_question),
    "queued": lambda: State(queued, "One, two, ", "three.", pause_at=1),
    "queue-waits": lambda: State(queue_waits, "One, two, ", "three.", pause_at=1),
    "editing": lambda: State(editing),
    "no-command": lambda: State(no_command),
}


@pytest.fixture(autouse=True)
def still_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """No remaining time is shown, and every age is the same: they differ from run to run."""
    monkeypatch.setattr("baize_shared.progress.monotonic", lambda: 0.0)
    for module in ("widgets.conversation_list", "screens.branch_map", "screens.shelves"):
        monkeypatch.setattr(f"baize_tui.app.{module}.age_text", lambda seconds: "3h")


@pytest.fixture(autouse=True)
def same_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """What fits does not depend on the machine of the tests."""
    machine = Machine(memory_total=16 * GB, memory_free=12 * GB, disk_free=100 * GB)
    monkeypatch.setattr("baize_tui.app.screens.models.this_machine", lambda folder: machine)


@pytest.fixture(autouse=True)
def half_a_pull(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pull stays at 40 %."""

    async def pull_in_process(name: str, report: Callable[[int, int], object]) -> Path:
        report(4, 10)
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr("baize_tui.app.services.background_pulls.pull_in_process", pull_in_process)


def app_in(state: State, theme: str, paths: Paths, file: Path) -> BaizeApp:
    file.write_bytes(b"weights")
    seen = Paths(Path("/home/you/.config/baize-tui"), paths.data, paths.cache, paths.logs)

    def find_model(name: str | None) -> CatalogModel:
        return model(str(file), name or "scripted")

    chat = Chat(
        open_store(paths.conversations_file),
        state.engine,
        Settings(look=LookSettings(theme=theme)),
        paths.cache,
        ScriptedCatalog(state.find_model or find_model),
    )
    app = BaizeApp(chat, seen)
    ENGINES[app] = state.engine
    app.animation_level = "none"
    return app


def still(pilot: Pilot[int]) -> None:
    """Stop the blinking of all cursors."""
    for each in pilot.app.screen_stack:
        for area in each.query(TextArea):
            area.cursor_blink = False
            area._cursor_visible = True
        for line in each.query(Input):
            line.cursor_blink = False
            line._cursor_visible = True


async def reached(pilot: Pilot[int], state: State) -> None:
    """Bring the client into ``state``, with nothing that moves."""
    await begun(pilot)
    still(pilot)
    await state.reach(pilot)
    await settled(pilot)
    still(pilot)


@pytest.mark.parametrize(
    ("name", "size", "theme"),
    [
        pytest.param(name, size, theme, id=f"{name}-{size[0]}x{size[1]}-{theme}", marks=marks)
        for number, name in enumerate(STATES)
        for size, theme in LOOKS
        for marks in [() if (size, theme) == ALWAYS[number % 2] else (pytest.mark.sweep,)]
    ],
)
def test_state(
    name: str,
    size: tuple[int, int],
    theme: str,
    snap_compare: Callable[..., bool],
    paths: Paths,
    tmp_path: Path,
) -> None:
    state = STATES[name]()

    async def reach(pilot: Pilot[int]) -> None:
        await reached(pilot, state)
        assert hard_to_read(pilot.app.screen) == []

    app = app_in(state, theme, paths, tmp_path / "scripted.gguf")
    assert snap_compare(app, terminal_size=size, run_before=reach)


@pytest.mark.sweep
@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("name", STATES)
def test_state_with_16_colours(
    name: str,
    theme: str,
    snap_compare: Callable[..., bool],
    paths: Paths,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use_16_colours(monkeypatch)
    state = STATES[name]()

    async def reach(pilot: Pilot[int]) -> None:
        await reached(pilot, state)
        assert hard_to_read(pilot.app.screen, LEAST_OF_16) == []

    app = app_in(state, theme, paths, tmp_path / "scripted.gguf")
    assert snap_compare(app, terminal_size=SIZES[0], run_before=reach)


@pytest.mark.parametrize("theme", THEMES)
def test_too_small(
    theme: str, snap_compare: Callable[..., bool], paths: Paths, tmp_path: Path
) -> None:
    app = app_in(State(as_it_starts), theme, paths, tmp_path / "scripted.gguf")

    async def reach(pilot: Pilot[int]) -> None:
        await begun(pilot)
        await as_it_starts(pilot)

    assert snap_compare(app, terminal_size=(26, 7), run_before=reach)


@pytest.mark.parametrize("theme", THEMES)
def test_narrow(
    theme: str, snap_compare: Callable[..., bool], paths: Paths, tmp_path: Path
) -> None:
    async def reach(pilot: Pilot[int]) -> None:
        await begun(pilot)
        still(pilot)
        await answered(pilot)
        await pilot.press("ctrl+b")
        await wait_until(lambda: screen(pilot).conversation_list.display, "the list")
        await settled(pilot)

    app = app_in(State(reach), theme, paths, tmp_path / "scripted.gguf")
    assert snap_compare(app, terminal_size=(50, 20), run_before=reach)


async def trash(pilot: Pilot[int]) -> None:
    conversations = client(pilot).state.chat.conversations
    for title in ("无酵母面包", "关于大海的小诗", "Perl one-liners"):
        made = await conversations.create(system="", moderation=True, title=title)
        await conversations.delete(made.id)
    await screen(pilot).run_command("trash")
    await wait_until(lambda: is_open(pilot, TrashScreen), "the trash")
    rows = pilot.app.screen.query_one(ChoiceList)
    await wait_until(lambda: rows.option_count == 3, "the rows")


IN_CHINESE: dict[str, Callable[[], State]] = {
    "start": lambda: State(begun),
    "first-run": lambda: State(begun, find_model=no_model),
    "answer": lambda: State(chinese, CHINESE),
    "help": lambda: State(help_screen),
    "settings": lambda: State(settings),
    "models": lambda: State(models),
    "trash": lambda: State(trash),
}


@pytest.mark.sampled(5)
@pytest.mark.usefixtures("in_chinese")
@pytest.mark.parametrize("size", SIZES[:2], ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("name", IN_CHINESE)
def test_in_chinese(
    name: str,
    size: tuple[int, int],
    snap_compare: Callable[..., bool],
    paths: Paths,
    tmp_path: Path,
) -> None:
    state = IN_CHINESE[name]()

    async def reach(pilot: Pilot[int]) -> None:
        await begun(pilot)
        still(pilot)
        load_ended = client(pilot).state.load_ended
        await wait_until(load_ended.is_set, "the load")
        await state.reach(pilot)
        await settled(pilot)
        still(pilot)

    app = app_in(state, "baize-dark", paths, tmp_path / "scripted.gguf")
    assert snap_compare(app, terminal_size=size, run_before=reach)
