"""Exporting conversations: what each format contains, and what comes back."""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from baize_tui.chat import export_files
from baize_tui.chat.conversations import Conversations
from baize_tui.chat.export_files import ExportFailed, FileExists, export_all, export_one
from baize_tui.chat.exports.html_page import to_html
from baize_tui.chat.exports.html_text import markdown_html
from baize_tui.chat.exports.json_file import to_json
from baize_tui.chat.exports.markdown import to_markdown
from baize_tui.chat.exports.rendering import FORMATS
from baize_tui.chat.exports.sharegpt import to_sharegpt
from baize_tui.chat.exports.words import close_block, file_name
from baize_tui.chat.import_files import import_file
from baize_tui.chat.imports.recognition import InvalidRecord, recognize
from baize_tui.chat.store_thread import open_store
from baize_tui.paths import Paths
from baize_tui.store.conversations import Store
from baize_tui.store.draft_parts import message_parts
from baize_tui.store.records import ConversationTree, Message
from tests.chat.random_trees import trees

TIME = 1764394614.5


def message(number: int, parent: int | None, text: str, **fields: Any) -> Message:
    return Message(
        **{
            "id": number,
            "conversation_id": "c",
            "parent_id": parent,
            "role": "user" if parent is None or number % 2 else "assistant",
            "state": "complete",
            "text": text,
            "reasoning": "",
            "ids": None,
            "tokenizer": None,
            "created_at": TIME,
            "provenance": None,
            **fields,
        }
    )


def conversation(*messages: Message, leaf: int | None = None, **fields: Any) -> ConversationTree:
    return ConversationTree(
        **{
            "id": "0123456789ab",
            "title": "Primes: 'a' and \"b\"",
            "created_at": TIME,
            "updated_at": TIME + 60,
            "leaf_id": leaf,
            "context_start": None,
            "model": "smollm2-135m",
            "system": "Be brief.\nBe kind.",
            "moderation": True,
            "format": None,
            "messages": list(messages),
            **fields,
        }
    )


BRANCHED = conversation(
    message(1, None, "Name a prime."),
    message(2, 1, "4", role="assistant", mark="bad", provenance={"model": "/home/me/m.gguf"}),
    message(3, 1, "7", role="assistant", reasoning="Not 4.", provenance={"model": "smol"}),
    message(4, 2, "That is no prime.", role="user"),
    message(5, 4, "Right.", role="assistant"),
    message(6, 3, "Another?", role="user"),
    message(7, 6, "11", role="assistant", state="stopped"),
    leaf=7,
)
"""A question with two answers; the conversation goes on below both."""


# --- JSON -----------------------------------------------------------------------------------------


@given(st.lists(trees(), max_size=3, unique_by=lambda tree: tree.id))
def test_json_comes_back_without_a_loss(some: list[ConversationTree]) -> None:
    content = to_json(some)
    if not some:
        return
    found = recognize(content)
    assert found.format == "json"
    read = [item.tree for item in found.conversations() if not isinstance(item, InvalidRecord)]
    assert read == some


@given(trees())
def test_a_conversation_comes_back_from_the_store(tree: ConversationTree) -> None:
    """Exported, imported into an empty store, and exported again: the same bytes."""
    store = Store(None)
    for item in recognize(to_json([tree])).conversations():
        assert not isinstance(item, InvalidRecord)
        store.trees.add([item.tree])
    again = store.trees.read(store.conversation(tree.id))
    store.close()
    assert to_json([again]) == to_json([tree])


def test_json_with_messages_in_another_order_is_the_same_tree() -> None:
    document = json.loads(to_json([BRANCHED]))
    document["sessions"][0]["messages"].reverse()
    for place, each in enumerate(document["sessions"][0]["messages"]):
        assert each["id"] == 7 - place
    (item,) = recognize(json.dumps(document).encode()).conversations()
    assert not isinstance(item, InvalidRecord)
    texts = {m.id: m.text for m in item.tree.messages}
    original = {m.id: m.text for m in BRANCHED.messages}
    assert {(m.text, texts.get(m.parent_id or 0)) for m in item.tree.messages} == {
        (m.text, original.get(m.parent_id or 0)) for m in BRANCHED.messages
    }
    assert texts[item.tree.leaf_id or 0] == "11"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("created_at", -1),
        ("updated_at", 1e300),
        ("sampling", {"temperature": "hot"}),
        ("sampling", {"nonsense": 1}),
        ("adapters", {"a": "much"}),
        ("overflow", "explode"),
        ("leaf_id", 99),
        ("context_start", 99),
        ("title", None),
        ("messages", None),
    ],
)
def test_json_with_a_wrong_value_is_refused(field: str, value: Any) -> None:
    document = json.loads(to_json([BRANCHED]))
    document["sessions"][0][field] = value
    (item,) = recognize(json.dumps(document).encode()).conversations()
    assert isinstance(item, InvalidRecord)


