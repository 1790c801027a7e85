"""Formulas and links in an answer, as they are drawn."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.style import Style

from baize_shared.sanitizer import is_harmless
from baize_tui.app.transcript.look import Look, line_text
from baize_tui.app.transcript.markdown_lines import GrowingMarkdown
from baize_tui.app.transcript.maths import LONGEST, maths_text

PLAIN = Look(*(Style.null(),) * 7, dark=True, few_colours=False)


def drawn(source: str, width: int = 100) -> str:
    lines = GrowingMarkdown(PLAIN, width).lines(source, complete=True)
    return "\n".join(line_text(line).rstrip() for line in lines).strip()


def links(source: str) -> set[str]:
    """The addresses that a terminal is given."""
    lines = GrowingMarkdown(PLAIN, 100).lines(source, complete=True)
    return {part.style.link for line in lines for part in line if part.style and part.style.link}


# --- formulas -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("latex", "shown"),
    [
        (r"\frac{a}{b}", "a/b"),
        (r"\frac{-b \pm \sqrt{b^2 - 4ac}}{2a}", "(-b ± √(b² - 4ac))/(2a)"),
        (r"x_{n+1} = \sqrt{x_n^2+1}", "xₙ₊₁ = √(xₙ²+1)"),
        (r"\sum_{i=1}^{n} i = \frac{n(n+1)}{2}", "∑ᵢ₌₁ⁿ i = n(n+1)/2"),
        (r"e^{i\pi} + 1 = 0", "e^(iπ) + 1 = 0"),
        (r"\alpha \leq \beta \implies x \in \mathbb{R}^n", "α ≤ β ⟹ x ∈ ℝⁿ"),
        (r"\lim_{x \to 0} \frac{\sin x}{x}", "lim_(x → 0) (sin x)/x"),
        (r"\frac{\partial f}{\partial x}", "∂f/∂x"),
        (r"\begin{align} a &= b \\ c &= d \end{align}", "a = b\nc = d"),
        (r"\vec{v} \cdot \hat{n}", "v⃗ · n̂"),
        (r"\{1, 2\} \cup \emptyset", "{1, 2} ∪ ∅"),
        (r"\binom{n}{k}", "C(n, k)"),
        (r"2^{2^n}", "2^(2ⁿ)"),
        (r"x_{1,2}", "x₁,₂"),
        (r"\text{if } x > 0", "if x > 0"),
    ],
)
def test_latex_is_readable(latex: str, shown: str) -> None:
    assert maths_text(latex) == shown


@pytest.mark.parametrize("around", [r"\(%s\)", "$%s$", "$$%s$$", r"\[%s\]"])
def test_a_formula_is_found_between_all_its_signs(around: str) -> None:
    assert drawn(f"So {around % 'x_1^2'}, then.") == "So x₁², then."
    assert drawn(around.replace("%s", "\n x_1^2\n+ y\n") if len(around) > 4 else "x₁²") != ""


@pytest.mark.parametrize("signs", [(r"\[", r"\]"), ("$$", "$$")])
def test_a_formula_of_several_lines_is_a_block(signs: tuple[str, str]) -> None:
    source = f"Before\n\n{signs[0]}\nx\n- y\n= z\n{signs[1]}\n\nAfter"
    assert drawn(source).split("\n\n") == ["Before", "  x\n  - y\n  = z", "After"]


@pytest.mark.parametrize(
    "text",
    [
        "It costs $5 and $10.",
        "It costs $5-$10, or US$ 5 and CA$ 7.",
        "Set $HOME/bin:$PATH first, or ${HOME}/x.",
        "echo $USER and $SHELL",
        "one dollar $ only",
        r"an open \$ sign and \$ another",
    ],
)
def test_what_is_no_formula_stays_text(text: str) -> None:
    assert drawn(text) == text.replace(r"\$", "$")


def test_code_is_never_a_formula() -> None:
    assert drawn("`$x_1$` and `\\(y\\)`") == "$x_1$ and \\(y\\)"
    assert "$x^2$" in drawn("```\n$x^2$\n```")


@pytest.mark.parametrize(
    "latex",
    ["{" * 900, "\\frac" * 300, "x" * (LONGEST + 1), "a^{", "\\", ""],
    ids=lambda text: text[:8],
)
def test_what_cannot_be_read_stays_as_it_is_or_becomes_less(latex: str) -> None:
    assert len(maths_text(latex)) <= 4 * len(latex)


_WORDS = r"\frac \sqrt \begin{cases} \end{cases} \vec \char ^^1b { } [ ] ^ _ & \\ $ x 1 % # é 漢"
PIECES = st.sampled_from([*_WORDS.split(" "), " ", "\n", r"\(", r"\)", r"\[", r"\]"])


@given(st.lists(PIECES, max_size=30).map("".join))
def test_any_latex_gives_harmless_text(latex: str) -> None:
    assert all(map(is_harmless, maths_text(latex)))
    assert all(map(is_harmless, drawn(f"a $${latex}$$ b\n\n\\[{latex}\\]")))


@given(st.lists(PIECES, max_size=40).map("".join))
def test_an_answer_that_grows_ends_like_one_that_is_drawn_at_once(source: str) -> None:
    source = f"First\n\n{source}\n\nLast"
    growing = GrowingMarkdown(PLAIN, 40)
    for end in range(0, len(source) + 1, 3):
        growing.lines(source[:end])
    shown = [line_text(line) for line in growing.lines(source)]
    at_once = [line_text(line) for line in GrowingMarkdown(PLAIN, 40).lines(source, complete=True)]
    assert "".join(shown).split() == "".join(at_once).split()


# --- links --------------------------------------------------------------------------------------


def test_a_link_is_underlined() -> None:
    (line,) = GrowingMarkdown(PLAIN, 100).lines("See https://a.org", complete=True)
    assert [part.text for part in line if part.style and part.style.underline] == ["https://a.org"]


def test_addresses_of_the_web_and_of_mail_can_be_clicked() -> None:
    source = "[docs](https://a.org/x) <http://b.org> https://c.org/?d=1. [me](mailto:a@b.c)"
    assert links(source) == {
        "https://a.org/x",
        "http://b.org",
        "https://c.org/?d=1",
        "mailto:a@b.c",
    }
    assert drawn(source) == (
        "docs (https://a.org/x) http://b.org https://c.org/?d=1. me (mailto:a@b.c)"
    )


@pytest.mark.parametrize(
    "address",
    ["file:///etc/passwd", "javascript:alert(1)", "ssh://host", "vscode://x", "x:y", "/etc"],
)
def test_nothing_else_can_be_clicked(address: str) -> None:
    assert links(f"[text]({address}) <{address}> {address}") == set()
    assert address in drawn(f"[text]({address})")


def test_a_picture_is_a_link_to_it() -> None:
    source = "![a cat](https://a.org/cat.png) ![x](vscode://x) [![in](i.png)](https://b.org)"
    assert links(source) == {"https://a.org/cat.png", "https://b.org"}
    assert drawn(source).startswith("🌆 a cat (https://a.org/cat.png) 🌆 x (vscode://x)")


def test_a_text_that_lies_about_its_target_shows_it() -> None:
    assert drawn("[https://good.org](https://evil.org)") == "https://good.org (https://evil.org)"
    # A letter that only looks like another one.
    assert drawn("[https://ex\u0430mple.org](https://ex\u0430mple.org)").count("xn--") == 1


def test_a_link_keeps_the_marks_in_its_text() -> None:
    assert drawn("[**bold** `code`](https://a.org)") == "bold code (https://a.org)"
