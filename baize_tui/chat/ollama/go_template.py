"""A prompt format in the template language of Go, in which Ollama writes prompts.

Jinja cannot be translated word by word. Instead the format renders short conversations of
characters that occur nowhere else. The text between them makes up the Go template, which then has
to render other conversations exactly as the format does.

Ollama passes ``.System`` (the system texts) and ``.Messages`` (``.Role`` and ``.Content``, with the
system messages too), and writes no ``.Response`` where a template uses ``.Messages``
(``template/template.go``). It adds the beginning of a sequence itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from baize_tui.chat.formats import PromptFormat
from baize_tui.engine.prompts.template_sandbox import TemplateError, run_template

Turns = Sequence[tuple[str, str]]
"""Pairs of a role and a content."""
_SYSTEM, _FIRST, _ANSWER, _SECOND = "\U0010ffe0", "\U0010ffe1", "\U0010ffe2", "\U0010ffe3"
_CHECKED = ("What?", " a\n\nb ", "x\n", "[1] {2}", "5", "- no")
"""Contents of the conversations that are compared; spaces show whether a format removes them."""
_NOT_LITERAL = ("{{", "}}", '"""')
"""Texts that end a literal of Go's templates, or the value of a Modelfile."""


@dataclass(frozen=True)
class GoTemplate:
    """A format as the texts that it writes around contents."""

    before_system: str
    after_system: str
    before_question: str
    """Without a system text: everything before the first question."""
    before_answer: str
    between: str
    """After an answer, up to the next question."""

    @property
    def source(self) -> str:
        """The template as Ollama reads it."""
        return (
            f"{{{{ if .System }}}}{self.before_system}{{{{ .System }}}}{self.after_system}"
            f"{{{{ else }}}}{self.before_question}{{{{ end }}}}"
            "{{ range $i, $message := .Messages }}"
            f'{{{{ if eq $message.Role "user" }}}}{{{{ $message.Content }}}}{self.before_answer}'
            '{{ else if eq $message.Role "assistant" }}{{ $message.Content }}'
            # A last answer is one that Ollama continues.
            f"{{{{ if gt (len (slice $.Messages $i)) 1 }}}}{self.between}{{{{ end }}}}"
            "{{ end }}{{ end }}"
        )

    def render(self, turns: Turns) -> str:
        """What the template writes for ``turns``, which end with a question."""
        system = "\n\n".join(content for role, content in turns if role == "system")
        text = self.before_question
        if system:
            text = f"{self.before_system}{system}{self.after_system}"
        for role, content in turns:
            if role != "system":
                text += content + (self.before_answer if role == "user" else self.between)
        return text


def translate(format: PromptFormat, *, moderation: bool) -> GoTemplate | None:
    """``format`` for Ollama; None if no Go template would write the same prompts."""
    try:
        asked = _pieces(format, moderation, ("user", _FIRST))
        told = _pieces(format, moderation, ("system", _SYSTEM), ("user", _FIRST))
        answered = _pieces(
            format, moderation, ("user", _FIRST), ("assistant", _ANSWER), ("user", _SECOND)
        )
        if asked is None or told is None or answered is None:
            return None
        template = GoTemplate(told[0], told[1], asked[0], asked[1], answered[2])
        literals = (*told, *asked, *answered)
        if any(text in literal for literal in literals for text in _NOT_LITERAL):
            return None
        if all(
            template.render(turns) == render_format(format, turns, moderation=moderation)
            for turns in _conversations()
        ):
            return template
    except TemplateError:
        return None
    return None


def render_format(format: PromptFormat, turns: Turns, *, moderation: bool) -> str:
    """The prompt that the Jinja template of ``format`` writes.

    Raises:
        TemplateError: it fails.
    """
    return run_template(
        format.template or "",
        {
            "messages": [{"role": role, "content": content} for role, content in turns],
            "add_generation_prompt": True,
            "moderation": moderation,
        },
    )


def _pieces(
    format: PromptFormat, moderation: bool, *turns: tuple[str, str]
) -> tuple[str, ...] | None:
    """What ``format`` writes around the contents of ``turns``; None if one is not there once."""
    rest = render_format(format, turns, moderation=moderation)
    pieces = []
    for _, content in turns:
        if rest.count(content) != 1:
            return None
        before, _, rest = rest.partition(content)
        pieces.append(before)
    return (*pieces, rest)


def _conversations() -> Iterator[list[tuple[str, str]]]:
    """Conversations of one, two and three questions, with and without a system text."""
    for questions in (1, 2, 3):
        turns = [
            ("assistant" if number % 2 else "user", _CHECKED[number])
            for number in range(2 * questions - 1)
        ]
        yield turns
        yield [("system", "Be brief.\nBe kind."), *turns]
