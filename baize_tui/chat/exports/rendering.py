"""The formats by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Literal

from msgspec import Struct

from baize_tui.chat.exports import sharegpt
from baize_tui.chat.exports.json_file import to_json
from baize_tui.store.records import ConversationTree
from baize_tui.translation import msg

ExportFormat = Literal["markdown", "json", "sharegpt", "html"]

Trees = Sequence[ConversationTree]


class Format(Struct, frozen=True):
    """A format of files."""

    name: ExportFormat
    suffix: str
    description: str
    render: Callable[[Trees], bytes]
    """The content of a file with these conversations."""
    one_each: bool = False
    """Whether a file has room for one conversation only."""
    left_out: Callable[[Trees], Counter[str]] = lambda trees: Counter()
    """How much of the conversations it has no room for, by what it is."""


def _markdown(trees: Trees) -> bytes:
    from baize_tui.chat.exports.markdown import to_markdown

    (tree,) = trees
    return to_markdown(tree)


def _html(trees: Trees) -> bytes:
    # Imported when used: it loads the parser of Markdown and Pygments.
    from baize_tui.chat.exports.html_page import to_html

    (tree,) = trees
    return to_html(tree)


FORMATS: dict[ExportFormat, Format] = {
    format.name: format
    for format in (
        Format(
            "markdown", ".md", msg("text with front matter, for notes"), _markdown, one_each=True
        ),
        Format("html", ".html", msg("a page to send, for every browser"), _html, one_each=True),
        Format("json", ".json", msg("everything, to import it again"), to_json),
        Format(
            "sharegpt",
            ".sharegpt.json",
            msg("the shown branch, for training programs"),
            sharegpt.to_sharegpt,
            left_out=sharegpt.left_out,
        ),
    )
}
