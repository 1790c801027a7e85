"""Importing the exports of other programs: their trees, times, models, and what has no room."""

from __future__ import annotations

import contextlib
import json
import os
import zipfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baize_shared.sanitizer import is_harmless
from baize_tui.chat.conversations import Conversations
from baize_tui.chat.exports.branches import shown_path
from baize_tui.chat.import_files import ImportSummary, import_file, summary_lines
from baize_tui.chat.imports import documents
from baize_tui.chat.imports.problems import ImportFailed
from baize_tui.chat.imports.recognition import InvalidRecord, recognize
from baize_tui.chat.imports.times import read_time
from baize_tui.chat.store_thread import open_store
from baize_tui.paths import Paths
from baize_tui.store.records import ConversationTree
from tests.chat import foreign_exports as foreign

Rows = list[tuple[str, str | None, str, str]]


@pytest.fixture
async def conversations(paths: Paths) -> AsyncIterator[Conversations]:
    with open_store(paths.conversations_file) as store:
        yield Conversations(store)


Import = Callable[..., Any]


@pytest.fixture
def run(conversations: Conversations, tmp_path: Path) -> Import:
    """Imports a value as the content of a file."""

    async def run(value: Any, **options: Any) -> ImportSummary:
        file = tmp_path / "export.json"
        file.write_bytes(value if isinstance(value, bytes) else json.dumps(value).encode())
        return await import_file(conversations, file, **options)

    return run


async def only_tree(conversations: Conversations) -> ConversationTree:
    (conversation,) = await conversations.list_all()
    return await conversations.tree(conversation)


def rows(tree: ConversationTree) -> Rows:
    """Role, text of the message before, text and thought of each message."""
    by_id = {message.id: message for message in tree.messages}
    return [
        (m.role, None if m.parent_id is None else by_id[m.parent_id].text, m.text, m.reasoning)
        for m in tree.messages
    ]


# --- each format ----------------------------------------------------------------------------------


async def test_chatgpt_keeps_its_tree(run: Import, conversations: Conversations) -> None:
    summary = await run([foreign.chatgpt_2023()])
    assert summary.format == "ChatGPT"
    assert not summary.placeholders
    tree = await only_tree(conversations)
    assert rows(tree) == [
        ("user", None, "Name a prime.", ""),
        ("assistant", "Name a prime.", "7", ""),
        ("user", "7", "Another?", ""),
        ("assistant", "Another?", "11", ""),
        ("assistant", "Name a prime.", "Two.", ""),
    ]
    assert [m.text for m in await conversations.shown_messages(tree.id)] == [
        *("Name a prime.", "7", "Another?", "11"),
    ]
    assert (tree.title, tree.system, tree.model) == ("Primes", "", None)
    assert (tree.created_at, tree.updated_at) == (foreign.START, foreign.START + 500)
    answers = [m for m in tree.messages if m.role == "assistant"]
    assert {str(m.provenance) for m in answers} == {
        str({"model": "gpt-4o", "imported_from": "ChatGPT"})
    }
    assert [m.state for m in answers] == ["complete", "stopped", "complete"]
    assert all(m.created_at > foreign.START for m in tree.messages)


async def test_a_run_of_chatgpts_nodes_is_one_answer(
    run: Import, conversations: Conversations
) -> None:
    summary = await run([foreign.chatgpt_2025()])
    tree = await only_tree(conversations)
    question, answer = tree.messages
    assert question.text == "[file: notes.pdf]\n\n[image: 640x480]\n\nWhat is this?"
    assert answer.reasoning == "Looking\n\nIt is a cat.\n\nThought for 8s"
    assert answer.text == (
        "[tool call: python]\n```unknown\nprint(1)\n```\n\n[tool result: python]\n```\n1\n```\n\n"
        "A cat [citation]."
    )
    assert answer.provenance == {"model": "o3", "imported_from": "ChatGPT"}
    assert tree.system == "I teach.\n\nBe brief."
    assert tree.title == "[file: notes.pdf]"
    assert tree.leaf_id == answer.id
    assert summary.placeholders == {
        **{"file": 1, "image": 1, "tool call": 1, "tool result": 1, "citation": 1}
    }
    assert summary.left_out == {"hidden message": 1}
    assert "left out: 1 hidden message" in list(summary_lines(summary))


