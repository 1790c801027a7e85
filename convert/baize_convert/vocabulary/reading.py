"""Reads the vocabulary of a Hugging Face folder for the ``tokenizer.ggml.*`` keys of GGUF.

Where the files are clear, the keys are those of ``TextModel._set_vocab_*`` in llama.cpp's
conversion/base.py. It differs in these:

- Which tokenizer of llama.cpp it is follows from the whole pipeline (``tokenizer_kind``), and what
  llama.cpp cannot do is refused. llama.cpp's converter looks at ids of one text.
- The tokens are the union of all files (``token_tables``), and user-defined pieces of SentencePiece
  keep their type. llama.cpp's converter ignores tokenizer.json beside a tokenizer.model.
- SentencePiece scores that no file contains are derived from the order of the merges. llama.cpp's
  converter writes -1000 for every token, which tokenizes wrongly.
- Whether a text begins with BOS follows from what the tokenizer really does (``framing``).
- Ids of begin and end that contradict a SentencePiece vocabulary (decapoda's LLaMA) are corrected.
- All tokens that end an answer are written. llama.cpp's converter takes one of a list, or none.
- A template in a file of its own comes before one in tokenizer_config.json (``chat_templates``).
"""

from __future__ import annotations

from pathlib import Path

from gguf import TokenType

from baize_convert.failures import ConvertError
from baize_convert.sources.model_config import ModelConfig
from baize_convert.vocabulary.added_tokens import complete_tokenizer
from baize_convert.vocabulary.chat_templates import default_template, read_chat_templates
from baize_convert.vocabulary.framing import read_framing
from baize_convert.vocabulary.model_file import sentencepiece_file
from baize_convert.vocabulary.overlapping_tokens import find_overlap
from baize_convert.vocabulary.sentencepiece_model import (
    SentencePieceModel,
    read_sentencepiece_model,
)
from baize_convert.vocabulary.special_tokens import (
    add_end_tokens,
    add_framing,
    add_infill_tokens,
    add_special_ids,
    repair_begin_and_end,
)
from baize_convert.vocabulary.token_tables import build_vocabulary
from baize_convert.vocabulary.tokenizer_files import (
    TokenizerFile,
    read_json_file,
    read_special_names,
    read_tokenizer_config,
)
from baize_convert.vocabulary.tokenizer_kind import (
    TokenizerKind,
    kind_of_sentencepiece_model,
    kind_of_tokenizer_file,
)
from baize_convert.vocabulary.tokenizer_source import TokenizerSource
from baize_convert.vocabulary.vocabulary import Vocabulary, check_left_out


def read_vocabulary(
    folder: Path,
    config: ModelConfig,
    pre: str | None = None,
    *,
    model_folder: Path | None = None,
    chat_template: str | None = None,
) -> Vocabulary:
    """Read the vocabulary in ``folder``; ``pre`` names the pre-tokenizer of a BPE, None finds it.

    ``model_folder`` is the folder of the model, if it is another one, and ``chat_template`` what
    will replace the template of the tokenizer.

    Raises:
        ConvertError: there is no tokenizer, it contradicts the config, or llama.cpp cannot do what
            it does.
    """
    source, warnings = read_source(folder)
    kind = kind_of_source(source, pre)
    vocabulary = build_vocabulary(source, kind, config.vocab_size)
    vocabulary.warnings[:0] = warnings
    _warn_of_overlap(vocabulary, folder)
    add_special_ids(vocabulary, folder, source.names, config)
    if vocabulary.model == "llama":
        repair_begin_and_end(vocabulary, folder)
        add_infill_tokens(vocabulary)
    framing = read_framing(folder, source.tokenizer, source.settings, vocabulary.special_ids)
    add_framing(vocabulary, folder, kind, framing)
    add_end_tokens(vocabulary, model_folder or folder, config)
    vocabulary.chat_template = read_chat_templates(folder, source.settings)
    named = source.names.named()
    check_left_out(
        vocabulary,
        folder,
        chat_template or default_template(vocabulary.chat_template),
        [named[name].content for name in ("bos_token", "eos_token") if name in named],
    )
    _add_space_prefix(vocabulary, source, kind, config)
    if config.architecture.like_llama and config.vocab_size == 49152:
        # llama.cpp's converter takes this size for granite's, and writes the key in any case.
        vocabulary.add_special.setdefault("bos", False)
    return vocabulary


