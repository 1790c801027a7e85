"""LaTeX as a line of Unicode, for the screen alone: what is stored and copied stays LaTeX.

pylatexenc parses and translates it. What it leaves out is added here: superscripts and subscripts,
spaces around relations, and parentheses where a fraction would otherwise be read wrongly.
"""

from __future__ import annotations

import re
from functools import cache

from pylatexenc.latex2text import (
    LatexNodes2Text,
    MacroTextSpec,
    get_default_latex_context_db,
)
from pylatexenc.latexwalker import LatexWalkerError
from pylatexenc.latexwalker import get_default_latex_context_db as parser_db
from pylatexenc.macrospec import MacroSpec

from baize_shared.sanitizer import clean_text

LONGEST = 2000
"""Characters; what is longer is no formula that a person reads."""

_RAISED = str.maketrans(
    "0123456789+-=()abcdefghijklmnoprstuvwxyzABDEGHIJKLMNOPRTUVWαβγδθιφχ′",
    "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻᴬᴮᴰᴱᴳᴴᴵᴶᴷᴸᴹᴺᴼᴾᴿᵀᵁⱽᵂᵅᵝᵞᵟᶿᶥᵠᵡ′",
)
_LOWERED = str.maketrans(
    "0123456789+-=()aehijklmnoprstuvxβγρφχ", "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓᵦᵧᵨᵩᵪ"
)
_SCRIPT = re.compile(r"\s*([_^])(?:\{([^{}]*)\}|(\S))")
_INNER_BRACES = re.compile(r"(?<![_^])\{([^{}]*)\}")
_RELATION = re.compile(r"[^\S\n]*([=≠≤≥≈≡∼≅∝∈∉⊂⊆⊃⊇→←↔⇒⇐⇔⟹⟺↦±×÷·∪∩∧∨<>]|(?<=\S)\s[+-]\s)[^\S\n]*")
_SPACES = re.compile(r"[^\S\n]+")
_FACTORS = re.compile(r"[\w.√′^{}∂]*(\([^()]*\))?")
_ONE_FACTOR = re.compile(r"[\d.]*|[d∂]?\w(?:[_^](?:\w|\{[^{}]*\}))*|√\w|√?\([^()]*\)")
"""What needs no parentheses above and below the line of a fraction."""
_HELD = {"^": "\ue000", "_": "\ue001", "{": "\ue002", "}": "\ue003"}
"""Signs that are meant as such, as long as the others are not replaced."""
_RELEASED = str.maketrans({held: sign for sign, held in _HELD.items()})
_ACCENTS = {"vec": "\u20d7", "hat": "\u0302", "bar": "\u0304", "tilde": "\u0303", "dot": "\u0307"}
_ACCENTS |= {"ddot": "\u0308", "overline": "\u0304", "widehat": "\u0302", "widetilde": "\u0303"}

_SYMBOLS = {
    "implies": "⟹",
    "iff": "⟺",
    "mid": " | ",
    "nmid": "∤",
    "land": "∧",
    "lor": "∨",
    "lnot": "¬",
    "prime": "′",
    "dots": "…",
    "lVert": "‖",
    "rVert": "‖",
    "lvert": "|",
    "rvert": "|",
    "displaystyle": "",
    "limits": "",
    "nonumber": "",
}
_FUNCTIONS = (
    "sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh log ln exp lim max min sup"
)
_FUNCTIONS += " inf det dim ker gcd deg arg Pr"


def maths_text(latex: str) -> str:
    """``latex`` in Unicode; as it is where it cannot be read."""
    if len(latex) > LONGEST:
        return latex
    try:
        text = _translator().latex_to_text(latex, tolerant_parsing=True)
    except (LatexWalkerError, RecursionError, ValueError, IndexError, KeyError):
        return latex
    lines = [_line(line) for line in clean_text(text).strip().split("\n")]
    shown = "\n".join(line for line in lines if line)
    return shown if shown.strip() or not latex.strip() else latex


