"""The Modelfile of a GGUF, from which ``ollama create`` makes a model.

Values in quotes have no escapes; one in three quotes may have several lines (Ollama's
``parser/parser.go``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from baize_tui.chat.formats import PromptFormat
from baize_tui.chat.ollama.go_template import GoTemplate
from baize_tui.settings import Sampling
from baize_tui.translation import tr

_QUOTES = '"""'


@dataclass(frozen=True)
class Modelfile:
    """What Ollama is told about a model."""

    file: str
    """Path of the GGUF, relative to the Modelfile or absolute."""
    template: GoTemplate | None
    """None leaves the template to Ollama, which takes the one in the GGUF."""
    system: str
    stop: Sequence[str]
    sampling: Sampling
    context: int | None
    """Tokens; None leaves it to Ollama."""
    license: str

    def text(self) -> str:
        """The file.

        Raises:
            ValueError: a text contains three quotes, which no Modelfile can have.
        """
        return "".join(f"{line}\n" for line in self._lines())

    def _lines(self) -> Iterator[str]:
        yield f"FROM {_quoted(self.file)}"
        if self.template is None:
            yield "# no TEMPLATE: Ollama takes the chat template in the file"
        else:
            yield f"TEMPLATE {_quoted(self.template.source)}"
        if self.system:
            yield f"SYSTEM {_quoted(self.system)}"
        for stop in self.stop:
            yield f"PARAMETER stop {_quoted(stop)}"
        for name in ("temperature", "top_k", "top_p", "min_p", "repeat_penalty"):
            yield f"PARAMETER {name} {getattr(self.sampling, name):g}"
        if self.context is not None:
            yield f"PARAMETER num_ctx {self.context}"
        if self.license:
            yield f"LICENSE {_quoted(self.license)}"


def stop_strings(
    format: PromptFormat, template: GoTemplate | None, more: Sequence[str]
) -> list[str]:
    """The strings that end an answer: those of ``format``, and ``more``.

    Where the format writes line ends before one of them, they belong to it, too. Ollama cuts at the
    first in the list that it finds, so the longer one comes first.
    """
    written = "" if template is None else template.before_answer + template.between
    stops = []
    for stop in (*format.stop, *more):
        before = re.search(rf"(\s+){re.escape(stop)}", written)
        if before is not None and format.trim_at_stop:
            stops.append(before[1] + stop)
        stops.append(stop)
    return list(dict.fromkeys(stops))


def _quoted(text: str) -> str:
    if _QUOTES in text:
        raise ValueError(
            tr("{text} contains three quotes, which a Modelfile cannot have", text=repr(text[:40]))
        )
    return f"{_QUOTES}{text}{_QUOTES}"
