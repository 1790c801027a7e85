"""The commands that pages show: lines of their shell blocks, and the words of each command."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.M | re.S)
_INLINE = re.compile(r"`(baize-(?:tui|convert|train) [^`]+)`")
_HEREDOC = re.compile(r"<<'?(\w+)'?")
_COMMENT = re.compile(r"(^|\s)#.*$")
_ASSIGNMENT = re.compile(r"[A-Z_]+=")


@dataclass(frozen=True)
class Line:
    """A line of a shell block, with those that it continues on, without its comment."""

    page: Path
    text: str


def shell_lines(page: Path) -> list[Line]:
    """The lines of all shell blocks of ``page``, in order."""
    return [
        Line(page, text)
        for block in _BLOCK.findall(page.read_text("utf-8"))
        for text in _join(block)
    ]


def _join(block: str) -> Iterator[str]:
    lines = iter(block.replace("\\\n", " ").splitlines())
    for line in lines:
        text = _COMMENT.sub("", line).strip()
        if heredoc := _HEREDOC.search(text):
            for inside in lines:
                text += f"\n{inside}"
                if inside == heredoc[1]:
                    break
        if text:
            yield text


def inline_commands(page: Path) -> list[str]:
    """The commands with an argument that sentences of ``page`` name."""
    return _INLINE.findall(_BLOCK.sub("", page.read_text("utf-8")))


def commands(text: str) -> Iterator[list[str]]:
    """The words of each command in a line: parts of pipes, without assignments and redirections."""
    lexer = shlex.shlex(text.partition("\n")[0], posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    lexer.commenters = ""  # "server:URL#model" has none
    command: list[str] = []
    redirected = False
    for word in [*lexer, ";"]:
        if set(word) <= set("<>"):
            redirected = True
        elif set(word) <= set("|&;"):
            if command:
                yield command
            command = []
        elif redirected:
            redirected = False
        elif command or not _ASSIGNMENT.match(word):
            command.append(word)