async def test_a_run_ends_where_it_branches(run: Import, conversations: Conversations) -> None:
    """After the call of a tool, an answer was generated twice."""
    call = {"content_type": "code", "language": "json", "text": "{}"}
    await run(
        foreign.chatgpt(
            foreign.node("a", "root", "user", "Weather?"),
            foreign.node("b", "a", "assistant", call, recipient="browser"),
            foreign.node("c", "b", "tool", "sunny", name="browser"),
            foreign.node("d", "c", "assistant", "Sun."),
            foreign.node("e", "c", "assistant", "Sunny."),
            current="e",
        )
    )
    tree = await only_tree(conversations)
    looked_up = tree.messages[1].text
    assert looked_up.startswith("[tool call: browser]")
    assert rows(tree)[2:] == [
        ("assistant", looked_up, "Sun.", ""),
        ("assistant", looked_up, "Sunny.", ""),
    ]
    assert [m.text for m in await conversations.shown_messages(tree.id)][-1] == "Sunny."


@pytest.mark.parametrize(
    "names", [["conversations.json"], [f"a/conversations-{n:03}.json" for n in (0, 1)]]
)
async def test_chatgpts_archive(
    names: list[str], run: Import, conversations: Conversations, tmp_path: Path
) -> None:
    archive = tmp_path / "export.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("user.json", "{}")
        file.writestr("chat.html", "<html>")
        for number, name in enumerate(names):
            chat = {**foreign.chatgpt_2023(), "conversation_id": f"id {number}"}
            file.writestr(name, json.dumps([chat]))
    await import_file(conversations, archive)
    assert len(await conversations.list_all()) == len(names)


async def test_claude_before_blocks(run: Import, conversations: Conversations) -> None:
    summary = await run([foreign.claude_2024()])
    tree = await only_tree(conversations)
    assert rows(tree) == [
        ("user", None, "[file: a.txt]\n````\n```\nmeow\n````\n\nRead this", ""),
        ("assistant", tree.messages[0].text, "I did.", ""),
    ]
    assert summary.placeholders == {"file": 1}
    assert (tree.title, tree.created_at) == ("Cats", 1740823200.123456)


async def test_claude_keeps_its_tree(run: Import, conversations: Conversations) -> None:
    summary = await run([foreign.claude_2026()])
    tree = await only_tree(conversations)
    edited = "[file: sky.png]\n\nSun?"
    assert sorted(rows(tree), key=str) == sorted(
        [
            ("user", None, "Rain?", ""),
            ("assistant", "Rain?", "No.", ""),
            ("user", None, edited, ""),
            (
                "assistant",
                edited,
                '[tool call: web_search]\n```json\n{\n  "query": "weather"\n}\n```\n\n'
                "[tool result: web_search]\n```\nsunny\n```\n\nIt is sunny.",
                "Weather?",
            ),
        ],
        key=str,
    )
    shown = await conversations.shown_messages(tree.id)
    assert [m.role for m in shown] == ["user", "assistant"]
    assert shown[1].provenance == {"model": "claude-sonnet", "imported_from": "Claude"}
    assert summary.placeholders == {"file": 1, "tool call": 1, "tool result": 1}


async def test_open_webui_keeps_its_tree_and_ratings(
    run: Import, conversations: Conversations
) -> None:
    summary = await run([foreign.open_webui()])
    tree = await only_tree(conversations)
    question, rated, other = tree.messages
    assert question.text == "[image]\n\nTime?"
    assert rated.reasoning == "Two < three.\nYes."
    assert rated.text == (
        '[tool call: clock]\n```json\n{"a":1}\n```\n\n[tool result: clock]\n```\nnoon\n```\n'
        "\nIt is noon."
    )
    assert (rated.mark, other.mark) == ("good", None)
    assert (rated.parent_id, other.parent_id, tree.leaf_id) == (question.id, question.id, rated.id)
    assert (tree.system, tree.updated_at) == ("You are a clock.", 1720000009)
    assert summary.placeholders == {"image": 1, "tool call": 1, "tool result": 1}