@pytest.mark.parametrize(
    ("field", "value"),
    [("id", 3), ("parent_id", 5), ("ids", [2**31]), ("ids", [-1]), ("role", "root"), ("mark", 3)],
)
def test_json_with_a_wrong_message_is_refused(field: str, value: Any) -> None:
    document = json.loads(to_json([BRANCHED]))
    document["sessions"][0]["messages"][1][field] = value
    (item,) = recognize(json.dumps(document).encode()).conversations()
    assert isinstance(item, InvalidRecord)


# --- Markdown -------------------------------------------------------------------------------------


def test_markdown_has_front_matter_and_every_branch() -> None:
    text = to_markdown(BRANCHED).decode()
    _, front, body = text.split("---\n", 2)
    assert yaml.safe_load(front) == {
        "title": "Primes: 'a' and \"b\"",
        "id": "0123456789ab",
        "created": "2025-11-29T05:36:54.500000+00:00",
        "updated": "2025-11-29T05:37:54.500000+00:00",
        "model": "smollm2-135m",
        "system": "Be brief.\nBe kind.",
    }
    assert body == (
        "\n# Primes: 'a' and \"b\"\n\n## You\n\nName a prime.\n\n"
        "## Model · smol\n\n<details>\n<summary>Thought</summary>\n\nNot 4.\n\n</details>\n\n7\n\n"
        "<details>\n<summary>Answer 1 of 2</summary>\n\n## Model · m.gguf\n\n4\n\n"
        "## You\n\nThat is no prime.\n\n## Model\n\nRight.\n\n</details>\n\n"
        "## You\n\nAnother?\n\n## Model (stopped)\n\n11\n"
    )


def test_front_matter_and_branches_say_how_they_are_organized() -> None:
    messages = [
        msgspec.structs.replace(m, name="short" if m.text == "4" else "") for m in BRANCHED.messages
    ]
    tree = msgspec.structs.replace(
        BRANCHED, tags=["work", "prime-numbers"], pinned=True, archived=True, messages=messages
    )
    text = to_markdown(tree).decode()
    front = yaml.safe_load(text.split("---\n")[1])
    assert front["tags"] == ["work", "prime-numbers"]
    assert (front["pinned"], front["archived"]) == (True, True)
    assert "<summary>Answer 1 of 2: short</summary>" in text
    page = Page(to_html(tree)).text
    assert "prime-numbers" in page
    assert "Answer 1 of 2: short" in page


def test_titles_and_names_begin_no_html() -> None:
    messages = [
        msgspec.structs.replace(m, name="</summary><!-- short" if m.text == "4" else "")
        for m in BRANCHED.messages
    ]
    tree = msgspec.structs.replace(BRANCHED, title="What is <details>?", messages=messages)
    text = to_markdown(tree).decode()
    assert "<summary>Answer 1 of 2: &lt;/summary&gt;&lt;!-- short</summary>" in text
    assert "# What is &lt;details>?" in text
    assert text.count("<details>") - 1 == text.count("</details>")  # one in the front matter


@given(trees())
def test_markdown_loses_no_text(tree: ConversationTree) -> None:
    text = to_markdown(tree).decode()
    front = yaml.safe_load(text.split("\n---\n")[0].removeprefix("---\n"))
    assert (front["title"], front["system"]) == (tree.title, tree.system)
    assert text.count("<details>") == text.count("</details>")
    for each in tree.messages:
        for part in message_parts(each):
            assert (part if isinstance(part, str) else part.text).strip("\n") in text
        assert each.reasoning.strip() in text


