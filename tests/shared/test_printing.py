"""What commands print, and how they end."""

from __future__ import annotations

import io
import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baize_shared.commands import DONE, FAILED, INTERRUPTED, exit_code_of
from baize_shared.printing import ProgressLine, print_json, print_line, print_message
from baize_shared.sanitizer import clean_text, is_harmless

HOSTILE = "\x1b]0;title\x07 \x9b31m ‮txt.exe\x00"


def _is_clean(text: str) -> bool:
    return all(is_harmless(char) for char in text)


def test_what_a_terminal_could_obey_is_printed_harmlessly(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_line(HOSTILE)
    print_json({HOSTILE: [HOSTILE]})
    print_message("baize-tui", f"{HOSTILE}\nsecond line")
    with ProgressLine("baize-tui") as progress:
        progress.show(HOSTILE)
    captured = capsys.readouterr()
    assert _is_clean(captured.out)
    assert _is_clean(captured.err)
    assert captured.err.count("\n") == 1


@given(st.text(st.characters(exclude_categories=["Cs"])))
@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_json_keeps_its_value_in_every_encoding(encoding: str, text: str) -> None:
    before = sys.stdout
    sys.stdout = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    try:
        print_json({"text": text})
        sys.stdout.flush()
        written = sys.stdout.buffer.getvalue()
    finally:
        sys.stdout = before
    assert json.loads(written.decode(encoding)) == {"text": text}
    assert _is_clean(written.decode(encoding))


def test_a_file_name_that_is_not_utf8_can_be_printed(capsys: pytest.CaptureFixture[str]) -> None:
    name = b"caf\xe9.gguf".decode("utf-8", "surrogateescape")
    print_json({"path": name, name: [1, {"name": name}]})
    shown = "caf\N{REPLACEMENT CHARACTER}.gguf"
    assert json.loads(capsys.readouterr().out) == {"path": shown, shown: [1, {"name": shown}]}


def test_numbers_that_json_lacks_become_null(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"loss": float("nan"), "ratio": float("inf")})
    assert json.loads(capsys.readouterr().out) == {"loss": None, "ratio": None}


@given(st.text())
def test_cleaning_twice_changes_nothing(text: str) -> None:
    assert clean_text(clean_text(text)) == clean_text(text)


class _Refused(Exception):
    pass


def _end(error: BaseException | None) -> int:
    def command() -> None:
        if error is not None:
            raise error

    return exit_code_of("baize-tui", command, (_Refused,))


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (None, DONE, ""),
        (SystemExit(2), 2, ""),
        (SystemExit(), DONE, ""),
        (_Refused("no such model\x1b[31m"), FAILED, "baize-tui: no such model␛[31m\n"),
        (KeyboardInterrupt(), INTERRUPTED, ""),
        (
            PermissionError(13, "Permission denied", "/etc/shadow"),
            FAILED,
            "baize-tui: /etc/shadow: Permission denied\n",
        ),
    ],
)
def test_how_a_command_ends(
    error: BaseException | None, code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _end(error) == code
    assert capsys.readouterr().err == line