async def test_what_other_programs_know_of_a_conversation_is_kept(
    run: Import, conversations: Conversations
) -> None:
    chat = foreign.open_webui()
    chat |= {"archived": True, "pinned": True, "meta": {"tags": ["my_tag", "Work", "work", 3]}}
    await run([chat])
    await run([foreign.chatgpt_2023() | {"is_archived": True, "is_starred": "yes"}])
    found = {c.title: c for c in await conversations.list_all()}
    clock, primes = found["Clock"], found["Primes"]
    assert (clock.tags, clock.pinned, clock.archived) == (["my_tag", "Work"], True, True)
    assert (primes.tags, primes.pinned, primes.archived) == ([], False, True)


async def test_open_webuis_first_version(run: Import, conversations: Conversations) -> None:
    await run([foreign.open_webui_first_version()])
    tree = await only_tree(conversations)
    assert rows(tree) == [("user", None, "Hi", ""), ("assistant", "Hi", "Hello", "")]
    assert (tree.title, tree.created_at) == ("Old", 1690000000)


async def test_sharegpt(run: Import, conversations: Conversations) -> None:
    summary = await run([foreign.sharegpt()])
    tree = await only_tree(conversations)
    assert [(m.role, m.text) for m in tree.messages] == [
        ("user", "Hi"),
        ("assistant", "Hello"),
        ("assistant", '[tool call]\n```\n{"name": "clock"}\n```'),
        ("assistant", "[tool result]\n```\nnoon\n```"),
        ("assistant", "Noon."),
    ]
    assert (tree.title, tree.system) == ("Hi", "Be kind.")
    assert summary.placeholders == {"tool call": 1, "tool result": 1}


async def test_lines_of_messages(run: Import, conversations: Conversations) -> None:
    other = {"messages": [{"role": "user", "content": "Bye"}]}
    lines = "\n".join(map(json.dumps, [foreign.messages_record(), other])).encode()
    summary = await run(lines)
    assert len(summary.imported) == 2
    (listed,) = [c for c in await conversations.list_all() if c.title == "Hi"]
    tree = await conversations.tree(listed)
    assert rows(tree) == [
        ("user", None, "Hi\n\n[image_url]", ""),
        ("assistant", "Hi\n\n[image_url]", "Hello", "They greet."),
    ]


async def test_a_baize_corpus(run: Import, conversations: Conversations) -> None:
    await run([foreign.baize()])
    tree = await only_tree(conversations)
    assert rows(tree) == [
        ("user", None, "How do I learn Perl?", ""),
        ("assistant", "How do I learn Perl?", "Read perlfaq.", ""),
        ("user", "Read perlfaq.", "Thanks!", ""),
        ("assistant", "Thanks!", "You are welcome.", ""),
    ]
    assert tree.title == "How do I learn Perl?"


ALL = {
    "chatgpt": [foreign.chatgpt_2023(), foreign.chatgpt_2025()],
    "claude": [foreign.claude_2024(), foreign.claude_2026()],
    "open-webui": [foreign.open_webui(), foreign.open_webui_first_version()],
    "sharegpt": [foreign.sharegpt(), foreign.messages_record()],
    "baize": [foreign.baize()],
}
EACH = [(name, record) for name, records in ALL.items() for record in records]


@pytest.mark.parametrize(("name", "record"), EACH)
def test_every_format_is_recognized(name: str, record: Any) -> None:
    for content in (record, [record], [1, None, record]):
        found = recognize(json.dumps(content).encode())
        assert found.format == name
        assert any(not isinstance(item, InvalidRecord) for item in found.conversations())


# --- twice ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "record"), EACH)
async def test_a_second_import_adds_nothing(
    name: str, record: Any, run: Import, conversations: Conversations
) -> None:
    await run([record, record])
    before = await only_tree(conversations)
    await conversations.rename(before.id, "Mine")
    again = await run([record])
    assert (again.imported, again.present, again.with_more) == ([], 1, 0)
    assert (await only_tree(conversations)).title == "Mine"
    await conversations.delete(before.id)
    assert (await run([record])).in_trash == 1
    assert await conversations.list_all() == []


