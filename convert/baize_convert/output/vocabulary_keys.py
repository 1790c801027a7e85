"""The ``tokenizer.*`` keys of a GGUF."""

from __future__ import annotations

import msgspec
from gguf import GGUFWriter

from baize_convert.vocabulary.vocabulary import Vocabulary


def add_vocabulary_keys(writer: GGUFWriter, vocabulary: Vocabulary) -> None:
    """Add ``tokenizer.*``, including the chat template."""
    if vocabulary.add_space_prefix is not None:
        writer.add_add_space_prefix(vocabulary.add_space_prefix)
    writer.add_tokenizer_model(vocabulary.model)
    writer.add_tokenizer_pre(vocabulary.pre)
    writer.add_token_list(vocabulary.tokens)
    if vocabulary.scores is not None:
        writer.add_token_scores(vocabulary.scores)
    writer.add_token_types([int(type) for type in vocabulary.types])
    if vocabulary.merges:
        writer.add_token_merges(vocabulary.merges)
    for kind, id in vocabulary.special_ids.items():
        add_id = getattr(writer, f"add_{kind}_token_id", None)
        if add_id is not None:
            add_id(id)
    for kind, value in vocabulary.add_special.items():
        add_flag = getattr(writer, f"add_add_{kind}_token", None)
        if add_flag is not None:
            add_flag(value)
    if isinstance(vocabulary.chat_template, str):
        writer.add_chat_template(vocabulary.chat_template)
    elif vocabulary.chat_template is not None:
        named = [msgspec.structs.asdict(template) for template in vocabulary.chat_template]
        writer.add_chat_template(named)
