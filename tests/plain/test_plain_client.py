"""The plain client: what it prints for what is typed, with a scripted engine."""

from __future__ import annotations

import os
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from baize_tui.catalog.finding import find_model
from baize_tui.catalog.recipes import CatalogModel
from baize_tui.chat.chat import Chat
from baize_tui.chat.store_thread import StoreThread
from baize_tui.engine.client import EngineFailure
from baize_tui.measures import cells
from baize_tui.paths import Paths
from baize_tui.plain.client import PlainClient
from baize_tui.plain.commands import COMMANDS, OTHER_INPUT, help_lines, parse_command
from baize_tui.plain.handlers import CommandHandlers
from baize_tui.plain.input_lines import InputLines
from baize_tui.plain.message_extras import MessageExtras
from baize_tui.settings import Settings
from baize_tui.store.conversations import Store
from tests.chat.scripted_engine import ScriptedCatalog, ScriptedEngine, model

Talk = Callable[..., Awaitable[str]]


@pytest.fixture
def talk(paths: Paths, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Talk:
    """Send lines to a client over one store, and return what it prints."""
    file = tmp_path / "scripted.gguf"
    file.write_bytes(b"weights")

    async def run(
        *lines: str, engine: ScriptedEngine | None = None, session: str | None = None
    ) -> str:
        chat = Chat(
            StoreThread(Store(paths.conversations_file)),
            engine or ScriptedEngine("Hello ", "there, ", "friend."),
            Settings(),
            paths.cache,
            ScriptedCatalog(lambda name: model(str(file), name or "scripted")),
        )
        reading, writing = os.pipe()
        os.write(writing, "".join(f"{line}\n" for line in lines).encode())
        os.close(writing)
        client = PlainClient(chat, InputLines(reading, "utf-8", is_terminal=False), echoed=False)
        await client.run(session, None)
        await chat.close()
        os.close(reading)
        return capsys.readouterr().out

    return run


async def test_turns_are_numbered_and_only_appended(talk: Talk) -> None:
    said = await talk("Hi", "And you?")
    assert "1 You: Hi\n1 scripted: Hello there, friend.\n" in said
    assert "2 You: And you?\n2 scripted: Hello there, friend.\n" in said
    assert "3 You: \n" in said, "the end of the input ends the line"
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", said)


async def test_a_conversation_is_listed_opened_and_printed(talk: Talk) -> None:
    await talk("The first question")
    said = await talk("/list", "/open 1", "More")
    assert re.search(r"  1  \d{4}-\d\d-\d\d  The first question\n", said)
    assert "1 You: The first question\n1 scripted: Hello there, friend.\n" in said
    assert "2 You: More\n2 scripted: Hello" in said


async def test_answers_have_versions(talk: Talk) -> None:
    said = await talk("Hi", "/again", "/branch-back", "/branch-on 1", "/branch-on")
    assert "1 scripted (version 1 of 2): Hello there, friend." in said
    assert "1 scripted (version 2 of 2): Hello there, friend." in said
    assert "(turn 1 has no version after this one)" in said


async def test_a_question_is_edited_deleted_and_restored(talk: Talk) -> None:
    said = await talk("Hi", "/edit 1 Good evening", "/show", "/delete", "/show", "/undo", "/undo")
    assert "1 You (version 2 of 2): Good evening" in said
    assert "Turn 1 and all below it are deleted. /undo restores them." in said
    assert "(there is nothing to undo)" in said


async def test_answers_are_marked_renamed_and_explained(talk: Talk) -> None:
    engine = ScriptedEngine("<think>A greeting.</think>", "Hello.")
    said = await talk("Hi", "/thought", "/good", "/good", "/rename A talk", "/list", engine=engine)
    assert "\nA greeting.\n" in said
    assert "Answer 1 is marked as good." in said
    assert "Answer 1 has no mark any more." in said
    assert re.search(r"  1  \S+  A talk\n", said)


async def test_what_begins_with_a_slash_can_be_sent(talk: Talk) -> None:
    said = await talk("/etc/fstab: what is this?", "", " /help me", "")
    assert "(/etc/fstab: is not a command; /help lists them. An empty line sends" in said
    assert "1 scripted: Hello" in said
    assert "2 You:  /help me\n2 scripted: Hello" in said
    assert "\n4 You" not in said, "an empty line alone is nothing"


async def test_the_system_prompt_is_shown_and_set(talk: Talk) -> None:
    said = await talk("/system", "/system Be brief.", "/system")
    assert said.count("System prompt: Be brief.") == 2
    assert "System prompt: You are a helpful" in said


async def test_a_failed_answer_is_one_line_and_the_talk_goes_on(talk: Talk) -> None:
    engine = ScriptedEngine("Half ", EngineFailure("the worker died"))
    said = await talk("Hi", "/show", engine=engine)
    assert "1 scripted: Half \n(the worker died)\n" in said
    assert "1 scripted: Half\n" in said


async def test_a_full_context_is_said(talk: Talk) -> None:
    engine = ScriptedEngine("Hello.", n_ctx=300)
    said = await talk("word " * 150, "word " * 150, engine=engine)
    assert "(the context is full: the oldest 2 messages were dropped)" in said


async def test_a_command_that_cannot_be_done_says_so_in_a_line(talk: Talk) -> None:
    arguments = ["", " 7", " 0", " x", " -1", " 1 2", " ²", " 9" * 99]
    lines = [
        f"/{command.name}{argument}"
        for command in COMMANDS
        for argument in arguments
        if command.name != "quit"
    ]
    said = await talk(*lines, "/rename It goes on")
    assert "Conversation: It goes on" in said
    assert "Traceback" not in said


def test_every_command_has_a_handler_and_a_line_of_help() -> None:
    lines = [*help_lines()]
    assert len(lines) == len(COMMANDS) + len(OTHER_INPUT)
    assert max(map(len, lines)) <= 80
    for command in COMMANDS:
        given = parse_command(f"/{command.name}  some words ")
        assert given is not None
        assert given.argument == "some words"
        name = command.name.replace("-", "_")
        has_own = any(hasattr(kind, name) for kind in (CommandHandlers, MessageExtras))
        assert has_own or command.name in (
            *("json", "regex", "grammar"),
            "list",
            "open",
            "good",
            "bad",
            "branch-back",
            "branch-on",
        )


async def test_hostile_text_cannot_reach_the_terminal(talk: Talk) -> None:
    engine = ScriptedEngine("\x1b]0;owned\x07", "\x9b31m", "safe\u202e")
    said = await talk("\x1b[2Jhi", "/rename \x1b[31mred", "/list", "/show", engine=engine)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", said)
    assert "safe" in said


async def test_it_is_said_where_words_go(
    paths: Paths, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "scripted.gguf"
    file.write_bytes(b"weights")
    cluster = "server:http://cluster.example.org:8000/v1#qwen3"

    def find(name: str | None) -> CatalogModel:
        return find_model(name, paths) if name else model(str(file))

    chat = Chat(
        StoreThread(Store(paths.conversations_file)),
        ScriptedEngine("Hello."),
        Settings(),
        paths.cache,
        ScriptedCatalog(find),
    )
    reading, writing = os.pipe()
    os.write(writing, f"Hi\n/model {cluster}\nAnd you?\n/go-on\n".encode())
    os.close(writing)
    lines = InputLines(reading, "utf-8", is_terminal=False)
    await PlainClient(chat, lines, echoed=False).run(None, None)
    await chat.close()
    os.close(reading)
    said = capsys.readouterr().out
    assert "scripted answers. Everything stays on this computer.\n" in said
    assert (
        "qwen3 answers. What you write leaves this computer: it goes to cluster.example.org:8000, "
        "unencrypted.\n"
    ) in said
    leaving = "(your words leave this computer: they go to cluster.example.org:8000, with 2 earlier"
    assert said.count(leaving) == 1


async def test_files_forms_and_personas(
    talk: Talk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "notes.txt").write_text("The meeting is at noon.")
    (tmp_path / "key.pem").write_text("secret")
    monkeypatch.chdir(tmp_path)
    engine = ScriptedEngine("no JSON")
    said = await talk(
        *("/persona baize", "/attach notes.txt", "/attach key.pem", "/attach", "/json"),
        *("When?", "/regex (", "/grammar", "/persona nobody", "And?", "/show"),
        engine=engine,
    )
    first, second = engine.requests
    assert first.prompt.messages[0].content.startswith("You are Baize")
    assert "The meeting is at noon." in first.prompt.messages[1].content
    assert (bool(first.grammar), second.grammar) == (True, "")
    assert "attached notes.txt: 8 tokens" in said
    assert "(key.pem looks like a secret (its name); attach it again to send it anyway)" in said
    assert "(JSON: not JSON" in said
    assert "(the command is /attach PATH)" in said
    assert "not a regular expression" in said
    assert "(the command is /grammar FILE)" in said
    assert "no persona is called 'nobody'" in said
    assert said.rstrip().count("[notes.txt: 8 tokens]") == 1


@pytest.mark.usefixtures("in_chinese")
async def test_everything_is_said_in_chinese(talk: Talk) -> None:
    said = await talk("你好", "/good", "/nothing", "/open x", "/delete", "/undo", "/help")
    assert "baize-tui 纯文本模式。/help 列出命令；Ctrl-D 退出。" in said
    assert "由 scripted 回答。所有内容都留在本机。" in said
    assert "1 你: 你好\n1 scripted: Hello there, friend.\n" in said
    assert "已将第 1 轮的回答标为好。" in said
    assert "(/nothing 不是命令；/help 列出所有命令。" in said
    assert "第 1 轮及其后的内容已删除。/undo 恢复。" in said
    assert "1 scripted (标为好): Hello there, friend." in said
    for command in COMMANDS:
        assert command.usage in said


@pytest.mark.usefixtures("in_chinese")
def test_the_chinese_help_is_in_columns() -> None:
    begins = {cells(line[: line.rindex("  ") + 2]) for line in help_lines()}
    assert len(begins) == 1