async def test_what_another_program_imports_meanwhile_is_there_once(
    conversations: Conversations, paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "corpus.jsonl"
    file.write_text(json.dumps({"messages": [{"role": "user", "content": "Hi"}]}))
    ids_before = await conversations.deleted_by_id()
    with open_store(paths.conversations_file) as other:
        assert len((await import_file(Conversations(other), file)).imported) == 1

    async def read_too_early() -> dict[str, bool]:
        return ids_before

    monkeypatch.setattr(conversations, "deleted_by_id", read_too_early)
    summary = await import_file(conversations, file)
    assert (summary.imported, summary.present, summary.with_more) == ([], 1, 0)
    assert (await only_tree(conversations)).messages[0].text == "Hi"


async def test_a_conversation_that_went_on_elsewhere_is_added_as_a_copy_on_request(
    run: Import, conversations: Conversations
) -> None:
    record = foreign.chatgpt_2023()
    await run([record])
    longer = foreign.chatgpt(
        *[node for node in record["mapping"].values() if node["message"]],
        foreign.node("z", "x", "user", "And more?"),
        current="z",
    )
    summary = await run([longer])
    assert (summary.imported, summary.with_more) == ([], 1)
    assert "--copies" in "\n".join(summary_lines(summary))
    for _ in range(2):
        await run([longer], copies=True)
    assert len(await conversations.list_all()) == 2


def chatgpt_with(**changes: Any) -> Any:
    """ChatGPT's export with another value in a node, by its key."""
    chat = foreign.chatgpt_2023()
    for key, fields in changes.items():
        chat["mapping"][key] |= fields
    return [chat]


def claude_with(*messages: Any) -> Any:
    return [foreign.claude(*messages)]


def with_nameless_models(chat: Any) -> Any:
    for node in chat["mapping"].values():
        if node["message"]:
            del node["message"]["metadata"]
    return [chat | {"default_model_slug": "gpt-5"}]


async def test_chatgpts_model_is_that_of_the_conversation_where_a_message_names_none(
    run: Import, conversations: Conversations
) -> None:
    await run(with_nameless_models(foreign.chatgpt_2023()))
    tree = await only_tree(conversations)
    models = [(m.role, (m.provenance or {}).get("model")) for m in tree.messages]
    assert set(models) == {("user", None), ("assistant", "gpt-5")}


async def test_chatgpts_instructions_of_2023_are_the_system_prompt(
    run: Import, conversations: Conversations
) -> None:
    given = {"about_user_message": "I teach.", "about_model_message": "Be brief."}
    await run(
        [
            foreign.chatgpt(
                foreign.node("s", "root", "system", "", user_context_message_data=given),
                foreign.node("u", "s", "user", "Hi"),
                current="u",
            )
        ]
    )
    assert (await only_tree(conversations)).system == "I teach.\n\nBe brief."


def open_webui_with(current: str | None = "r", **messages: Any) -> Any:
    """Open WebUI's export with other values in its messages."""
    record = foreign.open_webui()
    history = record["chat"]["history"]
    history["currentId"] = current
    for key, fields in messages.items():
        old = history["messages"].get(key, {})
        history["messages"][key] = fields if fields is None else old | fields
    return [record]


DANGLING: dict[str, tuple[Any, list[str]]] = {
    "a missing parent in ChatGPT's": (
        chatgpt_with(u={"parent": "nobody"}),
        ["Name a prime.", "7", "Another?", "11"],
    ),
    "a missing parent in Claude's": (
        claude_with(
            foreign.said("m", "human", "Q", parent_message_uuid="nobody"),
            foreign.said("mm", "assistant", "A", parent_message_uuid="m"),
        ),
        ["Q", "A"],
    ),
    "a missing parent in Open WebUI's": (
        open_webui_with(current="s", q={"parentId": "nobody"}),
        ["[image]\n\nTime?", "Late."],
    ),
    "a missing end in Claude's": (
        [foreign.claude(foreign.said("m", "human", "Q"), current_leaf_message_uuid="nobody")],
        ["Q"],
    ),
    "a missing end in Open WebUI's": (
        open_webui_with(current="nobody"),
        ["[image]\n\nTime?", "Late."],
    ),
    "a message of Open WebUI without a role": (
        open_webui_with(current="t", t={"content": "Left.", "parentId": "s"}),
        ["[image]\n\nTime?", "Late.", "Left."],
    ),
    "a message of Open WebUI that is null": (
        open_webui_with(current="s", t=None),
        ["[image]\n\nTime?", "Late."],
    ),
    "a rating of Open WebUI that is text": (
        open_webui_with(current="s", s={"annotation": {"rating": "1"}}),
        ["[image]\n\nTime?", "Late."],
    ),
}


@pytest.mark.parametrize("name", DANGLING)
async def test_one_broken_value_does_not_cost_the_conversation(
    name: str, run: Import, conversations: Conversations
) -> None:
    record, texts = DANGLING[name]
    assert (await run(record)).invalid == []
    assert [message.text for message in shown_path(await only_tree(conversations))] == texts


async def test_a_message_of_chatgpt_without_an_author_is_an_answer(
    run: Import, conversations: Conversations
) -> None:
    chat = foreign.chatgpt_2023()
    chat["mapping"]["v"]["message"]["author"] = None
    await run([chat])
    assert rows(await only_tree(conversations))[1] == ("assistant", "Name a prime.", "7", "")


async def test_an_answer_of_open_webui_in_its_steps_and_an_error(
    run: Import, conversations: Conversations
) -> None:
    step = {"type": "message", "content": [{"type": "output_text", "text": "It is noon."}]}
    call = {"type": "function_call", "name": "clock", "arguments": "{}"}
    r = {"content": "", "output": [call, step]}
    s = {"content": "La", "error": {"content": "out of memory"}}
    summary = await run(open_webui_with(r=r, s=s))
    texts = [message.text for message in (await only_tree(conversations)).messages]
    assert texts[1:] == ["It is noon.", "La\n\n[error: out of memory]"]
    assert summary.placeholders["error"] == 1


async def test_a_file_that_claude_names_in_its_second_list(
    run: Import, conversations: Conversations
) -> None:
    message = foreign.said("m", "human", "", files_v2=[{"file_name": "sky.png"}])
    await run([foreign.claude(message, is_starred=True)])
    tree = await only_tree(conversations)
    assert ([m.text for m in tree.messages], tree.pinned) == (["[file: sky.png]"], True)


async def test_llama_cpps_web_client_keeps_its_tree(
    run: Import, conversations: Conversations
) -> None:
    def said(id: str, role: str, content: str, parent: str, **fields: Any) -> Any:
        times = {"timestamp": 1750000000000 + len(content)}
        return {"id": id, "role": role, "content": content, "parent": parent, **times, **fields}

    file = {"type": "TEXT", "name": "a.txt", "content": "meow"}
    record = {
        "conv": {"id": "c", "name": "Cats", "currNode": "5", "lastModified": 1750000009000},
        "messages": [
            said("1", "system", "Be brief.", "-1", type="root"),
            said("2", "user", "Q", "1", extra=[file]),
            said("3", "assistant", "A1", "2", model="llama", toolCalls=""),
            said("4", "user", "More?", "3"),
            said("5", "assistant", "Second.", "2", thinking="Hm."),
        ],
    }
    await run([record])
    tree = await only_tree(conversations)
    question = "[file: a.txt]\n```\nmeow\n```\n\nQ"
    assert rows(tree) == [
        ("user", None, question, ""),
        ("assistant", question, "A1", ""),
        ("user", "A1", "More?", ""),
        ("assistant", question, "Second.", "Hm."),
    ]
    assert (tree.title, tree.system, tree.leaf_id) == ("Cats", "Be brief.", 4)
    assert tree.messages[1].provenance == {"model": "llama", "imported_from": "ShareGPT"}
    assert int(tree.messages[0].created_at) == 1750000000


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning", "thinking"])
async def test_a_thought_under_each_of_its_names(
    name: str, run: Import, conversations: Conversations
) -> None:
    turns = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A", name: "Hm."}]
    await run({"messages": turns})
    assert rows(await only_tree(conversations))[1] == ("assistant", "Q", "A", "Hm.")


@pytest.mark.parametrize(
    "encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le"]
)
async def test_a_file_that_a_windows_shell_wrote(
    encoding: str, run: Import, conversations: Conversations
) -> None:
    await run(json.dumps([foreign.chatgpt_2023()]).encode(encoding))
    assert len((await only_tree(conversations)).messages) == 5


