"""No text from outside reaches a terminal as anything but text, in any command of the programs.

Each command runs in a pseudo-terminal, in a home where every source of text is hostile. A new
command fails here until it is in the table.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from baize_shared.sanitizer import is_harmless
from tests.engine.remote.streaming_server import refuse, serve, stream
from tests.program_commands import RUN, all_commands, with_json
from tests.terminal.command_uses import HUB_USES, USES, Case, complete
from tests.terminal.hostile_world import SOURCES, World
from tests.terminal.pty_session import PtySession
from tests.terminal.terminal_bytes import ATTACKS, SURROGATE, assert_harmless, hostile
from tests.warm_start import PROGRAMS

EXIT_CODES = (0, 1)


def test_every_command_is_in_the_table() -> None:
    assert set(USES) == set(all_commands())


CASES = {words: (words, case) for words, case in USES.items()} | HUB_USES
JSON_CASES = {name: (words, case) for name, (words, case) in CASES.items() if words in with_json()}


@pytest.mark.sampled(4)
@pytest.mark.parametrize(("words", "case"), CASES.values(), ids=CASES)
def test_a_command_writes_only_text(
    words: str, case: Case, world: World, environment: dict[str, str]
) -> None:
    program, *arguments = complete(words, world, environment, case)
    with PtySession(*arguments, program=[program], environment=environment, columns=200) as command:
        assert command.wait_for_end() in EXIT_CODES, command.written
    assert_harmless(command.written)
    assert b"Traceback" not in command.written
    assert b"unexpected error" not in command.written
    for tag in case.prints:
        assert tag.encode() in command.written, f"{SOURCES[tag]} was not printed"


@pytest.mark.sampled(8)
@pytest.mark.parametrize(("words", "case"), JSON_CASES.values(), ids=JSON_CASES)
def test_json_is_one_object_that_a_terminal_can_show(
    words: str, case: Case, world: World, environment: dict[str, str]
) -> None:
    _python, _m, program, *arguments = complete(words, world, environment, case)
    done = PROGRAMS.run(program, [*arguments, "--json"], environment)
    assert done.returncode in EXIT_CODES, done.stderr
    assert_harmless(done.stderr)
    assert b"Traceback" not in done.stderr
    assert b"unexpected error" not in done.stderr
    assert all(map(is_harmless, done.stdout.decode()))
    if done.stdout:
        assert isinstance(json.loads(done.stdout), dict)


@pytest.mark.sampled(24)
@pytest.mark.parametrize("typed", [(f"--{hostile('Qtyped')}",), (hostile("Qtyped"),) * 9])
@pytest.mark.parametrize("words", USES)
def test_wrong_usage_repeats_what_was_typed_as_text(
    words: str, typed: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    program, *arguments = words.split()
    takes_any_words = words == "baize-tui sessions search" and not typed[0].startswith("-")
    codes = (0,) if takes_any_words else (1, 2)
    assert RUN[program]([*arguments, *typed]) in codes
    printed = capsys.readouterr()
    assert_harmless((printed.out + printed.err).encode())
    assert "Traceback" not in printed.err


@pytest.mark.sampled(1)
@pytest.mark.parametrize("kind", ["answer", "refusal", "models"])
def test_ask_writes_as_text_what_a_server_sends(kind: str) -> None:
    text = hostile("Qserver", SURROGATE)
    with serve(stream(text, reasoning=[text]) if kind == "answer" else refuse(500, text)) as server:
        spec = server.spec
        if kind == "models":
            server.lists({"id": "pear"}, {"id": text})
            spec = f"server:{server.url}"
        with PtySession("ask", "Hi", "--model", spec, "--show-thinking") as command:
            assert command.wait_for_end() == int(kind != "answer"), command.written
    assert_harmless(command.written)
    assert b"Traceback" not in command.written
    assert b"Qserver" in command.written


def test_the_client_without_a_screen_writes_as_text_what_a_server_sends() -> None:
    text = hostile("Qserver", SURROGATE)
    with (
        serve(stream(text, reasoning=[text]), refuse(500, text)) as server,
        PtySession("--plain", "--model", server.spec) as command,
    ):
        for typed, shown in (("Hi", "2 You:"), ("/thought", "2 You:"), ("More", "(500)")):
            command.type(f"{typed}\n")
            command.wait_for(shown)
        command.type("/quit\n")
        assert command.wait_for_end() == 0, command.written
    assert_harmless(command.written)
    assert command.written.count(b"Qserver") >= 3


def test_serve_writes_the_name_of_its_model_as_text(world: World) -> None:
    with PtySession("serve", "--model", str(world.model), "--port", "0") as command:
        command.wait_for("ctrl+c ends it")
        command.type("\x03")
        assert command.wait_for_end() == 130
    assert_harmless(command.written)
    assert b"Qfile" in command.written


def test_ask_writes_as_text_what_the_model_repeats(smollm2: Path) -> None:
    attack = f"{ATTACKS['window title']} {ATTACKS['colour']}"
    question = ("ask", f"Repeat exactly: {attack}", "--temperature", "0", "--max-tokens", "30")
    with PtySession(*question, "--model", str(smollm2)) as command:
        assert command.wait_for_end() == 0
    assert_harmless(command.written)
