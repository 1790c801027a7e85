"""The added tokens that a tokenizer has once transformers has loaded all of its files.

As ``PreTrainedTokenizerBase._from_pretrained`` and ``TokenizersBackend.__init__``: the tokens of
``tokenizer.json`` come first. Those of ``tokenizer_config.json``, or without these of
``added_tokens.json``, follow in the order of their ids, then those that only have a name. Each new
one gets the next free id, whatever the file says, and one that is there gets new flags.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Set
from dataclasses import dataclass

import msgspec

from baize_convert.failures import first_few
from baize_convert.vocabulary.tokenizer_files import AddedToken
from baize_convert.vocabulary.tokenizer_source import TokenizerSource


@dataclass(frozen=True)
class Stated:
    """An added token as a file states it."""

    file: str
    id: int
    token: AddedToken


def stated_tokens(source: TokenizerSource) -> list[Stated]:
    """What transformers reads beside the tokenizer itself, in the order of ids.

    It adds the tokens of ``tokenizer.json`` again, because a name may make one special. Without
    that file, the union of both others counts, as in llama.cpp's converter.
    """
    decoder = source.settings.added_tokens_decoder
    stated: dict[int, Stated] = {}
    if decoder is None or source.tokenizer is None:
        stated |= _stated_by_text(source)
    if decoder is None and source.tokenizer is not None:
        for token in source.tokenizer.added_tokens:
            stated[token.id] = Stated("tokenizer.json", token.id, token)
    for id, token in (decoder or {}).items():
        stated[id] = Stated("tokenizer_config.json", id, token)
    return [stated[id] for id in sorted(stated)]


def _stated_by_text(source: TokenizerSource) -> dict[int, Stated]:
    """The tokens of ``added_tokens.json``, which has their texts and ids alone."""
    special = set(source.special_texts())
    stated = {}
    for text, id in source.added.items():
        is_special = text in special
        # Texts for SentencePiece alone are cut at these tokens as they are.
        normalized = source.tokenizer is not None and not is_special
        token = AddedToken(text, special=is_special, normalized=normalized)
        stated[id] = Stated("added_tokens.json", id, token)
    return stated


def _after_file(source: TokenizerSource) -> Iterator[Stated]:
    """What transformers adds to the tokenizer of ``tokenizer.json``, in this order."""
    assert source.tokenizer is not None
    named = {token.content for token in source.names.named().values()}
    known = {token.content for token in source.tokenizer.added_tokens}
    for stated in stated_tokens(source):
        token = stated.token.with_all_flags()
        known.add(token.content)
        special = token.special or token.content in named
        yield Stated(stated.file, stated.id, msgspec.structs.replace(token, special=special))
    for token in source.special_tokens():
        if token.content not in known:
            known.add(token.content)
            yield Stated("", -1, token.with_all_flags(special=True))


def complete_tokenizer(source: TokenizerSource) -> tuple[TokenizerSource, list[str]]:
    """``source`` with all added tokens in its ``tokenizer``, and warnings about files.

    A token that is named only and belongs to the ordinary ones is not among them.
    """
    if (tokenizer := source.tokenizer) is None:
        read = {stated.token.content for stated in stated_tokens(source)}
        return source, _unread(source, read)
    numbers = _Numbers(tokenizer.model.ids())
    tokens: dict[int, AddedToken] = {}
    warnings = []
    in_file = [Stated("tokenizer.json", token.id, token) for token in tokenizer.added_tokens]
    after_file = list(_after_file(source))
    for stated in (*in_file, *after_file):
        text = stated.token.content
        if not text or (not stated.file and numbers.is_ordinary(text)):
            continue
        id = numbers.add(text)
        tokens[id] = msgspec.structs.replace(stated.token, id=id)
        if stated.file and stated.id != id:
            warnings.append(
                f"{source.folder}: {stated.file} says that token {stated.id} is {text!r}, but "
                f"transformers makes it token {id}, which counts"
            )
    completed = dataclasses.replace(
        source,
        tokenizer=msgspec.structs.replace(tokenizer, added_tokens=list(tokens.values())),
        after_file=tuple(stated.token for stated in after_file),
    )
    return completed, list(dict.fromkeys(warnings + _unread(source, numbers.texts())))


class _Numbers:
    """Gives ids to added tokens, as ``AddedVocabulary::add_tokens`` of the tokenizers library."""

    def __init__(self, ordinary: dict[str, int]) -> None:
        self._ordinary = ordinary
        self._added: dict[str, int] = {}
        self._last = -1

    def is_ordinary(self, text: str) -> bool:
        return text in self._ordinary

    def texts(self) -> Set[str]:
        """All tokens, ordinary and added."""
        return self._ordinary.keys() | self._added.keys()

    def add(self, text: str) -> int:
        """The id of ``text``: the one that it has, or the next free one."""
        id = self._added.get(text, self._ordinary.get(text))
        if id is None:
            id = max(self._last + 1, len(self._ordinary))
        self._added[text] = id
        self._last = max(self._last, id)
        return id


def _unread(source: TokenizerSource, read: Set[str]) -> list[str]:
    """A warning about the tokens of ``added_tokens.json`` that are not among those ``read``."""
    unread = [text for text in source.added if text and text not in read]
    if not unread:
        return []
    shown = first_few([repr(text) for text in unread])
    return [
        f"{source.folder}: transformers does not load {shown} of added_tokens.json: "
        "tokenizer_config.json or tokenizer.json has other tokens in its place"
    ]
