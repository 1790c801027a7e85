"""Files that the person writes into a folder of the configuration, beside those that ship."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from msgspec import Struct

from baize_shared.front_matter import MARKDOWN, read_written_file
from baize_shared.one_line_error import shorten_message
from baize_shared.sanitizer import clean_line
from baize_shared.shipped_models import shipped_models
from baize_shared.toml_files import TomlError
from baize_tui.catalog.recipes import CatalogError
from baize_tui.shared_texts import NAMED, file_error, tr_shared
from baize_tui.translation import tr

T = TypeVar("T")


class WrittenFiles(Struct, Generic[T], frozen=True):
    """The files of one kind, by name, in the order of the names."""

    contents: dict[str, T]
    problems: dict[str, str]
    """Why a file cannot be used, in one line that names it, by the name of the file."""

    def find(self, name: str, none_such: str) -> T:
        """The content of the file ``name``; ``none_such`` is a message with ``name`` and ``known``.

        Raises:
            CatalogError: there is none, or it cannot be used.
        """
        if name in self.contents:
            return self.contents[name]
        if name in self.problems:
            raise CatalogError(self.problems[name])
        known = ", ".join(self.contents) or tr("none")
        raise CatalogError(tr(none_such, name=repr(name), known=known))


def read_written_files(
    folder: Path, shipped: str, type: type[T], body: str, check: Callable[[T], None]
) -> WrittenFiles[T]:
    """The files in ``folder``, and those of the folder ``shipped`` that have no other by their
    name there. ``check`` raises ``ValueError`` for a content that cannot be used.
    """
    contents: dict[str, T] = {}
    problems: dict[str, str] = {}
    for file in [*_files_in(shipped_models() / shipped), *_files_in(folder)]:
        name = clean_line(file.stem, 60)
        contents.pop(name, None)
        problems.pop(name, None)
        try:
            content = read_written_file(file, type, body)
            check(content)
        except OSError as error:
            problems[name] = shorten_message(file_error(file, error))
        except (TomlError, ValueError) as error:
            problems[name] = shorten_message(tr(NAMED, name=file, why=tr_shared(error)))
        else:
            contents[name] = content
    return WrittenFiles(dict(sorted(contents.items())), problems)


def _files_in(folder: Path) -> list[Path]:
    try:
        files = sorted(folder.iterdir())
    except OSError:
        return []
    return [file for file in files if file.suffix.lower() in (".toml", MARKDOWN)]
