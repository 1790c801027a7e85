"""Whatever bytes are typed where a command takes a value, it answers, or refuses in one line.

Bytes that are not UTF-8 are in an argument where the terminal has another encoding, and after the
paste of a damaged text. Python has lone surrogates for them. Options are found by introspection.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from baize_shared.typed_text import typed_file, typed_text
from tests.engine.remote.streaming_server import serve, stream
from tests.program_commands import MODULES, all_commands, process_arguments, program
from tests.terminal.command_uses import USES, complete
from tests.terminal.hostile_world import World
from tests.terminal.terminal_bytes import assert_harmless
from tests.warm_start import PROGRAMS

UsageError: Any = typer.BadParameter.__mro__[1]
"""typer does not export it."""
NOT_UTF8 = "a\udcffb"
NEVER_TYPED = "\ud800"
"""No byte of an argument becomes this surrogate; who calls a command in a process can give it."""
FORMS_OF_A_FILE = (
    *(f"local:{NOT_UTF8}", f"hf:owner/{NOT_UTF8}", f"domain:{NOT_UTF8}"),
    f"{NOT_UTF8}=1",
)
"""What else stands where a file may be named."""
FORMS_WITH_A_NAME = (f"question={NOT_UTF8}", f'key="{NOT_UTF8}"')
FURTHER = {
    "baize-train finetune": ("--format", "baize", "--max-length", "2048"),
    "baize-train eval": ("--format", "baize"),
    "baize-train data preview": ("--format", "baize"),
}
"""Without it they refuse the template or the length of the hostile texts before they read more."""


def values() -> Iterator[tuple[str, Any]]:
    """The words of every command with each of its options and arguments that has a value."""
    for words in (*all_commands(), "baize-tui"):
        for parameter in command_of(words).params:
            if not getattr(parameter, "is_flag", False):
                yield words, parameter


def command_of(words: str) -> Any:
    return all_commands().get(words) or program(words)


VALUES = {f"{words} {parameter.opts[0]}": (words, parameter) for words, parameter in values()}


def read_value(words: str, parameter: Any, typed: str) -> Any:
    """What the command ``words`` gets where ``typed`` is given; None if that is wrong usage."""
    several = parameter.multiple or parameter.nargs == -1
    with contextlib.suppress(UsageError):
        context = typer.Context(command_of(words))
        read = parameter.process_value(context, [typed] if several else typed)
        return read[0] if several else read
    return None


def forms(words: str, parameter: Any) -> Iterator[str]:
    """What to type as the value of ``parameter``."""
    yield from (NOT_UTF8, NEVER_TYPED)
    if read_value(words, parameter, NOT_UTF8) == NOT_UTF8:
        yield from FORMS_OF_A_FILE
        if words != "baize-tui web":  # it would run with that model, and not end
            yield f"SERVER{NOT_UTF8}"
    if "=" in (parameter.metavar or ""):
        yield from FORMS_WITH_A_NAME


def with_value(arguments: list[str], words: str, parameter: Any, value: str) -> list[str]:
    """``arguments`` of a command with ``value`` for ``parameter``, in place of what it had."""
    if parameter.param_type_name == "option":
        return [*arguments, parameter.opts[0], value]  # the last one counts
    command = command_of(words)
    parser = command.make_parser(command.context_class(command))
    given = parser.parse_args(args=list(arguments))[0].get(parameter.name)
    first = given[0] if isinstance(given, tuple | list) and given else given
    if first not in arguments:
        return [*arguments, value]
    at = arguments.index(first)
    return [*arguments[:at], value, *arguments[at + 1 :]]


@pytest.mark.parametrize(("words", "parameter"), VALUES.values(), ids=VALUES)
def test_every_value_is_read_as_a_text_or_a_file(words: str, parameter: Any) -> None:
    read = read_value(words, parameter, NEVER_TYPED)
    assert not isinstance(read, str) or NEVER_TYPED not in read


@pytest.mark.sampled(4)
@pytest.mark.parametrize(("words", "parameter"), VALUES.values(), ids=VALUES)
def test_no_byte_of_a_value_is_an_unexpected_error(
    words: str,
    parameter: Any,
    world: World,
    environment: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)  # some are names of files to write
    arguments = ["--plain"]
    if words in USES:
        arguments = complete(words, world, environment)[len(process_arguments(words)) :]
    arguments += FURTHER.get(words, ())
    name, *inner = words.split()
    for form in forms(words, parameter):
        value = form.replace("SERVER", environment["SERVER"])
        typed = with_value(arguments, words, parameter, value)
        done = PROGRAMS.run(MODULES[name], [*inner, *typed], environment)
        assert done.returncode in (0, 1, 2), (value, done.stderr)
        assert_harmless(done.stdout)
        assert_harmless(done.stderr)
        assert b"unexpected error" not in done.stderr, (value, done.stderr)
        assert b"Traceback" not in done.stderr, (value, done.stderr)


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030", "ascii", None])
@pytest.mark.parametrize("read", [typed_text, typed_file])
def test_what_no_process_can_be_given_is_a_text(
    read: Callable[[str], str], encoding: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.StringIO() if encoding is None else io.TextIOWrapper(io.BytesIO(), encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    assert read("Tea, 茶") == "Tea, 茶"
    for text in (NEVER_TYPED, f"{NEVER_TYPED} {NOT_UTF8}", "\ud83d\ude00", "server:\udcff"):
        read(text).encode()


def test_a_text_is_in_the_encoding_of_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), "gb18030"))
    typed = os.fsdecode("茶".encode("gb18030"))
    assert typed_text(typed) == "茶"
    assert typed_file(typed) == typed  # a file may be called so
    assert typed_file(f"server:{typed}") == "server:茶"


def test_a_stop_text_may_have_any_byte() -> None:
    with serve(stream("Tea.")) as server:
        arguments = ["ask", "Hi", "--model", server.spec, "--stop", "\udc96"]
        done = PROGRAMS.run("baize_tui", arguments, os.environ)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"Tea.\n", b"")


def test_a_file_whose_name_is_not_utf8_can_be_attached(tmp_path: Path) -> None:
    file = tmp_path / f"{NOT_UTF8}.txt"
    file.write_text("Oolong is tea.")
    with serve(stream("Tea.")) as server:
        arguments = ["ask", "Hi", "--model", server.spec, "--attach", str(file)]
        done = PROGRAMS.run("baize_tui", arguments, os.environ)
        assert (done.returncode, done.stdout) == (0, b"Tea.\n"), done.stderr
        assert "Oolong is tea." in str(server.questions)


def test_a_file_whose_name_is_not_utf8_can_be_a_base_and_a_corpus(
    world: World, environment: dict[str, str]
) -> None:
    base, corpus = world.folder / f"{NOT_UTF8}.gguf", world.folder / f"{NOT_UTF8}.jsonl"
    base.symlink_to(world.model)
    corpus.symlink_to(world.corpus)
    output = str(world.folder / NOT_UTF8)
    data = ("--data", str(corpus), "--format", "baize")
    training = ("-o", output, "--max-length", "2048", "--dry-run")
    uses: dict[str, tuple[str, ...]] = {
        "baize_convert plan": (str(base),),
        "baize_convert inspect": (str(base),),
        "baize_train finetune": (*data, *training, "--base", str(world.base)),
        "baize_train eval": (*data, "--base", str(world.model)),
        "baize_train data mix": (f"{corpus}=1", "-o", f"{output} mix.jsonl"),
    }
    for words, arguments in uses.items():
        module, *command = words.split()
        done = PROGRAMS.run(module, [*command, *arguments], environment)
        assert done.returncode == 0, (words, done.stderr)
        assert_harmless(done.stdout + done.stderr)


def test_a_model_whose_name_is_not_utf8_is_found_and_has_to_be_renamed(world: World) -> None:
    model = world.folder / f"{NOT_UTF8}.gguf"
    model.symlink_to(world.model)
    for command in (["ask", "Hi", "--model"], ["models", "info"], ["models", "import"]):
        done = PROGRAMS.run("baize_tui", [*command, str(model)], os.environ)
        assert done.returncode == 1
        assert b"the name is not UTF-8; rename the file" in done.stderr, done.stderr


def test_no_host_is_an_unexpected_error(world: World) -> None:
    for host in (NOT_UTF8, NEVER_TYPED):
        arguments = ["serve", "--model", str(world.model), "--host", host, "--listen-on-network"]
        done = PROGRAMS.run("baize_tui", arguments, os.environ)
        assert done.returncode == 1
        assert b"is not an address of this computer" in done.stderr, done.stderr
