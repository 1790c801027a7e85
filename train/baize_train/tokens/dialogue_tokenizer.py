"""Dialogues to token ids, with a mask of the tokens that are trained.

A dialogue is rendered by the chat client's own code: it is the prompt that the client would build
for the next turn, cut after the last answer. Answers are in it as ids, as the client keeps those
that a model generated, so their positions are known and need no search. Templates need no
``{% generation %}`` marks.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Literal

import msgspec
from msgspec import Struct

from baize_shared.common_prefix import common_prefix_length
from baize_train.corpus.dialogues import Dialogue, Turn
from baize_train.errors import TrainError
from baize_train.tokens.chat_format import ChatFormat
from baize_train.tokens.skip_reasons import SkipReason, UntrainableDialogue
from baize_tui.chat.formats import format_named, prompt_from_turns
from baize_tui.engine.llama.vocabulary import Vocabulary
from baize_tui.engine.prompts.fragments import MarkedText, PromptTokenizer
from baize_tui.engine.prompts.reasoning_styles import STYLES
from baize_tui.engine.prompts.template_sandbox import TemplateError
from baize_tui.engine.prompts.templates import answer_lead, break_markers, render
from baize_tui.engine.protocol import Prompt, PromptMessage

Loss = Literal["answers", "everything"]
ExactAnswers = Literal["all", "first", "none"]
"""The answers that follow the same ids in training and in the chat."""
_PROBE = "\U0010fffc"
"""A question that occurs in no template."""
_THINK = "<think>"


class TokenizedDialogue(Struct, frozen=True):
    """Token ids of one dialogue and their mask."""

    ids: array[int]
    trained: bytes
    """For each id 1 if it is trained, 0 if it is only context."""

    @property
    def length(self) -> int:
        return len(self.ids)

    def truncated(self, length: int) -> TokenizedDialogue:
        return TokenizedDialogue(self.ids[:length], self.trained[:length])


def _sample(*, system: bool) -> Dialogue:
    """A dialogue with two answers."""
    turns = [Turn("system", "Be brief.")] if system else []
    turns += [Turn("user", "What is a fox?"), Turn("assistant", "A wild dog.")]
    return Dialogue([*turns, Turn("user", "And a hen?"), Turn("assistant", "A bird.")])


class DialogueTokenizer:
    """Tokenizes dialogues for one vocabulary and one prompt format."""

    def __init__(self, vocabulary: Vocabulary, format: ChatFormat, loss: Loss = "answers") -> None:
        """Find out how the format starts and ends an answer.

        Raises:
            TrainError: the template fails, writes nothing that ends an answer, or prompts for an
                answer otherwise than it writes earlier ones.
        """
        self._vocabulary = vocabulary
        self._chat_format = format
        self._loss = loss
        self._prompt_format = format_named(format.name)
        self._tokenizer = PromptTokenizer(vocabulary)
        self._variables = {
            "bos_token": vocabulary.special_text(vocabulary.bos),
            "eos_token": vocabulary.special_text(vocabulary.eos),
        }
        try:
            self._lead, self.end = self._probe_answer()
        except TemplateError as error:
            raise TrainError(f"the chat template {format.name} fails: {error}") from error
        after_answer = MarkedText(_PROBE + self.end, earlier={_PROBE: (0,)})
        *_, last = self._tokenizer.parts(after_answer)
        self.end_ids = list(last.ids)
        """Ids of the end of an answer. They are trained, so that the model learns to stop."""
        self._exact: dict[bool, ExactAnswers] = {}
        """Which answers are exact, in dialogues with and without a system turn of their own."""
        if self._exact_answers(system=False) == "none":
            raise TrainError(self._why_inexact())

    def tokenize(self, dialogue: Dialogue) -> TokenizedDialogue:
        """The ids of ``dialogue`` and which of them are trained.

        Raises:
            UntrainableDialogue: it has no answer, or the template does not write all of them as the
                chat sends them.
        """
        marked = self._render_dialogue(dialogue)
        system = dialogue.messages[0].role == "system"
        exact = self._exact_answers(system=system)
        if exact == "none":
            raise UntrainableDialogue(SkipReason.SYSTEM_MOVED)
        if exact == "first" and len(marked.earlier) > 1:
            raise UntrainableDialogue(SkipReason.EARLIER_ANSWERS_DIFFER)
        return self._tokenize(dialogue, marked)

    def _tokenize(self, dialogue: Dialogue, marked: MarkedText) -> TokenizedDialogue:
        """The ids of ``dialogue``, which was rendered as ``marked``."""
        ids = array("i")
        vocabulary = self._vocabulary
        if vocabulary.add_bos and not marked.text.startswith(self._variables["bos_token"]):
            ids.append(vocabulary.bos)
        weights = iter([turn.weight for turn in dialogue.messages if turn.role == "assistant"])
        context = 1 if self._loss == "everything" else 0
        trained = bytearray([context] * len(ids))
        after_answer, weight = False, 1
        for part in self._tokenizer.parts(marked):
            ids.extend(part.ids)
            if part.earlier:
                weight = next(weights)
                trained.extend([weight] * len(part.ids))
            else:
                ends = common_prefix_length(part.ids, self.end_ids) if after_answer else 0
                trained.extend([weight] * ends + [context] * (len(part.ids) - ends))
            after_answer = part.earlier
        return TokenizedDialogue(ids, bytes(trained))

    def prompt_ids(self, turns: Sequence[PromptMessage]) -> list[int]:
        """The ids that the chat client sends to get an answer to the last of ``turns``."""
        ids = self._tokenizer.ids(self._render(turns))
        if self._vocabulary.add_bos and ids[:1] != [self._vocabulary.bos]:
            ids.insert(0, self._vocabulary.bos)
        return ids

    def question_ids(self, turns: Sequence[Turn], max_length: int) -> list[int]:
        """``prompt_ids`` of turns of a corpus, fewer than ``max_length``.

        Raises:
            UntrainableDialogue: they are more, the template rejects the turns, or an earlier
                answer is empty or has reasoning in it.
        """
        try:
            ids = self.prompt_ids([self._message(turn) for turn in turns])
        except TemplateError as error:
            raise UntrainableDialogue(SkipReason.TEMPLATE_FAILED, str(error)) from error
        if len(ids) >= max_length:
            raise UntrainableDialogue(SkipReason.QUESTION_TOO_LONG)
        return ids

    def judged_answer_ids(self, text: str) -> list[int]:
        """``answer_ids`` of an answer that is trained as a better or a worse one.

        Raises:
            UntrainableDialogue: it has reasoning in it.
        """
        if _THINK in text:
            raise UntrainableDialogue(SkipReason.REASONING)
        return self.answer_ids(text)

    def answer_ids(self, text: str) -> list[int]:
        """The ids of an answer and its end, to follow ``prompt_ids``."""
        return [*self._tokenize_answer(text), *self.end_ids]

    def _exact_answers(self, *, system: bool) -> ExactAnswers:
        """Which answers follow the same ids in training and in the chat, in a dialogue with two
        answers; ``system``: with a system turn of its own."""
        if system not in self._exact:
            self._exact[system] = self._compare_with_chat(_sample(system=system))
        return self._exact[system]

    def _compare_with_chat(self, sample: Dialogue) -> ExactAnswers:
        try:
            ids = list(self._tokenize(sample, self._render_dialogue(sample)).ids)
        except UntrainableDialogue:
            return "all"  # every dialogue of this form has that reason
        history: list[PromptMessage] = []
        exact: ExactAnswers = "none"
        for turn in sample.messages:
            message = PromptMessage(turn.role, turn.content)
            if turn.role == "assistant":
                answer = self.answer_ids(turn.content)
                sent = [*self.prompt_ids(history), *answer]
                if ids[: len(sent)] != sent:
                    return exact
                exact = "first" if exact == "none" else "all"
                message = msgspec.structs.replace(
                    message, ids=answer[: len(answer) - len(self.end_ids)]
                )
            history.append(message)
        return exact

    def _why_inexact(self) -> str:
        """Why not even the first answer of a dialogue would follow the prompt of the chat."""
        name = f"the chat template {self._chat_format.name}"
        last = self._render([PromptMessage("user", _PROBE)]).text.rpartition(_PROBE)[2]
        if any(tag in last for style in STYLES for tag in (*style.opens, *style.closes)):
            return (
                f"{name} begins an answer with a thought ({last[-40:]!r}), which the answers of "
                "dialogues do not have: choose another with --format, such as chatml"
            )
        return (
            f"{name} prompts for an answer otherwise than it writes earlier ones, so training "
            "would not see what the chat sends: choose another with --format, such as chatml"
        )

    def _tokenize_answer(self, text: str) -> list[int]:
        unbroken = break_markers(text.strip(), self._prompt_format.markers)
        return self._tokenizer.plain(self._lead + unbroken)

    def _render_dialogue(self, dialogue: Dialogue) -> MarkedText:
        """``dialogue`` up to its last answer, with the answers as ids."""
        turns = list(dialogue.messages)
        while turns and turns[-1].role != "assistant":
            turns.pop()
        messages = []
        for turn in turns:
            messages.append(self._message(turn))
        answers = sum(message.role == "assistant" for message in messages)
        if not answers:
            raise UntrainableDialogue(SkipReason.NOTHING_ANSWERED)
        try:
            marked = self._render([*messages, PromptMessage("user", _PROBE)])
        except TemplateError as error:
            raise UntrainableDialogue(SkipReason.TEMPLATE_FAILED, str(error)) from error
        placeholders = [char for char in marked.earlier if char in marked.text]
        if len(placeholders) != answers:
            raise UntrainableDialogue(SkipReason.ANSWERS_NOT_RENDERED)
        text = marked.text[: marked.text.index(placeholders[-1]) + 1] + self.end
        if self._lead:
            for char in placeholders:
                text = text.replace(self._lead + char, char)
        return MarkedText(text, marked.hidden, marked.earlier)

    def _message(self, turn: Turn) -> PromptMessage:
        """``turn`` as the chat keeps it: an answer has its ids.

        Raises:
            UntrainableDialogue: it is an answer that is empty, or has reasoning in it.
        """
        if turn.role != "assistant":
            return PromptMessage(turn.role, turn.content)
        if _THINK in turn.content:
            raise UntrainableDialogue(SkipReason.REASONING)
        ids = self._tokenize_answer(turn.content)
        if not ids:
            raise UntrainableDialogue(SkipReason.EMPTY_ANSWER)
        return PromptMessage("assistant", turn.content.strip(), ids)

    def _render(self, messages: Sequence[PromptMessage]) -> MarkedText:
        return render(
            self._prompt(messages),
            self._chat_format.template,
            self._vocabulary.specials,
            self._variables,
        )

    def _prompt(self, messages: Sequence[PromptMessage]) -> Prompt:
        format = self._chat_format
        first = messages[0]
        if first.role != "system":
            return prompt_from_turns(
                format.name, messages, system=format.system, moderation=format.moderation
            )
        # A system turn of the dialogue replaces the default one.
        prompt = prompt_from_turns(
            format.name, messages[1:], system=first.content, moderation=False
        )
        return msgspec.structs.replace(prompt, variables={"moderation": format.moderation})

    def _lead_variables(self) -> dict[str, str | bool]:
        return {**self._variables, "moderation": self._chat_format.moderation}

    def _probe_answer(self) -> tuple[str, str]:
        """What the template writes between the prompt and an answer, and after an answer up to its
        end."""
        question = PromptMessage("user", "?")
        asked = self._render([question]).text
        answered = self._render(
            [question, PromptMessage("assistant", "!", [0]), PromptMessage("user", _PROBE)]
        )
        char = next(iter(answered.earlier), "")
        if not char or char not in answered.text:
            raise TrainError(
                f"the chat template {self._chat_format.name} changes the answers: choose another "
                "with --format"
            )
        before, after = answered.text.split(char)
        after = after[: after.index(_PROBE)]
        lead = before.removeprefix(asked) if before.startswith(asked) else ""
        # ``render`` leaves out blanks where an answer has ids, which begin with them.
        lead = lead or answer_lead(self._chat_format.template, self._lead_variables())
        ends = [
            after.index(special.text) + len(special.text)
            for special in self._vocabulary.specials
            if special.text in after and self._vocabulary.is_end_of_generation(special.id)
        ] + [after.index(stop) + len(stop) for stop in self._prompt_format.stop if stop in after]
        if not ends:
            raise TrainError(
                f"the chat template {self._chat_format.name} writes nothing that ends an answer, "
                "so a model could not learn to stop: choose another with --format"
            )
        return lead, after[: min(ends)]