@pytest.mark.parametrize(
    ("text", "fence"),
    [
        ("```py\nx", "```"),
        ("````\n```\nx", "````"),
        ("~~~\n```", "~~~"),
        ("```\nx\n```", ""),
        ("a ``` b", ""),
        ("```a`b", ""),
        ("```\nx\n``` y", "```"),
        ("    ```", ""),
        ("- ```py\n  x\n  ```", ""),
        ("1. a\n   ```py\n   x", ""),
        ("> ```\n> x", ""),
        ("- ```\n  x\n  ```\n\n~~~\ny", "~~~"),
        ("Why?\n\n<!-- what", "-->"),
        ("<!-- a -->", ""),
        ("<script>\n\nlet a", "</script>"),
        ("<PRE>", "</pre>"),
        ("<![CDATA[", "]]>"),
        ("<?php", "?>"),
        ("<!DOCTYPE", ">"),
        ("<details>", ""),
        ("```html\n<!--\n```", ""),
    ],
)
def test_an_open_block_is_closed(text: str, fence: str) -> None:
    assert close_block(text) == (f"{text}\n{fence}" if fence else text)


@given(st.text("`~ab \n", max_size=20) | st.text("`~->1.<!? \n", max_size=24))
def test_what_follows_a_closed_text_is_not_in_its_code(text: str) -> None:
    tokens = MarkdownIt("commonmark").parse(f"{close_block(text)}\n\n## Next\n")
    assert [token.content for token in tokens[-3:]][1] == "Next"


# --- ShareGPT -------------------------------------------------------------------------------------


def test_sharegpt_has_the_shown_branch() -> None:
    (record,) = json.loads(to_sharegpt([BRANCHED]))
    assert record["conversations"] == [
        {"from": "system", "value": "Be brief.\nBe kind."},
        {"from": "human", "value": "Name a prime."},
        {"from": "gpt", "value": "7"},
        {"from": "human", "value": "Another?"},
        {"from": "gpt", "value": "11"},
    ]
    assert FORMATS["sharegpt"].left_out([BRANCHED]) == {"message": 3, "thought": 1}


@given(trees())
def test_sharegpt_comes_back_as_far_as_it_has_room(tree: ConversationTree) -> None:
    (item,) = recognize(to_sharegpt([tree])).conversations()
    by_id = {each.id: each for each in tree.messages}
    path: list[Message] = []
    number = tree.leaf_id
    while number is not None:
        path.insert(0, by_id[number])
        number = by_id[number].parent_id
    if not path:
        assert isinstance(item, InvalidRecord)
        return
    assert not isinstance(item, InvalidRecord)
    assert [(m.role, m.text) for m in item.tree.messages] == [(m.role, m.text) for m in path]
    assert item.tree.system == tree.system.strip()


# --- HTML -----------------------------------------------------------------------------------------

ALLOWED = {
    *("html", "head", "meta", "title", "style", "body", "main", "header", "footer", "article"),
    *("h1", "h2", "h3", "h4", "h5", "h6", "p", "div", "span", "details", "summary", "pre", "code"),
    *("a", "em", "strong", "s", "ul", "ol", "li", "blockquote", "hr", "br"),
    *("table", "thead", "tbody", "tr", "th", "td"),
}
EMPTY = {"meta", "hr", "br"}


