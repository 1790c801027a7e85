"""From a rendered prompt to token ids, exactly as llama.cpp tokenizes the text of the template.

The rule, for all vocabularies:

1. Cut only at special tokens in the template's own text, honouring LSTRIP and RSTRIP
   (``llama_vocab::impl::tokenizer_st_partition`` in llama-vocab.cpp).
2. The text between two cuts is one ``llama_tokenize(add_special=False, parse_special=False)`` call.
3. On SentencePiece, a fragment that follows no special token must not get the space that
   ``llama_tokenize`` inserts in front: tokenize a newline before it and drop the newline's ids.
4. If no token of the vocabulary joins a newline with other text, a newline is a further cut.
5. Ids that were generated earlier are inserted unchanged and end a fragment.

A private-use character hides a special string that a person typed from (1). Its original text is
then tokenized so that no control token and no marker results.

Promised and tested: ids tokenized turn by turn equal the ids from scratch; without earlier ids and
without special strings in contents they equal ``llama_tokenize(whole, parse_special=True)``; the
bytes of the ids are the rendered text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol

_SPACES = " \t\n\v\f\r"
"""The characters of C's ``isspace`` in the C locale."""
_FIRST_STAND_IN = 0xF0000
_LAST_STAND_IN = 0x10FFFD
_CACHED_FRAGMENTS = 4096


@dataclass(frozen=True, slots=True, eq=False)
class SpecialToken:
    """A control, unknown or user-defined token of the vocabulary; compared by identity."""

    id: int
    text: str
    control: bool
    lstrip: bool = False
    rstrip: bool = False
    is_word: bool = False
    """Whether the file says that it is ordinary text (``baize.words``)."""

    @property
    def is_marker(self) -> bool:
        """Whether typed text must not become this token.

        Every control token is one. Of the user-defined tokens, runs of blanks and single letters
        are ordinary text (GPT-NeoX, DeepSeek), and so are words that training added; all others may
        be turn or tool markers.
        """
        is_text = self.is_word or len(self.text) == 1 or self.text.isspace()
        return self.control or not is_text


class Tokenizer(Protocol):
    """What the rule needs from a vocabulary."""

    specials: Sequence[SpecialToken]
    """Longest text first, in bytes."""
    is_sentencepiece: bool
    newline_is_cut: bool

    def tokenize(self, text: str, *, parse_special: bool = False) -> list[int]: ...


@dataclass(slots=True)
class MarkedText:
    """A rendered prompt in which private-use characters stand in for what must not be parsed."""

    text: str
    hidden: Mapping[str, str] = field(default_factory=dict)
    """Typed special strings by their stand-ins."""
    earlier: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Ids generated earlier, by their stand-ins."""

    def __add__(self, other: MarkedText) -> MarkedText:
        return MarkedText(
            self.text + other.text,
            {**self.hidden, **other.hidden},
            {**self.earlier, **other.earlier},
        )


class StandIns:
    """Assigns private-use characters that none of the texts of one prompt contains."""

    def __init__(self, texts: Iterable[str]) -> None:
        used = {char for text in texts if not text.isascii() for char in text}
        self._free = (
            char
            for char in map(chr, range(_FIRST_STAND_IN, _LAST_STAND_IN + 1))
            if char not in used
        )
        self.hidden: dict[str, str] = {}
        self.earlier: dict[str, tuple[int, ...]] = {}
        self._for_string: dict[str, str] = {}

    def hide(self, content: str, specials: Sequence[SpecialToken]) -> str:
        """``content`` with every marker string hidden, and every part of one at its edges.

        A part at an edge could otherwise form a marker with the adjacent template text.
        """
        markers = _markers(tuple(specials))
        if markers.anywhere.search(content):
            for text in markers.texts:
                if text in content:
                    content = content.replace(text, self._stand_in(text))
        core = content.strip()
        if core.startswith(markers.suffixes):
            at = content.index(core)
            content = content[:at] + self._stand_in(core[0]) + content[at + 1 :]
            core = content.strip()
        if core.endswith(markers.prefixes):
            at = content.rindex(core) + len(core) - 1
            content = content[:at] + self._stand_in(core[-1]) + content[at + 1 :]
        return content

    def keep(self, ids: Sequence[int]) -> str:
        """A stand-in for ids that were generated earlier."""
        char = next(self._free)
        self.earlier[char] = tuple(ids)
        return char

    def _stand_in(self, hidden: str) -> str:
        if hidden in self.hidden:  # a stand-in already, at the edge
            return hidden
        if hidden not in self._for_string:
            char = next(self._free)
            self._for_string[hidden] = char
            self.hidden[char] = hidden
        return self._for_string[hidden]


@dataclass(frozen=True, slots=True)
class _Markers:
    """The markers of a vocabulary, and quick checks for contents without any part of them."""

    texts: tuple[str, ...]
    anywhere: re.Pattern[str]
    prefixes: tuple[str, ...]
    suffixes: tuple[str, ...]
    """All proper prefixes and suffixes of them."""


@lru_cache(maxsize=8)
def _markers(specials: tuple[SpecialToken, ...]) -> _Markers:
    texts = tuple(special.text for special in specials if special.is_marker)
    # Without markers, a pattern that matches nothing.
    anywhere = re.compile("|".join(re.escape(text) for text in texts) or "(?!)")
    prefixes = {text[:k] for text in texts for k in range(1, len(text))}
    suffixes = {text[k:] for text in texts for k in range(1, len(text))}
    return _Markers(texts, anywhere, tuple(prefixes), tuple(suffixes))


# --- the partition at special tokens ------------------------------------------------------------


def partition(text: str, specials: Sequence[SpecialToken]) -> list[SpecialToken | str]:
    """``text`` cut at every special token in it, in llama.cpp's order: longest first."""
    parts: list[SpecialToken | str] = [text] if text else []
    for special in specials:
        if not special.text or special.text not in text:
            continue
        parts = [
            piece
            for part in parts
            for piece in (_cut_at(part, special) if isinstance(part, str) else (part,))
        ]
    return parts


