"""Answers of a model while it is trained: the same questions at each evaluation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import torch
from msgspec import Struct
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from baize_shared.atomic_files import write_atomically
from baize_shared.json_errors import JSON_ERRORS
from baize_train.errors import warn
from baize_train.tokens.chat_format import choose_chat_format
from baize_train.tokens.dialogue_tokenizer import DialogueTokenizer
from baize_train.tokens.skip_reasons import UntrainableDialogue
from baize_train.tokens.vocabulary import open_vocabulary
from baize_train.training.run import TrainingRun
from baize_train.training.trainers import explain_write_errors
from baize_tui.engine.llama.vocabulary import Vocabulary

SAMPLES_FILE = "samples.jsonl"
_MOST_TOKENS = 64
"""Of an answer: enough to see what it is about."""


class Sample(Struct, frozen=True):
    """What the model answered to a question after a number of steps."""

    step: int
    question: str
    """The last turn before the answer."""
    answer: str
    complete: bool
    """Whether the model ended its answer."""


class SampleQuestion(NamedTuple):
    """A question and its prompt."""

    text: str
    ids: list[int]


ReportSample = Callable[[Sample], object]


class SampleRecorder(TrainerCallback):  # type: ignore[misc]
    """Answers questions at each evaluation, and keeps the answers in a file.

    Each token is the likeliest one. That takes no random numbers, so training goes on as without.
    """

    def __init__(
        self,
        questions: Sequence[SampleQuestion],
        tokenizer: DialogueTokenizer,
        vocabulary: Vocabulary,
        folder: Path,
        report: ReportSample,
    ) -> None:
        """The samples go to ``folder``, and each to ``report``."""
        self._questions = questions
        self._vocabulary = vocabulary
        self._end = tokenizer.end
        self._ends = [n for n in range(vocabulary.size) if vocabulary.is_end_of_generation(n)]
        self._folder = folder
        self._report = report
        self._samples: list[Sample] = []

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        # Those after the checkpoint that a run resumes from are taken again.
        earlier = read_samples(self._folder)
        self._samples = [s for s in earlier if state.global_step and s.step <= state.global_step]

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: Any = None,
        **_: Any,
    ) -> None:
        if not state.is_world_process_zero:
            return
        for question, ids in self._questions:
            sample = Sample(state.global_step, question, *self._answer(model, ids))
            self._samples.append(sample)
            self._report(sample)
        lines = b"".join(msgspec.json.encode(sample) + b"\n" for sample in self._samples)
        with explain_write_errors(self._folder):
            write_atomically(self._folder / SAMPLES_FILE, lines)

    def _answer(self, model: Any, ids: list[int]) -> tuple[str, bool]:
        """The answer to the prompt ``ids``, and whether the model ended it."""
        model.eval()  # the trainer turns training on again
        prompt = torch.tensor([ids], device=model.device)
        output = model.generate(
            input_ids=prompt,
            attention_mask=torch.ones_like(prompt),
            max_new_tokens=_MOST_TOKENS,
            do_sample=False,
            use_cache=True,
            eos_token_id=self._ends or None,
            pad_token_id=0,
        )
        answered = output[0, len(ids) :].tolist()
        raw = self._vocabulary.detokenize(answered, special=True).decode("utf-8", "replace")
        text, ended, _ = raw.partition(self._end)
        ended_by_token = bool(answered) and answered[-1] in self._ends
        if ended_by_token and not ended:
            text = self._vocabulary.detokenize(answered[:-1]).decode("utf-8", "replace")
        return text.strip(), bool(ended) or ended_by_token


@contextmanager
def record_samples(run: TrainingRun, report: ReportSample) -> Iterator[list[SampleRecorder]]:
    """A recorder for the questions of ``run``; none if it has none.

    Raises:
        TrainError: see ``open_vocabulary``.
    """
    if not run.evaluations.questions:
        yield []
        return
    with open_vocabulary(run.base, run.new_tokens) as model:
        tokenizer = DialogueTokenizer(
            model.vocabulary, choose_chat_format(model, run.format, run.system)
        )
        questions = list(_tokenize(run, tokenizer))
        yield [SampleRecorder(questions, tokenizer, model.vocabulary, run.output, report)]


def _tokenize(run: TrainingRun, tokenizer: DialogueTokenizer) -> Iterator[SampleQuestion]:
    for turns in run.evaluations.questions:
        text = turns[-1].content
        try:
            yield SampleQuestion(text, tokenizer.question_ids(turns, run.preset.max_length))
        except UntrainableDialogue as error:
            warn(f"no samples of an answer to {text}: {error}")


def read_samples(folder: Path) -> list[Sample]:
    """The samples of the run in ``folder``; none if their file is missing or damaged."""
    try:
        lines = (folder / SAMPLES_FILE).read_bytes().splitlines()
        return [msgspec.json.decode(line, type=Sample) for line in lines]
    except (OSError, *JSON_ERRORS):
        return []