def read_source(folder: Path) -> tuple[TokenizerSource, list[str]]:
    """The files of the tokenizer in ``folder``, and warnings about them.

    Raises:
        ConvertError: there is none, or it cannot be read.
    """
    tokenizer = read_json_file(folder / "tokenizer.json", TokenizerFile)
    settings = read_tokenizer_config(folder)
    pieces: SentencePieceModel | None = None
    warnings = []
    if (model_file := sentencepiece_file(folder)) is not None:
        try:
            pieces = read_sentencepiece_model(model_file)
        except ConvertError as error:
            if tokenizer is None:
                raise
            warnings.append(f"{error}; tokenizer.json counts")
    elif tokenizer is None:
        raise ConvertError(f"{folder} has no tokenizer.model and no tokenizer.json{_hint(folder)}")
    source = TokenizerSource(
        folder,
        tokenizer,
        pieces,
        settings,
        read_special_names(folder, settings),
        read_json_file(folder / "added_tokens.json", dict[str, int]) or {},
    )
    completed, found = complete_tokenizer(source)
    return completed, warnings + found


def _hint(folder: Path) -> str:
    for name in ("vocab.json", "tekken.json", "tiktoken.model"):
        if (folder / name).is_file():
            return (
                f", only {name}: load the tokenizer with transformers and save it again, which "
                "writes a tokenizer.json"
            )
    return ""


def kind_of_source(source: TokenizerSource, pre: str | None = None) -> TokenizerKind:
    """What llama.cpp has for a tokenizer; ``pre`` names the pre-tokenizer of a BPE.

    Raises:
        ConvertError: it has nothing; the message names the step that it lacks.
    """
    if source.settings.split_special_tokens:
        raise ConvertError(
            f"{source.folder / 'tokenizer_config.json'}: with split_special_tokens, conversations "
            "have their special tokens spelled, which llama.cpp cannot do: set it to false if the "
            "model was not trained so"
        )
    if source.tokenizer is not None:
        return kind_of_tokenizer_file(source.folder / "tokenizer.json", source.tokenizer, pre)
    assert source.pieces is not None
    return kind_of_sentencepiece_model(
        source.folder / "tokenizer.model", source.pieces, source.settings.add_prefix_space
    )


def _warn_of_overlap(vocabulary: Vocabulary, folder: Path) -> None:
    added = [
        token
        for token, type in zip(vocabulary.tokens, vocabulary.types, strict=True)
        if type in (TokenType.CONTROL, TokenType.USER_DEFINED)
    ]
    if (pair := find_overlap(added)) is not None:
        first, second = (repr(token.decode("utf-8", "replace")) for token in pair)
        vocabulary.warnings.append(
            f"{folder}: the added tokens {first} and {second} can overlap: the tokenizer takes the "
            "first one of a text, llama.cpp the longer one"
        )


def _add_space_prefix(
    vocabulary: Vocabulary, source: TokenizerSource, kind: TokenizerKind, config: ModelConfig
) -> None:
    """Say whether texts begin with a space, where llama.cpp's default or its converter says it."""
    named = source.settings.add_prefix_space
    if kind.model == "gpt2":
        if config.architecture.like_llama:  # llama.cpp ignores it here, but its converter writes it
            vocabulary.add_space_prefix = named
        if named:
            vocabulary.warnings.append(
                f"{source.folder}: tokenizer_config.json says add_prefix_space True, but "
                "tokenizer.json puts no space in front of a text, which counts: some classes of "
                "transformers, such as GPT2Tokenizer, put one there"
            )
        return
    if named is not None and named != kind.space_prefix:
        vocabulary.warnings.append(
            f"{source.folder}: tokenizer_config.json says add_prefix_space {named}, but "
            f"tokenizer.json says {kind.space_prefix}, which counts"
        )
    if named is not None or not kind.space_prefix:
        vocabulary.add_space_prefix = kind.space_prefix
