"""What the chat template of the source, and that of the result, make of a conversation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from baize_convert.parity.llama_model import LlamaVocabulary, TemplateFailure
from baize_convert.parity.text import CONVERSATION
from baize_convert.vocabulary.chat_templates import default_template, read_chat_templates
from baize_convert.vocabulary.tokenizer_source import TokenizerSource


@dataclass(frozen=True)
class SourceTemplate:
    """A chat template and the variables that transformers gives it."""

    template: str
    variables: Mapping[str, str] = field(default_factory=dict)


def source_template(source: TokenizerSource, replacement: str | None) -> SourceTemplate | None:
    """The template of a tokenizer, or ``replacement`` with its variables; None if it has none.

    Raises:
        ConvertError: it cannot be read.
    """
    template = replacement
    if template is None:
        template = default_template(read_chat_templates(source.folder, source.settings))
    if not template:
        return None
    named = {name: token.content for name, token in source.names.named().items()}
    if source.tokenizer is None:
        named = {"bos_token": "<s>", "eos_token": "</s>", **named}
    return SourceTemplate(template, named)


def find_text_behind_answer(conversation: str) -> str | None:
    """What a template puts between an answer and the next question; None if one is missing.

    ``conversation`` is what it makes of ``CONVERSATION``.
    """
    (_, answer), (_, question) = CONVERSATION[-2:]
    _, has_answer, behind = conversation.rpartition(answer)
    between, has_question, _ = behind.partition(question.strip())
    return between if has_answer and has_question else None


def write_conversations(source: SourceTemplate, vocabulary: LlamaVocabulary) -> tuple[str, str]:
    """The texts of a conversation by the source's template and by the file's own.

    Raises:
        TemplateFailure: the source's template refuses it, so there is nothing to compare.
    """
    expected = vocabulary.write_conversation(CONVERSATION, source.template, source.variables)
    try:
        return expected, vocabulary.write_conversation(CONVERSATION)
    except TemplateFailure as failure:
        return expected, str(failure)