class Page(HTMLParser):
    """What a browser would see in a page: its elements, links and text."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.open: list[str] = []
        self.nested = 0
        self.feed(content.decode())
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        if tag not in EMPTY:
            self.open.append(tag)
        self.nested = max(self.nested, self.open.count("details"))
        for name, value in attributes:
            assert (
                name in {"class", "id", "href", "rel", "title", "start", "style"} or tag == "meta"
            )
            if name == "style":
                assert value in ("text-align:left", "text-align:right", "text-align:center")
            if name == "href":
                self.links.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        if tag not in EMPTY:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data


def test_html_folds_branches_and_thoughts() -> None:
    page = Page(to_html(BRANCHED))
    assert set(page.elements) <= ALLOWED
    assert page.elements.count("details") == 3  # system prompt, thought, branch
    for words in ("Name a prime.", "Not 4.", "That is no prime.", "Be brief.", "Answer 1 of 2"):
        assert words in page.text
    assert "/home/me" not in page.text


def test_html_has_each_paragraph_in_its_own_direction() -> None:
    """Arabic is read from the right, also beside English."""
    content = to_html(BRANCHED).decode()
    assert "unicode-bidi: plaintext" in content
    assert "text-align: left" not in content


def test_html_needs_no_network() -> None:
    content = to_html(BRANCHED).decode()
    for word in ("http:", "https:", "<script", "<link", "<img", "url(", "@import"):
        assert word not in content
    assert "default-src 'none'" in content
    assert content.count("prefers-color-scheme: dark") == 2


def test_code_has_colours() -> None:
    html = markdown_html("```python\nprint('x') # y\n```\n\n```nonsense\n<b>\n```\n\n    <i>\n")
    assert '<span class="nb">print</span>' in html
    assert '<pre class="code"><code>&lt;b&gt;\n</code></pre>' in html
    assert "&lt;i&gt;" in html


ATTACKS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "</div></article></main><h1>x</h1>",
    "</style><script>alert(1)</script>",
    "<!-- <script>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](&#106;avascript:alert(1))",
    "[x](java\tscript:alert(1))",
    "[x](vbscript:x)",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "[x](file:///etc/passwd)",
    "[x](//evil.example/x)",
    "[x](https://[)",
    "<javascript:alert(1)>",
    "![x](https://evil.example/pixel.png)",
    '![x](https://a/b.png "onerror=alert(1)")',
    "![x](data:image/svg+xml;base64,PHN2Zz4=)",
    '[x](https://a "\\" onmouseover=\\"alert(1)")',
    "[x]: javascript:alert(1)\n\n[x]",
    '```"><script>alert(1)</script>\ncode\n```',
    "```html\n<script>alert(1)</script>\n```",
    "```python onload=x\n</code></pre><script>\n```",
    "| <script> |\n|---|\n| <img src=x> |",
    "&lt;script&gt;",
    ">" * 200 + " deep",
    "- " * 200 + "deep",
    "[" * 2000,
    "*" * 2000 + "a",
    "![" * 60_000,
    "```ruby\n" + "<<A " * 20_000,
]


@pytest.mark.parametrize("attack", ATTACKS)
def test_nothing_in_a_message_becomes_active(attack: str) -> None:
    tree = conversation(
        message(1, None, attack),
        message(2, 1, attack, role="assistant", reasoning=attack, provenance={"model": attack}),
        leaf=2,
        title=attack,
        system=attack,
    )
    page = Page(to_html(tree))
    assert set(page.elements) <= ALLOWED
    assert page.elements.count("article") == 2
    assert all(link.startswith("https://") for link in page.links)


@given(
    st.lists(st.sampled_from([*ATTACKS[:-2], "a", "\n", "`", "<", ">", "*", "[", "](", ")", "|"]))
)
def test_no_mixture_of_attacks_becomes_active(parts: list[str]) -> None:
    text = "".join(parts)
    page = Page(b"<main>" + markdown_html(text).encode() + b"</main>")
    assert set(page.elements) <= ALLOWED
    assert all(link.startswith("https://") for link in page.links)


@given(trees())
def test_html_has_every_message(tree: ConversationTree) -> None:
    page = Page(to_html(tree))
    assert page.elements.count("article") == len(tree.messages)


def test_a_thousand_nested_branches_are_written() -> None:
    """Each question is edited, and the edit is what goes on."""
    rows = [message(1, None, "0")]
    for depth in range(1, 1000):
        rows += [message(2 * depth, 2 * depth - 1, "a"), message(2 * depth + 1, 2 * depth - 1, "b")]
    tree = conversation(*rows, leaf=2)
    assert Page(to_html(tree)).elements.count("article") == len(rows)
    assert to_markdown(tree).decode().count("## ") == len(rows)
    (item,) = recognize(to_json([tree])).conversations()
    assert not isinstance(item, InvalidRecord)


# --- files ----------------------------------------------------------------------------------------


@pytest.fixture
async def conversations(paths: Paths) -> AsyncIterator[Conversations]:
    with open_store(paths.conversations_file) as store:
        other = msgspec.structs.replace(BRANCHED, id="fedcba987654", updated_at=TIME)
        store.store.trees.add([BRANCHED, other])
        yield Conversations(store)


@pytest.mark.parametrize("name", FORMATS)
async def test_files_are_private_and_replaced_on_request_only(
    name: Any, conversations: Conversations, tmp_path: Path
) -> None:
    format, target = FORMATS[name], tmp_path / "out"
    chosen = await conversations.get("0123456789ab")
    await export_one(conversations, chosen, format, target, force=False)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    target.write_text("mine")
    with pytest.raises(FileExists):
        await export_one(conversations, chosen, format, target, force=False)
    assert target.read_text() == "mine"
    await export_one(conversations, chosen, format, target, force=True)
    assert target.read_text() != "mine"


@pytest.mark.parametrize("name", FORMATS)
async def test_all_conversations(name: Any, conversations: Conversations, tmp_path: Path) -> None:
    chosen = await conversations.list_all()
    folder = tmp_path / "out"
    folder.mkdir()
    written = await export_all(conversations, chosen, FORMATS[name], folder, force=False)
    assert sorted(folder.iterdir()) == sorted(written.files)
    assert len(written.files) == (2 if FORMATS[name].one_each else 1)
    changed = written.files[0]
    changed.write_bytes(changed.read_bytes()[:-1] + b"!")
    with pytest.raises(FileExists):
        await export_all(conversations, chosen, FORMATS[name], folder, force=False)


async def test_an_export_that_fails_can_be_repeated(
    conversations: Conversations, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files that it has written are not in the way of the same command."""
    chosen = await conversations.list_all()
    written: list[Path] = []

    def write_one(target: Path, content: bytes) -> None:
        if written:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        target.write_bytes(content)
        written.append(target)

    folder = tmp_path / "out"
    folder.mkdir()
    mine = folder / "mine.txt"
    mine.write_text("mine")
    with monkeypatch.context() as full_disk:
        full_disk.setattr(export_files, "write_atomically", write_one)
        with pytest.raises(ExportFailed, match="No space left"):
            await export_all(conversations, chosen, FORMATS["markdown"], folder, force=False)
    assert len(written) == 1
    before = written[0].stat().st_ino
    await export_all(conversations, chosen, FORMATS["markdown"], folder, force=False)
    assert written[0].stat().st_ino == before
    assert len([*folder.glob("*")]) == 1 + len(chosen)


