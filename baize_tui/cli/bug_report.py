"""``baize-tui doctor --bundle``: what a bug report needs, in a text that the person reads first.

It has no word of a conversation, no secret and no name: see ``log_excerpts`` for the logs. Of
settings it has numbers, switches and choices; of a text, such as the system prompt, its length.
"""

from __future__ import annotations

import getpass
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

import msgspec

from baize_shared.atomic_files import write_atomically
from baize_shared.counts import count_text
from baize_shared.sanitizer import clean_text
from baize_tui.cli.doctor_output import report_lines
from baize_tui.cli.failures import CommandError
from baize_tui.cli.log_excerpts import safe_lines
from baize_tui.setting_fields import setting_fields
from baize_tui.settings import Settings
from baize_tui.shared_texts import file_error
from baize_tui.translation import tr

DISTRIBUTION = "baize-tui"
LINES_OF_A_LOG = 80
"""The last ones of each log."""
_LARGEST_READ = 1 << 18
"""Bytes at the end of a log that are read."""
_NAME = re.compile(r"[A-Za-z0-9_.-]+")


def check_is_new(file: Path) -> None:
    """Check that no ``file`` would be replaced.

    Raises:
        CommandError: it exists.
    """
    if os.path.lexists(file):
        raise CommandError(tr("{file} exists; choose another name", file=file))


def write_bug_report(file: Path, report: dict[str, Any], settings: Settings, logs: Path) -> None:
    """Write the report to ``file``; ``report`` is that of ``doctor_output.report_json``.

    Raises:
        CommandError: it cannot be written.
    """
    texts = {log.name: read_end(log) for log in sorted(logs.glob("*.log"))}
    text = bug_report(report, settings, texts, home=Path.home(), user=_user_name())
    try:
        write_atomically(file, text.encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise CommandError(file_error(file, error)) from error


def bug_report(
    report: dict[str, Any],
    settings: Settings,
    logs: Mapping[str, str],
    *,
    home: Path,
    user: str,
) -> str:
    """The report in Markdown; ``logs`` are texts by name, and names of the person are left out."""
    sections = {
        "doctor": list(report_lines(report)),
        "packages": list(_package_lines()),
        "settings": list(_setting_lines(settings)) or ["every setting has its default"],
        **{name: safe_lines(text)[-LINES_OF_A_LOG:] for name, text in logs.items()},
    }
    parts = [
        f"## {name}\n\n```text\n{_without_names(lines, home, user)}\n```\n"
        for name, lines in sections.items()
        if lines
    ]
    return "\n".join(parts)


def read_end(log: Path) -> str:
    """The last lines of ``log``; empty if it cannot be read."""
    try:
        with log.open("rb") as stream:
            stream.seek(max(log.stat().st_size - _LARGEST_READ, 0))
            return stream.read().decode("utf-8", "replace")
    except OSError:
        return ""


def _package_lines() -> Iterator[str]:
    """The versions of the packages that the program and its extras need, where installed."""
    names = {m[0] for line in requires(DISTRIBUTION) or () if (m := _NAME.match(line))}
    for name in sorted(names - {DISTRIBUTION}, key=str.casefold):
        try:
            yield f"{name} {version(name)}"
        except PackageNotFoundError:
            continue


def _setting_lines(settings: Settings) -> Iterator[str]:
    """The settings that differ from their defaults."""
    tables = msgspec.to_builtins(settings)
    for field in setting_fields():
        value = tables[field.table].get(field.key, field.default)
        if value == field.default:
            continue
        is_free_text = isinstance(value, str) and not field.choices
        yield f"{field.name} = {_length(value) if is_free_text else value}"
    if settings.keys:
        yield f"keys = {count_text(len(settings.keys), 'key')} of the person's own"


def _length(text: str) -> str:
    return f"(a text of {count_text(len(text), 'character')})"


def _without_names(lines: Sequence[str], home: Path, user: str) -> str:
    text = clean_text("\n".join(lines)).replace("```", "'''")
    if home.parent != home:  # a root account of a container may have / as its home
        text = text.replace(str(home), "~")
    return re.sub(rf"(?<=/){re.escape(user)}(?=/|\b)", "USER", text) if user else text


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # no entry for this number
        return ""