TURNS = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]
TURNS_ELSEWHERE: dict[str, Any] = {
    "the list alone": TURNS,
    "a list of lists": [TURNS],
    "the key of WildChat": [{"conversation_id": "1", "conversation": TURNS}],
    "a list under data": {"data": [{"messages": TURNS}]},
    "texts": [{"conversations": [{"from": "human ", "text": "Q"}, {"from": "gpt", "text": "A"}]}],
    "lists of texts": [
        {"messages": [{"role": t["role"], "content": [t["content"]]} for t in TURNS]}
    ],
}


@pytest.mark.parametrize("name", TURNS_ELSEWHERE)
async def test_turns_under_other_names(
    name: str, run: Import, conversations: Conversations
) -> None:
    await run(TURNS_ELSEWHERE[name])
    assert rows(await only_tree(conversations)) == [
        ("user", None, "Q", ""),
        ("assistant", "Q", "A", ""),
    ]


async def test_instructions_between_turns_stay_in_their_place(
    run: Import, conversations: Conversations
) -> None:
    said = [{"role": "system", "content": "One."}, *TURNS, {"role": "system", "content": "Two."}]
    await run({"messages": said})
    tree = await only_tree(conversations)
    assert tree.system == "One."
    assert rows(tree)[2] == ("user", "A", "[system message]\n\nTwo.", "")