async def test_several_pages_need_a_folder(conversations: Conversations, tmp_path: Path) -> None:
    chosen = await conversations.list_all()
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(ExportFailed, match="not a folder"):
        await export_all(conversations, chosen, FORMATS["html"], file, force=True)
    new = tmp_path / "a" / "b"
    await export_all(conversations, chosen, FORMATS["html"], new, force=False)
    assert stat.S_IMODE(new.stat().st_mode) == 0o700


async def test_deleted_messages_and_what_is_below_are_not_exported(
    conversations: Conversations, paths: Paths, tmp_path: Path
) -> None:
    with open_store(paths.conversations_file) as other:
        store = other.store
        answer = next(m for m in store.all_messages("0123456789ab") if m.text == "4")
        store.delete_message(answer.id)
    chosen = await conversations.get("0123456789ab")
    for format in FORMATS.values():
        target = tmp_path / format.name
        await export_one(conversations, chosen, format, target, force=False)
        assert "That is no prime." not in target.read_text()
        assert "Another?" in target.read_text()


async def test_exported_json_is_imported_again(
    conversations: Conversations, tmp_path: Path
) -> None:
    file = tmp_path / "all.json"
    chosen = await conversations.list_all()
    await export_all(conversations, chosen, FORMATS["json"], file, force=False)
    with open_store(tmp_path / "other" / "conversations.db") as store:
        other = Conversations(store)
        assert len((await import_file(other, file)).imported) == 2
        again = tmp_path / "again.json"
        listed = await other.list_all()
        await export_all(other, listed, FORMATS["json"], again, force=False)
    assert again.read_bytes() == file.read_bytes()


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("What is 2 + 2?", "what-is-2-2-0123456789ab.md"),
        ("白泽", "白泽-0123456789ab.md"),
        ("../../etc/passwd", "etc-passwd-0123456789ab.md"),
        ("", "conversation-0123456789ab.md"),
        ("x" * 300, f"{'x' * 60}-0123456789ab.md"),
        ("\U0001d5ef" * 80, "\U0001d5ef" * 45 + "-0123456789ab.md"),
    ],
)
def test_names_of_files(title: str, name: str) -> None:
    assert file_name(conversation(title=title), ".md") == name
