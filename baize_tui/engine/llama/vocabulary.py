"""The tokenizer inside a GGUF file."""

from __future__ import annotations

import ctypes
import hashlib
import struct
from collections.abc import Collection, Sequence

import llama_cpp.llama_cpp as lib

from baize_tui.engine.llama.errors import EngineError, ModelFileError
from baize_tui.engine.prompts.fragments import SpecialToken
from baize_tui.translation import msg, tr

_CONTROL_OR_UNKNOWN = 1 << 3 | 1 << 0  # LLAMA_TOKEN_ATTR_CONTROL | LLAMA_TOKEN_ATTR_UNKNOWN
_USER_DEFINED = 1 << 4
_LSTRIP, _RSTRIP = 1 << 7, 1 << 8
_SENTENCEPIECE = lib.LLAMA_VOCAB_TYPE_SPM
_NEWLINES = (b"<0x0A>", b"\n")
NO_NEWLINE = msg(
    "the model's vocabulary has no token for a line break (<0x0A>): it is not one of "
    "SentencePiece, as the file says, or it is damaged"
)
"""llama.cpp looks up the bytes of what no token spells, and aborts where one is missing
(``llama_vocab::impl::byte_to_token``)."""


class Vocabulary:
    """The tokenizer of a loaded model; valid while the model is open."""

    def __init__(self, model: int, words: Collection[str] = ()) -> None:
        """``words`` are the texts of user-defined tokens that are no markers."""
        self._vocab = lib.llama_model_get_vocab(model)
        if lib.llama_vocab_type(self._vocab) == lib.LLAMA_VOCAB_TYPE_NONE:
            raise ModelFileError(tr("the model has no vocabulary: it cannot chat"))
        self.size: int = lib.llama_vocab_n_tokens(self._vocab)
        self.kind: int = lib.llama_vocab_type(self._vocab)
        """``enum llama_vocab_type``."""
        self.is_sentencepiece = self.kind == _SENTENCEPIECE
        self._buffer = ctypes.create_string_buffer(256)
        specials: list[SpecialToken] = []
        fingerprint = hashlib.sha256(f"{self.kind}".encode())
        newline_alone, has_newline = True, False
        for token in range(self.size):
            text = self.token_text(token)
            attr: int = lib.llama_vocab_get_attr(self._vocab, token)
            fingerprint.update(struct.pack("<ii", attr, len(text)))
            fingerprint.update(text)
            is_word = bool(words) and text.decode("utf-8", "replace") in words
            if is_word:
                fingerprint.update(b"word")
            if b"\n" in text and len(text) > 1:
                newline_alone = False
            has_newline = has_newline or text in _NEWLINES
            if text and attr & (_CONTROL_OR_UNKNOWN | _USER_DEFINED):
                specials.append(
                    SpecialToken(
                        id=token,
                        text=text.decode("utf-8", "surrogateescape"),
                        control=bool(attr & _CONTROL_OR_UNKNOWN),
                        lstrip=bool(attr & _LSTRIP),
                        rstrip=bool(attr & _RSTRIP),
                        is_word=is_word,
                    )
                )
        if self.is_sentencepiece and not has_newline:
            raise ModelFileError(tr(NO_NEWLINE))
        # The order of llama_vocab's cache_special_tokens: longest text first, in bytes.
        specials.sort(key=lambda s: len(s.text.encode("utf-8", "surrogateescape")), reverse=True)
        self.specials: Sequence[SpecialToken] = specials
        self.fingerprint = fingerprint.hexdigest()[:16]
        self.newline_is_cut = self.is_sentencepiece and newline_alone
        """Whether no token joins a newline with other text: then text can be cut at line ends."""
        self.bos: int = lib.llama_vocab_bos(self._vocab)
        self.add_bos: bool = lib.llama_vocab_get_add_bos(self._vocab) and self.bos >= 0

    def tokenize(
        self, text: str, *, parse_special: bool = False, add_special: bool = False
    ) -> list[int]:
        """``llama_tokenize(text, add_special=…, parse_special=…)``.

        Raises:
            EngineError: more than 2**31 tokens.
        """
        raw = text.encode("utf-8", "surrogateescape")
        room = len(raw) + 2
        while True:
            ids = (lib.llama_token * room)()
            n: int = lib.llama_tokenize(
                self._vocab, raw, len(raw), ids, room, add_special, parse_special
            )
            if n >= 0:
                return list(ids[:n])
            if n == -(2**31):
                raise EngineError("the text has more than 2**31 tokens")
            room = -n

    def piece(self, token: int, *, special: bool = False) -> bytes:
        """The bytes of one token; a control token is empty unless ``special``."""
        n: int = lib.llama_token_to_piece(
            self._vocab, token, self._buffer, len(self._buffer), 0, special
        )
        if n < 0:
            self._buffer = ctypes.create_string_buffer(-n)
            n = lib.llama_token_to_piece(self._vocab, token, self._buffer, -n, 0, special)
        return self._buffer.raw[:n]

    def detokenize(self, ids: Sequence[int], *, special: bool = False) -> bytes:
        """The bytes of ``ids``; control tokens are empty unless ``special``."""
        return b"".join(self.piece(token, special=special) for token in ids)

    def special_text(self, token: int) -> str:
        """The text of a special token as a template writes it; empty for -1 (none)."""
        if not 0 <= token < self.size:
            return ""
        return self.token_text(token).decode("utf-8", "replace")

    def token_text(self, token: int) -> bytes:
        """A token as the file has it, in the vocabulary's own spelling of blanks and bytes."""
        return bytes(lib.llama_vocab_get_text(self._vocab, token))

    @property
    def template_variables(self) -> dict[str, str]:
        """What a chat template gets from the vocabulary."""
        return {
            "bos_token": self.special_text(self.bos),
            "eos_token": self.special_text(self.eos),
        }

    @property
    def eos(self) -> int:
        """Id of the token that ends a text, -1 for none."""
        return int(lib.llama_vocab_eos(self._vocab))

    def is_end_of_generation(self, token: int) -> bool:
        """Whether ``token`` ends an answer."""
        return bool(lib.llama_vocab_is_eog(self._vocab, token))

    @property
    def handle(self) -> int:
        """``llama_vocab *``."""
        return int(self._vocab)
