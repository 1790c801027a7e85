"""Which files a person means: a file, all of a folder, or those that match a pattern."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from baize_shared.existing_paths import is_folder
from baize_shared.user_paths import expand_user
from baize_tui.chat.attachments.errors import AttachmentFailed
from baize_tui.translation import msg, tr

MOST_FILES = 50
"""Files that can be attached at once."""
_MOST_SEEN = 20_000
"""Names in a folder or of a pattern that are looked at."""
_LONGEST_PATH = 4096
"""Characters: Linux takes no longer path. Reading a pattern takes the square of its length."""
_SKIPPED = {"node_modules", "__pycache__", "venv", "build", "dist", "target"}
"""Folders with what programs have made; those with a dot in front are skipped too."""
_MENTION = re.compile(r"(?:(?<=\s)|^)@(?:\"([^\"\n]+)\"|([^\s\"]+))")


def mentions_in(text: str) -> Iterator[tuple[int, int, str]]:
    """Each ``@path`` in ``text`` that begins a word: where it begins and ends, and the path."""
    for match in _MENTION.finditer(text):
        yield match.start(), match.end(), match[1] or match[2]


def is_pattern(path: str) -> bool:
    """Whether ``path`` may stand for several files."""
    return len(path) <= _LONGEST_PATH and glob.has_magic(path)


TOO_MANY = msg("{path}: {count} files are too many; at most {most} can be attached at once")


def find_files(path: str, folder: Path) -> list[tuple[Path, str]]:
    """The files that ``path`` stands for, seen from ``folder``, each with its name for a person:
    one file, or those of a folder or a pattern in the order of their names.

    Whether a single file can be read is not looked at.

    Raises:
        AttachmentFailed: there are none or too many.
    """
    target = folder / expand_user(path)
    if is_folder(target):
        found = list(_below(target, _MOST_SEEN))
    elif is_pattern(path) and not os.path.lexists(target):
        found = _matching(target)
    else:
        return [(target, path)]
    if not found:
        raise AttachmentFailed(tr("{path}: there are no files", path=path))
    if len(found) > MOST_FILES:
        raise AttachmentFailed(tr(TOO_MANY, path=path, count=len(found), most=MOST_FILES))
    return [(file, _shown(file, folder)) for file in found]


def _matching(pattern: Path) -> list[Path]:
    """The files that match, without hidden ones unless the pattern begins with a dot."""
    begin = _existing_part(pattern)
    try:
        # Several "**" are one, but each would go through all folders again.
        words = re.sub(r"(?<![^/])(\*\*/){2,}", "**/", str(pattern.relative_to(begin)))
        matches = islice(begin.glob(words), _MOST_SEEN)
        found = [file for file in matches if file.is_file()]
    except (OSError, ValueError, NotImplementedError, RecursionError) as error:
        raise AttachmentFailed(
            tr("{pattern}: no pattern of files: {why}", pattern=pattern.name, why=error)
        ) from error
    hidden = pattern.name.startswith(".")
    return sorted(file for file in found if hidden or not file.name.startswith("."))


def _existing_part(pattern: Path) -> Path:
    """The folder in front of ``pattern`` that exists as it is written: a name such as ``app/[id]``
    stands for itself, also where the person did not write it."""
    begin = Path(pattern.anchor)
    for part in pattern.parts[len(begin.parts) : -1]:
        if not is_folder(begin / part):
            break
        begin /= part
    return begin


def _below(folder: Path, most: int) -> Iterator[Path]:
    """The files below ``folder``, without hidden ones; links to folders are not followed."""
    seen = 0
    for at, folders, names in os.walk(folder):
        folders[:] = sorted(n for n in folders if not n.startswith(".") and n not in _SKIPPED)
        for name in sorted(names):
            seen += 1
            if seen > most:
                return
            if not name.startswith(".") and (file := Path(at) / name).is_file():
                yield file


def paths_below(folder: Path, most: int) -> list[str]:
    """Files and folders below ``folder`` as a person would write them, a folder with a slash at its
    end; at most about ``most``."""
    paths: list[str] = []
    for at, folders, names in os.walk(folder):
        folders[:] = sorted(n for n in folders if not n.startswith(".") and n not in _SKIPPED)
        here = os.path.relpath(at, folder)
        begin = "" if here == "." else f"{here}/"
        paths += [f"{begin}{name}" for name in sorted(names) if not name.startswith(".")]
        paths += [f"{begin}{name}/" for name in folders]
        if len(paths) > most:
            break
    return paths[:most]


def paths_in(written: str, folder: Path) -> list[str]:
    """The files and folders beside the last part of the path ``written``, seen from ``folder``."""
    begin, _, last = written.rpartition("/")
    begin = f"{begin}/" if begin or written.startswith("/") else ""
    try:
        with os.scandir(folder / expand_user(begin or ".")) as entries:
            seen = [(entry.name, _is_folder(entry)) for entry in islice(entries, _MOST_SEEN)]
    except (OSError, ValueError):
        return []
    shown = [(n, f) for n, f in seen if last.startswith(".") or not n.startswith(".")]
    return sorted(f"{begin}{name}{'/' if is_folder else ''}" for name, is_folder in shown)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _shown(file: Path, folder: Path) -> str:
    try:
        return str(file.relative_to(folder))
    except ValueError:
        return str(file)
