"""The title that a question gives its conversation, and what a model may write as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import llama_cpp.llama_cpp as lib
import numpy as np
import pytest

from baize_tui.chat.titles import GRAMMAR, parse_title, title_from_question
from baize_tui.engine.llama.errors import EngineError
from baize_tui.engine.llama.sampler import Sampler
from baize_tui.engine.llama_engine import LlamaEngine
from baize_tui.engine.protocol import Generate, Prompt, PromptMessage
from baize_tui.settings import Sampling

LOG = "\n".join(f"line {number}" for number in range(61))


@pytest.mark.parametrize(
    ("question", "title"),
    [
        ("What is it?\nPlease be brief.", "What is it?"),
        ("\n\n# A heading\ntext", "A heading"),
        (f"{LOG}\n\nWhat went wrong?", "What went wrong?"),
        (f"{LOG}\n\nWhat went wrong?\nPlease be brief.", "What went wrong?"),
        (f"{LOG}\nWhat went wrong?", "What went wrong?"),
        (f"{LOG}\n\n\n\nWhat went wrong?\n\n", "What went wrong?"),
        (f"What went wrong?\n\n{LOG}", "What went wrong?"),
        ("x" * 3000 + "\nWhat is x?", "What is x?"),
        (" \n ", ""),
    ],
)
def test_a_title_is_the_question_not_the_pasted_text(question: str, title: str) -> None:
    assert title_from_question(question) == title


@pytest.mark.parametrize(
    ("answer", "title"),
    [
        ("Blue sky", "Blue sky"),
        ("Title: Blue sky.\n", "Blue sky"),
        (" «Blue sky»", "Blue sky"),
        ("「青い空」", "青い空"),
        ("「空」の意味。", "「空」の意味"),
        ("Write only a title of at most six words", ""),
        ("Here's a possible title to use", ""),
        ("Here is a title: Blue sky", ""),
        ("Sure! Blue sky", ""),
        ("Possible titles", ""),
        ("以下是一个标题", ""),
        ("Surely blue", "Surely blue"),
        ("Untitled letters", "Untitled letters"),
        ("...", ""),
        ("", ""),
    ],
)
def test_what_a_model_writes_becomes_a_title_or_none(answer: str, title: str) -> None:
    assert parse_title(answer) == title


@pytest.mark.parametrize(
    ("answer", "complete", "shortened"),
    [
        ("Why is the sky bl", False, "Why is the sky"),
        ("天空为什么是蓝\ufffd", False, "天空为什么是蓝"),
        ("word " * 11 + "wordy", True, "word " * 10 + "word"),
    ],
)
def test_the_beginning_of_a_sentence_is_a_title_only_on_request(
    answer: str, complete: bool, shortened: str
) -> None:
    assert parse_title(answer, complete=complete) == ""
    assert parse_title(answer, complete=complete, shorten=True) == shortened


class Wishes:
    """Stands for a context whose model wants one token above all others."""

    def __init__(self, vocabulary_size: int) -> None:
        self._size = vocabulary_size
        self.token = 0

    def candidates(self, n_vocab: int, row: int = -1) -> tuple[Any, Any]:
        data = (lib.llama_token_data * n_vocab)()
        rows = np.frombuffer(data, dtype=[("id", "i4"), ("logit", "f4"), ("p", "f4")])
        rows["id"] = np.arange(n_vocab)
        rows["logit"][self.token] = 1.0
        return lib.llama_token_data_array(data, n_vocab, -1, False), rows["logit"]


def part_that_the_grammar_allows(
    engine: LlamaEngine, text: str, ids: Sequence[int] | None = None
) -> str:
    """The beginning of ``text`` that a model can write as a title, token by token, with its own
    tokens or those of ``ids``."""
    vocabulary = engine.vocabulary
    sampler = Sampler(Sampling(temperature=0), vocabulary, 0, GRAMMAR)
    context, written = Wishes(vocabulary.size), b""
    for token in ids or vocabulary.tokenize(text):
        context.token = token
        try:
            if sampler.sample(context) != token:  # type: ignore[arg-type]
                break
        except EngineError:
            break
        written += vocabulary.piece(token)
    sampler.close()
    return written.decode("utf-8", "ignore")


TITLES = pytest.mark.parametrize(
    "title",
    [
        "Why the sky is blue",
        " A space in front, as in SentencePiece",
        "L\u2019été à Paris : où aller ?",
        "为什么天空是蓝色的？",
        "空はなぜ青いのか",
        "하늘은 왜 파란가",
        "Почему небо голубое",
        "لماذا السماء زرقاء",
        "आकाश नीला क्यों है",
        "3 ways to add 1 + 2",
        "A line and its end\n",
    ],
)


@TITLES
def test_a_title_may_be_in_any_script(engine: LlamaEngine, title: str) -> None:
    assert part_that_the_grammar_allows(engine, title) == title


@TITLES
def test_a_title_may_be_in_any_script_byte_by_byte(engine: LlamaEngine, title: str) -> None:
    """As a vocabulary without the script writes it."""
    vocabulary = engine.vocabulary
    pieces = {vocabulary.piece(token): token for token in range(vocabulary.size)}
    ids = [pieces[bytes([byte])] for byte in title.replace("\u2019", "'").encode()]
    assert part_that_the_grammar_allows(engine, title, ids) == title.replace("\u2019", "'")


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ('"Blue sky"', ""),
        ("“Blue sky”", ""),
        ("**Blue sky**", ""),
        ("# Blue sky", ""),
        ("- Blue sky", ""),
        ("<b>Blue</b>", ""),
        ("\n\nBlue sky", ""),
        ("`sky`", ""),
        ("Blue\x1b[31m", "Blue"),
        ("Blue\u202esky", "Blue"),
        ("Blue\U000e0041", "Blue"),
        ("Blue\nBut why?", "Blue\n"),
        ("a" * 80, "a" * 60),
        ("蓝" * 80, "蓝" * 60),
    ],
)
def test_markup_quotes_controls_and_more_than_a_line_are_not_allowed(
    engine: LlamaEngine, text: str, allowed: str
) -> None:
    written = part_that_the_grammar_allows(engine, text)
    assert allowed.startswith(written)
    # A token may reach over the end of what is allowed.
    assert len(written) >= len(allowed) - 8


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    "question", ["Say hi.", "写一首诗", "Write **bold** code\n```\nx\n```", "?"]
)
def test_what_the_real_model_writes_has_the_form_of_a_title(
    engine: LlamaEngine, question: str
) -> None:
    prompt = Prompt([PromptMessage("user", question)])
    for seed in range(3):
        sampling = Sampling(temperature=1.5, seed=seed)
        *_, finished = engine.generate(Generate(1, prompt, sampling, 32, grammar=GRAMMAR))
        title = finished.text  # type: ignore[union-attr]
        assert len(title.strip(" \n")) <= 60
        assert not set(title.rstrip("\n")) & set('\n\t"*#`<>[]{}|“”«»')