def _line(text: str) -> str:
    text = _RELATION.sub(lambda match: f" {match[1].strip()} ", text)
    before = ""
    while text != before:  # from the inside
        before = text
        text = _INNER_BRACES.sub(r"\1", _SCRIPT.sub(_script, text))
    return _SPACES.sub(" ", text).strip().translate(_RELEASED)


def _script(match: re.Match[str]) -> str:
    """A superscript or subscript; in parentheses where Unicode lacks a character of it."""
    kind, inner = match[1], (match[2] if match[2] is not None else match[3]).strip()
    table = _RAISED if kind == "^" else _LOWERED
    compact = inner.replace(" ", "")
    if all(ord(char) in table or char in "′," for char in compact):
        return compact.translate(table)
    return f"{_HELD[kind]}{inner}" if len(inner) == 1 else f"{_HELD[kind]}({inner})"


def _fraction(node: object, l2tobj: LatexNodes2Text) -> str:
    over, under = (_argument(node, l2tobj, number) for number in (0, 1))
    over = over if _FACTORS.fullmatch(over) else f"({over})"
    return f"{over}/{under if _ONE_FACTOR.fullmatch(under) else f'({under})'}"


def _accent(node: object, l2tobj: LatexNodes2Text) -> str:
    text = _argument(node, l2tobj, 0)
    return f"{text}{_ACCENTS[node.macroname]}" if len(text) == 1 else text  # type: ignore[attr-defined]


def _root(node: object, l2tobj: LatexNodes2Text) -> str:
    degree, inner = (_argument(node, l2tobj, number) for number in (0, 1))
    degree = degree.strip("[]")
    sign = {"": "√", "2": "√", "3": "∛", "4": "∜"}.get(degree, f"^{{{degree}}}√")
    return f"{sign}{inner}" if len(inner) == 1 else f"{sign}({inner})"


def _choose(node: object, l2tobj: LatexNodes2Text) -> str:
    over, under = (_argument(node, l2tobj, number) for number in (0, 1))
    return f"C({over}, {under})"


def _argument(node: object, l2tobj: LatexNodes2Text, number: int) -> str:
    arguments = getattr(node.nodeargd, "argnlist", None) or []  # type: ignore[attr-defined]
    if number >= len(arguments) or arguments[number] is None:
        return ""
    text: str = l2tobj.nodelist_to_text([arguments[number]])
    text = text.strip()
    return text[1:-1].strip() if text[:1] == "{" and text[-1:] == "}" else text


@cache
def _translator() -> LatexNodes2Text:
    texts = get_default_latex_context_db()
    own = [MacroTextSpec(name, simplify_repl=text) for name, text in _SYMBOLS.items()]
    own += [MacroTextSpec(name, simplify_repl=f"{name} ") for name in _FUNCTIONS.split()]
    own += [
        *(MacroTextSpec(name, simplify_repl=_fraction) for name in ("frac", "dfrac", "tfrac")),
        *(MacroTextSpec(name, simplify_repl=_accent) for name in _ACCENTS),
        MacroTextSpec("{", simplify_repl=_HELD["{"]),
        MacroTextSpec("}", simplify_repl=_HELD["}"]),
        MacroTextSpec("sqrt", simplify_repl=_root),
        MacroTextSpec("binom", simplify_repl=_choose),
        *(MacroTextSpec(name, simplify_repl="%s") for name in ("operatorname", "boxed")),
    ]
    texts.add_context_category("baize", macros=own, prepend=True)
    return _Translator(
        latex_context=texts,
        math_mode="text",
        keep_braced_groups=True,
        keep_braced_groups_minlen=0,
        strict_latex_spaces=False,
    )


class _Translator(LatexNodes2Text):  # type: ignore[misc]
    """Reads with the arguments of macros that pylatexenc does not know."""

    def latex_to_text(self, latex: str, **options: object) -> str:
        names = {"dfrac": "{{", "tfrac": "{{", "binom": "{{", "operatorname": "{", "boxed": "{"}
        known = parser_db()
        macros = [MacroSpec(name, args_parser=arguments) for name, arguments in names.items()]
        known.add_context_category("baize", macros=macros, prepend=True)
        text: str = super().latex_to_text(latex, latex_context=known, **options)
        return text