async def test_blocks_of_claude_that_are_a_text(run: Import, conversations: Conversations) -> None:
    await run(claude_with({**foreign.said("m", "human", "Q"), "content": "Q"}))
    assert rows(await only_tree(conversations)) == [("user", None, "Q", "")]


# --- hostile files --------------------------------------------------------------------------------


DEEP = b"[" * 100_000
HOSTILE: dict[str, Any] = {
    "empty": b"",
    "spaces": b" \n ",
    "not JSON": b"hello",
    "not UTF-8": b'[{"mapping": "\xff"}]',
    "half": json.dumps([foreign.chatgpt_2023()]).encode()[:-20],
    "an empty list": b"[]",
    "a number": b"7",
    "a list of numbers": b"[1, 2]",
    "unknown keys": [{"hello": 1}],
    "NaN": b'[{"mapping": {}, "create_time": NaN}]',
    "deep lists": DEEP,
    "deep and closed": DEEP + b"]" * 100_000,
    "deep in a record": b'[{"mapping": ' + DEEP + b"]" * 100_000 + b"}]",
    "a tool with deep input": claude_with(
        foreign.said("m", "human", "", content=[{"type": "tool_use", "input": "DEEP"}])
    ),
    "a circle": chatgpt_with(u={"parent": "x"}),
    "its own parent": chatgpt_with(u={"parent": "u"}),
    "the same id twice": claude_with(
        foreign.said("m", "human", "1"), foreign.said("m", "human", "2")
    ),
    "an unknown sender": claude_with(foreign.said("m", "\x1b]0;root\x07", "1")),
    "turns without speakers": {"messages": [{"sender": "User", "text": "x"}]},
    "a list of another's conversations": {"conversations": [foreign.chatgpt_2023()]},
    "no messages": [foreign.claude()],
    "a text for a list": [foreign.claude() | {"chat_messages": "none"}],
    "a list for a text": claude_with({**foreign.said("m", "human", ""), "text": ["no"]}),
    "a mapping of numbers": [{"mapping": {"a": 1}}],
    "null for a mapping": [{"mapping": None}],
    "a number for a title": [foreign.claude(foreign.said("m", "human", "1"), name=7)],
    "turns of numbers": [{"conversations": [1, 2]}],
    "an unknown role": [{"conversations": [{"from": "root", "value": "x"}]}],
    "no turns": [{"conversations": []}],
    "a history of nothing": [{"chat": {"history": {"messages": {}}}}],
    "a newer version of ours": {"format": "baize-tui sessions", "version": 2, "sessions": []},
    "ours without sessions": {"format": "baize-tui sessions", "version": 1},
    "ours with numbers": {"format": "baize-tui sessions", "version": 1, "sessions": [1]},
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_file_is_one_line_and_adds_nothing(
    name: str, run: Import, conversations: Conversations
) -> None:
    content = HOSTILE[name]
    if not isinstance(content, bytes):
        content = json.dumps(content).encode()
        content = content.replace(b'"DEEP"', DEEP + b"]" * 100_000)
    with pytest.raises(ImportFailed) as failure:
        await run(content)
    line = str(failure.value)
    assert "\n" not in line
    assert all(map(is_harmless, line))
    assert await conversations.list_all() == []


async def test_one_invalid_conversation_is_left_out_and_named(
    run: Import, conversations: Conversations
) -> None:
    broken = {**foreign.chatgpt_2023(), "mapping": {"a": {"parent": "a"}}, "title": "Broken\x1b"}
    summary = await run([foreign.chatgpt_2023(), broken])
    assert len(await conversations.list_all()) == 1
    lines = list(summary_lines(summary))
    assert lines[0] == "imported 1 conversation from ChatGPT"
    assert lines[1] == "left out conversation 2 (Broken␛): its messages form a circle"


async def test_files_are_limited(
    run: Import, conversations: Conversations, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = foreign.chatgpt_2023()
    monkeypatch.setattr(documents, "LARGEST_RECORD", len(json.dumps(record)) + 1)
    summary = await run([record, {**record, "id": "more", "title": "x" * 100}])
    assert (len(summary.imported), len(summary.invalid)) == (1, 1)
    monkeypatch.setattr(documents, "LARGEST_FILE", 1000)
    with pytest.raises(ImportFailed, match="too large"):
        await run([record])
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("conversations.json", " " * 1001)
    with pytest.raises(ImportFailed, match="too large"):
        await import_file(conversations, bomb)


async def test_an_archive_that_unpacks_to_many_times_its_size_is_refused(
    conversations: Conversations, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("conversations.json", "[" + " " * 200_000 + "]")
    with pytest.raises(ImportFailed, match="has no conversations"):
        await import_file(conversations, bomb)
    monkeypatch.setattr(documents, "_UNSUSPICIOUS", 100_000)
    with pytest.raises(ImportFailed, match="too large"):
        await import_file(conversations, bomb)


@pytest.mark.parametrize("damage", ["no conversations", "cut", "encrypted", "LZMA", "a name"])
async def test_a_damaged_archive_is_one_line(
    damage: str, conversations: Conversations, tmp_path: Path
) -> None:
    path = tmp_path / "export.zip"
    packing = zipfile.ZIP_LZMA if damage == "LZMA" else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", packing) as file:
        name = "other.json" if damage == "no conversations" else "conversations.json"
        file.writestr(name, json.dumps([foreign.chatgpt_2023()] * 20))
    content = path.read_bytes()
    if damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    if damage == "encrypted":  # only the flags that say so
        changed = bytearray(content)
        changed[6] |= 1
        changed[content.index(b"PK\x01\x02") + 8] |= 1
        path.write_bytes(changed)
    if damage == "LZMA":
        changed = bytearray(content)
        changed[60:90] = bytes(30)
        path.write_bytes(changed)
    if damage == "a name":  # said to be UTF-8, which it is not
        changed = bytearray(content)
        begin = content.index(b"PK\x01\x02")
        changed[begin + 9] |= 8
        changed[begin + 46] = 0xFF
        path.write_bytes(changed)
    with pytest.raises(ImportFailed) as failure:
        await import_file(conversations, path)
    assert "\n" not in str(failure.value)
    assert await conversations.list_all() == []


async def test_what_is_no_file_is_one_line(conversations: Conversations, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "missing.json", tmp_path, tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(ImportFailed):
            await import_file(conversations, path)


async def test_halves_of_characters_are_replaced(run: Import, conversations: Conversations) -> None:
    text = "\\ud83d \U0001f600 cut \ud83d, \udc00 and \\\ud83d"
    await run([{"conversations": [{"from": "human", "value": text}]}])
    tree = await only_tree(conversations)
    assert tree.messages[0].text == "\\ud83d \U0001f600 cut \ufffd, \ufffd and \\\ufffd"


async def test_every_text_is_sanitized(run: Import, conversations: Conversations) -> None:
    attack = "\x1b]0;title\x07\x9b31m\u202e\x00\U000e0041"
    for records in ALL.values():
        spoiled = json.loads(json.dumps(records[0]), object_hook=lambda o: spoil(o, attack))
        await run([spoiled])
    trees = [await conversations.tree(c) for c in await conversations.list_all()]
    assert len(trees) == len(ALL)
    for tree in trees:
        texts = [tree.title, tree.system, *(m.text + m.reasoning for m in tree.messages)]
        texts += [str(message.provenance) for message in tree.messages]
        assert "␛]0;title" in "".join(texts)
        assert all(is_harmless(char) for text in texts for char in text)


def spoil(value: dict[str, Any], attack: str) -> dict[str, Any]:
    """``value`` with ``attack`` at the end of the texts that are shown."""
    shown = (
        "title",
        "name",
        "text",
        "content",
        "value",
        "input",
        "model",
        "model_slug",
        "thinking",
    )
    return {
        key: each + attack if key in shown and isinstance(each, str) else each
        for key, each in value.items()
    }


# --- fuzz -----------------------------------------------------------------------------------------

JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "text", "parts", "parent", "id"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)


@given(st.data())
def test_any_value_in_any_place_is_a_conversation_or_a_line(data: st.DataObject) -> None:
    """A value of a realistic export is replaced by junk: the record is read, or one line says why
    it cannot be."""
    _, record = data.draw(st.sampled_from(EACH))
    changed = json.loads(json.dumps(record))
    places = list(containers(changed))
    container, key = data.draw(st.sampled_from(places))
    container[key] = data.draw(JUNK)
    try:
        found = recognize(json.dumps([changed]).encode())
    except ImportFailed:
        return
    for item in found.conversations():
        if isinstance(item, InvalidRecord):
            assert item.problem
            continue
        numbers = [message.id for message in item.tree.messages]
        assert numbers == list(range(1, len(numbers) + 1))
        assert all(m.parent_id is None or m.parent_id < m.id for m in item.tree.messages)
        assert item.tree.leaf_id in numbers


def containers(value: Any) -> Any:
    """Every place in ``value`` that holds a value: its container and key."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in list(pairs):
        yield value, key
        if isinstance(inner, dict | list):
            yield from containers(inner)


@given(st.binary(max_size=60))
def test_any_bytes_are_conversations_or_a_line(content: bytes) -> None:
    with contextlib.suppress(ImportFailed):
        list(recognize(content).conversations())


LONG = [
    *("<details " * 50_000, "<details>" * 50_000, '<details type="reasoning">' * 20_000),
    *('<details a="' * 40_000, f"<details {'a' * 500_000}></details>"),
    *(f"<details>{' ' * 500_000}</details>", "<details></details>" * 30_000),
    *("\ue200" * 500_000, "[|AI|]" * 80_000, "`" * 500_000, "\\" * 500_000),
]


@pytest.mark.sampled(20)
@pytest.mark.parametrize("name", sorted(ALL))
@pytest.mark.parametrize("place", range(len(LONG)))
def test_half_a_million_characters_are_read_in_linear_time(name: str, place: int) -> None:
    """In a time that grows with the square of its length, this would not end."""
    text = LONG[place]
    changed = json.loads(json.dumps(ALL[name][0]), object_hook=lambda o: spoil(o, text))
    (item,) = recognize(json.dumps([changed]).encode()).conversations()
    assert not isinstance(item, InvalidRecord)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (1700000000.5, 1700000000.5),
        (1700000000500, 1700000000.5),
        (1700000000500000, 1700000000.5),
        (1700000000500000000, 1700000000.5),
        ("2023-11-14T22:13:20.5Z", 1700000000.5),
        ("2023-11-14T22:13:20.5", 1700000000.5),
        ("1700000000.5", 1700000000.5),
        ("1700000000500", 1700000000.5),
        ("20231114", 1699920000.0),
        ("yesterday", None),
        ("", None),
        (-5, None),
        (10**40, None),
        (None, None),
    ],
)
def test_times_in_every_unit(value: Any, seconds: float | None) -> None:
    assert read_time(value) == seconds
