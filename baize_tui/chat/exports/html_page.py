"""A conversation as one HTML file to send: no scripts, nothing from the network, light and dark."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from baize_shared.counts import count_text
from baize_tui.chat.exports.branches import BranchEnd, BranchStart, Turn, walk
from baize_tui.chat.exports.html_text import code_html, code_styles, markdown_html, plain_html
from baize_tui.chat.exports.words import file_title, is_json_answer, iso_time, speaker
from baize_tui.store.draft_parts import message_parts
from baize_tui.store.records import ConversationTree, Message

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
"""What a browser may do even if a message got out of its place: show the page's own styles."""
_STYLES = """
:root {
  color-scheme: light dark;
  --page: #fbfbf9; --text: #22261f; --dim: #5d645a; --line: #dcdfd8; --accent: #1f7a4d;
  --code: #f0f1ec; --question: #eef3ee;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #161916; --text: #dfe3dc; --dim: #9aa296; --line: #333a33; --accent: #6fcf97;
    --code: #1f241f; --question: #1e261f;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--page); color: var(--text);
  font: 1rem/1.6 system-ui, -apple-system, "Segoe UI", "Noto Sans", "Noto Sans CJK SC", sans-serif;
}
main { max-width: 46rem; margin: 0 auto; padding: 2rem 1.25rem 4rem; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .25rem; }
.about, footer { color: var(--dim); font-size: .875rem; margin: 0 0 1.5rem; }
footer { margin: 3rem 0 0; border-top: 1px solid var(--line); padding-top: .75rem; }
article { margin: 1.5rem 0; }
article > h2 { font-size: .8125rem; font-weight: 600; color: var(--dim); margin: 0 0 .25rem; }
article.question { background: var(--question); border-left: 3px solid var(--accent);
  border-radius: 0 .4rem .4rem 0; padding: .75rem 1rem; }
h1, summary, p, li, th, td, blockquote, .text h1, .text h2, .text h3, .text h4, .text h5, .text h6 {
  unicode-bidi: plaintext; text-align: start;
}
.plain { white-space: pre-wrap; margin: 0; }
.text > :first-child { margin-top: 0; }
.text > :last-child { margin-bottom: 0; }
.text h1, .text h2, .text h3 { font-size: 1.1rem; margin: 1.25rem 0 .5rem; }
a { color: var(--accent); }
code { font: .9em/1.5 ui-monospace, "Cascadia Mono", Menlo, Consolas, monospace;
  background: var(--code); border-radius: .25rem; padding: .1em .3em; }
pre { background: var(--code); border-radius: .4rem; padding: .75rem 1rem; overflow-x: auto; }
pre code { background: none; padding: 0; overflow-wrap: normal; }
blockquote { margin: 1rem 0; padding-left: 1rem; border-left: 3px solid var(--line); }
table { border-collapse: collapse; display: block; overflow-x: auto; }
th, td { border: 1px solid var(--line); padding: .3rem .6rem; }
hr { border: 0; border-top: 1px solid var(--line); }
details { border: 1px solid var(--line); border-radius: .4rem; margin: 1rem 0; padding: 0 1rem; }
summary { cursor: pointer; color: var(--dim); font-size: .875rem; padding: .5rem 0; }
details.thought .text { color: var(--dim); padding-bottom: .75rem; }
@media print { details { border: 0; padding: 0; } }
"""


def to_html(tree: ConversationTree) -> bytes:
    """The file. Reasoning, the system prompt and other branches are folded."""
    title = escape(tree.title)
    return "\n".join(
        [
            "<!DOCTYPE html>",
            "<html>",
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="referrer" content="no-referrer">',
            f"<title>{title}</title>",
            f"<style>{_STYLES}{code_styles()}</style>",
            "</head>",
            "<body>",
            "<main>",
            "<header>",
            f"<h1>{title}</h1>",
            f'<p class="about">{_about(tree)}</p>',
            *_system(tree),
            "</header>",
            *_messages(tree),
            "<footer>A conversation with a language model, exported from baize-tui.</footer>",
            "</main>",
            "</body>",
            "</html>",
            "",
        ]
    ).encode()


def _about(tree: ConversationTree) -> str:
    day = iso_time(tree.created_at)[:10]
    tags = "".join(f" · {escape(tag)}" for tag in tree.tags)
    return f"{day} · {count_text(len(tree.messages), 'message')}{tags}"


def _system(tree: ConversationTree) -> Iterator[str]:
    if system := tree.system.strip():
        yield from _folded(
            "thought", "System prompt", f'<div class="text">{plain_html(system)}</div>'
        )


def _folded(kind: str, summary: str, content: str) -> Iterator[str]:
    yield f'<details class="{kind}"><summary>{escape(summary)}</summary>'
    yield content
    yield "</details>"


def _messages(tree: ConversationTree) -> Iterator[str]:
    for step in walk(tree):
        match step:
            case Turn(message):
                yield from _message(message)
            case BranchStart():
                yield f'<details class="branch"><summary>{escape(step.title)}</summary>'
            case BranchEnd():
                yield "</details>"


def _message(message: Message) -> Iterator[str]:
    is_question = message.role == "user"
    yield f'<article class="{"question" if is_question else "answer"}" id="m{message.id}">'
    yield f"<h2>{escape(speaker(message))}</h2>"
    if thought := message.reasoning.strip():
        yield from _folded(
            "thought", "Thought", f'<div class="text">{markdown_html(thought)}</div>'
        )
    if is_question:
        yield from _question(message)
    else:
        yield f'<div class="text">{_answer(message)}</div>'
    yield "</article>"


def _question(message: Message) -> Iterator[str]:
    """The text; that of files is folded below their names."""
    for part in message_parts(message):
        if isinstance(part, str):
            if text := part.strip():
                yield f'<div class="text">{plain_html(text)}</div>'
        elif part.text:
            yield f'<details class="file"><summary>{file_title(part)}</summary>'
            yield f'<div class="text">{plain_html(part.text)}</div></details>'


def _answer(message: Message) -> str:
    if is_json_answer(message):
        return f'<pre class="code"><code>{code_html(message.text, "json")}</code></pre>'
    return markdown_html(message.text)
