"""Runs a GGUF with llama.cpp, in the worker process of the chat client.

If kernels crash on this machine, the client starts the worker again with safer settings. A damaged
vocabulary ends the worker, not this program. This is the only module of the converter that imports
the client.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from baize_convert import PROGRAM
from baize_convert.failures import ConvertError
from baize_convert.parity.text import Turn
from baize_shared.printing import print_message

if TYPE_CHECKING:
    from baize_tui.engine.blocking import BlockingEngine


class TemplateFailure(ConvertError):
    """A chat template raised an error, or did not end."""


class LlamaModel:
    """A loaded model; see ``open_model``."""

    def __init__(self, engine: BlockingEngine, path: Path, context: int) -> None:
        from baize_tui.engine.client import ModelSpec

        self._engine = engine
        self._path = path
        loaded = engine.load(ModelSpec(str(path), context=context, all_logits=True))
        self.n_vocab = loaded.n_vocab
        self.begin = loaded.begin
        """The ids that begin every text."""

    def tokenize(self, text: str) -> list[int]:
        """The ids of ``text``; none before it, and special tokens in it count as text."""
        return self._engine.tokenize(str(self._path), text)

    def logits(self, ids: list[int]) -> NDArray[np.float32]:
        """The logits after each of ``ids``: [ids, vocabulary]."""
        with tempfile.TemporaryDirectory(prefix="baize-logits-") as folder:
            file = Path(folder) / "logits"
            self._engine.write_logits(ids, file)
            return np.fromfile(file, np.float32).reshape(len(ids), self.n_vocab)


@contextmanager
def open_model(path: Path, context: int) -> Iterator[LlamaModel]:
    """Load the model at ``path`` with a context of ``context`` tokens.

    Raises:
        ConvertError: llama.cpp cannot run it.
    """
    with _engine() as engine, _named_in_utf8(path) as file:
        yield LlamaModel(engine, file, context)


class LlamaVocabulary:
    """The tokenizer and the chat template of a GGUF file; see ``open_vocabulary``."""

    def __init__(self, engine: BlockingEngine, path: Path) -> None:
        self._engine = engine
        self._path = str(path)

    def encode(self, texts: list[str], *, add_special: bool = False) -> list[list[int]]:
        """The ids of each text, with the special tokens in it.

        ``add_special`` puts BOS and EOS around each where the file says so.
        """
        return self._engine.encode(self._path, texts, add_special=add_special)

    def write_conversation(
        self,
        turns: Sequence[Turn],
        template: str | None = None,
        variables: Mapping[str, str] = {},
    ) -> str:
        """The text that a chat template makes of ``turns``, in front of an answer.

        It is the file's own template, or ``template`` with these ``variables``.

        Raises:
            TemplateFailure: it raises an error, or does not end.
        """
        from baize_tui.engine.client import EngineFailure
        from baize_tui.engine.protocol import Prompt, PromptMessage

        prompt = Prompt(
            [PromptMessage(role, content) for role, content in turns],
            template=template,
            template_name="the chat template",
            variables=dict(variables),
        )
        try:
            return self._engine.write_template(self._path, prompt)
        except EngineFailure as failure:
            raise TemplateFailure(str(failure)) from failure


@contextmanager
def open_vocabulary(path: Path) -> Iterator[LlamaVocabulary]:
    """The vocabulary of the GGUF at ``path``; no weights are read.

    Raises:
        ConvertError: llama.cpp cannot read it.
    """
    with _engine() as engine, _named_in_utf8(path) as file:
        yield LlamaVocabulary(engine, file)


@contextmanager
def _named_in_utf8(path: Path) -> Iterator[Path]:
    """``path``; if that is not UTF-8, as requests to the worker are, a link to it that is."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        with tempfile.TemporaryDirectory(prefix="baize-name-") as folder:
            link = Path(folder) / "model.gguf"
            link.symlink_to(path.absolute())
            yield link
    else:
        yield path


@contextmanager
def _engine() -> Iterator[BlockingEngine]:
    # Imported when used: most commands run no model.
    from baize_tui.engine.blocking import BlockingEngine
    from baize_tui.engine.client import EngineFailure
    from baize_tui.paths import project_paths

    try:
        with BlockingEngine(project_paths(), _print_notice) as engine:
            yield engine
    except EngineFailure as failure:
        raise ConvertError(str(failure)) from failure


def _print_notice(notice: str) -> None:
    print_message(PROGRAM, notice)