def _cut_at(text: str, special: SpecialToken) -> Iterator[SpecialToken | str]:
    pieces = text.split(special.text)
    for i, piece in enumerate(pieces):
        if i > 0:
            yield special
            if special.rstrip:
                piece = piece.lstrip(_SPACES)
        if i < len(pieces) - 1 and special.lstrip:
            piece = piece.rstrip(_SPACES)
        if piece:
            yield piece


# --- the ids ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TokenizedPart:
    """Consecutive ids of a prompt; ``earlier`` marks ids that were generated earlier."""

    ids: Sequence[int]
    earlier: bool = False


class PromptTokenizer:
    """Turns marked text into ids, with a cache of fragments."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._by_id = {special.id: special for special in tokenizer.specials if special.is_marker}
        self._user_defined = [s for s in tokenizer.specials if s.is_marker and not s.control]
        # Determined by trying: on SentencePiece with a space prefix, "x" alone and "x" after a
        # newline have different ids.
        self._guard = "\n" if tokenizer.newline_is_cut else "\x02"
        self._guard_ids = len(tokenizer.tokenize(self._guard))
        self._adds_space = tokenizer.is_sentencepiece and (
            tokenizer.tokenize("x") != tokenizer.tokenize(self._guard + "x")[self._guard_ids :]
        )
        self._plain = lru_cache(_CACHED_FRAGMENTS)(self._tokenize_plain)

    def ids(self, marked: MarkedText) -> list[int]:
        """Token ids of a whole prompt; a BOS only where the text has one."""
        return [token for part in self.parts(marked) for token in part.ids]

    def parts(self, marked: MarkedText) -> Iterator[TokenizedPart]:
        """The ids of a prompt, split where earlier ids begin and end."""
        ids: list[int] = []
        after_special = True
        stand_in = re.compile(f"([{''.join(marked.earlier)}])") if marked.earlier else None
        for part in partition(marked.text, self._tokenizer.specials):
            if isinstance(part, SpecialToken):
                ids.append(part.id)
                after_special = True
                continue
            for piece in [part] if stand_in is None else stand_in.split(part):
                if piece in marked.earlier:
                    yield TokenizedPart(ids)
                    yield TokenizedPart(marked.earlier[piece], earlier=True)
                    ids = []
                    after_special = False
                    continue
                for line in self._lines(piece):
                    ids.extend(self._plain(_restore(line, marked.hidden), after_special))
                    after_special = False
        yield TokenizedPart(ids)

    def plain(self, text: str, *, after_special: bool = False) -> list[int]:
        """Ids of text without special tokens."""
        return list(self._plain(text, after_special)) if text else []

    def _lines(self, text: str) -> list[str]:
        if not self._tokenizer.newline_is_cut:
            return [text]
        lines = text.split("\n")
        ended = [line + "\n" for line in lines[:-1]]
        return [*ended, lines[-1]] if lines[-1] else ended

    def _tokenize_plain(self, text: str, after_special: bool) -> tuple[int, ...]:
        """Ids of a fragment, without any marker that the text spells."""
        # parse_special=False still parses user-defined tokens: split inside each of them.
        for special in self._user_defined:
            if special.text in text:
                return self._tokenize_halves(text, special.text, after_special)
        if after_special or not self._adds_space:
            ids = self._tokenizer.tokenize(text)
        else:
            ids = self._tokenizer.tokenize(self._guard + text)[self._guard_ids :]
        # The merges of SentencePiece can form a control token from its letters.
        if not self._by_id.keys().isdisjoint(ids):
            for token in ids:
                spelled = self._by_id.get(token)
                if spelled is not None and len(spelled.text) > 1 and spelled.text in text:
                    return self._tokenize_halves(text, spelled.text, after_special)
        return tuple(ids)

    def _tokenize_halves(self, text: str, special: str, after_special: bool) -> tuple[int, ...]:
        cut = text.index(special) + len(special) // 2
        return self._plain(text[:cut], after_special) + self._plain(text[cut:], False)


def _restore(text: str, hidden: Mapping[str, str]) -> str:
    if not hidden or text.isascii():
        return text
    return "".join(hidden.get(char, char) for char in text)
