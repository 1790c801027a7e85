"""The vocabulary and the chat template of a base, as llama.cpp will have them after the merge."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from baize_convert.failures import ConvertError
from baize_convert.vocabulary_file import write_vocabulary
from baize_train.errors import TrainError
from baize_train.tokens.dialogue_tokenizer import ChatFormat
from baize_tui.chat.formats import OWN_TEMPLATE, UnknownFormat, format_named
from baize_tui.engine.bindings import EngineError, Model
from baize_tui.settings import Settings


@contextmanager
def open_vocabulary(base: Path) -> Iterator[Model]:
    """The model at ``base``, a GGUF or a Hugging Face folder, without its weights.

    Raises:
        TrainError: it is neither, or its vocabulary is none that llama.cpp knows.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = base
        if base.is_dir():
            file = Path(folder) / "vocabulary.gguf"
            try:
                write_vocabulary(base, file)
            except ConvertError as error:
                raise TrainError(str(error)) from error
        elif not base.is_file():
            raise TrainError(f"{base}: no such folder and no such file")
        try:
            model = Model(str(file), vocabulary_only=True)
        except EngineError as error:
            raise TrainError(str(error)) from error
        with model:
            yield model


def chat_format(model: Model, name: str | None, system: str | None = None) -> ChatFormat:
    """The format ``name``; None takes the model's own. ``system`` None is the chat client's.

    Raises:
        TrainError: there is no such format, or the model has none of its own.
    """
    name = name or model.metadata("baize.prompt_format") or OWN_TEMPLATE
    try:
        chosen = format_named(name)
    except UnknownFormat as error:
        raise TrainError(str(error)) from error
    template = chosen.template if chosen.template is not None else model.chat_template
    if not template:
        raise TrainError(
            f"{model.metadata('general.name') or model.path} has no chat template: choose a prompt "
            "format with --format, as chatml, or baize for LLaMA"
        )
    chat = Settings().chat
    return ChatFormat(name, template, chat.system if system is None else system, chat.moderation)
