"""Prompts that are written once and used often, one file each, with variables to fill in."""

from __future__ import annotations

import re
from collections.abc import Mapping

from msgspec import Struct

from baize_tui.catalog.written_files import WrittenFiles, read_written_files
from baize_tui.paths import Paths
from baize_tui.translation import msg, tr

_VARIABLE = re.compile(r"\{\{\s*([^\W\d][\w -]{0,39}?)\s*\}\}")


class Snippet(Struct, frozen=True, forbid_unknown_fields=True):
    """The content of a file ``prompts/NAME.md``, or ``NAME.toml`` with its ``text``."""

    text: str
    """What is put into the prompt; ``{{name}}`` in it stands for a variable."""
    description: str = ""
    variables: dict[str, str] = {}
    """What a variable is unless the person changes it, by its name."""

    @property
    def asked(self) -> dict[str, str]:
        """The variables in the text, in order, with what they are by default."""
        names = dict.fromkeys(match[1] for match in _VARIABLE.finditer(self.text))
        return {name: self.variables.get(name, "") for name in names}

    def fill(self, values: Mapping[str, str]) -> str:
        """The text with ``values`` in place of the variables; those in a value stay as they are."""
        return _VARIABLE.sub(lambda match: values.get(match[1], match[0]), self.text)


NO_SUCH_PROMPT = msg("no prompt is called {name}; there are: {known}")


def known_snippets(paths: Paths) -> WrittenFiles[Snippet]:
    """The person's own prompts, and those that ship."""
    return read_written_files(paths.prompts_folder, "prompts", Snippet, "text", _check)


def _check(snippet: Snippet) -> None:
    if not snippet.text.strip():
        raise ValueError(tr("text: it is empty"))
    if unused := [name for name in snippet.variables if name not in snippet.asked]:
        name = unused[0]
        raise ValueError(
            tr(
                "variables.{name}: {variable} is not in the text",
                name=name,
                variable=f"{{{{{name}}}}}",
            )
        )
