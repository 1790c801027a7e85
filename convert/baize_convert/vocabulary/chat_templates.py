"""The chat template of a model, as transformers would choose it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from baize_convert.failures import ConvertError
from baize_convert.sources.text_files import read_text_file
from baize_convert.vocabulary.tokenizer_files import TokenizerConfig, read_json_file

DEFAULT = "default"


class NamedTemplate(Struct, frozen=True):
    """One of several templates of a model."""

    name: str
    template: str


ChatTemplates = str | Sequence[NamedTemplate] | None
"""One template, several, or none."""


class _ProcessorFile(Struct, frozen=True):
    """``chat_template.json``, which older multimodal models have."""

    chat_template: str | None = None


def read_chat_templates(folder: Path, settings: TokenizerConfig) -> ChatTemplates:
    """The templates of the tokenizer in ``folder``, whose ``tokenizer_config.json`` is given.

    Files of their own replace what ``tokenizer_config.json`` has, as in transformers'
    ``PreTrainedTokenizerBase._from_pretrained``.

    Raises:
        ConvertError: a file cannot be read, or the template is no text.
    """
    templates = {
        file.stem: read_text_file(file)
        for file in sorted((folder / "additional_chat_templates").glob("*.jinja"))
    }
    if (folder / "chat_template.jinja").is_file():
        templates = {DEFAULT: read_text_file(folder / "chat_template.jinja"), **templates}
    if not templates:
        return _from_settings(folder, settings)
    if list(templates) == [DEFAULT]:
        return templates[DEFAULT]
    return [NamedTemplate(name, template) for name, template in templates.items()]


def default_template(templates: ChatTemplates) -> str | None:
    """The template that a conversation is written with; None if there is none."""
    if templates is None or isinstance(templates, str):
        return templates
    return {named.name: named.template for named in templates}.get(DEFAULT)


def _from_settings(folder: Path, settings: TokenizerConfig) -> ChatTemplates:
    if settings.chat_template is None:
        processor = read_json_file(folder / "chat_template.json", _ProcessorFile)
        return None if processor is None else processor.chat_template
    try:
        templates = msgspec.convert(settings.chat_template, str | list[NamedTemplate])
    except msgspec.ValidationError as error:
        raise ConvertError(f"{folder / 'tokenizer_config.json'}: chat_template: {error}") from error
    if isinstance(templates, str):
        return templates
    # As in transformers, the last one of a name counts.
    return list({named.name: named for named in templates}.values()) or None
