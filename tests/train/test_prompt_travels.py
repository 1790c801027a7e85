"""A merged model is asked as it was trained, token for token, without any option."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from baize_convert.cli.program import run
from baize_shared.trained_prompt import TrainedPrompt, write_trained_prompt
from baize_train.errors import TrainError
from baize_train.tokens.chat_format import choose_chat_format
from baize_train.tokens.dialogue_tokenizer import DialogueTokenizer
from baize_train.tokens.vocabulary import open_vocabulary
from baize_tui.chat.formats import formats, prompt_from_turns
from baize_tui.engine.llama.abort import AbortFlag
from baize_tui.engine.llama_engine import LlamaEngine
from baize_tui.engine.protocol import Load, PromptMessage
from baize_tui.settings import Settings
from tests.convert.make_goldens import BASE, FOLDER

TURNS = [
    PromptMessage("user", "Why?"),
    PromptMessage("assistant", "So."),
    PromptMessage("user", "And then?"),
]


@pytest.mark.parametrize("system", ["Be brief.", ""])
@pytest.mark.parametrize("name", [name for name in formats() if name != "template"])
def test_the_chat_sends_what_training_saw(
    name: str, system: str, tmp_path: Path, abort: AbortFlag
) -> None:
    with open_vocabulary(BASE) as base:
        tokenizer = DialogueTokenizer(base.vocabulary, choose_chat_format(base, name, system))
        trained = tokenizer.prompt_ids(TURNS)
    adapter = shutil.copytree(FOLDER / "plain", tmp_path / "lora")
    write_trained_prompt(TrainedPrompt(name, system), adapter)
    merged = tmp_path / "merged.gguf"
    arguments = ["merge", str(BASE), "--adapter", str(adapter), "--outtype", "F32"]
    assert run([*arguments, "-o", str(merged)]) == 0
    engine = LlamaEngine(Load(0, str(merged), context=512, threads=1), abort)
    try:
        loaded, chat = engine.loaded, Settings().chat
        assert loaded.system is not None
        prompt = prompt_from_turns(
            loaded.prompt_format, TURNS, system=loaded.system, moderation=chat.moderation
        )
        assert engine.prompt_ids(prompt) == trained
    finally:
        engine.close()
    with open_vocabulary(merged) as model:  # further training and eval, without options
        format = choose_chat_format(model, None)
        assert (format.name, format.system) == (name, system)
        assert DialogueTokenizer(model.vocabulary, format).prompt_ids(TURNS) == trained


def test_a_base_without_a_template_needs_a_format() -> None:
    with open_vocabulary(BASE) as base, pytest.raises(TrainError, match="--format"):
        choose_chat_format(base, None)
