"""Text is data: what a model, a file or a title says is never a command to the terminal.

The client and the commands run in a pseudo-terminal, and every byte they write is checked.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from baize_tui.catalog.recipes import Recipe, write_recipe
from baize_tui.paths import Paths
from baize_tui.store.conversations import Store
from tests.terminal.pty_session import CTRL_B, CTRL_Q, DOWN, ENTER, PtySession

# A window title, a clipboard write, a hyperlink, a cursor move, an answer-back query, C1 forms of
# CSI and OSC, a bidi override. "pwned" marks them.
ATTACKS = (
    "\x1b]0;pwned\x07",
    "\x1b]52;c;cHduZWQ=\x07",
    "\x1b]8;;http://pwned\x07link\x1b]8;;\x07",
    "\x1b[31mpwned\x1b[2J",
    "\x1b[c",
    "\x9b31mpwned",
    "\x9d0;pwned\x9c",
    "\x1bP+q pwned\x1b\\",
    "\u202epwned",
    "\u2066pwned\u2069",
)
DANGEROUS = re.compile(
    rb"\x1b\]0;pwned|\x1b\]52|\x1b\]8;;http://pwned|\x1b\[31mpwned|\x1bP\+q|\x1b\[c"
    + "|".join(["", "\x9b", "\x9d", "\u202e", "\u2066"]).encode()
)


@pytest.fixture
def hostile_store(paths: Paths) -> str:
    """A conversation whose texts contain every attack; returns its id."""
    store = Store(paths.conversations_file)
    conversation = store.new_conversation(system="".join(ATTACKS), moderation=True, title="T")
    text = "\n\n".join(f"{number} {attack}" for number, attack in enumerate(ATTACKS))
    question = store.add_message(conversation.id, None, "user", text)
    store.add_message(conversation.id, question.id, "assistant", f"{text}\n\n```\n{text}\n```")
    store.rename(conversation.id, "title " + "".join(ATTACKS))
    store.close()
    return conversation.id


def assert_harmless(written: bytes) -> None:
    found = DANGEROUS.search(written)
    assert found is None, written[max(0, found.start() - 40) : found.end() + 40]


def test_the_client_writes_no_attack(hostile_store: str) -> None:
    with PtySession("--session", hostile_store, lines=60) as client:
        client.wait_for(lambda screen: "moderated" in screen and "pwned" in screen)
        client.type(CTRL_B + DOWN + ENTER)
        client.wait_for("pwned")
        client.type(CTRL_Q)
        assert client.wait_for_end() == 0
    assert_harmless(client.written)


def test_a_paste_writes_no_attack(paths: Paths) -> None:
    with PtySession() as client:
        client.wait_for("moderated")
        client.type("\x1b[200~pasted \x1b]0;pwned\x07 \x9b31mpwned \u202epwned\x1b[201~")
        client.wait_for("pasted")
        client.type(CTRL_Q)
        assert client.wait_for_end() == 0
    assert_harmless(client.written)


@pytest.mark.parametrize(
    "arguments", [("sessions", "list"), ("sessions", "show"), ("sessions", "show", "--json")]
)
def test_the_session_commands_write_no_attack(
    hostile_store: str, arguments: tuple[str, ...]
) -> None:
    more = (hostile_store,) if "show" in arguments else ()
    with PtySession(*arguments, *more) as command:
        assert command.wait_for_end() == 0
    assert b"pwned" in command.written
    assert_harmless(command.written)


def test_a_terminal_without_utf8_is_refused() -> None:
    environment = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    with PtySession(environment=environment) as client:
        assert client.wait_for_end() == 1
    assert b"the screen needs UTF-8" in client.written
    assert client.written.count(b"\n") == 1


def test_error_messages_write_no_attack() -> None:
    for arguments in (
        ("ask", "Hi", "--model", "".join(ATTACKS)),
        ("ask", "Hi", "--model", f"/no/such/{ATTACKS[0]}.gguf"),
        ("ask", "Hi", "--format", ATTACKS[0]),
        ("sessions", "show", ATTACKS[0]),
        ("sessions", "rename", ATTACKS[0], ATTACKS[1]),
    ):
        with PtySession(*arguments) as command:
            assert command.wait_for_end() == 1
        assert b"baize-tui: " in command.written
        assert_harmless(command.written)


def test_ask_writes_no_attack_that_the_model_repeats(smollm2: Path) -> None:
    """The question asks the model to repeat an attack."""
    with PtySession(
        *("ask", f"Repeat exactly: {ATTACKS[0]} {ATTACKS[3]}"),
        *("--temperature", "0", "--max-tokens", "30"),
    ) as command:
        assert command.wait_for_end() == 0
    assert_harmless(command.written)


def test_recipes_names_and_paths_write_no_attack(
    smollm2: Path, tmp_path: Path, paths: Paths
) -> None:
    attack = "".join(ATTACKS[:6] + ATTACKS[8:]).replace("/", "")
    folder = tmp_path / attack
    folder.mkdir()
    linked = folder / "m.gguf"
    linked.symlink_to(smollm2)
    write_recipe(
        "hostile", Recipe(file=str(linked), title=attack, description=attack, notice=attack), paths
    )
    for arguments in (
        ("models", "list"),
        ("models", "list", "--json"),
        ("models", "info", "hostile"),
        ("models", "info", "hostile", "--json"),
        ("doctor",),
        ("doctor", "--json"),
    ):
        environment = {"BAIZE_HOME": str(paths.data.parent), "LANG": "C.UTF-8"}
        with PtySession(*arguments, environment=environment) as command:
            assert command.wait_for_end() == 0, command.written
        assert_harmless(command.written)
    with PtySession("--model", "hostile") as client:
        client.wait_for(lambda screen: "moderated" in screen and "pwned" in screen)
        client.type(CTRL_Q)
        assert client.wait_for_end() == 0
    assert_harmless(client.written)


def test_a_models_metadata_writes_no_attack(smollm2: Path, tmp_path: Path) -> None:
    whole = smollm2.read_bytes()
    name = b"Smollm2 135M 8k Lc100K Mix1 Ep2"
    assert name in whole[:2000]
    hostile = tmp_path / "hostile.gguf"
    attack = ATTACKS[0].encode() + ATTACKS[5].encode()
    hostile.write_bytes(whole.replace(name, attack.ljust(len(name), b"x"), 1))
    for arguments in (("models", "info", str(hostile)), ("models", "info", str(hostile), "--json")):
        with PtySession(*arguments) as command:
            assert command.wait_for_end() == 0
        assert b"pwned" in command.written
        assert_harmless(command.written)
